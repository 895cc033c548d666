"""Writes a shard's stream of events anew, so that what was erased of it is in no block of the store any more.

A stream's entries are not taken out of their block until all of them are deleted: without this, a name that was erased
would be in the store's memory, in its files and in backups until the events beside it are too old as well. The stream
is copied a little at a time while the relay goes on, and the copy takes its place at once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

import redis

from app.store.connection import Connection
from app.store.keys import Shard

_AT_ONCE = 500  # keeps one script call short
_KEEP_SECONDS = 60  # a copy whose maker died
_WAIT_SECONDS = 600.0
_TRIES = 5


class NotWritten(Exception):
    """The stream could not be written anew; says why."""


class Scrub:
    """Writes streams anew."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._copy = connection.script("stream_copy")

    def run(self, shard: Shard, raws: Mapping[str, bytes] | None = None) -> None:
        """Writes the events of a shard anew; `raws` are other raw bodies for some entries. Raises NotWritten."""
        client, token = self._connection.redis, secrets.token_hex(8)
        give_up = time.monotonic() + _WAIT_SECONDS
        while not client.set(shard.rewriting, token, nx=True, ex=_KEEP_SECONDS):
            if time.monotonic() > give_up:
                raise NotWritten("another one is at it")
            time.sleep(0.1)
        try:
            for _ in range(_TRIES):
                if self._run(shard, sorted((raws or {}).items(), key=_order)):
                    return
            raise NotWritten("events are taken away all the time")
        except redis.ResponseError as error:
            if "OOM" not in f"{error.status_code} {error}":
                raise
            client.delete(shard.rewritten_events)
            raise NotWritten("the store has no room for a copy of them (maxmemory)") from error
        finally:
            client.delete(shard.rewriting)

    def _run(self, shard: Shard, raws: list[tuple[str, bytes]]) -> bool:
        client, last = self._connection.redis, "0-0"
        client.delete(shard.rewritten_events)
        keys = [shard.events, shard.rewritten_events]
        while True:
            raws = [pair for pair in raws if _order(pair) > _order((last, b""))]
            most = [part for pair in raws[:_AT_ONCE] for part in pair]
            answer = self._copy(keys=keys, args=[last, _AT_ONCE, _KEEP_SECONDS, *most])
            if not answer:
                return True
            if answer[0] is None:
                return False
            last = answer[0].decode()
            client.expire(shard.rewriting, _KEEP_SECONDS)


def _order(pair: tuple[str, bytes]) -> tuple[int, int]:
    ms, _, sequence = pair[0].partition("-")
    return int(ms), int(sequence)
