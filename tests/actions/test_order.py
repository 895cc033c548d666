"""A device's commands run one at a time, in order. Different devices run in parallel."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from simulator.desk import Desk, Reply
from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from tests.actions.tools import Machine, Maker, machine
from tests.harness import Relay, wait_for


def test_a_devices_commands_are_sent_in_order_one_at_a_time(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make({"delay_seconds": 0.02})
    busy, most = [0], [0]
    lock = threading.Lock()
    answer = Desk.answer

    def watched(desk: Desk, raw: bytes) -> Reply:
        if desk is not one.desk:
            return answer(desk, raw)
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        try:
            return answer(desk, raw)
        finally:
            with lock:
                busy[0] -= 1

    monkeypatch.setattr(Desk, "answer", watched)
    ids = [one.queued("add-user", user_id=str(number)) for number in range(40)]
    for command_id in ids:
        assert one.ended(command_id)["status"] == "completed"
    assert [body["Add"]["User"]["UserID"] for body in one.bodies] == [str(number) for number in range(40)]
    assert most == [1]


def served(relay: Relay, count: int, delay: float) -> float:
    """Return the seconds until `count` devices with this delay have all answered a command."""
    with SimulatorServer(Gateway(relay.url)) as sim:
        machines: list[Machine] = [machine(relay, sim, {"delay_seconds": delay}) for _ in range(count)]
        began = time.monotonic()
        with ThreadPoolExecutor(count) as pool:
            calls = [pool.submit(one.act, "load-device-information", wait=60) for one in machines]
            answers = [call.result() for call in calls]
        took = time.monotonic() - began
        assert [answer.status_code for answer in answers] == [200] * count
        return took


def test_50_devices_that_take_2_s_each_are_served_side_by_side(relay: Relay) -> None:
    assert served(relay, 50, 2.0) < 20, "one after another, they would take 100 s"


def test_200_devices_that_take_15_s_each_are_served_side_by_side(
    relay: Relay, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    took = served(relay, 200, 15.0)
    record_property("seconds", took)
    with capsys.disabled():
        print(f"\n200 devices that each take 15 s: all served after {took:.1f} s")
    assert took < 45, "one after another, they would take 50 minutes"


def test_lost_notifications_to_the_worker_are_made_up_for(quick: Maker) -> None:
    """The stream that wakes it is short. Lost entries are found through the set of busy devices."""
    from app.store.commands.keys import CommandKeys
    from app.store.server.keys import Shard
    from tests.actions.tools import store_of

    one = quick()
    keys, client = CommandKeys(Shard(0)), store_of(one.relay)
    first = one.done("load-device-information")["command_id"]
    fields = client.hgetall(keys.command(first))
    assert b"payload" not in fields
    # A command is in the device's queue, without a notification.
    client.hset(keys.command(first), mapping={"status": "queued", "payload": "sealed by nobody"})
    client.rpush(keys.queue(one.id), first)
    client.sadd(keys.busy, one.id)
    ended = wait_for(lambda: (found := one.command(first))["status"] != "queued" and found)
    assert ended["status"] == "failed" and "before it was sent" in ended["message"]
    client.close()
