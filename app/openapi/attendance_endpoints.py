"""Attendance as endpoints: days and months, as JSON and as files."""

from __future__ import annotations

from app.openapi.parts import (
    CURSOR,
    LIMIT,
    Answer,
    Endpoint,
    Json,
    in_path,
    page_of,
    parameter,
    ref,
    text,
)

_DATE = parameter(
    "date",
    "Which day, by the clock of each site and RELAY_DAY_STARTS.",
    text("", "2026-11-24", format="date"),
    required=True,
)
_MONTH = parameter("month", "Which month.", text("", "2026-11", pattern=r"^\d{4}-\d{2}$"), required=True)
_DATE_OR_MONTH = (
    {**_DATE, "required": False, "description": "Which day; needed where there is no month."},
    {**_MONTH, "required": False, "description": "All days of a month instead of one day."},
)
_TIMEZONE = parameter(
    "timezone", "Only what the devices in this time zone brought.", text("", "Asia/Kolkata")
)
_DEVICE = parameter("device_id", "Only what this device brought.", text("", "ZHM1100001"))
_USER = parameter("user_id", "Only this person.", text("", "2"))
_SITES = (_TIMEZONE, _DEVICE)
_USER_ID = in_path("user_id", "The person's user ID on the devices.", "2")
_CSV = Answer(
    "The file.",
    {"type": "string", "description": "A heading, then a row for each person and day."},
    media="text/csv",
    example="date,user_id,user_name\r\n2026-11-24,2,Asha Rao\r\n",
)
_XLSX = Answer(
    "The workbook.",
    {"type": "string", "format": "binary", "description": "A sheet with a row for each person and day."},
    media="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    example="PK…",
)


def _endpoint(
    path: str,
    operation_id: str,
    summary: str,
    description: str,
    answer: Answer,
    *parameters: Json,
) -> Endpoint:
    return Endpoint(
        method="get",
        path=path,
        operation_id=operation_id,
        tags=("attendance",),
        summary=summary,
        description=description,
        answers={200: answer},
        scopes=("events:read",),
        parameters=parameters,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _endpoint(
        "/v1/attendance",
        "listAttendance",
        "List a day's attendance",
        "Who punched on a day: first in, last out, hours, a missing punch and being late, by user ID.",
        Answer("A page of people.", page_of("AttendanceDay")),
        _DATE,
        *_SITES,
        _USER,
        LIMIT,
        CURSOR,
    ),
    _endpoint(
        "/v1/attendance.csv",
        "exportAttendance",
        "Export attendance as CSV",
        "Everybody's day, or all days of a month, as a CSV file.",
        _CSV,
        *_DATE_OR_MONTH,
        *_SITES,
        _USER,
    ),
    _endpoint(
        "/v1/attendance.xlsx",
        "exportAttendanceWorkbook",
        "Export attendance as an Excel workbook",
        "Everybody's day, or all days of a month, as an Excel workbook.",
        _XLSX,
        *_DATE_OR_MONTH,
        *_SITES,
        _USER,
    ),
    _endpoint(
        "/v1/attendance/{user_id}",
        "getAttendance",
        "Get a person's month",
        "A person's days of a month, and their sums.",
        Answer("The month.", ref("AttendanceMonth")),
        _USER_ID,
        _MONTH,
        *_SITES,
    ),
    _endpoint(
        "/v1/attendance/{user_id}.csv",
        "exportAttendanceMonth",
        "Export a person's month as CSV",
        "A person's days of a month as a CSV file.",
        _CSV,
        _USER_ID,
        _MONTH,
        *_SITES,
    ),
    _endpoint(
        "/v1/attendance/{user_id}.xlsx",
        "exportAttendanceMonthWorkbook",
        "Export a person's month as an Excel workbook",
        "A person's days of a month as an Excel workbook.",
        _XLSX,
        _USER_ID,
        _MONTH,
        *_SITES,
    ),
)
