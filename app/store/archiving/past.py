"""Reads what the store has removed because of its age, from the archive."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, product
from typing import Any

from app.archive import Archive, ArchivedPunch
from app.events.types import EVENT_TYPES, matches
from app.store.events.query import Query
from app.store.server.connection import Connection
from app.store.server.keys import STORE, Shard

# A punch's own time is at most this much after its receipt, or it doesn't count for attendance.
_AHEAD_SECONDS = 7_200
_HOUR_MS = 3_600_000
_ROWS_AT_ONCE = 50


class Past:
    """The archive as the rest of the store sees it. Without an archive, it is empty."""

    def __init__(self, connection: Connection) -> None:
        settings = connection.settings
        url = settings.archive_url
        self._connection = connection
        self._keep_ms = settings.retention_days * 86_400_000
        self._store_id: str | None = None
        self.archive = Archive(url, connection.vault) if url else None
        self.is_wanted = any(settings.archive.days.values())
        # How a call is made: a web process makes it in a thread, so that other requests run meanwhile.
        self.run: Callable[..., Any] = lambda function, *arguments: function(*arguments)

    def opened(self) -> tuple[Archive, str] | None:
        """Return the archive and this store's ID; None without an archive, or while the store has no ID."""
        if self.archive is None:
            return None
        if self._store_id is None:
            found = self._connection.redis.get(STORE)
            self._store_id = found.decode() if found else None
        return None if self._store_id is None else (self.archive, self._store_id)

    # Events

    def get(self, shard: int, entry: str) -> bytes | None:
        """Return an event as stored. Raises ArchiveAway and ArchiveRefused."""
        opened = self.opened()
        if opened is None:
            return None
        found: bytes | None = self.run(opened[0].get, opened[1], shard, entry)
        return found

    def scan(
        self, shard: Shard, query: Query, below: str | None, first: int
    ) -> Iterator[tuple[str, bytes | None]]:
        """Yield a shard's entries and events that may match, newest first, below an entry. Raises in the same way.

        The event is None if it can't be decrypted. `first` is how many are probably needed.
        """
        opened = None if self._is_in_the_store(query.since) else self.opened()
        if opened is None:
            return iter(())
        archive, store_id = opened
        found = archive.scan(store_id, shard.number, below, query.since, *_ranges(query), first)
        return self._in_parts(found, first)

    def scan_up(
        self, shard: Shard, query: Query, above: str, below: str
    ) -> Iterator[tuple[str, bytes | None]]:
        """Yield the entries and events between two entries, oldest first, in the same way."""
        opened = None if self._is_in_the_store(_order(above)[0]) else self.opened()
        if opened is None:
            return iter(())
        archive, store_id = opened
        ranges, conditions = _ranges(query)
        runs = [
            archive.scan_up(
                store_id,
                shard.number,
                above,
                below,
                {**conditions, **{name: [value] for name, value in zip(ranges, values, strict=True)}},
            )
            for values in product(*ranges.values())
        ]
        return self._in_parts(heapq.merge(*runs, key=lambda row: _order(row[0])), _ROWS_AT_ONCE)

    def _in_parts(
        self, rows: Iterator[tuple[str, bytes | None]], size: int
    ) -> Iterator[tuple[str, bytes | None]]:
        while part := self.run(_next, rows, size):
            yield from part
            size = _ROWS_AT_ONCE

    def _is_in_the_store(self, since: int | None) -> bool:
        """Return whether nothing that was received since (ms) is old enough to have been removed from the store."""
        return since is not None and since > time.time() * 1000 - self._keep_ms + _HOUR_MS

    # Attendance

    def marks(self, people: Sequence[str], first: int, last: int) -> list[ArchivedPunch]:
        """Return the punches from `first` to before `last` (s) that the store counts as too old."""
        oldest = int(time.time() * 1000) - self._keep_ms
        opened = self.opened() if first <= oldest // 1000 + _AHEAD_SECONDS else None
        if opened is None:
            return []
        found: list[ArchivedPunch] = self.run(opened[0].marks, opened[1], people, first, last, oldest)
        return found

    def people(self, first: int, last: int) -> Iterable[tuple[str, str]]:
        """Return who made these punches, and on which device."""
        oldest = int(time.time() * 1000) - self._keep_ms
        opened = self.opened() if first <= oldest // 1000 + _AHEAD_SECONDS else None
        if opened is None:
            return ()
        found: set[tuple[str, str]] = self.run(opened[0].people, opened[1], first, last, oldest)
        return found


def _order(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence)


def _ranges(query: Query) -> tuple[dict[str, Sequence[str]], dict[str, Sequence[str]]]:
    """Return the ranges of an index that contain what the query selects, and further conditions."""
    types = [
        name for name in EVENT_TYPES if not query.types or any(matches(one, name) for one in query.types)
    ]
    chosen: dict[str, Sequence[str]] = {"type": types} if query.types else {}
    if query.user_ids:
        devices = {"device_id": query.device_ids} if query.device_ids else {}
        return {"user_id": query.user_ids}, {**devices, **chosen}
    if query.device_ids:
        return {"device_id": query.device_ids, "type": types}, {}
    return chosen, {}


def _next(rows: Iterator[tuple[str, bytes | None]], size: int) -> list[tuple[str, bytes | None]]:
    return list(islice(rows, size))
