"""kill -9 of every process during a thousand callbacks: acknowledged callbacks are delivered."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.load import Load, all_came_once, events_by_identity
from tests.harness import Received, Receiver, Relay, wait_for
from tests.processes import child, children

TAKEOVER_SECONDS = 10.0  # about 5 on an idle machine


def _worker(relay: Relay) -> None:
    relay.kill("worker")
    relay.start("worker")


def _dispatcher(relay: Relay) -> None:
    os.kill(child(relay, "worker", "workers.dispatcher"), signal.SIGKILL)


def _rq(relay: Relay) -> None:
    os.kill(child(relay, "worker", "workers.rq.process"), signal.SIGKILL)


def _web(relay: Relay) -> None:
    relay.kill("web")
    relay.start("web")


def _web_worker(relay: Relay) -> None:
    workers = list(children(relay.processes["web"].pid))
    os.kill(workers[0], signal.SIGKILL)


def _store(relay: Relay) -> None:
    relay.kill("store")
    relay.start("store")


def _all_at_once(relay: Relay) -> None:
    for process in relay.processes.values():
        os.killpg(process.pid, signal.SIGKILL)
    for name in list(relay.processes):
        relay.kill(name)
    relay.start()


KILLS = {
    "worker": _worker,
    "dispatcher": _dispatcher,
    "RQ worker": _rq,
    "web": _web,
    "web worker": _web_worker,
    "store": _store,
    "all at once": _all_at_once,
}


@pytest.mark.parametrize("victim", KILLS)
def test_kill_9_loses_no_acknowledged_callback(
    start: Callable[..., Relay], receiver: Receiver, victim: str
) -> None:
    relay = start()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    failed: set[str] = set()

    def answer(got: Received) -> tuple[int, dict[str, str], bytes]:
        """Fail every 20th event at first, so that retries could also be lost."""
        name = got.headers["webhook-id"]
        if len(receiver.received) % 20 == 0 and name not in failed:
            failed.add(name)
            return 500, {}, b""
        return 200, {}, b""

    receiver.answer = answer
    load = Load(devices, 1_000)
    load.wait_for(300)
    KILLS[victim](relay)
    load.finish()
    assert len(load.acknowledged) == 1_000
    deliveries = all_came_once(load, receiver, f"kill -9: {victim}")
    assert deliveries < 1_000 + len(failed) + 200, "what was delivered before is not delivered again"


def test_another_worker_takes_over_within_seconds(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start()
    device = relay.device()
    relay.subscribe(receiver, device, events=["attendance.punch"])
    device.send_done(device.punch())
    receiver.wait(1)
    first = relay.processes.pop("worker")
    dispatchers = [pid for pid, command in children(first.pid).items() if "dispatcher" in command]
    relay.start("worker")
    second = relay.processes["worker"]
    wait_for(lambda: any("dispatcher" in command for command in children(second.pid).values()))
    time.sleep(1)
    os.kill(first.pid, signal.SIGKILL)
    os.kill(dispatchers[0], signal.SIGKILL)
    first.wait(5)
    killed = time.monotonic()
    device.send_done(device.punch())
    receiver.wait(2, TAKEOVER_SECONDS)
    print(f"taken over in {time.monotonic() - killed:.1f} s")
    assert time.monotonic() - killed < TAKEOVER_SECONDS


def test_two_workers_do_not_deliver_the_same_event_at_once(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start()
    first = relay.processes.pop("worker")
    relay.start("worker")
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    load = Load(devices, 300)
    load.finish()
    assert all_came_once(load, receiver, "two workers at the same time") == 300
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(5)


def test_a_worker_that_is_stopped_finishes_its_attempts(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start()
    device = relay.device()
    subscription = relay.subscribe(receiver, device, max_in_flight=4, events=["attendance.punch"])

    def slow(_: Received) -> tuple[int, dict[str, str], bytes]:
        time.sleep(1.5)
        return 200, {}, b""

    receiver.answer = slow
    for _ in range(12):
        device.send_done(device.punch())
    receiver.wait(4)
    took = relay.terminate("worker")
    assert took < 10
    receiver.answer = lambda _: (200, {}, b"")
    assert relay.get(f"/v1/subscriptions/{subscription['id']}")["delivered"] == 4
    began = time.monotonic()
    relay.start("worker")
    receiver.wait(12)
    assert time.monotonic() - began < 6, "the lease was given back"
    names = [got.headers["webhook-id"] for got in receiver.received]
    assert len(names) == len(set(names)) == 12


@pytest.mark.parametrize("away", [False, True])
def test_the_children_of_a_killed_worker_end(start: Callable[..., Relay], away: bool) -> None:
    relay = start()
    wait_for(lambda: len(children(relay.processes["worker"].pid)) == 2)
    pids = list(children(relay.processes["worker"].pid))
    if away:
        relay.kill("store")
        time.sleep(1.5)  # by now they have noticed
    relay.kill("worker")
    wait_for(lambda: not any(_alive(pid) for pid in pids), 15)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "kills", [10, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1_200)])]
)
def test_killing_processes_at_random_under_load_loses_nothing(
    start: Callable[..., Relay], receiver: Receiver, kills: int
) -> None:
    relay = start()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, batch_max=7, batch_wait_ms=50, events=["attendance.punch"])
    chance = random.Random(20261124)
    load = Load(devices, 200 * kills, 1_000)
    for number in range(kills):
        load.wait_for(150 + number * 180, 120)
        victims = chance.choice([["worker"], ["web"], ["store"], ["worker", "web", "store"]])
        for name in victims:
            relay.kill(name)
        time.sleep(chance.uniform(0, 0.8))
        for name in reversed(victims):
            relay.start(name)
    load.finish()
    all_came_once(
        load, receiver, "kill -9 at random: web, worker, store or all of them", tried=kills, seconds=60
    )
    assert set(events_by_identity(receiver)) == set(load.acknowledged)
