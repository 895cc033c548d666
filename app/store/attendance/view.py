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

from app.attendance.corrections import Correction, latest
from app.attendance.employees import Employee
from app.attendance.rules import (
    COLUMNS,
    READ_AFTER,
    READ_BEFORE,
    Mark,
    Site,
    by_day,
    day_of,
    empty_summary,
    site,
    summary,
    window,
)
from app.base.natural_order import NaturalKey, natural_key
from app.base.yielding import in_turns
from app.store.archiving.past import Past
from app.store.attendance.correction_records import CorrectionRecords
from app.store.attendance.index import AttendanceIndex, days, split_pair
from app.store.attendance.marks import Punches, StoredMarks
from app.store.devices.registry import Devices, Person
from app.store.devices.simulated import SimulatedIds
from app.store.people.names import People, person
from app.store.server.connection import Connection
from app.store.server.damage import left_out
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


class _PersonHere(NamedTuple):
    """One of the people with a user ID: their punches as corrected and, if some were corrected, as reported."""

    employee: Employee | None
    corrected: list[tuple[Mark, Site]]
    reported: list[tuple[Mark, Site]]


class DayPunch(NamedTuple):
    """A punch of a day: as it counts or, if it doesn't, as it was reported; and the latest correction of it."""

    punch_id: str
    mark: Mark
    place: Site
    correction: Correction | None


class OpenDay(NamedTuple):
    """A row, the end of its day (seconds since 1970), and whether its devices are named in the list of employees."""

    row: Row
    ends: int
    by_device: bool


class Attendance:
    """Reads people's days."""

    def __init__(
        self,
        connection: Connection,
        devices: Devices,
        people: People,
        index: AttendanceIndex,
        past: Past,
        corrections: CorrectionRecords,
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._known = people
        self._index = index
        self._past = past
        self._corrections = corrections
        self._marks = StoredMarks(connection, past, corrections)
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

    def punches(self, user_id: str, day: date, sites: Sites = ALL_SITES) -> list[DayPunch]:
        """Return the punches that belong to a user's day, also those that were excluded or moved, by time."""
        self._index.catch_up()
        begin, end = window(day, day, self._zone(sites), self._rules)
        marks = {user_id: self._marks.with_ids(user_id, begin - READ_BEFORE, end + READ_AFTER)}
        in_effect = latest(self._corrections.of([user_id]).get(user_id, ()))
        found: dict[str, DayPunch] = {}
        for _, people in self._people_here([user_id], marks, sites):
            for here in people:
                for part in (here.reported, here.corrected):
                    for mark, place in by_day(part, self._rules).get(day, ()):
                        name = mark.punch_id or ""
                        found[name] = DayPunch(name, mark, place, in_effect.get(name))
        return sorted(found.values(), key=lambda one: (one.mark.at, one.punch_id))

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
        """Return how many people punched on each day, or were corrected: this changes with somebody new."""
        keys = (shard.attendance_day(day) for shard in self._connection.shards for day in days(first, last))
        answers = asked(self._connection.redis, keys, lambda pipeline, key: pipeline.zcard(key))
        return (*(count for _, count in answers), self._corrections.count())

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
        # Somebody whose punches were all added is in no day. Whoever has no punch then gets no row.
        found.update(self._corrections.user_ids())
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
        marks = self._marks.read(people, begin - READ_BEFORE, end + READ_AFTER)
        now = time.time()
        for user_id, found in self._people_here(people, marks, sites):
            rows = [
                {"user_id": user_id, "employee": here.employee, **row}
                for here in found
                for row in self._rows(here, first, last, now)
            ]
            if rows:
                yield user_id, sorted(rows, key=_by_date)

    def _people_here(
        self, user_ids: list[str], marks: dict[str, Punches], sites: Sites
    ) -> Iterator[tuple[str, list[_PersonHere]]]:
        """Yield the people behind each user ID, with their punches."""
        devices = {
            user_id: {mark.device_id for part in found for mark in part} for user_id, found in marks.items()
        }
        records = self._devices.records(set().union(*devices.values()))
        timezones = {device_id: record["timezone"] for device_id, record in records.items()}
        employees = self._known.employees(
            (user_id, device_id) for user_id, found in devices.items() for device_id in found
        )
        known_sites: dict[tuple[int, str], Site] = {}
        for user_id in in_turns(user_ids):
            people: dict[str | None, _PersonHere] = {}
            for is_reported, part in enumerate(marks.get(user_id, ())):
                for mark in part:
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
                        here = people.setdefault(who, _PersonHere(employee, [], []))
                        (here.reported if is_reported else here.corrected).append((mark, place))
            yield user_id, list(people.values())

    def _rows(self, here: _PersonHere, first: date, last: date, now: float) -> Iterator[Row]:
        """Yield a person's rows. A day whose punches were all excluded or moved has a row without times."""
        days = by_day(here.corrected, self._rules)
        former = by_day(here.reported, self._rules) if here.reported else {}
        for day in days.keys() | former.keys():
            if not first <= day <= last:
                continue
            pairs = [*days.get(day, ()), *former.get(day, ())]
            corrected = {mark.punch_id for mark, _ in pairs} - {None}
            if day in days:
                row = summary(day, days[day], self._rules, now)
            else:
                row = empty_summary(day, former[day][0][1], self._rules, now)
            devices = {mark.device_id for mark, _ in pairs} if day not in days else set()
            yield {**row, "correction_count": len(corrected), "device_ids": devices}

    # Names

    def _named(self, rows: list[Row]) -> list[Row]:
        """Return the rows with names, and their columns in order."""
        on_device: dict[str, set[str]] = {}
        devices_of: dict[tuple[str, Employee | None], list[str]] = {}
        for row in rows:
            known = devices_of.setdefault((row["user_id"], row["employee"]), [])
            for device_id in (row["first_in_device_id"], row["last_out_device_id"], *row["device_ids"]):
                if device_id is not None:
                    on_device.setdefault(device_id, set()).add(row["user_id"])
                    known.append(device_id)
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
