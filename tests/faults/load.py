"""Simulated gateways that send callbacks until they are acknowledged, and the count of lost and duplicate events."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

import requests

from tests.faults import ledger
from tests.harness import Device, Receiver, wait_for

SENDERS = 6


class Identity(NamedTuple):
    """The values that identify a punch. Two punches with the same identity are one."""

    device: str
    user: str
    instant: str  # UTC, ISO 8601


def identity_of(device: Device, document: dict[str, Any]) -> Identity:
    """Return the identity of a device's RealTimePunchLog."""
    log = document["RealTime"]["PunchLog"]
    at = datetime.strptime(log["LogTime"], "%Y-%m-%d %H:%M:%S GMT %z").astimezone(UTC)
    return Identity(device.id, log["UserId"], at.strftime("%Y-%m-%dT%H:%M:%SZ"))


class Load:
    """Sends punches again until they are acknowledged, as the gateway does."""

    def __init__(
        self,
        devices: list[Device],
        count: int,
        seconds: float = 60.0,
        *,
        pause: float = 0.0,
        prefix: str = "u",
    ) -> None:
        """`pause` is in seconds, after each callback of each of the six senders."""
        self.acknowledged: dict[Identity, float] = {}  # when
        self.latencies: list[tuple[float, float]] = []  # when, and how long the answer took
        self.statuses: dict[int, int] = defaultdict(int)  # 0: no answer
        self._deadline = time.monotonic() + seconds
        self._pause = pause
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(SENDERS)
        share = [range(start, count, SENDERS) for start in range(SENDERS)]
        self._futures: list[Future[None]] = [
            self._pool.submit(self._send_all, devices, numbers, prefix) for numbers in share
        ]

    def _send_all(self, devices: list[Device], numbers: range, prefix: str) -> None:
        with requests.Session() as session:
            for number in numbers:
                device = devices[number % len(devices)]
                self._send(session, device, device.punch(f"{prefix}{number}"))
                time.sleep(self._pause)

    def _send(self, session: requests.Session, device: Device, document: dict[str, Any]) -> None:
        identity = identity_of(device, document)
        while True:
            status, began = 0, time.monotonic()
            try:
                answer = session.post(f"{device.relay.url}/callback", json=document, timeout=15)
                status = answer.status_code
            except requests.RequestException:
                pass
            if status != 200:
                session.close()  # to any process next time, as this one may not know the device yet
            now = time.monotonic()
            with self._lock:
                self.statuses[status] += 1
                if status == 200:
                    self.acknowledged[identity] = now
                    self.latencies.append((now, now - began))
                    return
            assert status in (0, 502, 503), status
            assert now < self._deadline, "not acknowledged in time"
            time.sleep(0.05)

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Wait until this many are acknowledged."""
        wait_for(lambda: len(self.acknowledged) >= count, seconds)

    @property
    def finished(self) -> bool:
        return all(future.done() for future in self._futures)

    def finish(self) -> None:
        """Wait until all are acknowledged."""
        for future in self._futures:
            future.result()
        self._pool.shutdown()


def events_by_identity(receiver: Receiver) -> dict[Identity, Counter[str]]:
    """Return the IDs with which each punch was delivered (answered with 2xx), and how often."""
    found: dict[Identity, Counter[str]] = defaultdict(Counter)
    for event in (event for got in list(receiver.accepted) for event in got.events):
        if event["type"] == "attendance.punch":
            found[Identity(event["device_id"], event["user_id"], event["occurred_at_utc"])][event["id"]] += 1
    return found


def all_came_once(
    load: Load | Iterable[Identity],
    receiver: Receiver,
    fault: str,
    *,
    tried: int = 1,
    seconds: float = 30.0,
) -> int:
    """Every acknowledged callback came, as one event with one id; how many deliveries were made in all.

    Entered in the ledger under the name of the fault, whatever came of it.
    """
    acknowledged = set(load.acknowledged if isinstance(load, Load) else load)
    deadline = time.monotonic() + seconds
    found = events_by_identity(receiver)
    while not acknowledged <= found.keys() and time.monotonic() < deadline:
        time.sleep(0.1)
        found = events_by_identity(receiver)
    lost = acknowledged - found.keys()
    twice = sum(sum(names.values()) - 1 for names in found.values())
    ledger.enter(fault, tried=tried, acknowledged=len(acknowledged), lost=len(lost), twice=twice)
    assert not lost, (
        f"{len(lost)} of {len(acknowledged)} acknowledged did not come, {sorted(lost)[:3]} among them"
    )
    several = {punch: set(names) for punch, names in found.items() if len(names) > 1}
    assert several == {}, "one callback, one event"
    return len(receiver.events())
