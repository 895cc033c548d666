"""Publishes `attendance.day_changed`: what the index noted as changed, once it has gathered for a few seconds.

A day is published when what it shows differs from what was published of it last; its event and the note of that are
written together. So a crash, or two who do it at once, publish nothing twice and leave nothing out.
"""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import orjson

from app.store.attendance import Attendance, Row
from app.store.attendance_index import WEEK, split_changed
from app.store.connection import Connection
from app.store.keys import Shard
from app.store.relay_events import RelayEvents

_AT_ONCE = 200
_AGAIN_MS = 60_000  # much longer than those take
_MARGIN_MS = 1_000
# A name that changed, or a day that is over with all its punches, is nothing new.
_TELLING = (
    "first_in",
    "first_in_device_id",
    "last_out",
    "last_out_device_id",
    "punch_count",
    "missing_punch",
    "is_late",
)


class AttendanceChanges:
    """Publishes changed days."""

    def __init__(self, connection: Connection, attendance: Attendance, relay_events: RelayEvents) -> None:
        self._connection = connection
        self._attendance = attendance
        self._relay_events = relay_events
        self._take = connection.script("attendance_take")
        self._done = connection.script("attendance_done")
        self._keep = connection.settings.retention_days * 86_400 + WEEK

    def publish_due(self) -> int:
        """Publishes the days whose change has waited long enough, some at a time; how many were looked at."""
        looked_at = 0
        for shard in self._connection.shards:
            now = int(time.time() * 1000)
            taken_to = now + _AGAIN_MS
            for member in self._take(keys=[shard.attendance_changed], args=[now, _AT_ONCE, taken_to]):
                look_again = self._publish(*split_changed(member.decode()))
                self._done(keys=[shard.attendance_changed], args=[member, taken_to, look_again])
                looked_at += 1
        return looked_at

    def _publish(self, day: str, user_id: str) -> int | str:
        """Publishes a person's day if it is news; when to look at it again (ms), or ""."""
        found = self._attendance.open_day(user_id, date.fromisoformat(day))
        if found is None:
            return ""
        row, ends = found
        home = self._connection.shards[0]
        for _ in range(3):  # as a rule once: nobody else writes the note meanwhile
            before = self._connection.redis.hget(home.attendance_told(day), user_id)
            revision, told = before.decode().split(" ", 1) if before else ("0", "")
            shows = _digest(row)
            if told == shows or self._tell(home, row, before, int(revision) + 1, shows):
                break
        # Should the other end still be missing then, that is told, too.
        return ends * 1000 + _MARGIN_MS if row["worked_seconds"] is None and not row["day_over"] else ""

    def _tell(self, home: Shard, row: Row, before: bytes | None, revision: int, shows: str) -> bool:
        note = (home.attendance_told(row["date"]), row["user_id"], before or b"", f"{revision} {shows}")
        fields = {**row, "revision": revision}
        return self._relay_events.publish_once("attendance.day_changed", fields, note, self._keep) is not None


def _digest(row: dict[str, Any]) -> str:
    return orjson.dumps([row[name] for name in _TELLING]).decode()
