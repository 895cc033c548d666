"""Reads the time of a punch, in the device's time zone, from text, epochs, Excel's dates and database types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from app.connector import cells
from app.connector.errors import RowError
from app.gateway import clock

EPOCH: Final = "epoch"
EPOCH_MS: Final = "epoch_ms"
EXCEL: Final = "excel"
_NUMBERS: Final = (EPOCH, EPOCH_MS, EXCEL)

_EXCEL_ZERO = datetime(1899, 12, 30)  # Excel's day 1 is 1900-01-01, and it wrongly counts a 29 February 1900
_EXCEL_DAYS = range(25_569, 73_416)  # 1970 to 2100: these numbers can't be anything else
_NUMBER = re.compile(r"\d{1,17}(?:\.\d{1,17})?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d\d?)[/.](\d\d?)(?=\D|$)", re.ASCII)
_DIGITS = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M"}  # 20261124083608


@dataclass(frozen=True, slots=True)
class Times:
    """The time format of a source.

    `zone` is the device's time zone, in which punches are sent. `source_zone` is the zone of times without an offset,
    if it is another one. `formats` are strptime formats, epoch, epoch_ms or excel, and are tried in order. If there
    are none, the format is detected.
    """

    zone: tzinfo | None
    formats: Sequence[str] = ()
    source_zone: tzinfo | None = None

    def read(self, day: object, moment: object) -> datetime:
        """Read a time from one column, or from a date and a time column, with the device's offset. Raises RowError."""
        joined = _joined(day, moment)
        try:
            found = joined if isinstance(joined, datetime) else self._parsed(joined)
            return self._placed(found.replace(microsecond=0))
        except OverflowError:
            raise RowError(f"time {str(joined)[:40]!r} is out of range") from None

    def _parsed(self, moment: object) -> datetime:
        text = cells.text(moment)
        if not text:
            raise RowError("time is empty")
        if not self.formats:
            return self._recognised(text)
        for form in self.formats:
            try:
                return _number(text, form) if form in _NUMBERS else datetime.strptime(text, form)
            except ValueError:
                continue
        raise RowError(f"time {text[:40]!r} doesn't match --time-format: {self.formats[0]}")

    def _recognised(self, text: str) -> datetime:
        """Detect the format and return the time. For a number, the size decides which unit it is in."""
        try:
            if text.isascii() and text.isdecimal() and len(text) in _DIGITS and text[:2] in ("19", "20"):
                return datetime.strptime(text, _DIGITS[len(text)])
            if _NUMBER.fullmatch(text):
                return _number(text, _kind(float(text)))
            text = _YEAR_FIRST.sub(r"\1-\2-\3", text, count=1)
            return clock.parse(text, default_tz=self.source_zone or self.zone)
        except ValueError:
            if _parses(text):
                raise _no_zone(text) from None
            raise RowError(
                f"time {text[:40]!r} doesn't look like 2026-11-24 08:36:08. Set its format, e.g. --time-format "
                "'%d/%m/%Y %H:%M:%S'"
            ) from None

    def _placed(self, moment: datetime) -> datetime:
        if moment.year < 1970:
            raise RowError(f"time {moment:%Y-%m-%d} is before 1970")
        if moment.tzinfo is None:
            zone = self.source_zone or self.zone
            if zone is None:
                raise _no_zone(f"{moment:%Y-%m-%d %H:%M:%S}")
            moment = clock.in_zone(moment, zone)
        return moment if self.zone is None else clock.in_zone(moment, self.zone)


def _kind(number: float) -> str:
    if int(number) in _EXCEL_DAYS:
        return EXCEL
    if 10**9 <= number < 10**10:
        return EPOCH
    if 10**12 <= number < 10**13:
        return EPOCH_MS
    raise ValueError("no time")


def _number(text: str, kind: str) -> datetime:
    """Convert a number of the given kind (epoch, epoch_ms, excel) to a time. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    number = Decimal(text)
    if kind == EXCEL:
        return _EXCEL_ZERO + timedelta(seconds=round(number * 86_400))
    seconds = int(number // 1000) if kind == EPOCH_MS else int(number)
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)


def _no_zone(text: str) -> RowError:
    return RowError(f"time {text[:40]!r} has no offset. Set --timezone, e.g. Asia/Kolkata")


def _parses(text: str) -> bool:
    try:
        clock.parse(text + "Z")
    except ValueError:
        return False
    return True


def _joined(day: object, moment: object) -> object:
    """Combine a date column and a time column. If there is only one column, return its value."""
    if day is None:
        return moment
    day, moment = _day(day), _time_of_day(moment)
    if isinstance(day, date) and isinstance(moment, time):
        return datetime.combine(day, moment)
    return f"{day} {moment}"


def _day(day: object) -> object:
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    text = cells.text(day)
    if _NUMBER.fullmatch(text) and int(float(text)) in _EXCEL_DAYS:
        return (_EXCEL_ZERO + timedelta(days=int(float(text)))).date()
    return text


def _time_of_day(moment: object) -> object:
    """Normalise a time of day.

    A spreadsheet has a fraction of a day, or a date and time on its first day. MySQL has a timedelta.
    """
    if isinstance(moment, time):
        return moment
    if isinstance(moment, datetime):
        return moment.time()
    if isinstance(moment, timedelta):
        return (datetime.min + moment % timedelta(days=1)).time()
    text = cells.text(moment)
    if _NUMBER.fullmatch(text) and "." in text and float(text) < 1:
        seconds = round(Decimal(text) * 86_400) % 86_400
        return (datetime.min + timedelta(seconds=seconds)).time()
    return text
