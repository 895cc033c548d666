"""The index behind the attendance view: punches by person and week, and the people who punched on each day.

It follows the stream of punches in batches. Web and worker do this whenever they read or publish days. The script
updates the position together with the index, so two processes may do this at once. Days are in UTC, and weeks are
counted from 1970. The day that a punch belongs to is only determined when it is read, by the settings at that time.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.attendance.rules import Mark, day_of, site
from app.base.ids import is_entry
from app.base.vault import Vault
from app.events.flatten import punch_id
from app.store.devices.registry import Devices
from app.store.events.unreadable import EventReader
from app.store.intake.punch_fields import punch_field, split_punch_field
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number, readable
from app.store.server.keys import Shard

log = logging.getLogger("relay.attendance")

DAY = 86_400
WEEK = 7 * DAY
GATHER_MS = 5_000
_BATCH = 200  # keeps one script call short
_MOST_OVERTAKEN = 5
_SEPARATOR = "\x1f"
_ESCAPE = "\x7f"
_ESCAPES = {code: f"{_ESCAPE}{chr(code + 0x40)}" for code in range(0x20)} | {0x7F: _ESCAPE * 2}
_PLAIN = {text: chr(code) for code, text in _ESCAPES.items()}
_ESCAPED = re.compile(f"{_ESCAPE}[@-_{_ESCAPE}]")
# In a store from before the view existed, only changes of the last minutes are published, not a whole month.
_TOLD_BEFORE_MS = 600_000
_CODES = {"in": "i", "out": "o"}
_DIRECTIONS = {code: direction for direction, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """A punch of the stream: its entry, its user, its time (as in the event), and its mark in the index.

    `place` is 2 for the second punch of one instant.
    """

    entry: str
    user_id: str
    when: dict[str, str]
    mark: Mark
    place: int

    def is_since(self, since: int) -> bool:
        """Return whether it was received at that time (ms) or later."""
        return int(self.entry.partition("-")[0]) >= since


def pair(user_id: str, device_id: str) -> str:
    """Return a member of a day: the user and the device. Sorts by user.

    Control characters in a user ID are escaped, so that none is mistaken for the separator or sorts before it.
    """
    written = user_id if user_id.isprintable() else user_id.translate(_ESCAPES)
    return f"{written}{_SEPARATOR}{device_id}"


def split_pair(member: str) -> tuple[str, str]:
    user_id, _, device_id = member.rpartition(_SEPARATOR)
    if _ESCAPE in user_id:
        user_id = _ESCAPED.sub(lambda found: _PLAIN[found[0]], user_id)
    return user_id, device_id


def told_field(vault: Vault, user_id: str, employee_id: str) -> str:
    """Return the field for an employee's published day, if several people have the user ID."""
    return pair(user_id, vault.digest("employee", employee_id))


def changed_day(day: str, user_id: str) -> str:
    """Return a member of the set of changed days."""
    return f"{day}{_SEPARATOR}{user_id}"


def split_changed(member: str) -> tuple[str, str]:
    day, _, user_id = member.partition(_SEPARATOR)
    return day, user_id


