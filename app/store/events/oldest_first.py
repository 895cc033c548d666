"""Reads stored events, oldest first, so that a client that polls gets each event once.

The next poll continues after the last event of this one. So no event may appear later that comes before it. Shards are
read one after the other, and meanwhile events may be added to any of them. Therefore, only events from before the
reading began are returned: the time by which stream entries are named is read first.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from typing import Any

from app.base import ids
from app.base.yielding import let_others_run
from app.store.archiving.past import Past
from app.store.events.places import CHUNK, following, order_of, preceding
from app.store.events.query import Query
from app.store.events.shortest_index import shortest_index
from app.store.events.unreadable import EventReader
from app.store.server.connection import Connection, masters
from app.store.server.keys import Shard

_TICK_SECONDS = 0.002


class OldestFirst:
    """Reads events of the store and the archive in the order of their IDs."""

    def __init__(self, connection: Connection, reader: EventReader, past: Past) -> None:
        self._connection = connection
        self._reader = reader
        self._past = past
        self._bodies = connection.script("bodies")

    def scan(self, query: Query, after: ids.Place | None) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield IDs and events that may match the query. An event that can't be read is None.

        Raises ArchiveAway and ArchiveRefused.
        """
        newest = self._now()
        if query.until is not None:
            newest = min(newest, query.until)
        runs = [
            self._scan_shard(shard, query, _above(shard, query, after), f"{newest + 1}-0")
            for shard in self._connection.shards_with(query.device_ids)
        ]
        return heapq.merge(*runs, key=lambda row: row[0])

    def _now(self) -> int:
        """Return a time (ms) of the store that includes all events stored so far, and no event stored from now on.

        With several servers, it is the time of the one whose clock is slowest.
        """
        times: list[tuple[int, int]] = [server.time() for server in masters(self._connection.redis)]
        time.sleep(_TICK_SECONDS)  # that millisecond is over now
        return min(seconds * 1_000 + microseconds // 1_000 for seconds, microseconds in times)

    def _scan_shard(
        self, shard: Shard, query: Query, above: str, below: str
    ) -> Iterator[tuple[str, dict[str, Any] | None]]:
        streams = shortest_index(self._connection, shard, query)
        size = CHUNK // 4
        while order_of(above) < order_of(below):
            entries = self._entries(streams, above, below, size)
            bodies = self._bodies(keys=[shard.events], args=entries) if entries else []
            stored = [(entry, body[0]) for entry, body in zip(entries, bodies, strict=True) if body]
            end = following(entries[-1]) if len(entries) == size else below
            # The archive is read after the store: what the store removed in the meantime had been archived before.
            archived = self._past.scan_up(shard, query, above, end)
            previous = None
            rows = heapq.merge(stored, archived, key=lambda row: order_of(row[0]))
            for count, (entry, body) in enumerate(rows, 1):
                if entry != previous:
                    yield ids.event_id(shard.number, entry), self._reader.show(shard, entry, body)
                previous = entry
                if count % CHUNK == 0:
                    let_others_run()
            if end == below:
                return
            let_others_run()
            above, size = preceding(end), CHUNK

    def _entries(self, streams: list[str], above: str, below: str, count: int) -> list[str]:
        """Return the first entries of all streams between two entries."""
        found = {
            entry.decode()
            for stream in streams
            for entry, _ in self._connection.redis.xrange(stream, f"({above}", f"({below}", count=count)
        }
        return sorted(found, key=order_of)[:count]


def _above(shard: Shard, query: Query, after: ids.Place | None) -> str:
    """Return the entry of a shard after which a query begins."""
    above = "0-0" if query.since is None else preceding(f"{query.since}-0")
    if after is None:
        return above
    # Events with the same entry are sorted by their shard's number.
    begin = preceding(after.entry) if shard.number > after.shard else after.entry
    return max(above, begin, key=order_of)
