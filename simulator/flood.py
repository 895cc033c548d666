"""Many punches at a given rate, every one of them another punch.

Relays tell punches apart by device, user and second, so a flood has as many users as it takes for none
of them to punch twice within two seconds.
"""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from simulator.device import Device
from simulator.records import LogRow

_FIRST_USER = 10001
_TYPES = ("CheckIn", "CheckOut")
_MOST = 1_000_000


def start_flood(device: Device, rate: float | None, count: int) -> None:
    """Punch `count` times in the background, `rate` times a second; without a rate, as fast as it goes."""
    if not 1 <= count <= _MOST:
        raise ValueError(f"count must be between 1 and {_MOST}")
    if rate is not None and not 0 < rate <= _MOST:
        raise ValueError(f"rate must be above 0 and at most {_MOST}")
    threading.Thread(
        target=_flood, args=(device, rate, count), name=f"flood-{device.spec.stgid}", daemon=True
    ).start()


def past_rows(device: Device, count: int) -> list[LogRow]:
    """Rows of the past for a historical batch: the device's users (or made-up ones) a minute apart."""
    if not 1 <= count <= _MOST:
        raise ValueError(f"count must be between 1 and {_MOST}")
    users = list(device.users) or [str(_FIRST_USER + n) for n in range(5)]
    first = device.clock.now() - timedelta(minutes=count)
    return [
        LogRow(users[n % len(users)], first + timedelta(minutes=n), _TYPES[n % 2], "Fingerprint")
        for n in range(count)
    ]


def _flood(device: Device, rate: float | None, count: int) -> None:
    users = count if rate is None else max(10, int(2 * rate) + 1)
    begin, first = time.monotonic(), device.clock.now()
    for n, due in enumerate(_due_times(rate, count)):
        ahead = begin + due - time.monotonic()
        if ahead > 0 and device.closed.wait(ahead):
            return
        if device.closed.is_set():
            return
        device.punch(str(_FIRST_USER + n % users), _TYPES[n // users % 2], "Face", at=_second(first, due))


def _due_times(rate: float | None, count: int) -> Iterator[float]:
    """Seconds from the start at which each punch is due."""
    return (0.0 if rate is None else n / rate for n in range(count))


def _second(first: datetime, due: float) -> datetime:
    return first + timedelta(seconds=int(due))