def weeks(first: int, last: int) -> range:
    """Return the weeks of the instants from `first` to before `last`."""
    return range(first // WEEK, (last - 1) // WEEK + 1)


def days(first: int, last: int) -> range:
    """Return the days in UTC, in the same way."""
    return range(first // DAY, (last - 1) // DAY + 1)


def read_mark(field: bytes, value: bytes) -> tuple[int, Mark]:
    """Read a week's field: when the punch was received (ms), and its mark."""
    device_id, _, punch = field.decode().rpartition(" ")
    at, _ = split_punch_field(punch)
    entry, offset, code = value.decode().split(" ")
    received = int(entry.partition("-")[0])
    return received, Mark(at, int(offset), device_id, _DIRECTIONS.get(code))


def as_punch(entry: str, event: dict[str, Any]) -> Found:
    """Return a punch with its mark. Raises ValueError and similar errors for values that can't be used."""
    at = datetime.fromisoformat(event["occurred_at"])
    offset = at.utcoffset()
    mark = Mark(
        at=int(at.timestamp()),
        offset=int(offset.total_seconds()) if offset else 0,
        device_id=event["device_id"],
        direction=event["direction"],
    )
    when = {name: event[name] for name in ("occurred_at", "occurred_at_utc")}
    is_first = event["punch_id"] == punch_id(event["device_id"], event["user_id"], at)
    return Found(entry, event["user_id"], when, mark, 1 if is_first else 2)


class AttendanceIndex:
    """Updates the index."""

    def __init__(
        self,
        connection: Connection,
        devices: Devices,
        reader: EventReader,
        look: Callable[[Shard, list[Found]], None],
    ) -> None:
        """`look` gets each punch before it is indexed, at least once."""
        self._connection = connection
        self._devices = devices
        self._reader = reader
        self._look = look
        self._add = connection.script("attendance_index")
        self._bodies = connection.script("bodies")
        self._rules = connection.settings.attendance_rules
        self._keep = connection.settings.retention_days * DAY + WEEK

    def catch_up(self, batches: int = 2) -> int:
        """Index new punches, at most this many batches per shard; return how many."""
        return sum(self._catch_up_shard(shard, batches) for shard in self._connection.shards)

    def latest(self) -> dict[str, tuple[int, int]]:
        """Return the time of each device's latest punch (s), and its offset from UTC in seconds."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hgetall(shard.attendance_latest)
        found: dict[str, tuple[int, int]] = {}
        for kept in readable(pipeline.execute(raise_on_error=False), ({},)):
            for device_id, value in kept.items():
                with left_out("a device's latest punch"):
                    at, offset = value.split()
                    found[device_id.decode()] = int(at), int(offset)
        return found

    def _catch_up_shard(self, shard: Shard, batches: int) -> int:
        taken, overtaken = 0, 0
        while batches and overtaken < _MOST_OVERTAKEN:
            entries, last, since = self._next(shard)
            if not entries:
                break
            found = list(self._punches(shard, entries))
            fresh = [punch for punch in found if punch.is_since(since)]
            self._look(shard, fresh)
            if not self._store(shard, last, entries[-1], found, fresh):
                overtaken += 1  # by another process, which may have read fewer entries
                continue
            taken += len(entries)
            batches -= 1
            if len(entries) < _BATCH:
                break
        return taken

    def _next(self, shard: Shard) -> tuple[list[str], str, int]:
        """Return the next entries, the one before them, and the time (ms) from which changes are published."""
        client = self._connection.redis
        at, since = client.hmget(shard.attendance, "at", "since")
        if since is None:
            client.hsetnx(shard.attendance, "since", int(time.time() * 1000) - _TOLD_BEFORE_MS)
            since = client.hget(shard.attendance, "since")
        last = (at or b"0-0").decode(errors="replace")
        if at is not None and not is_entry(last):
            log.error(
                "the position of the attendance index is damaged (%.40r): all punches are indexed again", last
            )
            client.hdel(shard.attendance, "at")
            last = "0-0"
        rows = client.xrange(shard.by_type("attendance.punch"), f"({last}", "+", count=_BATCH)
        return [entry.decode() for entry, _ in rows], last, int(number(since))

    def _punches(self, shard: Shard, entries: list[str]) -> Iterator[Found]:
        """Return the punches of entries, except those from a clock that can't be trusted."""
        for entry, stored in zip(entries, self._bodies(keys=[shard.events], args=entries), strict=True):
            event = self._reader.read(shard, entry, stored[0]) if stored else None
            if event is not None and not event["clock_suspect"]:
                try:
                    yield as_punch(entry, event)
                except (ValueError, LookupError, TypeError, OverflowError):
                    self._reader.note(shard, entry)

    def _store(self, shard: Shard, last: str, newest: str, found: list[Found], fresh: list[Found]) -> bool:
        keys: dict[str, int] = {}
        latest: dict[str, Mark] = {}
        for punch in found:
            known = latest.get(punch.mark.device_id)
            if known is None or known.at <= punch.mark.at:
                latest[punch.mark.device_id] = punch.mark
        arguments: list[Any] = [last, newest, self._keep, len(found), len(latest)]

        def place(key: str) -> int:
            return keys.setdefault(key, len(keys) + 4)

        for punch in found:
            mark = punch.mark
            arguments += (
                place(shard.attendance_week(punch.user_id, mark.at // WEEK)),
                f"{mark.device_id} {punch_field(mark.at, punch.place)}",
                f"{punch.entry} {mark.offset} {_CODES.get(mark.direction or '', '-')}",
                place(shard.attendance_day(mark.at // DAY)),
                pair(punch.user_id, mark.device_id),
            )
        for device_id, mark in latest.items():
            arguments += (device_id, mark.at, mark.offset)
        due = int(time.time() * 1000) + GATHER_MS
        for member in self._changed((punch.user_id, punch.mark) for punch in fresh):
            arguments += (due, member)
        own = [shard.attendance, shard.attendance_changed, shard.attendance_latest]
        return bool(self._add(keys=[*own, *keys], args=arguments))

    def mark_changed(self, shard: Shard, user_id: str, marks: list[Mark]) -> None:
        """Have the days looked at again that a user's punches affect, because they were corrected."""
        due = int(time.time() * 1000) + GATHER_MS
        members: dict[Any, int] = dict.fromkeys(self._changed((user_id, mark) for mark in marks), due)
        if members:
            self._connection.redis.zadd(shard.attendance_changed, members, lt=True)

    def _changed(self, punches: Iterable[tuple[str, Mark]]) -> Iterator[str]:
        """Return the days that punches affect: each may end a shift of the day before; late ones affect the next."""
        punches = list(punches)
        timezones = self._devices.timezones({mark.device_id for _, mark in punches})
        changed: dict[str, None] = {}
        for user_id, mark in punches:
            zone = site(timezones.get(mark.device_id), mark.offset).zone
            day = day_of(mark.at, zone, self._rules)
            around = [day, day - timedelta(days=1)]
            if day < day_of(int(time.time()), zone, self._rules):
                around.append(day + timedelta(days=1))
            changed |= dict.fromkeys(changed_day(one.isoformat(), user_id) for one in around)
        yield from changed
