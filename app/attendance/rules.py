"""Computes a person's day from punches: first in, last out, hours. Pure; docs/attendance.md explains the rules."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from itertools import groupby, pairwise, takewhile
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

_MINUTES_A_DAY = 1_440
_DIRECTIONS = {"in": 0, None: 1, "out": 2}
# For local times: no time zone is further from UTC.
_WEST, _EAST = timedelta(hours=12), timedelta(hours=14)

# The columns of the view, in this order.
COLUMNS = (
    "date",
    "user_id",
    "user_name",
    "employee_id",
    "timezone",
    "first_in",
    "first_in_device_id",
    "last_out",
    "last_out_device_id",
    "worked_seconds",
    "worked_hours",
    "present_seconds",
    "present_hours",
    "punch_count",
    "missing_punch",
    "is_late",
    "late_seconds",
    "day_over",
    "correction_count",
)


@dataclass(frozen=True, slots=True)
class Rules:
    """When a day starts, and after when a first punch is late, in minutes after midnight; None: never late.

    `same_visit`: punches less than so many seconds apart count as one, because people put their finger down twice. A
    device can have its own (`Site`).
    `longest_shift`: an out up to so many seconds after an in may belong to its day, although another one has begun.
    """

    day_starts: int = 0
    late_after: int | None = None
    same_visit: int = 120
    longest_shift: int = 16 * 3_600


# Without directions, two punches further apart than this never belong to one night shift. Somebody who works ten hours
# is away for fourteen.
LONGEST_GAP = 13 * 3_600
# Without directions, somebody who was away for longer than this has begun another shift.
LONGEST_BREAK = 4 * 3_600
# An out this close to a punch shows that directions are reliable. If an in and an out are at one instant, a single
# punch this close to them shows which came first.
NEARBY = 2 * 86_400
# Night shifts of a day depend on punches within these times before and after it.
READ_BEFORE = 3 * 86_400
READ_AFTER = 2 * 86_400


class Mark(NamedTuple):
    """A punch in the view. `at` is in seconds since 1970, and `offset` is its offset from UTC in seconds.

    `punch_id` is set if the punch was corrected.
    """

    at: int
    offset: int
    device_id: str
    direction: str | None
    punch_id: str | None = None


class Site(NamedTuple):
    """The site of a device: its time zone, the zone's name, and the device's own `Rules.same_visit`, if any."""

    zone: tzinfo
    name: str
    same_visit: int | None = None


def site(timezone_name: str | None, offset: int, same_visit: int | None = None) -> Site:
    """Return the site of a device with this `timezone`.

    A device has UTC if its time zone was never set (None: the device was removed). Then the punch's own offset is
    used.
    """
    if timezone_name not in (None, "UTC"):
        return Site(ZoneInfo(timezone_name), timezone_name, same_visit)
    zone = timezone(timedelta(seconds=offset))
    name = "UTC" if offset == 0 else zone.tzname(None).removeprefix("UTC")
    return Site(zone, name, same_visit)


def _is_again(pair: tuple[Mark, Site], first: int, rules: Rules) -> bool:
    """Return whether a punch repeats the one at `first`. The device of the later punch decides."""
    mark, place = pair
    return mark.at - first < (rules.same_visit if place.same_visit is None else place.same_visit)


def day_of(at: int, zone: tzinfo, rules: Rules) -> date:
    """Return the day that an instant belongs to."""
    local = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
    return (local - timedelta(minutes=rules.day_starts)).date()


def window(first: date, last: date, zone: tzinfo | None, rules: Rules) -> tuple[int, int]:
    """Return the beginning and the end of days in seconds since 1970, in this time zone, or in any."""
    start = datetime.combine(first, time()) + timedelta(minutes=rules.day_starts)
    end = datetime.combine(last, time()) + timedelta(minutes=_MINUTES_A_DAY + rules.day_starts)
    if zone is not None:
        return int(start.replace(tzinfo=zone).timestamp()), int(end.replace(tzinfo=zone).timestamp())
    return (
        int((start - _EAST).replace(tzinfo=UTC).timestamp()),
        int((end + _WEST).replace(tzinfo=UTC).timestamp()),
    )


def by_day(marks: Iterable[tuple[Mark, Site]], rules: Rules) -> dict[date, list[tuple[Mark, Site]]]:
    """Return a person's punches by day, each day's in order.

    The punches that end the night shift of the day before belong to that day.
    """
    ordered = _ordered(marks)
    outs = [mark.at for mark, _ in ordered if mark.direction == "out"]
    days: dict[date, list[tuple[Mark, Site]]] = {}
    for pair in ordered:
        days.setdefault(day_of(pair[0].at, pair[1].zone, rules), []).append(pair)
    times = [mark.at for mark, _ in ordered]
    for day in sorted(days):
        before = days.get(day - timedelta(days=1))
        if not before:
            continue
        last = before[-1][0].at
        near = bisect_left(outs, last - NEARBY)
        if near < len(outs) and outs[near] <= last + NEARBY:
            ended = _end_by_direction(before, days[day], rules)
        else:
            ended = _end_by_time(ordered, times.index(days[day][0][0].at), days[day], rules)
        before += days[day][:ended]
        days[day] = days[day][ended:]
    return {day: found for day, found in days.items() if found}


def _end_by_direction(
    before: Sequence[tuple[Mark, Site]], marks: Sequence[tuple[Mark, Site]], rules: Rules
) -> int:
    """Return how many of a day's first punches end the shift of the day before.

    If the first punch of a day is an out, it ends that shift, if that day's last punch was an in. An in may follow at
    once, if somebody goes straight into the next shift.
    """
    began = before[-1][0].at
    visit = _visits(marks, rules)[0]
    left = list(takewhile(lambda pair: pair[0].direction == "out", visit))
    is_end = bool(left) and all(mark.direction == "in" for mark, _ in visit[len(left) :])
    if (
        is_end
        and before[-1][0].direction == "in"
        and not _is_again(left[0], began, rules)
        and left[-1][0].at <= began + rules.longest_shift
    ):
        return len(left)
    return 0


def _end_by_time(
    ordered: Sequence[tuple[Mark, Site]], first: int, marks: Sequence[tuple[Mark, Site]], rules: Rules
) -> int:
    """Return the same if no punch nearby is an out, so that only the times can show who works at night.

    Counted from the last long gap, an odd number of punches before the day's first one means that the person is at
    work. `ordered` are all punches, and `first` is the place of the day's first one.
    """
    times = [mark.at for mark, _ in ordered]
    gap = min(LONGEST_GAP, rules.longest_shift)
    start = first
    while start and times[start] - times[start - 1] <= gap:
        start -= 1
        if times[first] - times[start] > rules.longest_shift:
            return 0
    if len(_visits(ordered[start:first], rules)) % 2 == 0:
        return 0
    if _is_again(ordered[first], times[first - 1], rules):
        return 0
    visits = _visits(marks, rules)
    ended = 1
    # A break: back soon, and gone again before the shift gets too long.
    while (
        len(visits) >= ended + 2
        and visits[ended][0][0].at - visits[ended - 1][-1][0].at <= LONGEST_BREAK
        and visits[ended + 1][-1][0].at - times[start] <= rules.longest_shift
    ):
        ended += 2
    return sum(map(len, visits[:ended]))


def _visits(ordered: Iterable[tuple[Mark, Site]], rules: Rules) -> list[list[tuple[Mark, Site]]]:
    """Group punches into visits: each is less than `same_visit` after the first one of its group."""
    visits: list[list[tuple[Mark, Site]]] = []
    for pair in ordered:
        if visits and _is_again(pair, visits[-1][0][0].at, rules):
            visits[-1].append(pair)
        else:
            visits.append([pair])
    return visits


def _ordered(marks: Iterable[tuple[Mark, Site]]) -> list[tuple[Mark, Site]]:
    """Sort punches by time. With an out and an in at one instant, the out comes first if the punch before was an in.

    Somebody who goes straight from one job to the next leaves and arrives in the same second. If the latest single
    punch isn't nearby, the in comes first, so that a day doesn't depend on how many days are read before it.
    """
    ordered: list[tuple[Mark, Site]] = []
    single: int | None = None
    for at, found in groupby(sorted(marks, key=_order), key=lambda pair: pair[0].at):
        together = list(found)
        if len(together) == 1:
            single = at
        elif single is not None and at - single <= NEARBY and ordered[-1][0].direction == "in":
            together.sort(key=lambda pair: pair[0].direction != "out")
        ordered += together
    return ordered


def _order(pair: tuple[Mark, Site]) -> tuple[int, int]:
    return pair[0].at, _DIRECTIONS.get(pair[0].direction, 1)


def empty_summary(day: date, place: Site, rules: Rules, now: float) -> dict[str, Any]:
    """Return the row of a day whose punches were all excluded or moved to other days, in the form of `summary`."""
    ends = window(day, day, place.zone, rules)[1]
    return {
        **{name: None for name in COLUMNS if not name.startswith(("user_", "employee_"))},
        "date": day.isoformat(),
        "timezone": place.name,
        "punch_count": 0,
        "missing_punch": False,
        "day_over": now >= ends,
        "day_ends": ends,
    }


def summary(day: date, marks: Iterable[tuple[Mark, Site]], rules: Rules, now: float) -> dict[str, Any]:
    """Return a day's row without the person, and with `day_ends` in seconds since 1970.

    There must be at least one mark, and all must belong to that day, or end its shift on the next.

    First in and last out depend on time. The direction only matters for punches at one instant, and for a single
    punch.
    """
    ordered = _ordered(marks)
    first, last = ordered[0], ordered[-1]
    came: tuple[Mark, Site] | None = first
    went: tuple[Mark, Site] | None = last
    visits = _visits(ordered, rules)
    if len(visits) == 1:
        came, went = (None, last) if all(mark.direction == "out" for mark, _ in ordered) else (first, None)
    worked = went[0].at - came[0].at if came and went else None
    present = _present_seconds(ordered, rules)
    if worked is None or _is_too_long(visits, present is not None, rules):
        worked = present = None
    ends = window(day, day, first[1].zone, rules)[1]
    # A shift that hasn't ended may end on the next day.
    closes = ends
    if last[0].direction == "in":
        closes = max(ends, last[0].at + rules.longest_shift)
    elif last[0].direction is None and len(visits) % 2:
        closes = max(ends, last[0].at + min(LONGEST_GAP, rules.longest_shift))
    late = _late_seconds(came, day, rules)
    return {
        "date": day.isoformat(),
        "timezone": first[1].name,
        "first_in": _local(came),
        "first_in_device_id": came[0].device_id if came else None,
        "last_out": _local(went),
        "last_out_device_id": went[0].device_id if went else None,
        "worked_seconds": worked,
        "worked_hours": None if worked is None else round(worked / 3_600, 2),
        "present_seconds": present,
        "present_hours": None if present is None else round(present / 3_600, 2),
        "punch_count": len(ordered),
        "missing_punch": now >= closes and worked is None,
        "is_late": None if late is None else late > 0,
        "late_seconds": late,
        "day_over": now >= ends,
        "day_ends": closes,
    }


def _is_too_long(visits: Sequence[list[tuple[Mark, Site]]], alternates: bool, rules: Rules) -> bool:
    """Return whether a shift would be longer than `longest_shift`, so that a punch must be missing.

    If ins and outs alternate, a person is away after each second visit, and this time isn't limited. Otherwise, it
    isn't known when they were away, so the whole time counts. A time longer than `LONGEST_GAP` that doesn't begin with
    an in and end with an out may as well be the rest between two shifts, so it isn't counted as work, either.
    """
    if not rules.longest_shift:
        return False
    if not alternates and visits[-1][0][0].at - visits[0][-1][0].at > rules.longest_shift:
        return True
    for came, went in list(pairwise(visits))[:: 2 if alternates else 1]:
        is_certain = _has("in", came) and _has("out", went)
        limit = rules.longest_shift if is_certain else min(LONGEST_GAP, rules.longest_shift)
        if went[0][0].at - came[-1][0].at > limit:
            return True
    return False


def _has(direction: str, visit: Iterable[tuple[Mark, Site]]) -> bool:
    return any(mark.direction == direction for mark, _ in visit)


def _present_seconds(ordered: Sequence[tuple[Mark, Site]], rules: Rules) -> int | None:
    """Add up the time from each in to the next out; None unless ins and outs alternate, beginning with an in.

    A punch without a direction counts as the expected one. Of several punches in one visit, the first counts.
    """
    total = 0
    came: int | None = None
    latest: Mark | None = None
    for mark, place in _without_meaningless_directions(ordered):
        expected = "out" if came is not None else "in"
        is_again = latest is not None and _is_again((mark, place), latest.at, rules)
        if is_again and mark.direction in (None, latest and latest.direction):
            continue
        if mark.direction not in (None, expected):
            return None
        if came is None:
            came = mark.at
        else:
            total, came = total + mark.at - came, None
        latest = mark
    return total if came is None and latest is not None else None


def _without_meaningless_directions(ordered: Sequence[tuple[Mark, Site]]) -> Sequence[tuple[Mark, Site]]:
    """Replace each in and out of one device and instant by a punch without a direction, if there are only such pairs.

    Some machines send every punch as both.
    """
    directions: dict[tuple[int, str], set[str | None]] = {}
    for mark, _ in ordered:
        directions.setdefault((mark.at, mark.device_id), set()).add(mark.direction)
    if any(found != {"in", "out"} for found in directions.values()):
        return ordered
    return [(mark._replace(direction=None), place) for mark, place in ordered if mark.direction == "in"]


def _local(pair: tuple[Mark, Site] | None) -> str | None:
    """Return ISO 8601 at the site: `2026-11-24T09:01:44+05:30`."""
    return None if pair is None else datetime.fromtimestamp(pair[0].at, pair[1].zone).isoformat()


def _late_seconds(came: tuple[Mark, Site] | None, day: date, rules: Rules) -> int | None:
    if came is None or rules.late_after is None:
        return None
    # For a shift that begins after midnight, the hour counts from the start of its day.
    minutes = rules.day_starts + (rules.late_after - rules.day_starts) % _MINUTES_A_DAY
    local = datetime.fromtimestamp(came[0].at, came[1].zone).replace(tzinfo=None)
    late = local - datetime.combine(day, time()) - timedelta(minutes=minutes)
    return max(0, int(late.total_seconds()))
