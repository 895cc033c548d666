"""Working hours of a week, such as `Mon-Fri 08:00-18:00, Sat 09:00-13:00`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise

EXAMPLE = "Mon-Fri 08:00-18:00"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_PART = re.compile(
    rf"({_DAY})(?:\s*-\s*({_DAY}))?\s+(\d{{1,2}}):(\d{{2}})\s*-\s*(\d{{1,2}}):(\d{{2}})",
    re.ASCII | re.IGNORECASE,
)
_MIDNIGHT = 1_440
LONGEST = 200


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """`spans` are (weekday, first minute, last minute). Beyond midnight, minutes are greater than 1440."""

    spans: tuple[tuple[int, int, int], ...]

    def seconds(self, begin: float, end: float, zone: tzinfo, enough: float) -> float:
        """Return how many seconds of them are between two instants (since 1970) in a time zone; stops at `enough`."""
        total = 0.0
        for opens, closes in self._open(begin, end, zone):
            total += max(0.0, min(end, closes) - max(begin, opens))
            if total >= enough:
                break
        return total

    def _open(self, begin: float, end: float, zone: tzinfo) -> Iterator[tuple[float, float]]:
        """Yield when they begin and end, from the day before `begin` to the day of `end`."""
        day = datetime.fromtimestamp(begin, zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(end, zone).date()
        while day <= last:
            for weekday, opens, closes in self.spans:
                if weekday == day.weekday():
                    midnight = datetime.combine(day, time())
                    begins, ends = (midnight + timedelta(minutes=minute) for minute in (opens, closes))
                    yield begins.replace(tzinfo=zone).timestamp(), ends.replace(tzinfo=zone).timestamp()
            day += timedelta(days=1)


@lru_cache(maxsize=1_024)
def parse(text: str) -> WorkingHours:
    """Parse working hours, written as parts separated by commas. Raises ValueError.

    A part that ends before it begins continues past midnight. 24:00 is the end of a day.
    """
    spans: list[tuple[int, int, int]] = []
    if len(text) <= LONGEST:
        for part in text.split(","):
            match = _PART.fullmatch(part.strip())
            found = list(_spans(match)) if match else []
            if not found:
                spans = []
                break
            spans += found
    if not spans:
        raise ValueError(f"is not a comma-separated list of working hours such as {EXAMPLE!r}")
    minutes = sorted(
        (weekday * _MIDNIGHT + opens, weekday * _MIDNIGHT + closes) for weekday, opens, closes in spans
    )
    # After midnight, Sunday night belongs to Monday.
    minutes += [(minutes[0][0] + 7 * _MIDNIGHT, 0)]
    if any(closes > opens for (_, closes), (opens, _) in pairwise(minutes)):
        raise ValueError("has parts that overlap")
    return WorkingHours(tuple(spans))


def _spans(match: re.Match[str]) -> Iterator[tuple[int, int, int]]:
    first, last = (_DAYS.index((day or match[1]).lower()) for day in match.group(1, 2))
    opens, closes = 60 * int(match[3]) + int(match[4]), 60 * int(match[5]) + int(match[6])
    if (
        opens >= _MIDNIGHT
        or closes > _MIDNIGHT
        or opens == closes
        or int(match[4]) > 59
        or int(match[6]) > 59
    ):
        return
    for weekday in range(first, last + 1 if last >= first else last + 8):
        yield weekday % 7, opens, closes if closes > opens else closes + _MIDNIGHT
