"""Ten minutes of load: resource use and latency are the same at the end as at the start.

Some events fail at first, photos arrive, and a client reads the API. RELAY_SOAK_SECONDS shortens the test.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from tests.faults import ledger
from tests.faults.load import Load, all_came_once
from tests.harness import Device, Received, Receiver, Relay
from tests.processes import descriptors, resident, tree

SECONDS = float(os.environ.get("RELAY_SOAK_SECONDS", "600"))
RATE = 60  # callbacks a second, about
_WARM_UP = 0.1  # of the time: caches fill
_MORE_BYTES = 24 << 20  # a process may use at the end


class Usage(NamedTuple):
    """The resources that one process uses."""

    bytes: int
    descriptors: int


def usage(relay: Relay) -> dict[tuple[int, str], Usage]:
    """Return the usage of web, worker and their children by PID. The store isn't included, because it grows."""
    found = {}
    for name in ("web", "worker"):
        for pid, command in tree(relay.processes[name].pid).items():
            program = command.split()[2] if "-m " in command else command.split()[0]
            found[pid, f"{name}: {program}"] = Usage(resident(pid), descriptors(pid))
    return found


def photo(device: Device, number: int) -> None:
    document = device.sample(10)
    document["RealTime"]["OperationID"] = f"soak{number}"
    device.send_done(document)


def delays(receiver: Receiver, since: float, until: float) -> list[float]:
    """Return the seconds between receiving a callback and delivering its event, for events delivered in a period."""
    found: dict[str, float] = {}
    for got in receiver.received:
        if since <= got.at <= until:
            received = datetime.fromisoformat(got.json["received_at"]).astimezone(UTC).timestamp()
            found.setdefault(got.json["id"], got.at - received)
    return list(found.values())


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the 50th and 99th percentiles, in milliseconds."""
    cuts = statistics.quantiles(values, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 300)
def test_ten_minutes_of_load_do_not_increase_memory_descriptors_or_latency(
    start: Callable[..., Relay], receiver: Receiver
) -> None:
    relay = start(RELAY_RETRY_SCHEDULE="2,2,2")
    devices = [relay.device() for _ in range(10)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    failed: set[str] = set()

    def answer(got: Received) -> tuple[int, dict[str, str], bytes]:
        name = got.headers["webhook-id"]
        if len(receiver.received) % 50 == 0 and name not in failed:
            failed.add(name)
            return 500, {}, b""
        return 200, {}, b""

    receiver.answer = answer
    began, wall = time.monotonic(), time.time()
    load = Load(devices, int(SECONDS * RATE), SECONDS + 200, pause=6 / RATE - 0.005)
    before: dict[tuple[int, str], Usage] = {}
    number = 0
    while not load.finished:
        time.sleep(1)
        number += 1
        photo(devices[number % 10], number)
        relay.get("/v1/events", params={"limit": 50})
        if not before and time.monotonic() - began > SECONDS * _WARM_UP:
            before = usage(relay)
    load.finish()
    after = usage(relay)
    took = time.monotonic() - began
    all_came_once(load, receiver, f"no fault: {took / 60:.0f} minutes of load", tried=1, seconds=60)
    assert {pid for pid, _ in before} == {pid for pid, _ in after}, "no process died"

    part = took * _WARM_UP
    answered = [
        percentiles([latency for at, latency in load.latencies if since <= at - began <= since + part])
        for since in (part, took - part)
    ]
    delivered = [
        percentiles(delays(receiver, wall + since, wall + since + part)) for since in (part, took - part)
    ]
    ledger.note(f"soak, {took:.0f} s, {len(load.acknowledged) / took:.0f} callbacks a second, start → end:")
    for what, (first, last) in (("answer", answered), ("callback to delivery", delivered)):
        ledger.note(f"  {what}: p50 {first[0]:.1f} → {last[0]:.1f} ms, p99 {first[1]:.1f} → {last[1]:.1f} ms")
    for process, first_use in before.items():
        last_use = after[process]
        ledger.note(
            f"  {process[1]}: {first_use.bytes >> 20} → {last_use.bytes >> 20} MiB, "
            f"{first_use.descriptors} → {last_use.descriptors} descriptors"
        )
    for process, first_use in before.items():
        assert after[process].bytes < first_use.bytes + _MORE_BYTES, process
        assert after[process].descriptors < first_use.descriptors + 20, process
    assert answered[1][0] < 3 * answered[0][0] + 20
    assert delivered[1][0] < 3 * delivered[0][0] + 20
