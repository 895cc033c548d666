"""Reads stored events: by ID, by page with the newest first, and live."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from app.archive import ArchiveAway, ArchiveRefused
from app.base import ids
from app.base.yielding import let_others_run
from app.store.archiving.past import Past
from app.store.events.oldest_first import OldestFirst
from app.store.events.places import CHUNK, following, in_chunks, order_of
from app.store.events.query import Query
from app.store.events.shortest_index import shortest_index
from app.store.events.unreadable import EventReader
from app.store.server.cluster import LazyCluster
from app.store.server.codec import raw_json
from app.store.server.connection import Connection
from app.store.server.keys import Shard

_LOOK_SECONDS = 0.05
# A page reads at most this many to find its rows, however rare they are. Its cursor continues from there.
_SCAN_LIMIT = 20_000


class Page(NamedTuple):
    """Events in the order of their IDs or the reverse, and the ID to continue from; None at the end."""

    events: list[dict[str, Any]]
    next_cursor: str | None


def _after(cursor: str | None) -> ids.Place | None:
    place = ids.event_place(cursor) if cursor else None
    if cursor and place is None:
        raise ValueError("cursor")
    return place


class Followed(NamedTuple):
    """A live event, and the place where it is stored."""

    shard: int
    entry: str
    event: dict[str, Any]


class Events:
    """The stored events: those of the store, and older ones of the archive."""

    def __init__(self, connection: Connection, reader: EventReader, past: Past) -> None:
        self._connection = connection
        self._reader = reader
        self._past = past
        self._bodies = connection.script("bodies")
        self._oldest_first = OldestFirst(connection, reader, past)

    def get(self, event_id: str) -> dict[str, Any] | None:
        """Return an event; None if there is none with this ID (any more). Raises ArchiveAway and ArchiveRefused."""
        return self._get(event_id, self._past.get)

    def stored(self, event_id: str) -> dict[str, Any] | None:
        """Return an event of the store, which can be delivered, but not one that is only in the archive."""
        return self._get(event_id, lambda _shard, _entry: None)

    def _get(self, event_id: str, archived: Callable[[int, str], bytes | None]) -> dict[str, Any] | None:
        place = ids.event_place(event_id)
        if place is None or place.shard >= len(self._connection.shards):
            return None
        shard = self._connection.shards[place.shard]
        found = self._connection.redis.xrange(shard.events, place.entry, place.entry)
        if found:
            return self._reader.show(shard, place.entry, found[0][1].get(b"b"))
        body = archived(place.shard, place.entry)
        return None if body is None else self._reader.show(shard, place.entry, body)

    def raw(self, event_id: str) -> bytes | None:
        """Return the gateway's JSON of an event, without secrets; None if there is none that can be read."""
        place = ids.event_place(event_id)
        if place is None or place.shard >= len(self._connection.shards):
            return None
        shard = self._connection.shards[place.shard]
        found = self._connection.redis.xrange(shard.events, place.entry, place.entry)
        stored = found[0][1].get(b"r") if found else None
        try:
            return raw_json(stored) if stored else None
        except ValueError:
            self._reader.note(shard, place.entry)
            return None

    def page(
        self, query: Query, limit: int, cursor: str | None = None, *, oldest_first: bool = False
    ) -> Page:
        """Return at most `limit` events, from the newest or the oldest, or from the one after `cursor`.

        Raises ValueError for an invalid cursor. If the archive can't be read, a page ends with the last event that
        could be read, and the next one raises ArchiveAway or ArchiveRefused.
        """
        place = _after(cursor)
        rows: list[dict[str, Any]] = []
        last = None
        try:
            for scanned, (event_id, event) in enumerate(self._rows(query, place, oldest_first, limit + 1)):
                if len(rows) == limit or scanned == _SCAN_LIMIT:
                    return Page(rows, last)
                last = event_id
                if event is not None and query.takes(event):
                    rows.append(event)
        except (ArchiveAway, ArchiveRefused):
            if not rows:
                raise
            return Page(rows, last)
        return Page(rows, None)

    def all(
        self, query: Query, cursor: str | None = None, *, oldest_first: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield every event of a query, from the one after `cursor`. Raises ValueError like `page`."""
        found = (event for _, event in self._rows(query, _after(cursor), oldest_first))
        return (event for event in found if event is not None and query.takes(event))

    def _rows(
        self, query: Query, place: ids.Place | None, oldest_first: bool, first: int = CHUNK
    ) -> Iterator[tuple[str, dict[str, Any] | None]]:
        return self._oldest_first.scan(query, place) if oldest_first else self._scan(query, place, first)

    def newest(self, event_type: str, count: int) -> list[dict[str, Any]]:
        """Return the newest few events of a type."""
        return list(islice(self.all(Query(types=(event_type,))), count))

    def last_entries(self) -> dict[int, str]:
        """Return the newest entry of each shard, by its number; `0-0` if there is none."""
        newest = {}
        for shard in self._connection.shards:
            found = self._connection.redis.xrevrange(shard.events, count=1)
            newest[shard.number] = found[0][0].decode() if found else "0-0"
        return newest

    def history(self, after: dict[int, str]) -> Iterator[Followed]:
        """Yield the events after the given entries (shard → entry), oldest first within a shard."""
        for shard in self._connection.shards:
            entry = after.get(shard.number, "0-0")
            while True:
                entries = self._connection.redis.xrange(shard.events, f"({entry}", "+", count=CHUNK)
                for name, fields in entries:
                    entry = name.decode()
                    event = self._reader.show(shard, entry, fields.get(b"b"))
                    if event is not None:
                        yield Followed(shard.number, entry, event)
                if len(entries) < CHUNK:
                    break

    def follow(self, after: dict[int, str], block_ms: int) -> Iterator[Followed]:
        """Wait for events after the given entries, and yield them, oldest first. Updates `after` with each."""
        names = {shard.events: shard for shard in self._connection.shards}
        answer = self._read_on(
            {shard.events: after[shard.number] for shard in names.values()}, block_ms / 1_000
        )
        for name, entries in answer:
            shard = names[name.decode()]
            for entry, fields in entries:
                after[shard.number] = entry.decode()
                event = self._reader.show(shard, entry.decode(), fields.get(b"b"))
                if event is not None:
                    yield Followed(shard.number, entry.decode(), event)

    def _read_on(self, after: dict[str, str], seconds: float) -> list[Any]:
        """Return XREAD's answer. On a Cluster, a call can only wait for the keys of one server, so it is polled."""
        client = self._connection.redis
        if not isinstance(client, LazyCluster) or len(after) == 1:
            found: list[Any] = client.xread(after, count=CHUNK, block=int(seconds * 1_000))
            return found
        deadline = time.monotonic() + seconds
        while True:
            pipeline = client.pipeline(transaction=False)
            for stream, entry in after.items():
                pipeline.xread({stream: entry}, count=CHUNK)
            found = [row for answer in pipeline.execute() for row in answer or ()]
            if found or time.monotonic() > deadline:
                return found
            time.sleep(_LOOK_SECONDS)

    # The scan

    def _scan(
        self, query: Query, before: ids.Place | None, first: int = CHUNK
    ) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield IDs and events that may match the query, newest first over all shards.

        `first` is how many are probably needed. An event that can't be read is None.
        """
        shards = self._connection.shards_with(query.device_ids)
        runs = [self._scan_shard(shard, query, before, first) for shard in shards]
        return heapq.merge(*runs, key=lambda row: row[0], reverse=True)

    def _scan_shard(
        self, shard: Shard, query: Query, before: ids.Place | None, first: int
    ) -> Iterator[tuple[str, dict[str, Any] | None]]:
        newest = "+" if query.until is None else str(query.until)
        below = None if query.until is None else f"{query.until + 1}-0"
        if before is not None:
            # Events with the same entry are sorted by their shard's number.
            is_below = shard.number >= before.shard
            if newest == "+" or order_of(before.entry) <= (query.until or 0, 2**63):
                newest = f"({before.entry}" if is_below else before.entry
                below = before.entry if is_below else following(before.entry)
        oldest = "-" if query.since is None else str(query.since)
        for chunk in in_chunks(self._entries(shard, query, newest, oldest)):
            bodies = self._bodies(keys=[shard.events], args=chunk)
            for entry, stored in zip(chunk, bodies, strict=True):
                if not stored:
                    continue
                below = entry
                yield ids.event_id(shard.number, entry), self._reader.show(shard, entry, stored[0])
            let_others_run()
        # What is removed from the store in the meantime is in the archive, too.
        for count, (entry, body) in enumerate(self._past.scan(shard, query, below, first), 1):
            yield ids.event_id(shard.number, entry), self._reader.show(shard, entry, body)
            if count % CHUNK == 0:
                let_others_run()

    def _entries(self, shard: Shard, query: Query, newest: str, oldest: str) -> Iterator[str]:
        """Yield entry IDs from the shortest index that contains all of the query's events."""
        streams = shortest_index(self._connection, shard, query)
        runs = [self._walk(stream, newest, oldest) for stream in streams]
        return iter(heapq.merge(*runs, key=order_of, reverse=True))

    def _walk(self, stream: str, newest: str, oldest: str) -> Iterator[str]:
        count = CHUNK // 4
        while True:
            found = self._connection.redis.xrevrange(stream, newest, oldest, count=count)
            yield from (entry.decode() for entry, _ in found)
            if len(found) < count:
                return
            newest, count = f"({found[-1][0].decode()}", CHUNK
