"""Records which devices were removed on purpose, and when: `{g}:devices:removed`.

A device that is missing in the store only counts as removed if it is recorded here. Otherwise, the store may have lost
it, because it started empty or was restored from an old backup. Then none of the device's data may be deleted
anywhere.
"""

from __future__ import annotations

import math
import time

from app.store.server.connection import Connection
from app.store.server.damage import number
from app.store.server.keys import DEVICES_REMOVED, Shard

_DAY_MS = 86_400_000


class Removals:
    """The tombstones of devices, which are kept a day longer than events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept_ms = (connection.settings.retention_days + 1) * _DAY_MS

    def note(self, device_id: str, at: float | None = None) -> None:
        """Note that a device is being removed, before removing its data.

        With `at` (seconds since 1970), only callbacks up to then are dropped, unless it was removed later.
        """
        client, now = self._connection.redis, int(time.time() * 1000)
        (before,) = self.of([device_id]) if at is not None else (None,)
        removed = now if at is None else math.ceil(max(at, before or 0.0) * 1000)
        client.hset(DEVICES_REMOVED, device_id, removed)
        noted = client.hgetall(DEVICES_REMOVED)
        old = [name for name, at in noted.items() if 0 < number(at) < now - self._kept_ms]
        if old:
            client.hdel(DEVICES_REMOVED, *old)

    def clear(self, device_id: str) -> None:
        """Note that a device is registered again."""
        self._connection.redis.hdel(DEVICES_REMOVED, device_id)

    def of(self, device_ids: list[str]) -> list[float | None]:
        """Return when each was removed, in seconds since 1970; None if it wasn't, or if the time is damaged."""
        if not device_ids:
            return []
        found = self._connection.redis.hmget(DEVICES_REMOVED, device_ids)
        return [number(at) / 1000 or None for at in found]

    def erase(self, shard: Shard, device_id: str) -> None:
        """Remove all data of a device except its shard. The device itself goes first, so that nothing is added."""
        client = self._connection.redis
        client.delete(shard.device(device_id))
        # The list of users isn't enough, because deleted users also have data.
        users = list(client.scan_iter(match=shard.user(device_id, "*"), count=1_000))
        for start in range(0, len(users), 500):
            client.delete(*users[start : start + 500])
        client.delete(shard.users(device_id), shard.commanded(device_id), shard.strangers(device_id))
        client.hdel(shard.silent, device_id)
        client.hdel(shard.attendance_latest, device_id)
