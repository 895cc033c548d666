"""Attendance: a day's people, a person's month, and the list of employees."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from app.api import attendance as attendance_api
from app.api import employees as employees_api
from app.api.auth import needs, store
from app.console.frame import api, page

blueprint = Blueprint("attendance", __name__, url_prefix="/console/attendance")


@blueprint.get("")
@needs("events:read")
def show_day() -> ResponseReturnValue:
    """Who punched on a day."""
    if not request.args.get("date"):
        return redirect(f"/console/attendance?{urlencode({'date': _today()})}", 303)
    found = api(attendance_api.show_day)
    day = date.fromisoformat(request.args["date"])
    kept = {name: value for name, value in request.args.items() if value and name != "cursor"}
    return page(
        "attendance",
        rows=found["data"],
        more=urlencode({**kept, "cursor": found["next_cursor"]}) if found["next_cursor"] else None,
        day=day,
        before=urlencode({**kept, "date": day - timedelta(days=1)}),
        after=urlencode({**kept, "date": day + timedelta(days=1)}),
        kept=urlencode(kept),
        month=f"{day:%Y-%m}",
        device_ids=store().devices.ids(),
        chosen=request.args,
        hours=hours,
        clock=clock,
    )


@blueprint.get("/people/<path:user_id>")
@needs("events:read")
def show_month(user_id: str) -> ResponseReturnValue:
    """A person's days of a month."""
    if not request.args.get("month"):
        return redirect(f"{request.path}?month={_today()[:7]}", 303)
    found = api(attendance_api.show_month, user_id=user_id)
    first = date.fromisoformat(f"{found['month']}-01")
    return page(
        "attendance_person",
        person=found,
        before=f"{first - timedelta(days=1):%Y-%m}",
        after=f"{first + timedelta(days=31):%Y-%m}",
        hours=hours,
        clock=clock,
    )


@blueprint.get("/employees")
@needs("events:read")
def employees() -> Response:
    """The list of employees, and where to import it."""
    found = api(employees_api.show_all)
    return page("employees", employees=found["data"], next_cursor=found["next_cursor"])


def _today() -> str:
    """The date at the first device's place."""
    known: Any = next(iter(store().devices.ids()), None)
    device = store().devices.get(known) if known else None
    return datetime.now(ZoneInfo(device.record["timezone"]) if device else UTC).date().isoformat()


def hours(seconds: int | None) -> str:
    """`7:45` of 27,900 seconds."""
    return "" if seconds is None else f"{seconds // 3600}:{seconds % 3600 // 60:02d}"


def clock(at: str | None, day: str) -> str:
    """The time of day of a time at its place, with the date where it is another day."""
    if at is None:
        return ""
    return at[11:16] if at[:10] == day else f"{at[8:10]}. {at[11:16]}"
