"""The index behind the attendance view: who punched when, by person and week, and who did on a day.

It follows the stream of punches, a batch at a time; whoever reads or publishes days does that, web and worker alike.
The script moves the position together with what it writes, so that two who do it at once do no harm. Days here are of
UTC and weeks of 1970's: what day a punch belongs to is decided when it is read, by the settings of then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from app.attendance import Mark, day_of, site
from app.store.connection import Connection
from app.store.devices import Devices
from app.store.keys import Shard

DAY = 86_400
WEEK = 7 * DAY
GATHER_MS = 5_000
_BATCH = 200  # keeps one script call short
_SEPARATOR = "\x1f"
# Of a store that was there before the view was, only changes of the last minutes are told: not a month at once.
_TOLD_BEFORE_MS = 600_000
_CODES = {"in": "i", "out": "o"}
_DIRECTIONS = {code: direction for direction, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """A punch of the stream: its entry, whose it is, when it was (as in its event), and the mark it leaves."""

    entry: str
    user_id: str
    when: dict[str, str]
    mark: Mark

    def is_since(self, since: int) -> bool:
        """Whether it came at that time (ms) or later."""
        return int(self.entry.partition("-")[0]) >= since


def pair(user_id: str, device_id: str) -> str:
    """A member of a day: who, and on which device. Sorts by user."""
    return f"{user_id}{_SEPARATOR}{device_id}"


def split_pair(member: str) -> tuple[str, str]:
    user_id, _, device_id = member.rpartition(_SEPARATOR)
    return user_id, device_id


def changed_day(day: str, user_id: str) -> str:
    """A member of what changed."""
    return f"{day}{_SEPARATOR}{user_id}"


def split_changed(member: str) -> tuple[str, str]:
    day, _, user_id = member.partition(_SEPARATOR)
    return day, user_id


def weeks(first: int, last: int) -> range:
    """The weeks of the instants from `first` to before `last`."""
    return range(first // WEEK, (last - 1) // WEEK + 1)


def days(first: int, last: int) -> range:
    """The same, of days in UTC."""
    return range(first // DAY, (last - 1) // DAY + 1)


def read_mark(field: bytes, value: bytes) -> tuple[int, Mark]:
    """When the punch came (ms), and the mark, of a week's field."""
    device_id, _, at = field.decode().rpartition(" ")
    entry, offset, code = value.decode().split(" ")
    received = int(entry.partition("-")[0])
    return received, Mark(int(at), int(offset), device_id, _DIRECTIONS.get(code))


class AttendanceIndex:
    """Keeps the index up to date."""

    def __init__(
        self, connection: Connection, devices: Devices, look: Callable[[Shard, list[Found]], None]
    ) -> None:
        """`look` is shown each punch before it is taken in: at least once, that is."""
        self._connection = connection
        self._devices = devices
        self._look = look
        self._add = connection.script("attendance_index")
        self._bodies = connection.script("bodies")
        self._rules = connection.settings.attendance_rules
        self._keep = connection.settings.retention_days * DAY + WEEK

    def catch_up(self, batches: int = 2) -> int:
        """Takes in what came since, at most so many batches of each shard; how many punches."""
        return sum(self._catch_up_shard(shard, batches) for shard in self._connection.shards)

    def latest(self) -> dict[str, tuple[int, int]]:
        """When each device's latest punch was (s), and the seconds from UTC that it came with."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hgetall(shard.attendance_latest)
        return {
            device_id.decode(): (int(at), int(offset))
            for kept in pipeline.execute()
            for device_id, (at, offset) in ((device_id, value.split()) for device_id, value in kept.items())
        }

    def _catch_up_shard(self, shard: Shard, batches: int) -> int:
        taken = 0
        for _ in range(batches):
            entries, last, since = self._next(shard)
            if not entries:
                break
            found = list(self._punches(shard, entries))
            fresh = [punch for punch in found if punch.is_since(since)]
            self._look(shard, fresh)
            if self._store(shard, last, entries[-1], found, fresh):
                taken += len(entries)
            if len(entries) < _BATCH:
                break
        return taken

    def _next(self, shard: Shard) -> tuple[list[str], str, int]:
        """The next entries, the one before them, and since when (ms) changes are told."""
        client = self._connection.redis
        at, since = client.hmget(shard.attendance, "at", "since")
        if since is None:
            client.hsetnx(shard.attendance, "since", int(time.time() * 1000) - _TOLD_BEFORE_MS)
            since = client.hget(shard.attendance, "since")
        last = (at or b"0-0").decode()
        rows = client.xrange(shard.by_type("attendance.punch"), f"({last}", "+", count=_BATCH)
        return [entry.decode() for entry, _ in rows], last, int(since)

    def _punches(self, shard: Shard, entries: list[str]) -> Iterator[Found]:
        """The punches of entries, but for those of a clock that is not to be trusted."""
        for entry, stored in zip(entries, self._bodies(keys=[shard.events], args=entries), strict=True):
            event: dict[str, Any] = orjson.loads(stored[0]) if stored else {"clock_suspect": True}
            if not event["clock_suspect"]:
                at = datetime.fromisoformat(event["occurred_at"])
                offset = at.utcoffset()
                mark = Mark(
                    at=int(at.timestamp()),
                    offset=int(offset.total_seconds()) if offset else 0,
                    device_id=event["device_id"],
                    direction=event["direction"],
                )
                when = {name: event[name] for name in ("occurred_at", "occurred_at_utc")}
                yield Found(entry, event["user_id"], when, mark)

    def _store(self, shard: Shard, last: str, newest: str, found: list[Found], fresh: list[Found]) -> bool:
        keys: dict[str, int] = {}
        latest: dict[str, Mark] = {}
        for punch in found:
            known = latest.get(punch.mark.device_id)
            if known is None or known.at <= punch.mark.at:
                latest[punch.mark.device_id] = punch.mark
        arguments: list[Any] = [last, newest, self._keep, len(found), len(latest)]

        def number(key: str) -> int:
            return keys.setdefault(key, len(keys) + 4)

        for punch in found:
            mark = punch.mark
            arguments += (
                number(shard.attendance_week(punch.user_id, mark.at // WEEK)),
                f"{mark.device_id} {mark.at}",
                f"{punch.entry} {mark.offset} {_CODES.get(mark.direction or '', '-')}",
                number(shard.attendance_day(mark.at // DAY)),
                pair(punch.user_id, mark.device_id),
            )
        for device_id, mark in latest.items():
            arguments += (device_id, mark.at, mark.offset)
        due = int(time.time() * 1000) + GATHER_MS
        for member in self._changed(fresh):
            arguments += (due, member)
        own = [shard.attendance, shard.attendance_changed, shard.attendance_latest]
        return bool(self._add(keys=[*own, *keys], args=arguments))

    def _changed(self, fresh: list[Found]) -> Iterator[str]:
        """The days that punches belong to."""
        timezones = self._devices.timezones({punch.mark.device_id for punch in fresh})
        yield from dict.fromkeys(
            changed_day(
                day_of(
                    punch.mark.at,
                    site(timezones.get(punch.mark.device_id), punch.mark.offset).zone,
                    self._rules,
                ).isoformat(),
                punch.user_id,
            )
            for punch in fresh
        )
