"""Reading stored events: by id, by page, newest first, and as they come."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from app import ids
from app.events.types import EVENT_TYPES, matches
from app.store.cluster import LazyCluster
from app.store.codec import Codec, inflate
from app.store.connection import Connection
from app.store.keys import Shard

log = logging.getLogger("relay.store")

_CHUNK = 200
_LOOK_SECONDS = 0.05
# A page reads no more than this to find its rows, however rare they are; its cursor goes on from there.
_SCAN_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Query:
    """Which events. Times are of receipt, in ms since 1970, both inclusive."""

    types: tuple[str, ...] = ()
    device_id: str | None = None
    user_id: str | None = None
    since: int | None = None
    until: int | None = None

    def takes(self, event: dict[str, Any]) -> bool:
        """Whether an event is one of them, but for its time."""
        return (
            (not self.types or any(matches(pattern, event["type"]) for pattern in self.types))
            and self.device_id in (None, event["device_id"])
            and self.user_id in (None, event.get("user_id"))
        )


class Page(NamedTuple):
    """Events newest first, and the id to go on from; None at the end."""

    events: list[dict[str, Any]]
    next_cursor: str | None


def _after(cursor: str | None) -> ids.Place | None:
    place = ids.event_place(cursor) if cursor else None
    if cursor and place is None:
        raise ValueError("cursor")
    return place


class Followed(NamedTuple):
    """An event as it came by, and where it is kept."""

    shard: int
    entry: str
    event: dict[str, Any]


def is_after(entry: str, other: str) -> bool:
    """Whether a stream entry came after another one."""
    return _order(entry) > _order(other)


def _order(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence or 0)


class Events:
    """What is kept of events."""

    def __init__(self, connection: Connection, codec: Codec) -> None:
        self._connection = connection
        self._codec = codec
        self._bodies = connection.script("bodies")

    def get(self, event_id: str) -> dict[str, Any] | None:
        """One event; None if there is none with this id (any more)."""
        place = ids.event_place(event_id)
        if place is None or place.shard >= len(self._connection.shards):
            return None
        shard = self._connection.shards[place.shard]
        found = self._connection.redis.xrange(shard.events, place.entry, place.entry)
        return self._codec.event(shard.number, place.entry, found[0][1][b"b"]) if found else None

    def raw(self, event_id: str) -> bytes | None:
        """The gateway's own JSON that an event was made of, its secrets blanked; None where there is none."""
        place = ids.event_place(event_id)
        if place is None or place.shard >= len(self._connection.shards):
            return None
        stream = self._connection.shards[place.shard].events
        found = self._connection.redis.xrange(stream, place.entry, place.entry)
        return inflate(found[0][1][b"r"]) if found and found[0][1].get(b"r") else None

    def page(self, query: Query, limit: int, cursor: str | None = None) -> Page:
        """At most `limit` events from the newest, or from the one after `cursor`, on.

        Raises ValueError for a cursor that isn't one.
        """
        before = _after(cursor)
        rows: list[dict[str, Any]] = []
        last = None
        for scanned, (event_id, event) in enumerate(self._scan(query, before)):
            if len(rows) == limit or scanned == _SCAN_LIMIT:
                return Page(rows, last)
            last = event_id
            if query.takes(event):
                rows.append(event)
        return Page(rows, None)

    def all(self, query: Query, cursor: str | None = None) -> Iterator[dict[str, Any]]:
        """Every event of a query, newest first, from the one after `cursor` on. Raises ValueError as `page`."""
        before = _after(cursor)
        return (event for _, event in self._scan(query, before) if query.takes(event))

    def newest(self, event_type: str, count: int) -> list[dict[str, Any]]:
        """The newest few events of a type."""
        return list(islice(self.all(Query(types=(event_type,))), count))

    def last_entries(self) -> dict[int, str]:
        """The newest entry of each shard, by its number; `0-0` where there is none."""
        newest = {}
        for shard in self._connection.shards:
            found = self._connection.redis.xrevrange(shard.events, count=1)
            newest[shard.number] = found[0][0].decode() if found else "0-0"
        return newest

    def history(self, after: dict[int, str]) -> Iterator[Followed]:
        """What is stored after the given entries (shard → entry), oldest first within a shard."""
        for shard in self._connection.shards:
            entry = after.get(shard.number, "0-0")
            while True:
                entries = self._connection.redis.xrange(shard.events, f"({entry}", "+", count=_CHUNK)
                for name, fields in entries:
                    entry = name.decode()
                    yield self._followed(shard, entry, fields)
                if len(entries) < _CHUNK:
                    break

    def follow(self, after: dict[int, str], block_ms: int) -> Iterator[Followed]:
        """Events that came after the given entries, oldest first; waits for some. Moves `after` on with each.

        Where one can't be read, that is raised; `after` is past it then, and has passed no other.
        """
        names = {shard.events: shard for shard in self._connection.shards}
        answer = self._read_on(
            {shard.events: after[shard.number] for shard in names.values()}, block_ms / 1_000
        )
        for name, entries in answer:
            shard = names[name.decode()]
            for entry, fields in entries:
                after[shard.number] = entry.decode()
                yield self._followed(shard, entry.decode(), fields)

    def _read_on(self, after: dict[str, str], seconds: float) -> list[Any]:
        """What XREAD answers. A Cluster can wait only for what one server holds: there it is asked again and again."""
        client = self._connection.redis
        if not isinstance(client, LazyCluster) or len(after) == 1:
            found: list[Any] = client.xread(after, count=_CHUNK, block=int(seconds * 1_000))
            return found
        deadline = time.monotonic() + seconds
        while True:
            pipeline = client.pipeline(transaction=False)
            for stream, entry in after.items():
                pipeline.xread({stream: entry}, count=_CHUNK)
            found = [row for answer in pipeline.execute() for row in answer or ()]
            if found or time.monotonic() > deadline:
                return found
            time.sleep(_LOOK_SECONDS)

    def _followed(self, shard: Shard, entry: str, fields: dict[bytes, bytes]) -> Followed:
        return Followed(shard.number, entry, self._codec.event(shard.number, entry, fields[b"b"]))

    # The scan

    def _scan(self, query: Query, before: ids.Place | None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ids and events that may be of the query, newest first over all shards."""
        shards = self._connection.shards
        if query.device_id is not None:
            shard = self._connection.shard_of(query.device_id)
            # A device that was removed still has events, in whichever shard it was.
            shards = (shard,) if shard is not None else shards
        runs = [self._scan_shard(shard, query, before) for shard in shards]
        return heapq.merge(*runs, key=lambda row: row[0], reverse=True)

    def _scan_shard(
        self, shard: Shard, query: Query, before: ids.Place | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        newest = "+" if query.until is None else str(query.until)
        if before is not None:
            # Events of other shards at the same entry sort by shard's number.
            below = f"({before.entry}" if shard.number >= before.shard else before.entry
            if newest == "+" or _order(before.entry) <= (query.until or 0, 2**63):
                newest = below
        oldest = "-" if query.since is None else str(query.since)
        for chunk in _in_chunks(self._entries(shard, query, newest, oldest)):
            bodies = self._bodies(keys=[shard.events], args=chunk)
            for entry, stored in zip(chunk, bodies, strict=True):
                if not stored:
                    continue
                event_id = ids.event_id(shard.number, entry)
                try:
                    event = self._codec.event(shard.number, entry, stored[0])
                except (ValueError, LookupError):
                    log.error("event %s can't be read, so no list has it; was the store damaged?", event_id)
                    continue
                yield event_id, event

    def _entries(self, shard: Shard, query: Query, newest: str, oldest: str) -> Iterator[str]:
        """Entry ids from the shortest index that holds all of the query's events."""
        choices: list[list[str]] = [[shard.events]]
        if query.user_id is not None:
            choices.append([shard.by_user(query.user_id)])
        if query.device_id is not None:
            choices.append([shard.by_device(query.device_id)])
        if query.types:
            choices.append(
                [
                    shard.by_type(event_type)
                    for event_type in EVENT_TYPES
                    if any(matches(pattern, event_type) for pattern in query.types)
                ]
            )
        if len(choices) > 1:
            choices = choices[1:]
            if len(choices) > 1:
                choices.sort(key=self._length)
        runs = [self._walk(stream, newest, oldest) for stream in choices[0]]
        return iter(heapq.merge(*runs, key=_order, reverse=True))

    def _length(self, streams: list[str]) -> int:
        return sum(self._connection.redis.xlen(stream) for stream in streams)

    def _walk(self, stream: str, newest: str, oldest: str) -> Iterator[str]:
        count = _CHUNK // 4
        while True:
            found = self._connection.redis.xrevrange(stream, newest, oldest, count=count)
            yield from (entry.decode() for entry, _ in found)
            if len(found) < count:
                return
            newest, count = f"({found[-1][0].decode()}", _CHUNK


def _in_chunks(entries: Iterator[str]) -> Iterator[list[str]]:
    """Small chunks first: most pages are short."""
    size = _CHUNK // 4
    while chunk := list(islice(entries, size)):
        yield chunk
        size = _CHUNK
