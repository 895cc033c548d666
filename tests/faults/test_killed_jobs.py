"""A long job that is killed is continued by the next worker."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from app.store.server.keys import Shard
from tests.delivery.tools import act, client, punch, shown
from tests.harness import Device, Receiver, Relay, wait_for
from tests.processes import child

_EVENTS = 30_000
SHARD = Shard(0)


def fill(relay: Relay, device: Device, count: int) -> list[str]:
    """Store copies of a device's punch as separate events, and return their entries."""
    punch(device)
    redis = client(relay)
    (_, fields), *_ = redis.xrevrange(SHARD.events, count=1)
    pipeline = redis.pipeline(transaction=False)
    for _ in range(count):
        pipeline.xadd(SHARD.events, fields)
    return [entry.decode() for entry in pipeline.execute()]


def positions(relay: Relay, subscription: dict[str, Any]) -> list[str]:
    """Return the positions of a subscription's replays."""
    records = client(relay).hvals(SHARD.subscription(subscription["id"], "replays"))
    return [orjson.loads(record)["from"] for record in records]


@pytest.mark.parametrize("victim", ["RQ worker", "worker", "everything"])
def test_a_killed_replay_continues_where_it_stopped(
    start: Callable[..., Relay], receiver: Receiver, victim: str
) -> None:
    relay = start()
    device, target = relay.device(), Receiver()
    fill(relay, device, _EVENTS)
    wait_for(lambda: client(relay).get(SHARD.fanout) == client(relay).xrevrange(SHARD.events, count=1)[0][0])
    subscription = relay.subscribe(
        target, device, events=["attendance.punch"], batch_max=500, batch_wait_ms=0
    )
    act(relay, subscription, "replay", since="2020-01-01T00:00:00Z")
    wait_for(
        lambda: [place for place in positions(relay, subscription) if place.startswith("(")], every=0.001
    )
    if victim == "RQ worker":
        os.kill(child(relay, "worker", "workers.rq.process"), signal.SIGKILL)
    elif victim == "worker":
        relay.kill("worker")
    else:
        for name in list(relay.processes):
            relay.kill(name)
    if "worker" not in relay.processes:
        relay.start(*(("worker",) if victim == "worker" else ()))
    try:
        wait_for(lambda: not positions(relay, subscription), 30)
        wait_for(lambda: shown(relay, subscription)["pending"] == 0, 30)
        sent = Counter(event["id"] for event in target.events())
        assert len(sent) == _EVENTS + 1, "nothing is missing"
        if victim == "RQ worker":
            assert set(sent.values()) == {1}, (
                "nothing is sent twice: what was queued is saved with the position"
            )
    finally:
        target.close()


def test_a_replay_whose_job_was_lost_is_still_run(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start()
    device = relay.device()
    punch(device, 3)
    relay.terminate("worker")
    subscription = relay.subscribe(receiver, device)
    act(relay, subscription, "replay", since="2020-01-01T00:00:00Z")
    act(relay, subscription, "test", delay_seconds=1)
    assert positions(relay, subscription) == ["1577836800000"]
    for name in client(relay).scan_iter(match="rq:*"):
        client(relay).delete(name)
    relay.start("worker")
    receiver.wait(4, 20)
    wait_for(lambda: not positions(relay, subscription))
    assert sorted(event["test"] for event in receiver.events()) == [False, False, False, True]


def test_a_long_replay_does_not_block_other_jobs(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start()
    device, target = relay.device(), Receiver()
    fill(relay, device, _EVENTS)
    slow = relay.subscribe(target, device, events=["attendance.punch"], batch_max=500)
    other = relay.subscribe(receiver, relay.device())
    act(relay, slow, "replay", since="2020-01-01T00:00:00Z")
    act(relay, other, "test", delay_seconds=1)
    receiver.wait(1)
    target.close()
