"""The stored corrections of punches, by user and shard, encrypted at rest.

The corrections of a user on a device are in the device's shard, where their events are; those for a device that isn't
registered are in shard 0. They are kept as long as punches are, in the store or in the archive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import orjson

from app.attendance.corrections import Correction
from app.base.yielding import in_turns
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import Shard

MOST_OF_A_USER = 2_000
"""The most corrections of a user ID that a shard stores."""
_CHUNK = 500
_DAY = 86_400


class CorrectionRecords:
    """Reads and writes the lists of corrections."""

    def __init__(self, connection: Connection) -> None:
        settings = connection.settings
        archived = settings.archive.days["attendance.punch"] if settings.archive_url else 0
        self._connection = connection
        self._swap = connection.script("swap")
        self.keep_seconds = max(settings.retention_days, archived) * _DAY

    def of(self, user_ids: Iterable[str]) -> dict[str, list[Correction]]:
        """Return the corrections of users, oldest first; only users that have some."""
        wanted = list(user_ids)
        found: dict[str, list[Correction]] = {}
        for shard in self._connection.shards:
            for start in range(0, len(wanted), _CHUNK):
                some = wanted[start : start + _CHUNK]
                with left_out("corrections of punches"):
                    stored = self._connection.redis.hmget(shard.corrections, some)
                    for user_id, sealed in zip(some, stored, strict=True):
                        if sealed is not None:
                            found.setdefault(user_id, []).extend(self._read(user_id, sealed))
        return {user_id: sorted(ones, key=_order) for user_id, ones in found.items() if ones}

    def find(self, correction_id: str) -> Correction | None:
        """Return a correction by its ID."""
        users = self.user_ids()
        for start in range(0, len(users), _CHUNK):
            for ones in self.of(users[start : start + _CHUNK]).values():
                for one in ones:
                    if one.id == correction_id:
                        return one
        return None

    def user_ids(self) -> list[str]:
        """Return the user IDs that have corrections."""
        found: set[str] = set()
        for shard in self._connection.shards:
            with left_out("corrections of punches"):
                names = self._connection.redis.hkeys(shard.corrections)
                found.update(name.decode() for name in in_turns(names))
        return sorted(found)

    def count(self) -> int:
        """Return how many user IDs have corrections, counted in each shard."""
        total = 0
        for shard in self._connection.shards:
            with left_out("corrections of punches"):
                total += self._connection.redis.hlen(shard.corrections)
        return total

    # One user in one shard

    def stored(self, shard: Shard, user_id: str) -> tuple[bytes, list[Correction]]:
        """Return a user's list as it is stored (b"" if there is none), and its corrections. Raises DAMAGED errors."""
        sealed = self._connection.redis.hget(shard.corrections, user_id)
        return (b"", []) if sealed is None else (sealed, self._open(user_id, sealed))

    def seal(self, user_id: str, corrections: Sequence[Correction]) -> bytes:
        """Return a list to store, without corrections that are too old."""
        oldest = time.time() - self.keep_seconds
        stays = [one.as_json() for one in corrections if _last_needed(one) >= oldest]
        return self._connection.vault.seal("correction", orjson.dumps(stays), user_id)

    def remove(self, shard: Shard, user_id: str, is_removed: Callable[[Correction], bool]) -> int:
        """Remove some of a user's corrections in a shard; return how many. A list that can't be read stays."""
        while True:
            ones: list[Correction] = []
            with left_out("corrections of punches"):
                sealed, ones = self.stored(shard, user_id)
            stay = [one for one in ones if not is_removed(one)]
            if len(stay) == len(ones):
                return 0
            new = self.seal(user_id, stay) if stay else b""
            if self._swap(keys=[shard.corrections], args=[user_id, sealed, new]):
                return len(ones) - len(stay)

    def remove_older(self) -> None:
        """Remove corrections that are older than punches are kept."""
        oldest = time.time() - self.keep_seconds
        for shard in self._connection.shards:
            with left_out("corrections of punches"):
                for name in in_turns(self._connection.redis.hkeys(shard.corrections)):
                    self.remove(shard, name.decode(), lambda one: _last_needed(one) < oldest)

    def _read(self, user_id: str, sealed: bytes) -> list[Correction]:
        with left_out("corrections of punches"):
            return self._open(user_id, sealed)
        return []

    def _open(self, user_id: str, sealed: bytes) -> list[Correction]:
        rows = orjson.loads(self._connection.vault.open("correction", sealed, user_id))
        return [Correction.from_json(row) for row in rows]


def _order(one: Correction) -> tuple[int, str]:
    return one.created_at, one.id


def _last_needed(one: Correction) -> float:
    return max(one.latest_at(), one.created_at / 1000)
