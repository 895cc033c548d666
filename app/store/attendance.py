"""The attendance view: people's days, made of their punches when asked for.

Nothing that is computed is kept, so a punch that comes late, a changed time zone or another start of the day shows at
once. Punches stay the truth.
"""

from __future__ import annotations

import heapq
import time
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby, islice
from typing import Any, NamedTuple

from app.attendance import COLUMNS, Mark, Site, day_of, site, summary, window
from app.store.attendance_index import AttendanceIndex, days, pair, read_mark, split_pair, weeks
from app.store.connection import Connection
from app.store.devices import Devices, Person
from app.store.people import People

_CHUNK = 500
# A file is made of about so many rows at a time: between them a web process answers others.
_FILE_ROWS = 200
# A page reads no more people than this to find its rows, however rare they are; its cursor goes on from there.
_SCAN_LIMIT = 2_000
# Sorts after every device's id.
_AFTER_DEVICES = "\x7f"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sites:
    """Only what these brought: the devices in a time zone, one device, or (both None) all."""

    timezone: str | None = None
    device_id: str | None = None

    def takes(self, device_id: str, timezones: Mapping[str, str]) -> bool:
        return self.device_id in (None, device_id) and self.timezone in (None, timezones.get(device_id))


ALL_SITES = Sites()


class DayPage(NamedTuple):
    """Rows of a day by user ID, and the user ID to go on from; None at the end."""

    rows: list[Row]
    next_cursor: str | None


