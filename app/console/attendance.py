"""Attendance: a day's people, a person's month, and the list of employees."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from app.api import attendance as attendance_api
from app.api import corrections as corrections_api
from app.api import employees as employees_api
from app.api.auth import caller, needs, store
from app.api.problems import Problem
from app.api.query_parameters import parameters_of
from app.console.frame import api, go_to, page
from app.console.texts import text
from app.store.access.scopes import PEOPLE_READERS
from app.store.devices.simulated import SimulatedIds

blueprint = Blueprint("attendance", __name__, url_prefix="/console/attendance")


@blueprint.get("")
@needs(*PEOPLE_READERS)
def show_day() -> ResponseReturnValue:
    """Show the people who punched on a day."""
    if not request.args.get("date"):
        wanted = {**request.args, "date": store().attendance.today(attendance_api.sites())}
        return go_to(f"/console/attendance?{urlencode(wanted)}")
    found = api(attendance_api.show_day)
    simulated = store().devices.simulated.ids()
    day = date.fromisoformat(request.args["date"])
    latest = None if found["data"] else store().attendance.latest_day(attendance_api.sites())
    names = parameters_of(attendance_api.day_as_csv)
    kept = {name: value for name in names if (value := request.args.get(name))}
    return page(
        "attendance",
        rows=found["data"],
        simulated=simulated,
        left_out=_left_out(found["data"], simulated),
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
@needs(*PEOPLE_READERS)
def show_month(user_id: str) -> ResponseReturnValue:
    """Show a person's days of a month."""
    names = parameters_of(attendance_api.month_as_csv)
    kept = {name: value for name in names if (value := request.args.get(name))}
    if "month" not in kept:
        path = f"/console/attendance/people/{quote(user_id, safe='')}"
        return go_to(f"{path}?{urlencode({**kept, 'month': f'{store().attendance.today():%Y-%m}'})}")
    try:
        found = api(attendance_api.show_month, user_id=user_id)
    except Problem as problem:
        if problem.status != 409:
            raise
        return page("attendance_people", user_id=user_id, choices=_choices(problem.more["people"], kept))
    first = date.fromisoformat(f"{found['month']}-01")
    return page(
        "attendance_person",
        person=found,
        left_out=_left_out(found["data"], store().devices.simulated.ids()),
        kept=urlencode(kept),
        before=urlencode({**kept, "month": f"{first - timedelta(days=1):%Y-%m}"}),
        after=urlencode({**kept, "month": f"{first + timedelta(days=31):%Y-%m}"}),
        hours=hours,
        clock=clock,
        weekday=weekday,
        corrections=_corrections(user_id, found["month"]),
    )


def _corrections(user_id: str, month: str) -> list[dict[str, Any]]:
    """Return the corrections of punches that are or were in a month, of the chosen person, newest first."""
    found = corrections_api.corrections_of(user_id)
    employees = store().employees.at((user_id, one.device_id) for one in found)
    wanted = request.args.get("employee_id")
    rows = []
    for one in found:
        employee = employees.get((user_id, one.device_id))
        if wanted and (employee is None or employee.employee_id != wanted):
            continue
        row = corrections_api.row_of(one)
        if any((row[name] or "").startswith(month) for name in ("punched_at", "reported_at")):
            rows.append(row)
    return rows


@blueprint.get("/punches")
@needs(*PEOPLE_READERS)
def show_punches() -> ResponseReturnValue:
    """Show the punches of a person's day, and a form to add one or, with `punch_id`, to correct one."""
    kept = {name: value for name in ("user_id", "employee_id") if (value := request.args.get(name))}
    if not request.args.get("date"):
        wanted = {**kept, "date": store().attendance.today(attendance_api.sites())}
        return go_to(f"/console/attendance/punches?{urlencode(wanted)}")
    punches = api(corrections_api.show_punches)["data"]
    day = date.fromisoformat(request.args["date"])
    allowed = caller().device_ids
    devices = [one for one in store().devices.ids() if allowed is None or one in allowed]
    latest = [one["device_id"] for one in punches if one["device_id"] in devices]
    return page(
        "attendance_punches",
        user_id=request.args["user_id"],
        punches=punches,
        chosen=next((one for one in punches if one["id"] == request.args.get("punch_id")), None),
        device_ids=devices,
        device_id=latest[-1] if latest else None,
        day=day,
        kept=urlencode({**kept, "date": day}),
        before=urlencode({**kept, "date": day - timedelta(days=1)}),
        after=urlencode({**kept, "date": day + timedelta(days=1)}),
        employee_id=kept.get("employee_id"),
        clock=clock,
    )


def _left_out(rows: list[dict[str, Any]], simulated: SimulatedIds) -> bool:
    """Return whether files leave out some of these rows' punches, as they are a simulated device's."""
    if request.args.get("device_id") or request.args.get("simulated") == "true":
        return False
    return any(
        (row[name] or "") in simulated
        for row in rows
        for name in ("first_in_device_id", "last_out_device_id")
    )


def _choices(people: list[dict[str, Any]], kept: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return what to show for each person: employee ID or else device, the name, and the query for their month."""
    choices = []
    for one in people:
        if one["employee_id"]:
            places = [("employee_id", one["employee_id"])]
        else:  # there is no ID to ask for
            places = [("device_id", device_id) for device_id in one["device_ids"]]
        choices += [
            (value, one["user_name"] or "", urlencode({**kept, name: value})) for name, value in places
        ]
    return choices


@blueprint.get("/employees")
@needs(*PEOPLE_READERS)
def employees() -> Response:
    """Show the list of employees, and the form to import it."""
    found = api(employees_api.show_all)
    return page("employees", employees=found["data"], next_cursor=found["next_cursor"])


def hours(seconds: int | None) -> str:
    """Return `7:45` for 27,900 seconds."""
    return "" if seconds is None else f"{seconds // 3600}:{seconds % 3600 // 60:02d}"


def clock(at: str | None, day: str) -> str:
    """Return the local time of day, with the date if it is another day."""
    if at is None:
        return ""
    return at[11:16] if at[:10] == day else f"{at[8:10]}. {at[11:16]}"


def weekday(day: str) -> str:
    """Return `Mon` for `2026-11-23`."""
    return text("attendance.weekdays").split()[date.fromisoformat(day).weekday()]
