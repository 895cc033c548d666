"""`POST /v1/subscriptions/{id}/disable` and `enable`. Contract §8."""

from __future__ import annotations

from tests.delivery.tools import act, ids_of, plan, punch, shown
from tests.harness import Receiver, Relay, wait_for


def test_a_disabled_subscription_keeps_its_queue_until_it_is_enabled(
    slow_retries: Relay, receiver: Receiver
) -> None:
    device = slow_retries.device()
    receiver.answer = plan(500)
    made = slow_retries.subscribe(receiver, device)
    punch(device)
    wait_for(lambda: shown(slow_retries, made)["retrying"] == 1)
    disabled = act(slow_retries, made, "disable")
    assert (disabled["status"], disabled["retrying"] + disabled["pending"]) == ("disabled", 1)
    assert disabled["disabled_reason"] == "It was disabled by a request."
    wait_for(lambda: shown(slow_retries, made)["pending"] == 1, 20)  # its retry is due
    assert len(receiver.received) == 1, "nothing is sent"
    assert act(slow_retries, made, "disable") == {**disabled, "pending": 1, "retrying": 0}
    assert act(slow_retries, made, "enable")["status"] == "active"
    receiver.wait(2)
    assert len(set(ids_of(receiver))) == 1 and shown(slow_retries, made)["disabled_reason"] is None
    assert slow_retries.call("POST", "/v1/subscriptions/sub_none/disable").status_code == 404
    entries = [(one["action"], one["subject"]) for one in slow_retries.get("/v1/audit")["data"]]
    assert ("subscription.disabled", made["id"]) in entries
