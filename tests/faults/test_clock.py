"""The clock of web, the worker or both is set forward and back under load. Nothing is lost or delayed.

Debian's faketime changes the time: the processes read its offset every second. Timers aren't affected, as when an
administrator sets the clock.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.delivery.tools import shown
from tests.faults.load import Load, all_came_once
from tests.harness import Received, Receiver, Relay, wait_for
from tests.processes import tree

PROCESSES = ("store", "web", "worker")
TAKEOVER_SECONDS = 15.0


class Clocks:
    """The clocks of a relay's processes, each as an offset in a separate file."""

    def __init__(self, relay: Relay, library: Path) -> None:
        self.relay = relay
        relay.environment |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_CACHE_DURATION": "1",  # seconds; reading it each time takes a start ten seconds of CPU
            "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": f"{Path(__file__).parent / 'clocks'}:{relay.environment['PYTHONPATH']}",
        }
        self._write("+0", *PROCESSES)

    def _file(self, process: str) -> Path:
        return self.relay.folder / f"{process}.clock"

    def set(self, offset: str, *processes: str) -> None:
        """Set an offset from the right time, such as `-1d` or `+2h`, and wait until the processes use it."""
        self._write(offset, *processes)
        time.sleep(1.2)

    def _write(self, offset: str, *processes: str) -> None:
        for process in processes:
            new = self._file(process).with_suffix(".new")
            new.write_text(f"{offset}\n")
            new.rename(self._file(process))

    def start(self, *processes: str) -> None:
        for process in processes:
            self.relay.environment["FAKETIME_TIMESTAMP_FILE"] = str(self._file(process))
            self.relay.start(process)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Clocks]]:
    """Start a relay whose clocks can be set."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        pytest.skip("faketime is not installed: run scripts/install-faketime")
    with ExitStack() as stack:

        def make(**environment: str) -> Clocks:
            relay = Relay(tmp_path, **environment)
            stack.callback(relay.stop)
            clocks = Clocks(relay, found)
            clocks.start(*PROCESSES)
            return clocks

        yield make


def failing_at_first(
    receiver: Receiver, every: int
) -> Callable[[Received], tuple[int, dict[str, str], bytes]]:
    """Return an answer that fails every `every`th event once, so that there are future retries."""
    failed: set[str] = set()

    def answer(got: Received) -> tuple[int, dict[str, str], bytes]:
        name = got.headers["webhook-id"]
        if len(receiver.received) % every == 0 and name not in failed:
            failed.add(name)
            return 500, {}, b""
        return 200, {}, b""

    return answer


@pytest.mark.parametrize("role", [("web",), ("worker",), PROCESSES], ids=["web", "worker", "all"])
def test_setting_the_clock_back_and_forth_loses_and_delays_nothing(
    begin: Callable[..., Clocks], receiver: Receiver, role: tuple[str, ...]
) -> None:
    clocks = begin()
    relay = clocks.relay
    devices = [relay.device() for _ in range(3)]
    subscription = relay.subscribe(receiver, *devices, events=["attendance.punch"])
    receiver.answer = failing_at_first(receiver, 10)
    jumps = ("+1d", "+0", "-2h", "+5h", "-1d", "+0")
    load = Load(devices, 200 * (len(jumps) + 1), pause=0.05)  # at most 120 a second
    for number, jump in enumerate(jumps, 1):
        load.wait_for(190 * number)
        clocks.set(jump, *role)
    load.finish()
    names = {"web": "the web's", "worker": "the worker's"}
    name = f"{names[role[0]]} clock" if len(role) == 1 else "all clocks"
    all_came_once(load, receiver, f"{name} set back and forth", tried=len(jumps))
    wait_for(lambda: shown(relay, subscription)["retrying"] == 0)
    ids = [event["id"] for event in relay.events(type="attendance.punch")]
    assert ids == sorted(ids)
    assert len(ids) == len(load.acknowledged)


def test_an_attempt_that_fails_after_the_clock_was_set_forward_is_retried(
    begin: Callable[..., Clocks], receiver: Receiver
) -> None:
    """It counted as having been retried for a year, and became a dead letter immediately."""
    clocks, gate = begin(), threading.Event()
    device = clocks.relay.device()
    clocks.relay.subscribe(receiver, device, events=["attendance.punch"])

    def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        if len(receiver.received) > 1:
            return 200, {}, b""
        gate.wait(12)  # its time is up after 15
        return 500, {}, b""

    receiver.answer = answer
    device.send_done(device.punch())
    receiver.wait(1, 60)
    clocks.set("+20d", *PROCESSES)
    gate.set()
    receiver.wait(2, 60)


@pytest.mark.parametrize("restarted", [False, True])
def test_setting_the_clock_forward_disables_no_subscription(
    begin: Callable[..., Clocks], receiver: Receiver, restarted: bool
) -> None:
    """A small computer without a battery-backed clock starts in 1970, and gets the time from the network."""
    clocks = begin(RELAY_RETRY_SCHEDULE="2,2,2,2,2,2")
    relay = clocks.relay
    device = relay.device()
    subscription = relay.subscribe(receiver, device, events=["attendance.punch"])
    receiver.answer = lambda _: (500, {}, b"")
    device.send_done(device.punch())
    receiver.wait(2, 60)
    wait_for(lambda: shown(relay, subscription)["retrying"] == 1, 30)
    if restarted:
        relay.terminate("worker")
    clocks.set("+20d", *PROCESSES)
    if restarted:
        clocks.start("worker")
    receiver.wait(4, 60)
    assert shown(relay, subscription)["status"] == "active"
    receiver.answer = lambda _: (200, {}, b"")
    receiver.wait(5, 60)
    wait_for(lambda: shown(relay, subscription)["delivered"] == 1)


def test_a_killed_workers_lease_expires_even_if_the_clock_is_set_back(
    begin: Callable[..., Clocks], receiver: Receiver
) -> None:
    clocks = begin(RELAY_SHARDS="2")
    relay = clocks.relay
    devices = [relay.device(device_id=f"CLOCK{number}") for number in range(6)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    for device in devices:
        device.send_done(device.punch())
    receiver.wait(6, 30)
    for pid in tree(relay.processes["worker"].pid):
        os.kill(pid, signal.SIGKILL)
    relay.processes.pop("worker").wait(5)
    clocks.set("-3h", *PROCESSES)
    clocks.start("worker")
    for device in devices:
        device.send_done(device.punch())
    receiver.wait(12, TAKEOVER_SECONDS)


@pytest.mark.parametrize("noticed", [True, False])
def test_a_retry_scheduled_while_the_clock_was_wrong_is_not_delayed(
    begin: Callable[..., Clocks], receiver: Receiver, noticed: bool
) -> None:
    """The clock was a year ahead when the attempt failed."""
    clocks = begin(RELAY_RETRY_SCHEDULE="2,2,2")
    relay = clocks.relay
    device = relay.device()
    subscription = relay.subscribe(receiver, device, max_in_flight=1, events=["attendance.punch"])
    clocks.set("+1y", *PROCESSES)
    receiver.answer = lambda _: (500 if len(receiver.received) == 1 else 200, {}, b"")
    device.send_done(device.punch())
    receiver.wait(1, 60)
    wait_for(lambda: shown(relay, subscription)["retrying"] == 1, 30)
    if not noticed:
        relay.terminate("worker")
    clocks.set("+0", *PROCESSES)
    if not noticed:
        clocks.start("worker")
    device.send_done(device.punch())
    receiver.wait(3, 60)
    moments = [got.at for got in receiver.received]
    assert all(later - earlier < 60 for earlier, later in itertools.pairwise(moments))
    assert time.time() - moments[-1] < 60
