"""Days and months of attendance as tools."""

from __future__ import annotations

from urllib.parse import quote

from app.mcp.relay import Json, Relay
from app.mcp.tools import Progress, Tool, part, text

_MOST_ROWS = 200
_ROW = ("first_in", "last_out", "worked_hours", "punch_count", "missing_punch", "is_late", "day_over")
_PERSON = ("user_id", "user_name", "employee_id")
_SUMS = ("month", "days_present", "late_days", "missing_punch_days", "worked_hours")

_TIMEZONE = text("Days of this time zone (IANA); left out: of each device's own.", "Asia/Kolkata")
_DEVICE_ID = text("Only punches on this device, by its Service Tag ID.", "ZHM1100001")


async def _of_day(relay: Relay, arguments: Json, _: Progress) -> Json:
    query = {name: arguments.get(name) for name in ("date", "user_id", "timezone", "device_id")}
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
            f"These are the first {_MOST_ROWS} by user ID, and the counts are theirs: ask for one device."
        )
    return answer


async def _of_month(relay: Relay, arguments: Json, _: Progress) -> Json:
    query = {name: arguments.get(name) for name in ("month", "timezone", "device_id")} | {"format": "json"}
    found = await relay.get(f"/v1/attendance/{quote(arguments['user_id'], safe='')}", **query)
    return {**part(found, *_PERSON, *_SUMS), "days": [part(row, "date", *_ROW) for row in found["data"]]}


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="attendance_of_day",
        title="Attendance of a day",
        description="Who was there on a day: first in, last out, hours, late arrivals, missing punches. For who is in "
        "right now: who_is_in.",
        scopes=("events:read",),
        run=_of_day,
        fields={
            "date": text("The day.", "2026-11-24", pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
            "user_id": text("Only this person; find_person has the ID.", "100", minLength=1),
            "timezone": _TIMEZONE,
            "device_id": _DEVICE_ID,
        },
        required=("date",),
    ),
    Tool(
        name="attendance_of_month",
        title="Attendance of a month",
        description="A person's month: days present, late days, missing punches, hours, and each day.",
        scopes=("events:read",),
        run=_of_month,
        fields={
            "user_id": text("The person's ID; find_person has it for a name.", "100", minLength=1),
            "month": text("The month.", "2026-11", pattern="^[0-9]{4}-[0-9]{2}$"),
            "timezone": _TIMEZONE,
            "device_id": _DEVICE_ID,
        },
        required=("user_id", "month"),
    ),
)
