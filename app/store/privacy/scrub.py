"""Rewrites a shard's stream of events, so that erased events are no longer in any of the store's blocks.

An entry stays in its block of the stream until all entries of the block are deleted. Without this, an erased name
would stay in the store's memory, files and backups until the neighbouring events are also too old. The stream is
copied in small parts while the relay is running, and the copy then replaces it in one step.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

import redis

from app.store.server.claims import claim
from app.store.server.connection import Connection
from app.store.server.keys import Shard

_AT_ONCE = 500  # entries; keeps a script call short
_KEEP_SECONDS = 60  # for a copy whose process died
_WAIT_SECONDS = 600.0
_TRIES = 5


class NotWritten(Exception):
    """The stream could not be rewritten; the message says why."""


class Scrub:
    """Rewrites streams."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._copy = connection.script("stream_copy")

    def run(self, shard: Shard, raws: Mapping[str, bytes] | None = None) -> None:
        """Rewrite the events of a shard; `raws` are new raw bodies for some entries. Raises NotWritten."""
        client, token = self._connection.redis, secrets.token_hex(8)
        give_up = time.monotonic() + _WAIT_SECONDS
        while not claim(self._connection, shard.rewriting, token, seconds=_KEEP_SECONDS):
            if time.monotonic() > give_up:
                raise NotWritten("another command is already rewriting them")
            time.sleep(0.1)
        try:
            for _ in range(_TRIES):
                if self._run(shard, sorted((raws or {}).items(), key=_order)):
                    return
            raise NotWritten("too many events are being removed at the same time")
        except redis.ResponseError as error:
            if "OOM" not in f"{error.status_code} {error}":
                raise
            client.delete(shard.rewritten_events)
            raise NotWritten("the store doesn't have enough memory for a copy of them (maxmemory)") from error
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
