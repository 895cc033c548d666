"""`/v1/attendance`: each person's attendance, calculated from punches, as JSON, CSV and Excel workbooks."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request

from app.api import cursors
from app.api.accept import represented_as
from app.api.auth import limited_by_device, needs, store
from app.api.id_filters import device_ids, user_ids
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, limit, page
from app.api.tables import as_csv
from app.api.workbook import MEDIA_TYPE, as_xlsx
from app.attendance.rules import COLUMNS
from app.schemas.devices import is_timezone
from app.store.access.scopes import PEOPLE_READERS
from app.store.attendance.view import Sites

blueprint = Blueprint("attendance", __name__, url_prefix="/v1")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")  # in a file name
_LONGEST_NAMED = 64  # characters of a user ID
_YEARS = range(1971, 9_998)


def date_parameter() -> date:
    """Return the parameter `date`. Raises a 422 Problem."""
    text = request.args.get("date", "")
    if _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(text)
            if day.year in _YEARS:
                return day
        except ValueError:
            pass
    raise wrong("date", "is required, e.g. date=2026-11-24")


def _month() -> tuple[int, int]:
    match = _MONTH.fullmatch(request.args.get("month", ""))
    if match is None or int(match[1]) not in _YEARS or not 1 <= int(match[2]) <= 12:
        raise wrong("month", "is required, e.g. month=2026-11")
    return int(match[1]), int(match[2])


def sites() -> Sites:
    """Return the filters in the parameters `timezone`, `device_id` and `employee_id`."""
    timezone = request.args.get("timezone") or None
    if timezone is not None and not is_timezone(timezone):
        raise wrong("timezone", "is not an IANA time zone, e.g. timezone=Asia/Kolkata")
    return Sites(timezone, device_ids(), employee_id=request.args.get("employee_id") or None)


def _exported_sites() -> Sites:
    """Return the filters for a file.

    A file leaves out simulated devices, unless they are requested with `simulated` or `device_id`.
    """
    asked = request.args.get("simulated", "false")
    if asked not in ("true", "false"):
        raise wrong("simulated", "must be true or false, e.g. simulated=true")
    chosen = sites()
    if asked == "true" or request.args.get("device_id"):
        return chosen
    return replace(chosen, left_out=store().devices.simulated.ids())


@blueprint.get("/attendance")
@needs(*PEOPLE_READERS)
@limited_by_device
@takes("date", "timezone", "device_id", "user_id", "employee_id", "limit", "cursor")
def show_day() -> Response:
    """Lists who punched on a day, with first in, last out and hours, sorted by user ID."""
    day, chosen, people = date_parameter(), sites(), user_ids()
    if people:
        return page(store().attendance.people(people, day, day, chosen), None)
    found = store().attendance.day(day, chosen, limit(), cursors.after())
    return page(found.rows, found.next_cursor)


@blueprint.get("/attendance.csv")
@needs(*PEOPLE_READERS)
@limited_by_device
@represented_as("text/csv")
@takes("date", "month", "timezone", "device_id", "user_id", "employee_id", "simulated")
def day_as_csv() -> Response:
    """Returns everyone's attendance on a day or, with `month`, in a whole month, as a CSV file."""
    return _everybody(_csv, "csv")


@blueprint.get("/attendance.xlsx")
@needs(*PEOPLE_READERS)
@limited_by_device
@represented_as(MEDIA_TYPE)
@takes("date", "month", "timezone", "device_id", "user_id", "employee_id", "simulated")
def day_as_xlsx() -> Response:
    """Returns everyone's attendance on a day or in a month as an Excel workbook."""
    return _everybody(as_xlsx, "xlsx")


def _csv(rows: Iterable[dict[str, Any]], name: str) -> Response:
    return as_csv(COLUMNS, rows, name)


