"""A person's day made of punches: first in, last out, hours. Pure; the rules are told in docs/attendance.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

# The last punch is a going only where it is so much later than the first: people put their finger down twice.
_SAME_VISIT_SECONDS = 60
_MINUTES_A_DAY = 1_440
_DIRECTIONS = {"in": 0, None: 1, "out": 2}
# Of local times: no zone is further from UTC.
_WEST, _EAST = timedelta(hours=12), timedelta(hours=14)

# What a row of the view shows, in this order.
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
    "punch_count",
    "missing_punch",
    "is_late",
    "late_seconds",
    "day_over",
)


@dataclass(frozen=True, slots=True)
class Rules:
    """When a day starts and from when on a first punch is late, in minutes after midnight; None: never late."""

    day_starts: int = 0
    late_after: int | None = None


class Mark(NamedTuple):
    """A punch as the view keeps it. `at` in seconds since 1970, `offset` the seconds from UTC that it came with."""

    at: int
    offset: int
    device_id: str
    direction: str | None


class Site(NamedTuple):
    """Where a device stands: its time zone and what to call it."""

    zone: tzinfo
    name: str


def site(timezone_name: str | None, offset: int) -> Site:
    """The site of a device with this `timezone`.

    UTC is what a device has that nobody told its zone of (None: the device was removed): then the offset that its
    punch came with is taken.
    """
    if timezone_name not in (None, "UTC"):
        return Site(ZoneInfo(timezone_name), timezone_name)
    zone = timezone(timedelta(seconds=offset))
    return Site(zone, "UTC" if offset == 0 else zone.tzname(None).removeprefix("UTC"))


def day_of(at: int, zone: tzinfo, rules: Rules) -> date:
    """The day that an instant belongs to."""
    local = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
    return (local - timedelta(minutes=rules.day_starts)).date()


def window(first: date, last: date, zone: tzinfo | None, rules: Rules) -> tuple[int, int]:
    """The seconds since 1970 from which, and before which, the days lie: in this zone, or in any."""
    start = datetime.combine(first, time()) + timedelta(minutes=rules.day_starts)
    end = datetime.combine(last, time()) + timedelta(minutes=_MINUTES_A_DAY + rules.day_starts)
    if zone is not None:
        return int(start.replace(tzinfo=zone).timestamp()), int(end.replace(tzinfo=zone).timestamp())
    return (
        int((start - _EAST).replace(tzinfo=UTC).timestamp()),
        int((end + _WEST).replace(tzinfo=UTC).timestamp()),
    )


def summary(day: date, marks: Iterable[tuple[Mark, Site]], rules: Rules, now: float) -> dict[str, Any]:
    """A day's row, but for who it is; beside its columns `day_ends`, in seconds since 1970.

    There is at least one mark, and all are of that day.

    First in and last out go by time; direction decides only between punches of one instant, and what a lone punch is.
    """
    ordered = sorted(marks, key=lambda pair: (pair[0].at, _DIRECTIONS.get(pair[0].direction, 1)))
    first, last = ordered[0], ordered[-1]
    came: tuple[Mark, Site] | None = first
    went: tuple[Mark, Site] | None = last
    if last[0].at - first[0].at < _SAME_VISIT_SECONDS:
        came, went = (None, last) if all(mark.direction == "out" for mark, _ in ordered) else (first, None)
    worked = went[0].at - came[0].at if came and went else None
    ends = window(day, day, first[1].zone, rules)[1]
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
        "punch_count": len(ordered),
        "missing_punch": now >= ends and worked is None,
        "is_late": None if late is None else late > 0,
        "late_seconds": late,
        "day_over": now >= ends,
        "day_ends": ends,
    }


def _local(pair: tuple[Mark, Site] | None) -> str | None:
    """ISO 8601 at the site: `2026-11-24T09:01:44+05:30`."""
    return None if pair is None else datetime.fromtimestamp(pair[0].at, pair[1].zone).isoformat()


def _late_seconds(came: tuple[Mark, Site] | None, day: date, rules: Rules) -> int | None:
    if came is None or rules.late_after is None:
        return None
    # Of a shift that begins past midnight, the hour counts from the start of its day.
    minutes = rules.day_starts + (rules.late_after - rules.day_starts) % _MINUTES_A_DAY
    local = datetime.fromtimestamp(came[0].at, came[1].zone).replace(tzinfo=None)
    late = local - datetime.combine(day, time()) - timedelta(minutes=minutes)
    return max(0, int(late.total_seconds()))
