"""Keys without which a shard delivers nothing, such as its position, are repaired if they are damaged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings.table import load
from app.store import Store
from app.store.server.keys import REPAIRED, Shard
from app.store.subscriptions.queueing_position import find_position
from tests.command_line import run_for
from tests.harness import Device, Received, Receiver, Relay, wait_for

SHARD = Shard(0)
TOLD = "{s0}:fanout in the store was damaged"


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with Relay(tmp_path_factory.mktemp("position"), RELAY_SHARDS="1", WEB_CONCURRENCY="1") as relay:
        yield relay


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def device(lone: Relay, receiver: Receiver) -> Device:
    made = lone.device()
    lone.subscribe(receiver, made)
    return made


def client(relay: Relay) -> Any:
    return Store(load(relay.environment)).connection.redis


def damage(relay: Relay, how: str, key: str = SHARD.fanout) -> None:
    """Replace a value; a worker may write the key between two calls, so both are made at once."""
    pipeline = client(relay).pipeline(transaction=True)
    pipeline.delete(REPAIRED, key)
    if how == "hash":
        pipeline.hset(key, "a", "b")
    else:
        pipeline.set(key, f"{int(time.time() * 1000) + 10**8}-0" if how == "later" else how)
    pipeline.execute()


def punch(device: Device, count: int = 3) -> None:
    for _ in range(count):
        device.send_done(device.punch())


def ids(receiver: Receiver) -> Counter[str]:
    return Counter(got.headers["webhook-id"] for got in receiver.received)


@pytest.mark.parametrize("how", ["hash", "not a position", "", "1-2-3", "later"])
def test_a_damaged_position_stops_no_delivery(
    lone: Relay, device: Device, receiver: Receiver, how: str
) -> None:
    punch(device)
    receiver.wait(3)
    damage(lone, how)
    punch(device)
    receiver.wait(6)
    punch(device)
    wait_for(lambda: len(ids(receiver)) == 9)
    assert set(ids(receiver).values()) == {1}
    wait_for(lambda: TOLD in " ".join(lone.get("/health")["warnings"]))
    assert TOLD in run_for(lone, "doctor").stdout


def test_it_is_repaired_even_if_no_event_arrives(lone: Relay, device: Device, receiver: Receiver) -> None:
    punch(device)
    receiver.wait(3)
    before = client(lone).get(SHARD.fanout)
    damage(lone, "hash")
    wait_for(lambda: client(lone).type(SHARD.fanout) == b"string", 40)
    assert client(lone).get(SHARD.fanout) == before


@pytest.mark.parametrize("how", ["hash", "not a position", "later"])
def test_a_worker_that_starts_with_a_damaged_position_misses_and_repeats_nothing(
    lone: Relay, device: Device, receiver: Receiver, how: str
) -> None:
    quiet = Receiver()
    lone.subscribe(quiet, device, events=["user.updated"])
    punch(device)
    receiver.wait(3)
    wait_for(lambda: not client(lone).xlen(_queue(lone, device)))
    lone.kill("worker")
    punch(device)
    damage(lone, how)
    lone._start("worker")
    wait_for(lambda: len(ids(receiver)) == 6, 60)
    punch(device)
    wait_for(lambda: len(ids(receiver)) == 9, 60)
    assert set(ids(receiver).values()) == {1} and not quiet.received
    quiet.close()
    assert TOLD in " ".join(lone.get("/health")["warnings"])


def test_the_api_can_delete_a_subscription_meanwhile(lone: Relay, device: Device, receiver: Receiver) -> None:
    lone.kill("worker")
    try:
        damage(lone, "hash")
        made = lone.subscribe(receiver, device, target_url=f"{receiver.url}?other")
        assert lone.call("DELETE", f"/v1/subscriptions/{made['id']}").status_code == 204
    finally:
        lone._start("worker")
    wait_for(lambda: client(lone).type(SHARD.fanout) == b"string", 40)


def _queue(relay: Relay, device: Device) -> str:
    for one in relay.get("/v1/subscriptions")["data"]:
        if one["filters"]["device_ids"] == [device.id] and one["event_types"] == ["*"]:
            return SHARD.subscription(one["id"], "queue")
    raise AssertionError("no subscription")


def test_events_that_a_killed_worker_queued_for_only_some_are_queued_for_all(tmp_path: Path) -> None:
    """Without a worker: the position to continue from is at least one step of queueing before the newest queued one."""
    with Relay(tmp_path, RELAY_SHARDS="1", WEB_CONCURRENCY="1") as relay:
        receiver = Receiver()
        relay.kill("worker")
        one = relay.subscribe(receiver)
        relay.subscribe(receiver, target_url=f"{receiver.url}?other")
        store = Store(load(relay.environment))
        damage(relay, "hash")
        assert find_position(store.connection, SHARD)[:2] == ("0-0", "0-0")  # nothing was ever queued
        entries = [
            store.connection.redis.xadd(SHARD.events, {"b": "x"}, f"{number}-0") for number in range(1, 1_000)
        ]
        store.connection.redis.xadd(SHARD.subscription(one["id"], "queue"), {"": ""}, entries[800])
        damage(relay, "hash")
        found = find_position(store.connection, SHARD)
        assert (found.position, found.queued) == (entries[300].decode(), entries[800].decode())
        receiver.close()


COUNTERS = [SHARD.writes, SHARD.subscriptions_version]


@pytest.mark.parametrize(
    ("key", "how"),
    [*((key, how) for key in COUNTERS for how in ("hash", "not a number", "9" * 19)), (SHARD.wake, "hash")],
)
def test_a_damaged_counter_or_stream_of_notifications_stops_no_delivery(
    lone: Relay, device: Device, receiver: Receiver, key: str, how: str
) -> None:
    told = f"The value of {key} in the store was damaged"
    punch(device)
    receiver.wait(3)
    damage(lone, how, key)
    punch(device)
    wait_for(lambda: len(ids(receiver)) == 6, 60)
    wait_for(lambda: told in " ".join(lone.get("/health")["warnings"]), 40)
    lone.kill("worker")
    damage(lone, how, key)
    lone._start("worker")
    punch(device)
    wait_for(lambda: len(ids(receiver)) == 9, 60)
    wait_for(lambda: told in " ".join(lone.get("/health")["warnings"]), 40)


@pytest.mark.parametrize("key", [*COUNTERS, SHARD.wake])
def test_subscriptions_can_be_changed_while_no_worker_repairs_these_keys(
    lone: Relay, device: Device, receiver: Receiver, key: str
) -> None:
    lone.kill("worker")
    try:
        damage(lone, "hash", key)
        made = lone.subscribe(receiver, device, target_url=f"{receiver.url}?other")
    finally:
        lone._start("worker")
    punch(device, 1)
    receiver.wait(2)
    damage(lone, "hash", key)
    assert lone.call("DELETE", f"/v1/subscriptions/{made['id']}").status_code == 204
    punch(device, 1)
    wait_for(lambda: len(ids(receiver)) == 2, 60)


@pytest.mark.parametrize("how", ["hash", "not a token"])
def test_a_damaged_lease_without_an_expiry_stops_no_delivery(
    lone: Relay, device: Device, receiver: Receiver, how: str
) -> None:
    damage(lone, how, SHARD.lease)
    punch(device)
    wait_for(lambda: len(ids(receiver)) == 3, 60)


def test_damaged_counters_of_a_subscription_start_again(
    lone: Relay, device: Device, receiver: Receiver
) -> None:
    punch(device)
    receiver.wait(3)
    (subscription,) = [
        one for one in lone.get("/v1/subscriptions")["data"] if one["filters"]["device_ids"] == [device.id]
    ]
    key = SHARD.subscription(subscription["id"], "health")
    fields = ("delivered", "retry", "dead", "retry_job_at", "failures", "failing_since", "paused_until")
    client(lone).hset(key, mapping=dict.fromkeys(fields, "not a number"))
    failed: set[str] = set()

    def fail_once(got: Received) -> tuple[int, dict[str, str], bytes]:
        name = got.headers["webhook-id"]
        first = name not in failed
        failed.add(name)
        return (500 if first else 200, {}, b"")

    receiver.answer = fail_once
    punch(device)
    wait_for(lambda: len({got.headers["webhook-id"] for got in receiver.accepted}) == 6, 60)
    wait_for(
        lambda: f"The value of {key} in the store was damaged" in " ".join(lone.get("/health")["warnings"])
    )
    assert lone.get(f"/v1/subscriptions/{subscription['id']}")["status"] == "active"
