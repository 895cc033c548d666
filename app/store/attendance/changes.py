"""Publishes `attendance.day_changed` a few seconds after the index noted a change, so that changes are combined.

Only if a subscription includes `attendance.day_changed` or `attendance.*`, because for all others it would double the
stored data. A day is published if it differs from what was last published. The event and the note about it are written
together. So nothing is published twice or left out after a crash, or if two processes do this at once.
"""

from __future__ import annotations

import time
from datetime import date
from typing import Any, NamedTuple

import orjson

from app.store.attendance.index import WEEK, pair, split_changed, told_field
from app.store.attendance.view import Attendance, OpenDay, Row
from app.store.events.relay_events import RelayEvents
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import Shard
from app.store.subscriptions.records import Subscriptions

_AT_ONCE = 200
_AGAIN_MS = 60_000  # much longer than publishing takes
_MARGIN_MS = 1_000
_NAMES = frozenset(("attendance.day_changed", "attendance.*"))
# A changed name isn't a change of the day, and neither is the end of a day with complete punches.
_TELLING = (
    "first_in",
    "first_in_device_id",
    "last_out",
    "last_out_device_id",
    "punch_count",
    "missing_punch",
    "is_late",
)


class _Note(NamedTuple):
    """What was last published about a day: its field, the stored value, the digest in it, and the revision."""

    field: str
    stored: bytes
    told: str
    revision: int


class AttendanceChanges:
    """Publishes changed days."""

    def __init__(
        self,
        connection: Connection,
        attendance: Attendance,
        relay_events: RelayEvents,
        subscriptions: Subscriptions,
    ) -> None:
        self._connection = connection
        self._attendance = attendance
        self._subscriptions = subscriptions
        self._relay_events = relay_events
        self._take = connection.script("attendance_take")
        self._done = connection.script("attendance_done")
        self._keep = connection.settings.retention_days * 86_400 + WEEK

    def publish_due(self) -> int:
        """Publish some of the days whose change has waited long enough; return how many were examined."""
        looked_at = 0
        for shard in self._connection.shards:
            now = int(time.time() * 1000)
            taken_to = now + _AGAIN_MS
            members = self._take(keys=[shard.attendance_changed], args=[now, _AT_ONCE, taken_to])
            wanted = bool(members) and self._is_wanted()
            for member in members:
                look_again: int | str = ""
                with left_out("a changed day"):
                    look_again = self._publish(*split_changed(member.decode()), wanted)
                self._done(keys=[shard.attendance_changed], args=[member, taken_to, look_again])
                looked_at += 1
        return looked_at

    def _is_wanted(self) -> bool:
        return any(_NAMES.intersection(subscription.events) for subscription in self._subscriptions.all())

    def _publish(self, day: str, user_id: str, wanted: bool) -> int | str:
        """Publish a person's day if it is wanted and has changed; return when to look at it again (ms), or ""."""
        found = self._attendance.open_days(user_id, date.fromisoformat(day))
        again = [self._publish_row(day, one, wanted) for one in found]
        return min((at for at in again if at is not None), default="")

    def _publish_row(self, day: str, found: OpenDay, wanted: bool) -> int | None:
        row, ends, by_device = found
        home = self._connection.shards[0]
        shows = _digest(row)
        for _ in range(3 if wanted else 0):  # usually once, because nobody else writes the note meanwhile
            note = self._note(home, row, by_device)
            if note.told == shows or self._tell(home, row, note, f"{note.revision + 1} {shows}"):
                break
        # If the other punch is still missing then, that is also published.
        is_open = row["punch_count"] and row["worked_seconds"] is None and not row["missing_punch"]
        return ends * 1000 + _MARGIN_MS if is_open else None

    def _note(self, home: Shard, row: Row, by_device: bool) -> _Note:
        """Return what was last published about a person's day.

        Before the list of employees contained several people with the user ID, this person may have been published
        under the user ID alone. So the revision continues from the higher of both.
        """
        user_id, employee_id = row["user_id"], row["employee_id"]
        fields = [user_id]
        if employee_id is not None:
            # The last one is the field of earlier versions.
            fields += [told_field(self._connection.vault, user_id, employee_id), pair(user_id, employee_id)]
        stored = self._connection.redis.hmget(home.attendance_told(row["date"]), fields)
        notes = [(note or b"0 ").decode().split(" ", 1) for note in stored]
        own = 1 if by_device else 0
        known = 2 if by_device and stored[own] is None else own
        return _Note(
            fields[own], stored[own] or b"", notes[known][1], max(int(revision) for revision, _ in notes)
        )

    def _tell(self, home: Shard, row: Row, note: _Note, told: str) -> bool:
        change = (home.attendance_told(row["date"]), note.field, note.stored, told)
        fields = {**row, "revision": int(told.partition(" ")[0])}
        return (
            self._relay_events.publish_once("attendance.day_changed", fields, change, self._keep) is not None
        )


def _digest(row: dict[str, Any]) -> str:
    shows = [row[name] for name in _TELLING]
    if row[
        "correction_count"
    ]:  # a corrected punch between the first and the last one may only change the hours
        shows += [row["correction_count"], row["worked_seconds"], row["present_seconds"]]
    return orjson.dumps(shows).decode()
