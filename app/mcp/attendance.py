"""Tools that read the attendance of a day or a month."""

from __future__ import annotations

from urllib.parse import quote

from app.mcp.api_client import Json, Relay, one_id
from app.mcp.tools import Progress, Tool, part, text
from app.store.access.scopes import PEOPLE_READERS

_MOST_ROWS = 200
_ROW = ("first_in", "last_out", "worked_hours", "punch_count", "missing_punch", "is_late", "day_over")
_PERSON = ("user_id", "user_name", "employee_id")
_SUMS = ("month", "days_present", "late_days", "missing_punch_days", "worked_hours")

_TIMEZONE = text("IANA time zone of the days. By default, each device's own time zone.", "Asia/Kolkata")
_EMPLOYEE_ID = text("Only this employee. Use it if the user ID belongs to several people.", "EMP-0042")
_DEVICE_ID = text("Service Tag ID of a device: only punches on this device.", "ZHM1100001")


async def _of_day(relay: Relay, arguments: Json, _: Progress) -> Json:
    query = {
        name: arguments.get(name) for name in ("date", "user_id", "employee_id", "timezone", "device_id")
    }
    query["user_id"] = one_id(query["user_id"])
    page = await relay.get("/v1/attendance", limit=_MOST_ROWS, **query)
    rows = page["data"]
    answer: Json = {
        "date": arguments["date"],
        "present_count": len(rows),
        "late_count": sum(row["is_late"] is True for row in rows),
        "missing_punch_count": sum(row["missing_punch"] for row in rows),
        "people": [part(row, *_PERSON, *_ROW) for row in rows],
    }
    if page["next_cursor"]:
        answer["note"] = (
            f"Only the first {_MOST_ROWS} people by user ID are shown and counted. To see others, ask for one device."
        )
    return answer


async def _of_month(relay: Relay, arguments: Json, _: Progress) -> Json:
    names = ("month", "employee_id", "timezone", "device_id")
    query = {name: arguments.get(name) for name in names} | {"format": "json"}
    found = await relay.get(f"/v1/attendance/{quote(arguments['user_id'], safe='')}", **query)
    return {**part(found, *_PERSON, *_SUMS), "days": [part(row, "date", *_ROW) for row in found["data"]]}


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="attendance_of_day",
        title="Attendance on a day",
        description="Lists who was present on a day, with first in, last out, hours, late arrivals and missing "
        "punches. To see who is in right now, use who_is_in.",
        scopes=PEOPLE_READERS,
        run=_of_day,
        fields={
            "date": text("The day.", "2026-11-24", pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
            "user_id": text("Only this person. find_person returns the ID.", "100", minLength=1),
            "employee_id": _EMPLOYEE_ID,
            "timezone": _TIMEZONE,
            "device_id": _DEVICE_ID,
        },
        required=("date",),
    ),
    Tool(
        name="attendance_of_month",
        title="Attendance in a month",
        description="Returns a person's month: days present, late days, missing punches, hours, and each day.",
        scopes=PEOPLE_READERS,
        run=_of_month,
        fields={
            "user_id": text("The person's ID. find_person returns it for a name.", "100", minLength=1),
            "month": text("The month.", "2026-11", pattern="^[0-9]{4}-[0-9]{2}$"),
            "employee_id": _EMPLOYEE_ID,
            "timezone": _TIMEZONE,
            "device_id": _DEVICE_ID,
        },
        required=("user_id", "month"),
    ),
)
