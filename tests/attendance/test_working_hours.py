"""Working hours: their format, and how much time between two instants is within them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app.base.working_hours import parse

BERLIN = ZoneInfo("Europe/Berlin")


def hours(text: str, begin: str, end: str) -> float:
    instants = (datetime.fromisoformat(each).replace(tzinfo=BERLIN).timestamp() for each in (begin, end))
    return parse(text).seconds(*instants, BERLIN, 1e9) / 3_600


@pytest.mark.parametrize(
    ("text", "begin", "end", "expected"),
    [
        ("Mon-Fri 08:00-18:00", "2026-11-23T07:00", "2026-11-23T09:30", 1.5),  # a Monday
        ("Mon-Fri 08:00-18:00", "2026-11-20T17:00", "2026-11-23T09:00", 2),  # over a weekend
        ("Mon-Fri 08:00-18:00, Sat 09:00-13:00", "2026-11-20T18:00", "2026-11-23T08:00", 4),
        ("mon-sun 00:00-24:00", "2026-11-23T00:00", "2026-11-30T00:00", 168),
        ("Fri-Mon 22:00-06:00", "2026-11-20T00:00", "2026-11-24T12:00", 32),
        ("Sun 20:00-04:00", "2026-11-23T01:00", "2026-11-23T12:00", 3),  # of the evening before
        ("Sat-Sun 00:00-24:00", "2026-10-24T00:00", "2026-10-26T00:00", 49),  # the clock is set back
    ],
)
def test_only_time_within_working_hours_counts(text: str, begin: str, end: str, expected: float) -> None:
    assert hours(text, begin, end) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "Mon 8-18",
        "Mon-Fri 08:00-25:00",
        "Mon 08:00-08:00",
        "Mon 08:60-09:00",
        "Mon 09:00-10:00,",
        "Mon-Tue 08:00-12:00, Tue 11:00-13:00",
        "Sun 20:00-06:00, Mon 05:00-07:00",
        "Mon 09:00-10:00," * 50,
    ],
)
def test_invalid_working_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"working hours|overlap"):
        parse(text)
