"""The moment of a backup: which events existed, and the records for detecting duplicates at that moment.

A backup is copied while callbacks arrive. If the copy had an event without its record, the event would be published
again with another ID when the callback is sent again. If it had a record without its event, the callback would be
dropped as a duplicate. So from that moment on, `ingest.lua` saves the previous values of the records that it changes,
in a stream that exists while a backup is made. Later changes are reverted in the copy.
"""

from __future__ import annotations

import secrets
import time
from typing import NamedTuple

from app.store.server.connection import Connection
from app.store.server.keys import Shard

_KEEP_SECONDS = 120  # for how long changes are saved after a backup was killed
_RENEW_SECONDS = 10.0
_AT_ONCE = 1_000


class CutLost(Exception):
    """The backup was held up for so long that changes were no longer saved."""


def order(entry: bytes) -> tuple[int, int]:
    """Return a stream entry's place in the order."""
    ms, _, sequence = entry.partition(b"-")
    return int(ms), int(sequence or 0)


class _Moment(NamedTuple):
    """A shard's moment: its newest event, and the position in the stream of changes."""

    newest: tuple[int, int]
    mark: bytes


class Cut:
    """The moment of all shards."""

    def __init__(self, connection: Connection) -> None:
        """Begin to save changes."""
        self._connection = connection
        self._moments: dict[bytes, _Moment] = {}
        self._read_to: dict[bytes, bytes] = {}
        self._before: dict[bytes, dict[bytes, bytes | None]] = {}  # previous values by key and field
        self._renewed_at = time.monotonic()
        for shard in connection.shards:
            pipeline = connection.at(shard.backup).pipeline(transaction=True)
            pipeline.xadd(shard.backup, {"begin": secrets.token_hex(8)})
            pipeline.expire(shard.backup, _KEEP_SECONDS)
            pipeline.xrevrange(shard.events, count=1)
            mark, _, newest = pipeline.execute()
            tag = shard.tag.encode()
            self._moments[tag] = _Moment(order(newest[0][0]) if newest else (0, 0), mark)
            self._read_to[tag] = mark

    def renew(self) -> None:
        """Continue to save changes. Raises CutLost."""
        if time.monotonic() - self._renewed_at < _RENEW_SECONDS:
            return
        self._renewed_at = time.monotonic()
        for shard in self._connection.shards:
            mark = self._moments[shard.tag.encode()].mark
            pipeline = self._connection.at(shard.backup).pipeline(transaction=True)
            pipeline.expire(shard.backup, _KEEP_SECONDS)
            pipeline.xrange(shard.backup, mark, mark)
            if not pipeline.execute()[1]:
                raise CutLost

    def is_later(self, key: bytes, entry: bytes) -> bool:
        """Return whether an event came after the moment, by its entry and any key of its shard."""
        moment = self._moments.get(key.partition(b":")[0])
        return moment is not None and order(entry) > moment.newest

    def read_changes(self) -> None:
        """Read the changes so far. Raises CutLost."""
        for shard in self._connection.shards:
            self._read_changes(shard)

    def _read_changes(self, shard: Shard) -> None:
        client, tag = self._connection.redis, shard.tag.encode()
        if not client.xrange(shard.backup, self._moments[tag].mark, self._moments[tag].mark):
            raise CutLost
        while rows := client.xrange(shard.backup, b"(" + self._read_to[tag], "+", count=_AT_ONCE):
            for _, fields in rows:
                if b"k" in fields:  # otherwise, another backup begins
                    of_key = self._before.setdefault(fields[b"k"], {})
                    of_key.setdefault(fields[b"f"], fields[b"o"] if fields[b"n"] == b"1" else None)
            self._read_to[tag] = rows[-1][0]

    def hash_then(self, key: bytes, found: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return a hash as it was at the moment. It must have been read before `read_changes`."""
        then = dict(found)
        for field, value in self._before.get(key, {}).items():
            if value is None:
                then.pop(field, None)
            else:
                then[field] = value
        return then

    def was_there(self, key: bytes) -> bool:
        """Return whether a string that exists now also existed at the moment."""
        return key not in self._before


def dedupe_kind(key: bytes) -> bytes | None:
    """Return `punches` or `seen` for a key that is used to detect duplicates, None for others."""
    kind = key.partition(b":")[2].partition(b":")[0]
    return kind if kind in (b"punches", b"seen") else None
