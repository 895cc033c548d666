"""Deliveries as resources: reading by ID, lists with filters, requested retries, and the targets' responses."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.delivery.tools import act, change, plan, punch, rows, shown, wait_rows
from tests.harness import Device, Receiver, Relay, wait_for

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
REFUSED = (422, {"content-type": "application/json"}, b'{"error": "no such employee"}')


def one(relay: Relay, delivery_id: str, **how: Any) -> dict[str, Any]:
    """Return a delivery by its ID."""
    found: dict[str, Any] = relay.get(f"/v1/deliveries/{delivery_id}", **how)
    return found


def wait_status(relay: Relay, delivery_id: str, status: str) -> dict[str, Any]:
    """Return a delivery, once it has this status."""
    wait_for(lambda: one(relay, delivery_id)["status"] == status, 60)
    return one(relay, delivery_id)


def retry(relay: Relay, delivery_id: str) -> Any:
    """Request a retry, and return the response."""
    return relay.call("POST", f"/v1/deliveries/{delivery_id}/retry")


def limited_key(relay: Relay) -> str:
    """A key that may only subscribe."""
    body = {"name": "limited", "scopes": ["subscriptions:write"]}
    made = relay.call("POST", "/v1/api-keys", json=body)
    key: str = made.json()["key"]
    return key


def test_a_dead_letter_is_a_resource_and_can_be_retried(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan(then=REFUSED)
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1, 60, status="dead")
    event_id = receiver.received[0].headers["webhook-id"]
    assert re.fullmatch(r"dlv_[0-9a-z]{40}", row["id"])
    assert one(relay, row["id"]) == row
    assert row["subscription_id"] == subscription["id"]
    assert (row["event_id"], row["event_ids"], row["batch_id"]) == (event_id, [event_id], None)
    assert (row["event_type"], row["event_count"], row["trigger"]) == ("attendance.punch", 1, "retry")
    assert (row["attempt_count"], len(row["attempts"]), row["next_attempt_at"]) == (4, 4, None)
    assert row["created_at"] <= row["attempts"][0]["at"]
    for at in (row["created_at"], row["last_attempt_at"], *(attempt["at"] for attempt in row["attempts"])):
        assert MOMENT.fullmatch(at), at
    assert [attempt["response_body"] for attempt in row["attempts"]] == [None] * 3 + [REFUSED[2].decode()]
    receiver.answer = plan()
    answer = retry(relay, row["id"])
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] == row["id"] and answer.json()["status"] in ("pending", "delivered")
    now = wait_status(relay, row["id"], "delivered")
    assert (now["attempt_count"], now["trigger"], now["response_status"]) == (5, "retry", 200)
    assert [attempt["response_status"] for attempt in now["attempts"]] == [422] * 4 + [200]
    assert receiver.received[-1].headers["webhook-id"] == event_id
    (listed,) = rows(relay, subscription)
    assert listed == now
    assert shown(relay, subscription)["dead"] == 0


def test_a_retry_is_refused_if_the_event_no_longer_matches_the_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1)
    change(relay, subscription, event_types=["user.deleted"])
    refused = retry(relay, row["id"])
    assert refused.status_code == 409
    assert "doesn't match this subscription's event types and filters" in refused.json()["detail"]
    change(relay, subscription, event_types=["attendance.punch"])
    assert retry(relay, row["id"]).status_code == 202
    receiver.wait(2)


def test_a_requested_retry_starts_the_whole_retry_schedule(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan(then=500)
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1, 60, status="dead")
    assert retry(relay, row["id"]).status_code == 202
    wait_for(lambda: one(relay, row["id"])["attempt_count"] == 8, 60)
    wait_status(relay, row["id"], "dead")


def test_waiting_deliveries_are_pending_and_can_be_found_by_their_event(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan((429, {"Retry-After": "4"}, b""))
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (first,) = receiver.wait(1)
    (failed,) = wait_rows(relay, subscription, 1, status="retrying")
    assert (failed["trigger"], failed["next_attempt_at"] > failed["last_attempt_at"]) == ("first", True)
    punch(device, 2)
    pending = wait_rows(relay, subscription, 2, status="pending")
    assert [row["created_at"] for row in pending] == sorted(
        (row["created_at"] for row in pending), reverse=True
    )
    for row in pending:
        assert (row["status"], row["attempts"], row["trigger"]) == ("pending", [], "first")
        assert row["event_type"] == "attendance.punch" and row["last_attempt_at"] is None
        assert one(relay, row["id"]) == row
        assert rows(relay, subscription, event_id=row["event_id"]) == [row]
        assert retry(relay, row["id"]).status_code == 202
    path = f"/v1/subscriptions/{subscription['id']}/deliveries"
    page = relay.get(path, params={"status": "pending", "limit": 1})
    more = relay.get(path, params={"status": "pending", "limit": 1, "cursor": page["next_cursor"]})
    assert [page["data"][0]["id"], more["data"][0]["id"]] == [row["id"] for row in pending]
    receiver.wait(4, 15)
    for row in (failed, *pending):
        assert wait_status(relay, row["id"], "delivered")["event_id"] == row["event_id"]
    assert len(receiver.received) == 4, "a retry of what is pending sends nothing twice"
    assert first.headers["webhook-id"] == failed["event_id"]


def test_lists_filter_by_time_and_refuse_invalid_filters(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (first,) = wait_rows(relay, subscription, 1)
    time.sleep(0.01)
    punch(device)
    second = wait_rows(relay, subscription, 2)[0]
    assert first["id"] != second["id"]
    at = second["last_attempt_at"]
    assert [row["id"] for row in rows(relay, subscription, since=at)] == [second["id"]]
    assert [row["id"] for row in rows(relay, subscription, until=first["last_attempt_at"])] == [first["id"]]
    assert rows(relay, subscription, until=at, status="dead") == []
    assert rows(relay, subscription, event_id=first["event_id"], since=at) == []
    path = f"/v1/subscriptions/{subscription['id']}/deliveries"
    for wrong in (
        {"since": "yesterday"},
        {"since": "2026-11-25T00:00:00Z", "until": "2026-11-24T00:00:00Z"},
        {"event_id": "42"},
        {"status": "lost"},
        {"event": first["event_id"]},
    ):
        assert relay.call("GET", path, params=wrong).status_code == 422, wrong


@pytest.mark.parametrize("batch_max", [1, 5])
def test_a_test_delivery_can_be_read(relay: Relay, receiver: Receiver, batch_max: int) -> None:
    subscription = relay.subscribe(receiver, events=["user.updated"], batch_max=batch_max)
    receiver.answer = plan(REFUSED)
    sent = act(relay, subscription, "test")
    failed = wait_status(relay, sent["delivery_id"], "retrying")
    assert (failed["trigger"], failed["event_type"]) == ("test", "user.updated")
    assert failed["event_id"] == sent["event_id"]
    assert failed["attempts"][0]["response_body"] == REFUSED[2].decode()
    done = wait_status(relay, sent["delivery_id"], "delivered")
    assert (done["trigger"], done["event_type"], done["event_id"]) == (
        "test",
        "user.updated",
        sent["event_id"],
    )
    assert rows(relay, subscription, event_id=sent["event_id"]) == [done]
    assert retry(relay, sent["delivery_id"]).status_code == 409
    later = act(relay, subscription, "test", delay_seconds=2)
    waits = one(relay, later["delivery_id"])
    assert (waits["status"], waits["trigger"], waits["event_type"]) == ("pending", "test", "user.updated")
    assert MOMENT.fullmatch(waits["next_attempt_at"])
    wait_status(relay, later["delivery_id"], "delivered")


def test_a_batch_lists_its_events_while_it_is_stored(one_retry: Relay, receiver: Receiver) -> None:
    receiver.answer = plan(then=REFUSED)
    device = one_retry.device()
    subscription = one_retry.subscribe(receiver, device, batch_max=3, batch_wait_ms=60_000)
    punch(device, 3)
    (row,) = wait_rows(one_retry, subscription, 1, 60, status="dead")
    assert row["batch_id"] == receiver.received[0].headers["webhook-id"]
    assert row["event_ids"] == [event["id"] for event in receiver.received[0].json]
    assert (row["event_id"], row["event_type"], row["event_count"]) == (None, None, 3)
    assert rows(one_retry, subscription, event_id=row["event_ids"][1]) == [row]
    receiver.answer = plan()
    assert retry(one_retry, row["id"]).status_code == 202
    done = wait_status(one_retry, row["id"], "delivered")
    assert (done["event_count"], done["attempt_count"], done["batch_id"]) == (3, 3, row["batch_id"])
    assert rows(one_retry, subscription, event_id=row["event_ids"][1]) == [done]
    assert retry(one_retry, row["id"]).status_code == 409, "its events are replayed instead"


def test_a_successful_delivery_can_be_repeated(relay: Relay, device: Device, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1)
    assert retry(relay, row["id"]).status_code == 202
    first, again = receiver.wait(2)
    assert again.headers["webhook-id"] == first.headers["webhook-id"] == row["event_id"]
    wait_for(lambda: one(relay, row["id"])["trigger"] == "replay")
    assert [listed["id"] for listed in rows(relay, subscription)] == [row["id"]]


def test_a_disabled_subscription_and_unknown_ids_are_refused(relay: Relay, receiver: Receiver) -> None:
    receiver.answer = plan(then=410)
    subscription = relay.subscribe(receiver)
    sent = act(relay, subscription, "test")
    wait_for(lambda: shown(relay, subscription)["status"] == "disabled")
    wait_status(relay, sent["delivery_id"], "retrying")
    assert retry(relay, sent["delivery_id"]).status_code == 409
    unknown = sent["delivery_id"][:-1] + ("0" if sent["delivery_id"][-1] != "0" else "1")
    other = sent["delivery_id"].replace(subscription["id"][4:], "0" * 24)
    for name in (unknown, other, "dlv_", "evt_01kay8ds0r000000", "dlv_" + "z" * 40, "dlv_" + "u" * 47):
        assert relay.call("GET", f"/v1/deliveries/{name}").status_code == 404, name
        assert retry(relay, name).status_code == 404, name
    relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    assert relay.call("GET", f"/v1/deliveries/{sent['delivery_id']}").status_code == 404


def test_responses_of_private_targets_are_only_shown_to_admins(relay: Relay, receiver: Receiver) -> None:
    receiver.answer = plan(REFUSED)
    subscription = relay.subscribe(receiver)
    sent = act(relay, subscription, "test")
    failed = wait_status(relay, sent["delivery_id"], "retrying")
    assert failed["attempts"][0]["response_body"] == REFUSED[2].decode()
    key = limited_key(relay)
    path = f"/v1/subscriptions/{subscription['id']}/deliveries"
    (listed,) = relay.get(path, key=key)["data"]
    if listed["status"] == "retrying":
        assert listed["attempts"][0]["response_body"] is None
    assert "no such employee" not in relay.call("GET", f"/v1/deliveries/{sent['delivery_id']}", key=key).text


def test_responses_are_shown_without_secrets_and_up_to_2_kib(relay: Relay, receiver: Receiver) -> None:
    token = "made-up/token/of/the/target"
    subscription = relay.subscribe(receiver, headers={"Authorization": f"Bearer {token}"})
    echoed = f"you sent {token} and {subscription['secret']}: " + "é" * 4_000
    receiver.answer = plan((500, {}, echoed.encode()), (500, {}, b"\x00\x01\x02"))
    sent = act(relay, subscription, "test")
    wait_for(lambda: one(relay, sent["delivery_id"])["attempts"])
    body = one(relay, sent["delivery_id"])["attempts"][0]["response_body"]
    assert body.startswith("you sent … and …: éé")
    assert 2_000 < len(body.encode()) <= 2_048
    wait_for(lambda: one(relay, sent["delivery_id"])["attempt_count"] >= 2, 60)
    attempts = one(relay, sent["delivery_id"])["attempts"]
    assert attempts[1]["response_body"] in ("(binary, 3 bytes)", None)
    change(relay, subscription, description="nothing else")
