"""A target that is gone or fails for days: its subscription is disabled. Changing it resets failures. Contract §4."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any

from app.store.server.keys import DEVICES, Shard
from tests.delivery.tools import (
    Answer,
    act,
    change,
    client,
    ids_of,
    keys_of,
    plan,
    punch,
    shown,
    wait_rows,
)
from tests.harness import Device, Received, Receiver, Relay, verify, wait_for
from tests.relay.tools import problem

GONE = "http://127.0.0.1:9/gone"


def test_410_disables_the_subscription_and_keeps_its_queue(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan(then=410)
    watcher = Receiver()
    witness = relay.subscribe(watcher, events=["subscription.disabled"])
    subscription = relay.subscribe(receiver, device)
    punch(device, 5)
    wait_for(lambda: shown(relay, subscription)["status"] == "disabled")
    assert "410" in shown(relay, subscription)["disabled_reason"]
    wait_for(lambda: subscription["id"] in [event["subscription_id"] for event in watcher.events()])
    event = verify(
        witness["secret"],
        next(got for got in watcher.received if got.json["subscription_id"] == subscription["id"]),
    )
    assert event["target_url"] == receiver.url.removesuffix("/hook")
    assert "410" in event["reason"]
    disabled_events = relay.events(type="subscription.disabled")
    assert [event["subscription_id"] for event in disabled_events].count(subscription["id"]) == 1
    watcher.close()
    # Events that came after it was disabled were not queued, as with any disabled subscription.
    waiting = {got.headers["webhook-id"] for got in receiver.received}
    count = len(receiver.received)
    receiver.answer = plan()
    act(relay, subscription, "enable")
    wait_for(lambda: waiting <= {got.headers["webhook-id"] for got in receiver.received[count:]}, 30)
    wait_for(lambda: shown(relay, subscription)["retrying"] == shown(relay, subscription)["pending"] == 0, 30)


def test_a_410_of_a_former_target_does_not_disable_the_present_one(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    asked, moved = threading.Event(), threading.Event()

    def gone(_: Received) -> Answer:
        asked.set()
        moved.wait(10)
        return 410, {}, b""

    present = Receiver()
    receiver.answer = gone
    subscription = relay.subscribe(receiver, device, max_in_flight=1)
    punch(device, 5)
    assert asked.wait(10)
    change(relay, subscription, target_url=present.url)
    moved.set()
    present.wait(5, 15)
    assert shown(relay, subscription)["status"] == "active"
    present.close()


def test_a_target_that_failed_for_5_days_is_disabled_and_can_be_enabled(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan(then=500)
    subscription = relay.subscribe(receiver, device)
    punch(device)
    wait_rows(relay, subscription, 1, status="retrying")
    shard_key = next(name for name in keys_of(relay, subscription) if name.endswith(":health"))
    long = timedelta(days=5, minutes=1).total_seconds()
    # As if the target had been failing for that long. The stored state is loaded when the target is read again.
    punch(device, 1)
    _forget_in_memory(relay, subscription, receiver, shard_key, long)
    punch(device, 1)
    wait_for(lambda: shown(relay, subscription)["status"] == "disabled", 30)
    assert shown(relay, subscription)["disabled_reason"]
    disabled_events = wait_for(
        lambda: [
            event
            for event in relay.events(type="subscription.disabled")
            if event["subscription_id"] == subscription["id"]
        ]
    )
    assert len(disabled_events) == 1
    problem(relay.call("POST", f"/v1/subscriptions/{subscription['id']}/test"), 409)
    receiver.answer = plan()
    enabled = act(relay, subscription, "enable")
    assert (enabled["status"], enabled["disabled_reason"]) == ("active", None)
    assert enabled["failing_since"] is None
    punch(device, 1)
    newest = relay.events(device_id=device.id)[-1]["id"]
    wait_for(lambda: newest in ids_of(receiver))
    assert shown(relay, subscription)["status"] == "active"


def _forget_in_memory(
    relay: Relay, subscription: dict[str, Any], receiver: Receiver, key: str, seconds: float
) -> None:
    """Restart the worker, which then reads from the store how long the target has failed."""
    wait_for(lambda: shown(relay, subscription)["retrying"] + shown(relay, subscription)["dead"] >= 2, 15)
    relay.terminate("worker")
    client(relay).hset(key, "failing_for", repr(seconds))
    relay.start("worker")


def test_late_failures_of_a_former_url_do_not_count_for_the_present_one(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    """After twelve failures of a URL that had been corrected, the new URL counted as down."""
    former, gate = Receiver(), threading.Event()
    former.answer = lambda _: (500 + gate.wait(14), {}, b"")
    subscription = relay.subscribe(former, device)
    punch(device, 12)
    former.wait(12)
    change(relay, subscription, target_url=receiver.url)
    store = client(relay)
    key = Shard(int(store.hget(DEVICES, device.id))).subscription(subscription["id"], "health")
    gate.set()
    failures = set()

    def delivered() -> bool:
        failures.add(store.hget(key, "failures"))
        return set(ids_of(receiver)) == {event["id"] for event in relay.events(device_id=device.id)}

    wait_for(delivered, 30)
    former.close()
    assert failures <= {None, b"0"}
    assert shown(relay, subscription)["failing_since"] is None


def test_changing_the_target_resets_its_failures(relay: Relay, device: Device, receiver: Receiver) -> None:
    body = {"target_url": GONE, "events": ["*"], "filters": {"device_ids": [device.id]}}
    subscription = relay.call("POST", "/v1/subscriptions", json=body).json()
    began = time.time()
    punch(device, 3)
    wait_for(lambda: shown(relay, subscription)["retrying"] >= 1)
    since = datetime.fromisoformat(shown(relay, subscription)["failing_since"]).timestamp()
    assert began - 1 <= since <= time.time()
    change(relay, subscription, target_url=receiver.url)
    receiver.wait(3)
    expected = [event["id"] for event in relay.events(device_id=device.id)]
    assert sorted(set(ids_of(receiver))) == expected
    wait_for(lambda: shown(relay, subscription)["failing_since"] is None)
