"""Restarts during a deployment, under load: no callback fails, and running work is finished or handed over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import requests

from tests.faults.load import Load, all_came_once
from tests.harness import Received, Receiver, Relay, wait_for
from tests.processes import children, tree

ENDS_WITHIN_SECONDS = 10.0
ENDS_BEFORE_KILLED_SECONDS = 4.0


def replace_web(relay: Relay) -> int:
    """gunicorn's way to another version: a second master takes the sockets over, then the first one ends.

    The second one's pid; it is in the process group of the first.
    """
    old = relay.processes["web"]
    before = children(old.pid)
    os.kill(old.pid, signal.SIGUSR2)
    (new,) = wait_for(lambda: children(old.pid).keys() - before.keys(), 20)
    wait_for(lambda: len(children(new)) == int(relay.environment["WEB_CONCURRENCY"]), 20)
    assert relay.terminate("web") < ENDS_WITHIN_SECONDS
    return int(new)


def replace_worker(relay: Relay) -> None:
    """Start a second worker, and then stop the first one."""
    old = relay.processes.pop("worker")
    relay.start("worker")
    new = relay.processes.pop("worker")
    wait_for(lambda: len(children(new.pid)) == 2)
    relay.processes["worker"] = old
    assert relay.terminate("worker") < ENDS_WITHIN_SECONDS
    relay.processes["worker"] = new


def test_a_rolling_restart_of_web_and_worker_fails_no_callback(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    group = relay.processes["web"].pid
    load = Load(devices, 3_600, pause=0.02)
    try:
        load.wait_for(200)
        new = replace_web(relay)
        replace_worker(relay)
        assert not load.finished, "the load went on all the time"
        load.finish()
        assert children(new)
    finally:
        os.killpg(group, signal.SIGKILL)
    assert dict(load.statuses) == {200: 3_600}
    all_came_once(load, receiver, "rolling restart of web and worker", tried=2)
    names = Counter(event["id"] for event in receiver.events())
    assert max(names.values()) == 1, "handed over: nothing is sent twice"


def test_a_web_process_that_is_stopped_finishes_its_requests(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start()
    device = relay.device()
    relay.subscribe(receiver, device, events=["attendance.punch"])
    load = Load([device], 600)
    load.wait_for(300)
    assert relay.terminate("web") < ENDS_WITHIN_SECONDS
    relay.start("web")
    load.finish()
    assert set(load.statuses) <= {0, 200}, "refused while nobody listened, or answered"
    all_came_once(load, receiver, "SIGTERM: web")


def test_a_worker_frozen_past_its_lease_sends_nothing_in_parallel_to_its_successor(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    """Two workers never make the same attempt at the same time, although the first still has the events in memory."""
    relay = start()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, max_in_flight=4, events=["attendance.punch"])
    attempts: list[tuple[str, float, float]] = []

    def slow(got: Received) -> tuple[int, dict[str, str], bytes]:
        began = time.monotonic()
        time.sleep(0.05)
        attempts.append((got.headers["webhook-id"], began, time.monotonic()))
        return 200, {}, b""

    receiver.answer = slow
    first = relay.processes.pop("worker")
    load = Load(devices, 600)
    load.wait_for(200)
    frozen = [*tree(first.pid)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    asleep = time.monotonic()
    relay.start("worker")
    wait_for(lambda: attempts and attempts[-1][1] > asleep + 1, 15)  # the second one delivers
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    load.finish()
    all_came_once(load, receiver, "worker frozen until its lease expires, then resumed")
    begun: dict[str, list[tuple[float, float]]] = {}
    for name, began, ended in attempts:
        begun.setdefault(name, []).append((began, ended))
    at_once = [
        name
        for name, times in begun.items()
        for (_, ended), (began, _) in zip(sorted(times), sorted(times)[1:], strict=False)
        if began < ended and began > asleep + 1
    ]
    os.kill(first.pid, signal.SIGTERM)
    first.wait(15)
    assert at_once == []
    # Under way, or answered just before, so that the result wasn't saved yet.
    firsts = [min(times) for times in begun.values() if len(times) > 1]
    assert all(ended > asleep - 1 for _, ended in firsts), "what was delivered earlier comes twice"
    assert len(firsts) <= 4 / 0.05, "more comes twice than could be delivered within a second"


def test_hanging_deliveries_are_handed_over_when_a_worker_stops(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start(RELAY_DELIVERY_TIMEOUT="60")
    device = relay.device()
    relay.subscribe(receiver, device, events=["attendance.punch"])
    over = threading.Event()
    receiver.answer = lambda _: (200, {}, b"") if over.wait(30) else (500, {}, b"")
    load = Load([device], 10)
    load.finish()
    receiver.wait(10)
    receiver.answer = lambda _: (200, {}, b"")
    assert relay.terminate("worker") < ENDS_WITHIN_SECONDS
    relay.start("worker")
    all_came_once(load, receiver, "SIGTERM: a worker whose target hangs")
    over.set()


def test_a_web_process_with_open_streams_stops_before_it_would_be_killed(
    start: Callable[..., Relay],
) -> None:
    """Process managers such as honcho kill after 5 seconds. The best of three runs counts."""
    relay = start()
    device = relay.device()
    took = []
    for _ in range(3):
        with requests.Session() as idle:
            idle.get(f"{relay.url}/health", timeout=10)
            streams = [
                relay.call("GET", "/v1/events/stream", stream=True, timeout=30) for _ in range(4)
            ]  # of both processes
            device.send_done(device.punch())
            assert all(next(stream.iter_content(1)) for stream in streams)
            took.append(relay.terminate("web"))
            for stream in streams:
                stream.close()
        relay.start("web")
        if took[-1] < ENDS_BEFORE_KILLED_SECONDS:
            return
    raise AssertionError(f"it took {took} seconds each time")
