"""The attendance view: people's days, computed from their punches on request.

Computed days aren't stored, so a late punch, a changed time zone or another start of the day has an effect at once.
The punches remain the source.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import Any, NamedTuple

from app.attendance.employees import Employee
from app.attendance.rules import (
    COLUMNS,
    READ_AFTER,
    READ_BEFORE,
    Mark,
    Site,
    by_day,
    day_of,
    site,
    summary,
    window,
)
from app.base.natural_order import NaturalKey, natural_key
from app.base.yielding import in_turns
from app.store.archiving.past import Past
from app.store.attendance.index import AttendanceIndex, days, read_mark, split_pair, weeks
from app.store.devices.registry import Devices, Person
from app.store.devices.simulated import SimulatedIds
from app.store.intake.punch_fields import punch_field
from app.store.people.names import People, person
from app.store.server.connection import Connection
from app.store.server.damage import left_out, readable
from app.store.server.pipelines import asked

_CHUNK = 500
# A file is made of about this many rows at a time; in between, a web process answers other requests.
_FILE_ROWS = 200
# A page reads at most this many people to find its rows, however rare they are. Its cursor continues from there.
_SCAN_LIMIT = 2_000
# The counts that show whether somebody is new don't change if one person was erased and another one came.
_SORTED_SECONDS = 60

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sites:
    """Selects punches by their devices: those in a time zone, some devices, or (with neither) all.

    `left_out` are the devices to leave out. `employee_id` selects the devices on which the list of employees
    has this ID for the user ID.
    """

    timezone: str | None = None
    device_ids: tuple[str, ...] = ()
    left_out: SimulatedIds | None = None
    employee_id: str | None = None

    def takes(self, device_id: str, timezones: Mapping[str, str]) -> bool:
        if self.left_out is not None and device_id in self.left_out:
            return False
        if self.device_ids and device_id not in self.device_ids:
            return False
        return self.timezone in (None, timezones.get(device_id))


ALL_SITES = Sites()


class DayPage(NamedTuple):
    """A day's rows, sorted by user ID, and the user ID to continue from; None at the end."""

    rows: list[Row]
    next_cursor: str | None


class OpenDay(NamedTuple):
    """A row, the end of its day (seconds since 1970), and whether its devices are named in the list of employees."""

    row: Row
    ends: int
    by_device: bool


