"""Stored events that can't be read, for example because the store was damaged.

One policy for all readers: such an event is left out, noted in the store, logged once with its id, and counted in
`/metrics` and `doctor`. Later events are processed as usual.
"""

from __future__ import annotations

import logging
from typing import Any

from app.base import ids
from app.store.server.codec import Codec, UnreadableEvent
from app.store.server.connection import Connection
from app.store.server.keys import UNREADABLE, Shard

log = logging.getLogger("relay.store")

_MOST = 10_000  # noted events
_REMEMBERED = 1_000  # events that a process remembers, to note each only once


class EventReader:
    """Reads stored events."""

    def __init__(self, connection: Connection, codec: Codec) -> None:
        self._connection = connection
        self._codec = codec
        self._noted: set[str] = set()

    def read(self, shard: Shard, entry: str, body: bytes | None) -> dict[str, Any] | None:
        """Return the flat event as stored, without its ID; None if it can't be read, which is noted."""
        event = self.decoded(body)
        if event is None:
            self.note(shard, entry)
        return event

    def decoded(self, body: bytes | None) -> dict[str, Any] | None:
        """Do the same without a note, for the dispatcher, which must not wait for the store and notes it later."""
        try:
            return self._codec.decode(body)
        except UnreadableEvent:
            return None

    def show(self, shard: Shard, entry: str, body: bytes | None) -> dict[str, Any] | None:
        """Return the flat event with its ID and freshly signed links; None if it can't be read, which is noted."""
        try:
            return self._codec.event(shard.number, entry, body)
        except UnreadableEvent:
            self.note(shard, entry)
            return None

    def note(self, shard: Shard, entry: str) -> None:
        """Note that an event can't be read, or has a value that can't be used."""
        event_id, client = ids.event_id(shard.number, entry), self._connection.redis
        if event_id in self._noted:
            return
        received_ms = int(entry.partition("-")[0])
        if client.zcard(UNREADABLE) < _MOST and client.zadd(UNREADABLE, {event_id: received_ms}, nx=True):
            log.error("event %s can't be read and is left out; the store may be damaged", event_id)
        if len(self._noted) >= _REMEMBERED:
            self._noted.clear()
        self._noted.add(event_id)  # only now, because nothing is noted while the store is away

    def noted(self, most: int = 3) -> tuple[int, list[str]]:
        """Return how many events can't be read, and the IDs of the newest."""
        client = self._connection.redis
        return client.zcard(UNREADABLE), [name.decode() for name in client.zrevrange(UNREADABLE, 0, most - 1)]

    def trim(self, oldest_ms: int) -> None:
        """Forget the ones that are older than the retention."""
        self._connection.redis.zremrangebyscore(UNREADABLE, "-inf", f"({oldest_ms}")
