"""A subscription with damaged data is parked. Others continue, and so does this one once repaired."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest

from app.store.server.keys import SUBSCRIPTION_PARTS, SUBSCRIPTIONS, Shard
from tests.command_line import run_for
from tests.delivery.tools import client, punch, shown
from tests.harness import Device, Received, Receiver, Relay, wait_for

PARTS = [part for part in SUBSCRIPTION_PARTS if not part.startswith("replay")]  # those only a replay uses


def _doctor(relay: Relay) -> str:
    return run_for(relay, "doctor").stdout


def _shard(relay: Relay, device: Device) -> Shard:
    return Shard(int(client(relay).hget("{g}:devices", device.id)))


@pytest.mark.timeout(400)
def test_a_damaged_key_parks_only_its_subscription(relay: Relay, device: Device, receiver: Receiver) -> None:
    broken, attempts, lock = Receiver(), defaultdict[tuple[str, str], int](int), threading.Lock()

    def fail_once(got: Received) -> tuple[int, dict[str, str], bytes]:
        with lock:
            attempts[got.headers["x-part"], got.json["id"]] += 1
            first = attempts[got.headers["x-part"], got.json["id"]] == 1
        return (500 if first or got.headers["x-part"] == "dead" else 200, {}, b"")

    broken.answer = fail_once
    made = {part: relay.subscribe(broken, device, headers={"X-Part": part}) for part in PARTS}
    relay.subscribe(receiver, device)
    shard, store = _shard(relay, device), client(relay)
    keys = {part: shard.subscription(one["id"], part) for part, one in made.items()}
    try:
        for key in keys.values():
            store.delete(key)
            store.set(key, "damaged")
        punch(device, 5)
        receiver.wait(5)
        for part, one in made.items():
            wait_for(lambda one=one: shown(relay, one)["status"] == "parked", 40)
            assert keys[part] in shown(relay, one)["parked_reason"]
        punch(device, 5)
        receiver.wait(10)
        warnings = " ".join(relay.get("/health")["warnings"])
        doctor = _doctor(relay)
        for one in made.values():
            assert one["id"] in warnings and one["id"] in doctor
        metrics = relay.call("GET", "/metrics").text
        assert f"cams_relay_subscriptions_parked {float(len(made))}" in metrics
        assert relay.get("/v1/subscriptions")["data"]
        for key in keys.values():
            store.delete(key)
        events = {got.json["id"] for got in receiver.received}
        assert len(events) == 10

        def delivered() -> bool:
            got = defaultdict[str, set[str]](set)
            for one in list(broken.accepted):
                got[one.headers["x-part"]].add(one.json["id"])
            return all(got[part] >= events for part in made if part != "dead")

        wait_for(delivered, 60)
        wait_for(lambda: shown(relay, made["dead"])["dead"] == 10, 60)
        for one in made.values():
            wait_for(lambda one=one: shown(relay, one)["status"] == "active", 40)
    finally:
        for key in keys.values():
            store.delete(key)
        for one in made.values():
            relay.call("DELETE", f"/v1/subscriptions/{one['id']}")
        broken.close()


def test_an_unreadable_record_parks_only_its_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    other = Receiver()
    one = relay.subscribe(other, device)
    store = client(relay)
    record = store.hget(SUBSCRIPTIONS, one["id"])
    try:
        store.hset(SUBSCRIPTIONS, one["id"], b"{damaged")
        relay.subscribe(receiver, device)  # has all subscriptions read again
        punch(device, 3)
        receiver.wait(3)
        path = f"/v1/subscriptions/{one['id']}"
        assert relay.call("GET", path).status_code == 409
        assert relay.call("GET", "/v1/subscriptions").status_code == 200
        wait_for(lambda: one["id"] in " ".join(relay.get("/health")["warnings"]))
        store.hset(SUBSCRIPTIONS, one["id"], record)
        relay.call("PATCH", path, json={"description": "repaired"})
        wait_for(
            lambda: (
                {got.json["id"] for got in other.received} >= {got.json["id"] for got in receiver.received}
            ),
            40,
        )
        wait_for(lambda: one["id"] not in " ".join(relay.get("/health")["warnings"]), 40)
        store.hset(SUBSCRIPTIONS, one["id"], b"{damaged")
        assert relay.call("DELETE", path).status_code == 204
        assert relay.call("GET", path).status_code == 404
    finally:
        relay.call("DELETE", f"/v1/subscriptions/{one['id']}")
        other.close()
