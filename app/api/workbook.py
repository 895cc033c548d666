"""Attendance as an Excel workbook with totals. Dates, times and durations are numbers that Excel can calculate with."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from flask import Response

from app.api.tables import attachment
from app.attendance.rules import COLUMNS
from app.base.yielding import in_turns, let_others_run

_WRITES_A_TURN = 16
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SECONDS_A_DAY = 86_400
_FORMATS = {
    "date": "yyyy-mm-dd",
    "time": "yyyy-mm-dd hh:mm:ss",
    "duration": "[h]:mm:ss",
    "hours": "0.00",
}


class _Column(NamedTuple):
    heading: str
    kind: str
    width: int = 12


# The columns by field of a row. Times are local to the site, because a cell can't hold an offset from UTC.
_COLUMNS = {
    "date": _Column("Date", "date"),
    "user_id": _Column("User ID", "text", 14),
    "user_name": _Column("Name", "text", 24),
    "employee_id": _Column("Employee ID", "text", 14),
    "timezone": _Column("Time zone", "text", 18),
    "first_in": _Column("First in", "time", 19),
    "first_in_device_id": _Column("First in at device", "text", 18),
    "last_out": _Column("Last out", "time", 19),
    "last_out_device_id": _Column("Last out at device", "text", 18),
    "worked_seconds": _Column("Worked (h:mm:ss)", "duration", 17),
    "worked_hours": _Column("Worked (hours)", "hours", 15),
    "present_seconds": _Column("Present (h:mm:ss)", "duration", 17),
    "present_hours": _Column("Present (hours)", "hours", 15),
    "punch_count": _Column("Punches", "number"),
    "missing_punch": _Column("Punch missing", "yes or no", 14),
    "is_late": _Column("Late", "yes or no"),
    "late_seconds": _Column("Late by (h:mm:ss)", "duration", 17),
    "day_over": _Column("Day over", "yes or no"),
    "correction_count": _Column("Corrected punches", "number", 17),
}
assert tuple(_COLUMNS) == COLUMNS

_TOTAL_COLUMNS = (
    _Column("User ID", "text", 14),
    _Column("Name", "text", 24),
    _Column("Employee ID", "text", 14),
    _Column("Days", "number"),
    _Column("Worked (h:mm:ss)", "duration", 17),
    _Column("Worked (hours)", "hours", 15),
    _Column("Present (h:mm:ss)", "duration", 17),
    _Column("Present (hours)", "hours", 15),
    _Column("Days without present hours", "number", 26),
    _Column("Punches", "number"),
    _Column("Days with a punch missing", "number", 25),
    _Column("Late days", "number"),
    _Column("Late by (h:mm:ss)", "duration", 17),
    _Column("Corrected punches", "number", 17),
)


_SUMS = (
    *("days", "worked", "present", "without_present", "punches", "missing", "late", "late_by"),
    "corrections",
)


class _Totals:
    """The totals of one person's rows, or of all rows. Times are in seconds."""

    def __init__(self, label: Sequence[str | None]) -> None:
        self.label = label
        self.days = self.worked = self.present = self.without_present = self.punches = self.missing = (
            self.late
        ) = self.late_by = self.corrections = 0

    def add(self, row: dict[str, Any]) -> None:
        self.corrections += row.get("correction_count") or 0
        if row.get("punch_count") == 0:  # all punches were excluded
            return
        self.days += 1
        self.worked += row.get("worked_seconds") or 0
        self.present += row.get("present_seconds") or 0
        self.without_present += row.get("present_seconds") is None
        self.punches += row.get("punch_count") or 0
        self.missing += row.get("missing_punch") is True
        self.late += row.get("is_late") is True
        self.late_by += row.get("late_seconds") or 0

    def cells(self) -> tuple[Any, ...]:
        """Return the values in the order of `_TOTAL_COLUMNS`."""
        worked, present = (round(seconds / 3_600, 2) for seconds in (self.worked, self.present))
        # If some days have no value, leave the sum out: it would be too low, and nobody would notice.
        shown = (None, None) if self.without_present else (self.present, present)
        sums = (self.days, self.worked, worked, *shown, self.without_present)
        return (*self.label, *sums, self.punches, self.missing, self.late, self.late_by, self.corrections)