class Attendance:
    """Reads people's days."""

    def __init__(
        self, connection: Connection, devices: Devices, people: People, index: AttendanceIndex, past: Past
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._known = people
        self._index = index
        self._past = past
        self._rules = connection.settings.attendance_rules
        self._keep_ms = connection.settings.retention_days * 86_400_000
        self._sorted: tuple[Any, list[NaturalKey], float] | None = None

    def day(self, day: date, sites: Sites = ALL_SITES, limit: int = 50, after: str | None = None) -> DayPage:
        """Return at most `limit` people who punched on a day, sorted by user ID, from the one after `after`."""
        self._index.catch_up()
        rows: list[Row] = []
        people = iter(self._people(day, sites, after))
        scanned, size = 0, limit + 1
        while chunk := list(islice(people, size)):
            for _, found in self._days(chunk, day, day, sites):
                # Several people with one user ID are never split: with a limit of 1, there may be more rows.
                if rows and len(rows) + len(found) > limit:
                    return DayPage(self._named(rows), rows[-1]["user_id"])
                rows += found
            scanned, size = scanned + len(chunk), _CHUNK
            if scanned >= _SCAN_LIMIT:
                return DayPage(self._named(rows), chunk[-1])
        return DayPage(self._named(rows), None)

    def all(self, first: date, last: date, sites: Sites = ALL_SITES) -> Iterator[Row]:
        """Yield everybody's rows of some days, person by person."""
        self._index.catch_up()
        people = iter(self._people_of(*window(first, last, self._zone(sites), self._rules), sites, None))
        size = max(10, _FILE_ROWS // ((last - first).days + 1))
        while chunk := list(islice(people, size)):
            yield from self._named(
                [row for _, found in self._days(chunk, first, last, sites) for row in found]
            )

    def month(self, user_id: str, year: int, month: int, sites: Sites = ALL_SITES) -> list[Row]:
        """Return a person's rows of a month, by date. Days without a punch have none."""
        last = date(year, month, monthrange(year, month)[1])
        return self.person(user_id, date(year, month, 1), last, sites)

    def person(self, user_id: str, first: date, last: date, sites: Sites = ALL_SITES) -> list[Row]:
        """Return a person's rows between two days, both inclusive."""
        return self.people([user_id], first, last, sites)

    def people(self, user_ids: Iterable[str], first: date, last: date, sites: Sites = ALL_SITES) -> list[Row]:
        """Return the rows of a few people between two days, both inclusive, person by person."""
        self._index.catch_up()
        found = self._days(sorted(user_ids, key=natural_key), first, last, sites)
        return self._named([row for _, rows in found for row in rows])

    def today(self, sites: Sites = ALL_SITES) -> date:
        """Return the latest date at any of the sites: of those that have sent punches, or else of all."""
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
        """Return the latest day with a punch; None if no punch is stored."""
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

    def open_days(self, user_id: str, day: date) -> list[OpenDay]:
        """Return the rows of a user ID on a day, one for each person.

        Uses the index as it is: publishing changes updates it before.
        """
        rows = [row for _, found in self._days([user_id], day, day, ALL_SITES) for row in found]
        return [
            OpenDay(
                shown, row["day_ends"], row["employee"] is not None and row["employee"].device_id is not None
            )
            for row, shown in zip(rows, self._named(rows), strict=True)
        ]

    # People

    def _zone(self, sites: Sites) -> Any:
        return site(sites.timezone, 0).zone if sites.timezone not in (None, "UTC") else None

    def _people(self, day: date, sites: Sites, after: str | None) -> list[str]:
        return self._people_of(*window(day, day, self._zone(sites), self._rules), sites, after)

    def _people_of(self, first: int, last: int, sites: Sites, after: str | None) -> list[str]:
        """Return the IDs of those who punched in that time, in natural order, from the one after `after`."""
        # Each page of a day needs this again, mostly with nobody new in between.
        asked_for = (first, last, sites, self._counts(first, last)) if sites.timezone is None else None
        known = self._sorted
        now = time.monotonic()
        if known is not None and known[0] == asked_for and now < known[2]:
            keys = known[1]
        else:
            keys = self._sorted_people(first, last, sites)
            self._sorted = None if asked_for is None else (asked_for, keys, now + _SORTED_SECONDS)
        start = 0 if after is None else bisect_right(keys, natural_key(after))
        return [user_id for _, user_id in keys[start:]]

    def _counts(self, first: int, last: int) -> tuple[int, ...]:
        """Return how many people punched on each day: this changes when somebody new punches."""
        keys = (shard.attendance_day(day) for shard in self._connection.shards for day in days(first, last))
        answers = asked(self._connection.redis, keys, lambda pipeline, key: pipeline.zcard(key))
        return tuple(count for _, count in answers)

    def _sorted_people(self, first: int, last: int, sites: Sites) -> list[NaturalKey]:
        timezones = self._devices.timezones(self._devices.ids()) if sites.timezone else {}
        stored = (
            split_pair(member.decode())
            for shard in self._connection.shards
            for day in days(first, last)
            for member in self._walk(shard.attendance_day(day))
        )
        pairs = chain(stored, self._past.people(first, last))
        found = {
            user_id for user_id, device_id in in_turns(pairs, _CHUNK) if sites.takes(device_id, timezones)
        }
        return sorted(map(natural_key, found))

    def _walk(self, key: str) -> Iterator[bytes]:
        least = "-"
        while True:
            found = self._connection.redis.zrangebylex(key, least, "+", start=0, num=_CHUNK)
            yield from found
            if len(found) < _CHUNK:
                return
            least = f"({found[-1].decode()}"

    # Days

    def _days(
        self, people: list[str], first: date, last: date, sites: Sites
    ) -> Iterator[tuple[str, list[Row]]]:
        """Return the rows of each user ID, by date, without user IDs that have none.

        Each row has its `employee`, or None. Devices on which the list of employees has different employee IDs for a
        user ID have different people.
        """
        begin, end = window(first, last, self._zone(sites), self._rules)
        # A shift of the day before may continue, and the day after may begin with the end of a shift.
        marks = self._marks(people, begin - READ_BEFORE, end + READ_AFTER)
        records = self._devices.records({mark.device_id for found in marks.values() for mark in found})
        timezones = {device_id: record["timezone"] for device_id, record in records.items()}
        employees = self._known.employees(
            (user_id, device_id)
            for user_id, found in marks.items()
            for device_id in {mark.device_id for mark in found}
        )
        known_sites: dict[tuple[int, str], Site] = {}
        now = time.time()
        for user_id in in_turns(people):
            people_here: dict[str | None, tuple[Employee | None, list[tuple[Mark, Site]]]] = {}
            for mark in marks.get(user_id, ()):
                place = known_sites.get(mark[1:3])
                if place is None:
                    own = records.get(mark.device_id, {})
                    place = site(own.get("timezone"), mark.offset, own.get("same_visit_seconds"))
                    known_sites[mark[1:3]] = place
                if sites.takes(mark.device_id, timezones):
                    employee = employees.get((user_id, mark.device_id))
                    who = employee.employee_id if employee else None
                    if sites.employee_id not in (None, who):
                        continue
                    people_here.setdefault(who, (employee, []))[1].append((mark, place))
            rows = [
                {"user_id": user_id, "employee": employee, **summary(day, found[day], self._rules, now)}
                for employee, placed in people_here.values()
                for found in (by_day(placed, self._rules),)
                for day in found
                if first <= day <= last
            ]
            if rows:
                yield user_id, sorted(rows, key=_by_date)

    def _marks(self, people: Iterable[str], begin: int, end: int) -> dict[str, list[Mark]]:
        """Return people's marks from `begin` to before `end`: those of the store, and older ones of the archive."""
        people = list(people)
        places = (
            (user_id, shard.attendance_week(user_id, week))
            for user_id in people
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
        found: dict[str, list[Mark]] = {}
        known: set[tuple[str, str]] = set()
        for (user_id, _), answer in answers:
            (fields,) = readable([answer], ({},))
            for field, value in fields.items():
                try:
                    received, mark = read_mark(field, value)
                except ValueError:  # damaged; the other punches are shown
                    continue
                if begin <= mark.at < end and received >= oldest:
                    known.add((user_id, field.decode()))
                    found.setdefault(user_id, []).append(mark)
        for punch in self._past.marks(people, begin, end):
            name = f"{punch.device_id} {punch_field(punch.at, punch.place)}"
            if (punch.user_id, name) not in known:  # or a correction isn't archived yet
                mark = Mark(punch.at, punch.utc_offset, punch.device_id, punch.direction)
                found.setdefault(punch.user_id, []).append(mark)
        return found

    # Names

    def _named(self, rows: list[Row]) -> list[Row]:
        """Return the rows with names, and their columns in order."""
        on_device: dict[str, set[str]] = {}
        devices_of: dict[tuple[str, Employee | None], list[str]] = {}
        for row in rows:
            for device_id in (row["first_in_device_id"], row["last_out_device_id"]):
                if device_id is not None:
                    on_device.setdefault(device_id, set()).add(row["user_id"])
                    devices_of.setdefault((row["user_id"], row["employee"]), []).append(device_id)
        found = []
        for device_id, user_ids in on_device.items():
            with left_out(f"device {device_id}"):
                device = self._devices.get(device_id)
                if device is not None:
                    found.append((device, user_ids))
        names = self._known.names(found)
        people = {
            who: person(who[1], next((names[who[0], one] for one in devices if (who[0], one) in names), None))
            for who, devices in devices_of.items()
        }
        return [_in_order(row, people[row["user_id"], row["employee"]]) for row in rows]


def _by_date(row: Row) -> tuple[str, str]:
    return row["date"], row["employee"].employee_id if row["employee"] else ""


def _in_order(row: Row, person: Person) -> Row:
    row = {**row, "user_name": person.name, "employee_id": person.employee_id}
    return {name: row[name] for name in COLUMNS}
