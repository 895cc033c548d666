"""Remembers which sets of unknown fields were reported, and limits their number per device and day.

Otherwise, a device with a new name in each callback would double its stored data.
"""

from __future__ import annotations

from contextlib import suppress

import redis

from app.store.counts import Counts
from app.store.devices.registry import Device
from app.store.server.connection import Connection

MOST_A_DAY = 5
NOT_REPORTED = "shapes_not_reported"
_MOST_REMEMBERED = 10_000  # per process
_KEEP_SECONDS = 2 * 86_400


class UnknownShapes:
    """The sets that one process knows. Days are in UTC."""

    def __init__(self, connection: Connection, counts: Counts) -> None:
        self._connection = connection
        self._counts = counts
        self._reported: set[str] = set()
        self._full: dict[str, str] = {}  # device → the day on which nothing more is reported

    def is_known(self, device: Device, shape: str, day: str) -> bool:
        """Return whether nothing must be done about a shape: it was reported, or the device has reached its limit."""
        if shape in self._reported:
            return True
        if self._full.get(device.id) != day:
            return False
        self._count()
        return True

    def may_be_told(self, device: Device, day: str) -> bool:
        """Use up one of the device's reports for the day. If none is left, count that, and return False."""
        key = device.shard.seen(device.id, self._connection.vault.digest("shapes", f"{device.id}\n{day}"))
        pipeline = self._connection.redis.pipeline(transaction=True)
        pipeline.incr(key)
        pipeline.expire(key, _KEEP_SECONDS)
        taken, _ = pipeline.execute()
        if taken <= MOST_A_DAY:
            return True
        if len(self._full) >= _MOST_REMEMBERED:
            self._full.clear()
        self._full[device.id] = day
        self._count()
        return False

    def remember(self, shape: str) -> None:
        """Note that a shape was reported."""
        if len(self._reported) >= _MOST_REMEMBERED:
            self._reported.clear()
        self._reported.add(shape)

    def _count(self) -> None:
        with suppress(redis.RedisError, OSError):  # the callback is stored, and the count is kept
            self._counts.add(NOT_REPORTED)
