"""Attendance: a day's people, a person's month, and the list of employees."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from app.api import attendance as attendance_api
from app.api import employees as employees_api
from app.api.auth import needs, store
from app.console.frame import api, page
from app.console.texts import text

blueprint = Blueprint("attendance", __name__, url_prefix="/console/attendance")


@blueprint.get("")
@needs("events:read")
def show_day() -> ResponseReturnValue:
    """Who punched on a day."""
    if not request.args.get("date"):
        wanted = {**request.args, "date": store().attendance.today(attendance_api.sites())}
        return redirect(f"/console/attendance?{urlencode(wanted)}", 303)
    found = api(attendance_api.show_day)
    day = date.fromisoformat(request.args["date"])
    latest = None if found["data"] else store().attendance.latest_day(attendance_api.sites())
    kept = {name: value for name, value in request.args.items() if value and name != "cursor"}
    return page(
        "attendance",
        rows=found["data"],
        more=urlencode({**kept, "cursor": found["next_cursor"]}) if found["next_cursor"] else None,
        day=day,
        before=urlencode({**kept, "date": day - timedelta(days=1)}),
        after=urlencode({**kept, "date": day + timedelta(days=1)}),
        latest=urlencode({**kept, "date": latest}) if latest not in (None, day) else None,
        today=urlencode({name: value for name, value in kept.items() if name != "date"}),
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
        path = f"/console/attendance/people/{quote(user_id, safe='')}"
        return redirect(f"{path}?month={store().attendance.today():%Y-%m}", 303)
    found = api(attendance_api.show_month, user_id=user_id)
    first = date.fromisoformat(f"{found['month']}-01")
    return page(
        "attendance_person",
        person=found,
        before=f"{first - timedelta(days=1):%Y-%m}",
        after=f"{first + timedelta(days=31):%Y-%m}",
        hours=hours,
        clock=clock,
        weekday=weekday,
    )


@blueprint.get("/employees")
@needs("events:read")
def employees() -> Response:
    """The list of employees, and where to import it."""
    found = api(employees_api.show_all)
    return page("employees", employees=found["data"], next_cursor=found["next_cursor"])


def hours(seconds: int | None) -> str:
    """`7:45` of 27,900 seconds."""
    return "" if seconds is None else f"{seconds // 3600}:{seconds % 3600 // 60:02d}"


def clock(at: str | None, day: str) -> str:
    """The time of day of a time at its place, with the date where it is another day."""
    if at is None:
        return ""
    return at[11:16] if at[:10] == day else f"{at[8:10]}. {at[11:16]}"


def weekday(day: str) -> str:
    """`Mon` of `2026-11-23`."""
    return text("attendance.weekdays").split()[date.fromisoformat(day).weekday()]
