"""A device whose queue is damaged doesn't stop other devices, is reported, and continues once the store is repaired."""

from __future__ import annotations

import pytest

from app.store.commands.keys import CommandKeys
from app.store.server.keys import Shard
from tests.actions.tools import Machine, Maker
from tests.delivery.tools import client, punch
from tests.harness import Receiver, Relay, wait_for

KEYS = CommandKeys(Shard(0))
ACTION = "load-device-information"


def warned(relay: Relay, what: str) -> bool:
    return any(what in text for text in relay.get("/health")["warnings"])


def test_a_damaged_queue_is_reported_and_does_not_stop_other_devices(relay: Relay, make: Maker) -> None:
    one, other, store = make(), make(), client(relay)
    store.set(KEYS.queue(one.id), "damaged")
    store.sadd(KEYS.busy, one.id)
    store.xadd(KEYS.wake, {"device": one.id})
    name = f"commands of device {one.id}"
    wait_for(lambda: warned(relay, name), 40)
    other.done(ACTION)
    store.delete(KEYS.queue(one.id))
    one.done(ACTION)
    wait_for(lambda: not warned(relay, name), 40)


@pytest.mark.parametrize(("key", "loop"), [(KEYS.wake, "commands.wake 0"), (KEYS.busy, "commands.queues 0")])
def test_damage_to_data_of_all_devices_is_reported_and_does_not_stop_deliveries(
    relay: Relay, one: Machine, receiver: Receiver, key: str, loop: str
) -> None:
    relay.subscribe(receiver, one.registered, events=["attendance.punch"])
    store = client(relay)
    store.delete(key)
    store.set(key, "damaged")
    try:
        wait_for(lambda: warned(relay, loop), 40)
        punch(one.registered, 3)
        receiver.wait(3, 20)
    finally:
        store.delete(key)
    one.done(ACTION)
    wait_for(lambda: not warned(relay, loop), 40)


@pytest.mark.parametrize("damage", ["record", "everything"])
def test_a_damaged_command_does_not_block_the_next_ones(relay: Relay, make: Maker, damage: str) -> None:
    one, store = make({"delay_seconds": 2}), client(relay)
    first = one.queued(ACTION)
    wait_for(lambda: relay.get(f"/v1/commands/{first}")["status"] == "sending")
    second, third = one.queued(ACTION), one.queued(ACTION)
    if damage == "record":
        store.hset(KEYS.command(second), "record", "damaged")
    else:
        store.delete(KEYS.command(second))
        store.set(KEYS.command(second), "damaged")
    assert [one.ended(name, 40)["status"] for name in (first, third)] == ["completed", "completed"]
    if damage == "record":
        assert store.hget(KEYS.command(second), "status") == b"failed"
    assert store.lrange(KEYS.queue(one.id), 0, -1) == []
