"""`/v1/attendance`: people's days made of their punches, as pages, CSV and Excel workbooks."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date
from typing import Any

from flask import Blueprint, Response, request

from app.api import tables
from app.api.auth import needs, store
from app.api.devices import is_timezone
from app.api.io import answer, limit, page
from app.api.problems import wrong
from app.attendance import COLUMNS
from app.store.attendance import Sites

blueprint = Blueprint("attendance", __name__, url_prefix="/v1")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_YEARS = range(1971, 9_998)


def _date() -> date:
    text = request.args.get("date", "")
    if _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(text)
            if day.year in _YEARS:
                return day
        except ValueError:
            pass
    raise wrong("date", "is needed: a day such as date=2026-11-24")


def _month() -> tuple[int, int]:
    match = _MONTH.fullmatch(request.args.get("month", ""))
    if match is None or int(match[1]) not in _YEARS or not 1 <= int(match[2]) <= 12:
        raise wrong("month", "is needed: a month such as month=2026-11")
    return int(match[1]), int(match[2])


def sites() -> Sites:
    """The parameters `timezone` and `device_id`."""
    timezone = request.args.get("timezone") or None
    if timezone is not None and not is_timezone(timezone):
        raise wrong("timezone", "is not a time zone's name, e.g. timezone=Asia/Kolkata")
    return Sites(timezone, request.args.get("device_id") or None)


@blueprint.get("/attendance")
@needs("events:read")
def show_day() -> Response:
    """Who punched on a day: first in, last out, hours, by user id."""
    day, chosen, user_id = _date(), sites(), request.args.get("user_id")
    if user_id:
        return page(store().attendance.person(user_id, day, day, chosen), None)
    found = store().attendance.day(day, chosen, limit(), request.args.get("cursor") or None)
    return page(found.rows, found.next_cursor)


@blueprint.get("/attendance.csv")
@needs("events:read")
def day_as_csv() -> Response:
    """The same as a CSV file, of a day or, with `month`, of all days of a month; everybody in one."""
    return _everybody(tables.as_csv, "csv")


@blueprint.get("/attendance.xlsx")
@needs("events:read")
def day_as_xlsx() -> Response:
    """The same as an Excel workbook."""
    return _everybody(tables.as_xlsx, "xlsx")


def _everybody(make: Callable[..., Response], ending: str) -> Response:
    chosen, user_id = sites(), request.args.get("user_id")
    if "month" in request.args:
        year, month = _month()
        first, last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
        name = f"attendance-{year:04d}-{month:02d}.{ending}"
    else:
        first = last = _date()
        name = f"attendance-{first.isoformat()}.{ending}"
    kept = store().attendance
    rows = kept.person(user_id, first, last, chosen) if user_id else kept.all(first, last, chosen)
    return make(COLUMNS, rows, name)


@blueprint.get("/attendance/<path:user_id>")
@needs("events:read")
def show_month(user_id: str) -> Response:
    """A person's days of a month, and their sums. With `format=json`, also of one whose ID ends like a file's name."""
    if request.args.get("format", "json") != "json":
        raise wrong("format", "is json or left out; a file's path ends with .csv or .xlsx")
    year, month = _month()
    rows = store().attendance.month(user_id, year, month, sites())
    worked = sum(row["worked_seconds"] or 0 for row in rows)
    latest: dict[str, Any] = rows[-1] if rows else {}
    return answer(
        {
            "user_id": user_id,
            "user_name": latest.get("user_name"),
            "employee_id": latest.get("employee_id"),
            "month": f"{year:04d}-{month:02d}",
            "days_present": len(rows),
            "late_days": sum(row["is_late"] is True for row in rows),
            "missing_punch_days": sum(row["missing_punch"] for row in rows),
            "worked_seconds": worked,
            "worked_hours": round(worked / 3_600, 2),
            "data": rows,
        }
    )


@blueprint.get("/attendance/<path:user_id>.csv")
@needs("events:read")
def month_as_csv(user_id: str) -> Response:
    """The same as a CSV file."""
    return _one(user_id, tables.as_csv, "csv")


@blueprint.get("/attendance/<path:user_id>.xlsx")
@needs("events:read")
def month_as_xlsx(user_id: str) -> Response:
    """The same as an Excel workbook."""
    return _one(user_id, tables.as_xlsx, "xlsx")


def _one(user_id: str, make: Callable[..., Response], ending: str) -> Response:
    if "format" in request.args:
        return show_month(f"{user_id}.{ending}")
    year, month = _month()
    rows = store().attendance.month(user_id, year, month, sites())
    return make(COLUMNS, rows, f"attendance-{year:04d}-{month:02d}.{ending}")