class Attendance:
    """Reads people's days."""

    def __init__(
        self, connection: Connection, devices: Devices, people: People, index: AttendanceIndex
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._known = people
        self._index = index
        self._rules = connection.settings.attendance_rules
        self._keep_ms = connection.settings.retention_days * 86_400_000

    def day(self, day: date, sites: Sites = ALL_SITES, limit: int = 50, after: str | None = None) -> DayPage:
        """At most `limit` people who punched on a day, by user ID, from the one after `after` on."""
        self._index.catch_up()
        rows: list[Row] = []
        people = self._people(day, sites, after)
        scanned, size = 0, limit + 1
        while chunk := list(islice(people, size)):
            for user_id, found in self._days(chunk, day, day, sites):
                if len(rows) == limit:
                    return DayPage(self._named(rows), rows[-1]["user_id"])
                rows += ({"user_id": user_id, **row} for row in found)
            scanned, size = scanned + len(chunk), _CHUNK
            if scanned >= _SCAN_LIMIT:
                return DayPage(self._named(rows), chunk[-1])
        return DayPage(self._named(rows), None)

    def all(self, first: date, last: date, sites: Sites = ALL_SITES) -> Iterator[Row]:
        """Everybody's rows of some days, person by person."""
        self._index.catch_up()
        people = self._people_of(*window(first, last, self._zone(sites), self._rules), sites, None)
        size = max(10, _FILE_ROWS // ((last - first).days + 1))
        while chunk := list(islice(people, size)):
            yield from self._named(
                [
                    {"user_id": user_id, **row}
                    for user_id, found in self._days(chunk, first, last, sites)
                    for row in found
                ]
            )

    def month(self, user_id: str, year: int, month: int, sites: Sites = ALL_SITES) -> list[Row]:
        """A person's rows of a month, by date; days without a punch have none."""
        last = date(year, month, monthrange(year, month)[1])
        return self.person(user_id, date(year, month, 1), last, sites)

    def person(self, user_id: str, first: date, last: date, sites: Sites = ALL_SITES) -> list[Row]:
        """The same of any days, both inclusive."""
        self._index.catch_up()
        found = self._days([user_id], first, last, sites)
        return self._named([{"user_id": user_id, **row} for _, rows in found for row in rows])

    def today(self, sites: Sites = ALL_SITES) -> date:
        """The latest day that one of the sites has reached: of those that have sent punches, or else of all."""
        self._index.catch_up()
        latest = self._index.latest()
        timezones = self._devices.timezones(self._devices.ids())
        chosen = [device_id for device_id in timezones if sites.takes(device_id, timezones)]
        places = {
            (timezones[device_id], latest.get(device_id, (0, 0))[1])
            for device_id in [one for one in chosen if one in latest] or chosen
        }
        now = int(time.time())
        return max(day_of(now, site(*place).zone, self._rules) for place in places or {("UTC", 0)})

    def latest_day(self, sites: Sites = ALL_SITES) -> date | None:
        """The latest day with a punch; None where there is none that is still kept."""
        self._index.catch_up()
        latest = self._index.latest()
        timezones = self._devices.timezones(latest)
        oldest = time.time() - self._keep_ms / 1000
        return max(
            (
                day_of(at, site(timezones.get(device_id), offset).zone, self._rules)
                for device_id, (at, offset) in latest.items()
                if at >= oldest and sites.takes(device_id, timezones)
            ),
            default=None,
        )

    def open_day(self, user_id: str, day: date) -> tuple[Row, int] | None:
        """A person's row of a day, and when that day ends (seconds since 1970); None where there is no punch.

        Of what is in the index: who publishes changes has it taken in before.
        """
        for _, (row,) in self._days([user_id], day, day, ALL_SITES):
            return self._named([{"user_id": user_id, **row}])[0], row["day_ends"]
        return None

    # Who

    def _zone(self, sites: Sites) -> Any:
        return site(sites.timezone, 0).zone if sites.timezone not in (None, "UTC") else None

    def _people(self, day: date, sites: Sites, after: str | None) -> Iterator[str]:
        return self._people_of(*window(day, day, self._zone(sites), self._rules), sites, after)

    def _people_of(self, first: int, last: int, sites: Sites, after: str | None) -> Iterator[str]:
        """Who punched in that time, in the order of their IDs."""
        runs = [
            self._walk(shard.attendance_day(day), after)
            for shard in self._connection.shards
            for day in days(first, last)
        ]
        timezones = self._devices.timezones(self._devices.ids()) if sites.timezone else {}
        for user_id, pairs in groupby(heapq.merge(*runs), key=lambda found: found[0]):
            if any(sites.takes(device_id, timezones) for _, device_id in pairs):
                yield user_id

    def _walk(self, key: str, after: str | None) -> Iterator[tuple[str, str]]:
        least = "-" if after is None else f"({pair(after, _AFTER_DEVICES)}"
        while True:
            found = self._connection.redis.zrangebylex(key, least, "+", start=0, num=_CHUNK)
            yield from (split_pair(member.decode()) for member in found)
            if len(found) < _CHUNK:
                return
            least = f"({found[-1].decode()}"

    # When

    def _days(
        self, people: list[str], first: date, last: date, sites: Sites
    ) -> Iterator[tuple[str, list[Row]]]:
        """Each person's rows, by date; without those who have none."""
        begin, end = window(first, last, self._zone(sites), self._rules)
        marks = self._marks(people, begin, end)
        timezones = self._devices.timezones({mark.device_id for found in marks.values() for mark in found})
        known_sites: dict[tuple[int, str], Site] = {}
        now = time.time()
        for user_id in people:
            by_day: dict[date, list[tuple[Mark, Site]]] = {}
            for mark in marks.get(user_id, ()):
                place = known_sites.get(mark[1:3])
                if place is None:
                    place = known_sites[mark[1:3]] = site(timezones.get(mark.device_id), mark.offset)
                day = day_of(mark.at, place.zone, self._rules)
                if first <= day <= last and sites.takes(mark.device_id, timezones):
                    by_day.setdefault(day, []).append((mark, place))
            if by_day:
                yield user_id, [summary(day, by_day[day], self._rules, now) for day in sorted(by_day)]

    def _marks(self, people: Iterable[str], begin: int, end: int) -> dict[str, list[Mark]]:
        """What people left from `begin` to before `end`, within the retention."""
        asked = [
            (user_id, shard.attendance_week(user_id, week))
            for user_id in people
            for shard in self._connection.shards
            for week in weeks(begin, end)
        ]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for _, key in asked:
            pipeline.hgetall(key)
        oldest = int(time.time() * 1000) - self._keep_ms
        found: dict[str, list[Mark]] = {}
        for (user_id, _), fields in zip(asked, pipeline.execute(), strict=True):
            for field, value in fields.items():
                if begin <= int(field.rpartition(b" ")[2]) < end:
                    received, mark = read_mark(field, value)
                    if received >= oldest:
                        found.setdefault(user_id, []).append(mark)
        return found

    # Names

    def _named(self, rows: list[Row]) -> list[Row]:
        """The rows with names, their columns in order."""
        on_device: dict[str, set[str]] = {}
        for row in rows:
            for device_id in _devices_of(row):
                on_device.setdefault(device_id, set()).add(row["user_id"])
        found = ((self._devices.get(device_id), user_ids) for device_id, user_ids in on_device.items())
        places = [(device, user_ids) for device, user_ids in found if device is not None]
        people = self._known.everywhere({row["user_id"] for row in rows}, places)
        return [_in_order(row, people[row["user_id"]]) for row in rows]


def _devices_of(row: Row) -> set[str]:
    return {row["first_in_device_id"], row["last_out_device_id"]} - {None}


def _in_order(row: Row, person: Person) -> Row:
    row = {**row, "user_name": person.name, "employee_id": person.employee_id}
    return {name: row[name] for name in COLUMNS}
