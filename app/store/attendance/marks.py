"""Reads people's punches for attendance: those of the store, older ones of the archive, and their corrections."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from app.attendance.corrections import apply
from app.attendance.rules import Mark
from app.events.flatten import punch_id
from app.store.archiving.past import Past
from app.store.attendance.correction_records import CorrectionRecords
from app.store.attendance.index import read_mark, weeks
from app.store.intake.punch_fields import punch_field, split_punch_field
from app.store.server.connection import Connection
from app.store.server.damage import readable
from app.store.server.pipelines import asked

# A punch by its field in the index, which has the device and the instant.
_Stored = dict[str, list[tuple[str, Mark]]]


class Punches(NamedTuple):
    """A person's marks as corrected, and, only if some were corrected, as reported."""

    corrected: list[Mark]
    reported: list[Mark]


class StoredMarks:
    """Reads marks."""

    def __init__(self, connection: Connection, past: Past, corrections: CorrectionRecords) -> None:
        self._connection = connection
        self._past = past
        self._corrections = corrections
        self._keep_ms = connection.settings.retention_days * 86_400_000

    def read(self, user_ids: Iterable[str], begin: int, end: int) -> dict[str, Punches]:
        """Return users' marks from `begin` to before `end` (s)."""
        user_ids = list(user_ids)
        stored, corrections = self._stored(user_ids, begin, end), self._corrections.of(user_ids)
        found = {
            user_id: Punches([mark for _, mark in marks], [])
            for user_id, marks in stored.items()
            if user_id not in corrections
        }
        for user_id, ones in corrections.items():
            marks = ((_punch_id(user_id, field, mark), mark) for field, mark in stored.get(user_id, ()))
            found[user_id] = Punches(*apply(marks, ones, begin, end))
        return found

    def with_ids(self, user_id: str, begin: int, end: int) -> Punches:
        """Return a user's marks in the same way, but each with its punch ID."""
        marks = [
            (name, mark._replace(punch_id=name))
            for field, mark in self._stored([user_id], begin, end).get(user_id, ())
            for name in (_punch_id(user_id, field, mark),)
        ]
        return Punches(*apply(marks, self._corrections.of([user_id]).get(user_id, ()), begin, end))

    def _stored(self, user_ids: list[str], begin: int, end: int) -> _Stored:
        places = (
            (user_id, shard.attendance_week(user_id, week))
            for user_id in user_ids
            for shard in self._connection.shards
            for week in weeks(begin, end)
        )
        answers = asked(
            self._connection.redis,
            places,
            lambda pipeline, place: pipeline.hgetall(place[1]),
            raise_on_error=False,
        )
        oldest = int(time.time() * 1000) - self._keep_ms
        found: _Stored = {}
        known: set[tuple[str, str]] = set()
        for (user_id, _), answer in answers:
            (fields,) = readable([answer], ({},))
            for field, value in fields.items():
                try:
                    received, mark = read_mark(field, value)
                except ValueError:  # damaged; the other punches are shown
                    continue
                if begin <= mark.at < end and received >= oldest:
                    name = field.decode()
                    known.add((user_id, name))
                    found.setdefault(user_id, []).append((name, mark))
        for punch in self._past.marks(user_ids, begin, end):
            name = f"{punch.device_id} {punch_field(punch.at, punch.place)}"
            if (punch.user_id, name) not in known:  # or a later revision isn't archived yet
                mark = Mark(punch.at, punch.utc_offset, punch.device_id, punch.direction)
                found.setdefault(punch.user_id, []).append((name, mark))
        return found


def _punch_id(user_id: str, field: str, mark: Mark) -> str:
    at, place = split_punch_field(field.rpartition(" ")[2])
    return punch_id(mark.device_id, user_id, datetime.fromtimestamp(at, UTC), place)
