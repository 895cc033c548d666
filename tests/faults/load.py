"""Gateways that send callbacks until they are acknowledged, and the account of what came of it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from tests.harness import Device, Receiver, wait_for

SENDERS = 6


class Load:
    """So many punches, each of its own user, sent again until they are acknowledged, as the gateway does."""

    def __init__(self, devices: list[Device], count: int, seconds: float = 60.0) -> None:
        self.acknowledged: dict[str, float] = {}  # user → when
        self.statuses: dict[int, int] = defaultdict(int)
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(SENDERS)
        share = [range(start, count, SENDERS) for start in range(SENDERS)]
        self._futures: list[Future[None]] = [
            self._pool.submit(self._send_all, devices, numbers) for numbers in share
        ]

    def _send_all(self, devices: list[Device], numbers: range) -> None:
        with requests.Session() as session:
            for number in numbers:
                device = devices[number % len(devices)]
                self._send(session, device, device.punch(f"u{number}"), f"u{number}")

    def _send(self, session: requests.Session, device: Device, document: Any, user: str) -> None:
        while True:
            status = 0
            try:
                answer = session.post(f"{device.relay.url}/callback", json=document, timeout=15)
                status = answer.status_code
            except requests.RequestException:
                session.close()
            with self._lock:
                self.statuses[status] += 1
                if status == 200:
                    self.acknowledged[user] = time.monotonic()
                    return
            assert status in (0, 502, 503), status
            assert time.monotonic() < self._deadline, "not acknowledged in time"
            time.sleep(0.05)

    def wait_for(self, count: int) -> None:
        """Until so many are acknowledged."""
        wait_for(lambda: len(self.acknowledged) >= count, 60)

    def finish(self) -> None:
        """Until all are."""
        for future in self._futures:
            future.result()
        self._pool.shutdown()


def events_by_user(receiver: Receiver) -> dict[str, set[str]]:
    """The ids of the events that were delivered of each user."""
    found: dict[str, set[str]] = defaultdict(set)
    for event in receiver.events():
        found[event["user_id"]].add(event["id"])
    return found


def all_came_once(load: Load, receiver: Receiver, seconds: float = 30.0) -> int:
    """Every acknowledged callback came, as one event with one id; how many deliveries were made in all."""
    wait_for(lambda: set(load.acknowledged) <= events_by_user(receiver).keys(), seconds, 0.1)
    several = {user: names for user, names in events_by_user(receiver).items() if len(names) > 1}
    assert several == {}, "one callback, one event"
    return len(receiver.events())