class _Sheet:
    """A sheet with a frozen header row, written row by row."""

    def __init__(self, workbook: Any, name: str, columns: Sequence[_Column], formats: dict[str, Any]) -> None:
        self._sheet = workbook.add_worksheet(name)
        self._columns = columns
        self._formats = formats
        self._rows = 1
        self._sheet.freeze_panes(1, 0)
        for number, column in enumerate(columns):
            self._sheet.set_column(number, number, column.width)
            self._sheet.write_string(0, number, column.heading, formats["heading"])

    def add(self, values: Iterable[Any], *, is_total: bool = False) -> None:
        for number, (column, value) in enumerate(zip(self._columns, values, strict=True)):
            if value is not None:
                self._write(number, column.kind, value, is_total)
        self._rows += 1

    def end(self) -> None:
        """Add the buttons that sort and filter columns."""
        self._sheet.autofilter(0, 0, self._rows - 1, len(self._columns) - 1)

    def _write(self, column: int, kind: str, value: Any, is_total: bool) -> None:
        formatted = self._formats.get(f"total {kind}" if is_total else kind)
        place = (self._rows, column)
        match kind:
            case "date":
                self._sheet.write_datetime(*place, date.fromisoformat(value), formatted)
            case "time":
                local = datetime.fromisoformat(value).replace(tzinfo=None)
                self._sheet.write_datetime(*place, local, formatted)
            case "duration":
                self._sheet.write_number(*place, value / _SECONDS_A_DAY, formatted)
            case "hours" | "number":
                self._sheet.write_number(*place, value, formatted)
            case "yes or no":
                self._sheet.write_boolean(*place, value)
            case _:
                self._sheet.write_string(*place, value, formatted)


def as_xlsx(rows: Iterable[dict[str, Any]], name: str) -> Response:
    """Return a workbook with two sheets: the rows, and each person's totals."""
    import xlsxwriter  # imported here, because most web processes never need it

    buffer = _FileInTurns()
    # Text is always written as text, never as a formula, a URL or a number.
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    people: dict[tuple[str | None, ...], _Totals] = {}
    with xlsxwriter.Workbook(buffer, options) as workbook:
        formats = {kind: workbook.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
        formats["heading"] = workbook.add_format({"bold": True})
        for kind in ("text", "number", *_FORMATS):
            looks = {"bold": True, "top": 1} | ({"num_format": _FORMATS[kind]} if kind in _FORMATS else {})
            formats[f"total {kind}"] = workbook.add_format(looks)
        sheet = _Sheet(workbook, "Attendance", tuple(_COLUMNS.values()), formats)
        for row in in_turns(rows):
            sheet.add(row.get(field) for field in _COLUMNS)
            who = (row.get("user_id"), row.get("user_name"), row.get("employee_id"))
            people.setdefault((who[0], who[2]), _Totals(who)).add(row)
        sheet.end()
        _add_totals(_Sheet(workbook, "Totals", _TOTAL_COLUMNS, formats), people.values())
    return attachment(Response(buffer.getvalue(), content_type=MEDIA_TYPE), name)


def _add_totals(sheet: _Sheet, people: Iterable[_Totals]) -> None:
    everybody = _Totals(("Total", None, None))
    for totals in in_turns(people):
        sheet.add(totals.cells())
        for name in _SUMS:
            setattr(everybody, name, getattr(everybody, name) + getattr(totals, name))
    sheet.end()
    if everybody.days:
        sheet.add(everybody.cells(), is_total=True)


class _FileInTurns(io.BytesIO):
    """A file in memory that lets other requests run during long writes, such as the compression of a workbook."""

    _writes = 0

    def write(self, data: Any) -> int:
        self._writes += 1
        if self._writes % _WRITES_A_TURN == 0:
            let_others_run()
        return super().write(data)
