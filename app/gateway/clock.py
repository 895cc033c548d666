"""Reads and writes the gateway's times (`2020-09-17 07:48:22 GMT +0530`), and writes ISO 8601.

They are parsed here, because dateutil drops the offset of `GMT +0530` and inverts that of `GMT+0530`. All times have a
resolution of one second, like the gateway's; fractions are dropped. Spec: Common Fields.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

EXAMPLE = "2020-09-17 07:48:22 GMT +0530"

_LONGEST = 64
_SHOWN = 40
_FURTHEST = 14 * 60

_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:\s+|\s*T\s*)(\d\d?):(\d\d?)(?::(\d\d?)(?:[.,]\d+)?)?\s*(\D.*)?",
    re.ASCII | re.IGNORECASE,
)
# An offset with three digits is refused, because a digit is missing.
_ZONE = re.compile(
    r"Z|(?:UTC|GMT)?\s*(?:([+-])(?:(\d\d)(\d\d)|(\d\d?)(?::(\d\d))?))?", re.ASCII | re.IGNORECASE
)


@lru_cache(maxsize=512)
def _zone(text: str) -> timezone:
    """Return the fixed offset in the text after the time of day, e.g. "GMT +0530". Raises ValueError."""
    match = _ZONE.fullmatch(text)
    if match is None:
        raise ValueError("offset")
    sign, hours, minutes, short_hours, short_minutes = match.groups()
    if sign is None:
        return UTC
    minute = int(minutes or short_minutes or 0)
    total = int(hours or short_hours) * 60 + minute
    if minute > 59 or total > _FURTHEST:
        raise ValueError("offset")
    return timezone(timedelta(minutes=-total if sign == "-" else total)) if total else UTC


def in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """Convert a time to `zone`, or read a naive time in it. The result has the zone's offset at that time, fixed.

    The offset is fixed, because Python compares two times of one zone by the wall clock, which is wrong in the hour in
    which the clock is set back. Raises OverflowError beyond the calendar.
    """
    local = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()), fold=0)


def parse(text: object, *, default_tz: tzinfo | None = None) -> datetime:
    """Parse the gateway's form or ISO 8601 as an aware time with a fixed offset, to the second.

    Also accepted: `+HH:MM`, `+HH`, `GMT+0530`, GMT, UTC or Z alone (+0000), T instead of the blank, single digits, no
    seconds. A time without an offset is in `default_tz`. Raises ValueError for anything else. The message shows a
    valid time, and at most 40 characters of the invalid one.
    """
    if not isinstance(text, str):
        raise ValueError(f"a time must be a string such as {EXAMPLE}")
    match = _TIME.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise _wrong(text)
    year, month, day, hour, minute, second, zone = match.groups()
    if year < "1970":
        raise _wrong(text)
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            tzinfo=None if zone is None else _zone(zone),
        )
    except ValueError:
        raise _wrong(text) from None
    if zone is not None:
        return moment
    if default_tz is None:
        raise ValueError(f"{_excerpt(text)} has no offset, e.g. {EXAMPLE}")
    return in_zone(moment, default_tz)


def _wrong(text: str) -> ValueError:
    return ValueError(f"{_excerpt(text)} is not a time, e.g. {EXAMPLE}")


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("the time has no offset")
    return offset


def format_gateway(moment: datetime) -> str:
    """`2020-09-17 12:01:33 GMT +0530`. Raises ValueError for a naive time."""
    minutes = _offset(moment) // timedelta(minutes=1)
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return f"{format_local(moment)} GMT {sign}{hours:02}{minutes:02}"


def format_local(moment: datetime) -> str:
    """`2022-07-11 00:00:00`: the time on the device's own clock, for UpdateAccessTime (#36)."""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")


def iso(moment: datetime) -> str:
    """`2020-09-17T07:48:22+05:30`. Raises ValueError for a naive time."""
    _offset(moment)
    return moment.isoformat("T", "seconds")


def iso_utc(moment: datetime) -> str:
    """`2020-09-17T02:18:22Z`; beyond the calendar, its first or last moment. Raises ValueError for a naive time."""
    local, offset = moment.replace(tzinfo=None), _offset(moment)
    try:
        utc = local - offset
    except OverflowError:
        utc = datetime.max if offset < timedelta() else datetime.min
    return utc.isoformat("T", "seconds") + "Z"
