"""Copies new events from the store to the archive, in batches.

The position is in the archive's database and moves in the same transaction. The store removes an event because of its
age only after it was archived.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson

from app.archive import Archive, ArchiveCannotHold, Archived, ArchivedPunch, Position
from app.store.archiving.past import Past
from app.store.archiving.reports import ArchiveReports
from app.store.attendance.index import as_punch
from app.store.events.unreadable import EventReader
from app.store.server.connection import Connection
from app.store.server.keys import Shard

log = logging.getLogger("relay.archive")

_AT_ONCE = 1_000
_LARGEST = 2**63 - 1


class Archiver:
    """Writes the archive. Two processes may do this at once: only one of two equal batches is written."""

    def __init__(
        self, connection: Connection, past: Past, reader: EventReader, reports: ArchiveReports
    ) -> None:
        self._connection = connection
        self._past = past
        self._reader = reader
        self._reports = reports
        self._days = connection.settings.archive.days
        self._positions: dict[int, Position] = {}

    def advance(self, batches: int = 10) -> int:
        """Archive new events, at most this many batches of each shard; return how many were taken.

        Raises ArchiveAway, ArchiveRefused and redis errors.
        """
        opened = self._past.opened()
        if opened is None:
            return 0
        archive, store_id = opened
        archive.claim(store_id)
        taken, behind_ms = 0, 0
        for shard in self._connection.shards:
            for _ in range(batches):
                count = self._advance_shard(archive, store_id, shard)
                taken += count
                if count < _AT_ONCE:
                    break
            else:
                behind_ms = max(behind_ms, self._behind(archive, store_id, shard))
        self._reports.succeeded(behind_ms)
        return taken

    def _advance_shard(self, archive: Archive, store_id: str, shard: Shard) -> int:
        after = self._position(archive, store_id, shard)
        entries = self._connection.redis.xrange(shard.events, f"({after.entry}", "+", count=_AT_ONCE)
        if entries:
            self._write(archive, store_id, shard, after, entries)
        return len(entries)

    def _position(self, archive: Archive, store_id: str, shard: Shard) -> Position:
        """Return the position; the remembered one if this process wrote it: writing checks that it is still right."""
        if shard.number not in self._positions:
            self._positions[shard.number] = archive.position(store_id, shard.number)
        return self._positions[shard.number]

    def _write(
        self, archive: Archive, store_id: str, shard: Shard, after: Position, entries: list[Any]
    ) -> None:
        """Write a batch. If the database refuses values for good, it is split until only these events are left out."""
        events: list[Archived] = []
        punches: list[ArchivedPunch] = []
        for name, fields in entries:
            self._add(shard, name.decode(), fields.get(b"b"), events, punches)
        upto = entries[-1][0].decode()
        self._positions.pop(shard.number, None)
        try:
            if archive.write(store_id, shard.number, after, upto, events, punches):
                self._positions[shard.number] = Position(upto, after.erasures)
        except ArchiveCannotHold as error:
            if len(entries) > 1:
                middle = len(entries) // 2
                self._write(archive, store_id, shard, after, entries[:middle])
                now = self._position(archive, store_id, shard)
                if now.entry == entries[middle - 1][0].decode():
                    self._write(archive, store_id, shard, now, entries[middle:])
                return
            log.error("an event can't be archived and is left out of the archive: %s", error)
            self._reader.note(shard, upto)
            archive.write(store_id, shard.number, after, upto, [], [])

    def _add(
        self,
        shard: Shard,
        entry: str,
        body: bytes | None,
        events: list[Archived],
        punches: list[ArchivedPunch],
    ) -> None:
        """Add an event to a batch, unless it can't be read, or its type isn't archived."""
        event = self._reader.read(shard, entry, body)
        if event is None or not self._days.get(event["type"], 1):
            return
        ms, _, number = entry.partition("-")
        place = int(ms), int(number)
        if max(place) > _LARGEST:
            self._reader.note(shard, entry)
            return
        events.append(
            Archived(
                shard.number,
                *place,
                event["type"],
                event["device_id"],
                event.get("user_id"),
                body or orjson.dumps(event),
            )
        )
        if event["type"] == "attendance.punch" and not event["clock_suspect"]:
            try:
                punch = as_punch(entry, event)
            except (ValueError, LookupError, TypeError, OverflowError):
                self._reader.note(shard, entry)
                return
            mark = punch.mark
            punches.append(
                ArchivedPunch(
                    punch.user_id, mark.at, mark.device_id, punch.place, *place, mark.offset, mark.direction
                )
            )

    def _behind(self, archive: Archive, store_id: str, shard: Shard) -> int:
        """Return how many ms lie between the archive's position and the shard's newest event."""
        newest = self._connection.redis.xrevrange(shard.events, count=1)
        at = self._position(archive, store_id, shard).entry
        return int(newest[0][0].partition(b"-")[0]) - int(at.partition("-")[0]) if newest else 0