def _everybody(make: Callable[..., Response], ending: str) -> Response:
    chosen, people = _exported_sites(), user_ids()
    whose = _file_name_part(",".join(people)) if people else ""
    if "month" in request.args:
        year, month = _month()
        first, last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
        name = f"attendance-{whose}{year:04d}-{month:02d}.{ending}"
    else:
        first = last = date_parameter()
        name = f"attendance-{whose}{first.isoformat()}.{ending}"
    kept = store().attendance
    rows = kept.people(people, first, last, chosen) if people else kept.all(first, last, chosen)
    return make(rows, name)


@blueprint.get("/attendance/<path:user_id>")
@needs(*PEOPLE_READERS)
@limited_by_device
@takes("month", "timezone", "device_id", "employee_id", "format")
def show_month(user_id: str) -> Response:
    """Returns a person's attendance in a month, by day. If the user ID ends with .csv or .xlsx, add `format=json`.

    Raises a 409 Problem if several people have this user ID, because one of them would be paid for all.
    """
    if request.args.get("format", "json") != "json":
        raise wrong("format", "must be json or left out. For a file, end the path with .csv or .xlsx")
    year, month = _month()
    rows = store().attendance.month(user_id, year, month, sites())
    if len({row["employee_id"] for row in rows}) > 1:
        raise _several_people(user_id, rows)
    worked = sum(row["worked_seconds"] or 0 for row in rows)
    latest: dict[str, Any] = rows[-1] if rows else {}
    return answer(
        {
            "user_id": user_id,
            "user_name": latest.get("user_name"),
            "employee_id": latest.get("employee_id"),
            "month": f"{year:04d}-{month:02d}",
            "days_present": sum(row["punch_count"] > 0 for row in rows),
            "late_days": sum(row["is_late"] is True for row in rows),
            "missing_punch_days": sum(row["missing_punch"] for row in rows),
            "worked_seconds": worked,
            "worked_hours": round(worked / 3_600, 2),
            "data": rows,
        }
    )


def _several_people(user_id: str, rows: list[dict[str, Any]]) -> Problem:
    """Return a 409 Problem. Its `people` contains their names and the devices of their first or last punches."""
    people: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["employee_id"] or ""):
        names = {name: row[name] for name in ("employee_id", "user_name")}
        devices = people.setdefault(row["employee_id"] or "", {**names, "device_ids": []})["device_ids"]
        for device_id in (row["first_in_device_id"], row["last_out_device_id"]):
            if device_id is not None and device_id not in devices:
                devices.append(device_id)
    ids = [employee_id for employee_id in people if employee_id]
    nobody = "" if len(ids) == len(people) else " and a person without an employee ID"
    return Problem(
        409,
        f"User ID {user_id} belongs to several people: {', '.join(ids)}{nobody}. Add employee_id= or device_id=, "
        f"e.g. employee_id={quote(ids[0], safe='')}",
        people=list(people.values()),
    )


@blueprint.get("/attendance/<path:user_id>.csv")
@needs(*PEOPLE_READERS)
@limited_by_device
@represented_as("text/csv")
@takes("month", "timezone", "device_id", "employee_id", "simulated", "format")
def month_as_csv(user_id: str) -> Response:
    """Returns a person's attendance in a month as a CSV file."""
    return _one(user_id, _csv, "csv")


@blueprint.get("/attendance/<path:user_id>.xlsx")
@needs(*PEOPLE_READERS)
@limited_by_device
@represented_as(MEDIA_TYPE)
@takes("month", "timezone", "device_id", "employee_id", "simulated", "format")
def month_as_xlsx(user_id: str) -> Response:
    """Returns a person's attendance in a month as an Excel workbook."""
    return _one(user_id, as_xlsx, "xlsx")


def _one(user_id: str, make: Callable[..., Response], ending: str) -> Response:
    if "format" in request.args:
        return show_month(f"{user_id}.{ending}")
    year, month = _month()
    rows = store().attendance.month(user_id, year, month, _exported_sites())
    return make(rows, f"attendance-{_file_name_part(user_id)}{year:04d}-{month:02d}.{ending}")


def _file_name_part(user_id: str) -> str:
    """Return a user ID and a hyphen, safe for a file name and a header. Other characters become `_`."""
    return f"{_UNSAFE.sub('_', user_id)[:_LONGEST_NAMED]}-"
