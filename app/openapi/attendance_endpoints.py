"""Attendance as endpoints: days and months, as JSON and as files; and the list of employees."""

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
_FORMAT = parameter(
    "format",
    "For a user ID that itself ends with .csv or .xlsx: json says that it is no file that is wanted.",
    {"type": "string", "enum": ["json"]},
)
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
        _FORMAT,
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

_LIST = (
    "A list as JSON, or as CSV with the columns user_id, employee_id and name; all of it is taken or nothing."
)
_TAKEN = Answer("How many were taken.", ref("EmployeesTaken"))
_EMPLOYEE = Answer("The employee.", ref("Employee"))
_EXAMPLE_OF_LIST = {
    "two": {
        "employees": [
            {"user_id": "2", "employee_id": "EMP-0042", "name": "Asha Rao"},
            {"user_id": "3", "employee_id": "EMP-0043", "name": None},
        ]
    }
}
_CSV_OF_LIST = "user_id,employee_id,name\r\n2,EMP-0042,Asha Rao\r\n3,EMP-0043,\r\n"

EMPLOYEES: tuple[Endpoint, ...] = (
    Endpoint(
        method="get",
        path="/v1/employees",
        operation_id="listEmployees",
        tags=("attendance",),
        summary="List employees",
        description="Who user IDs are, by user ID.",
        answers={200: Answer("A page of employees.", page_of("Employee"))},
        scopes=("events:read",),
        parameters=(LIMIT, CURSOR),
    ),
    Endpoint(
        method="post",
        path="/v1/employees",
        operation_id="addEmployees",
        tags=("attendance",),
        summary="Add employees",
        description=f"Adds and changes employees. {_LIST}",
        answers={200: _TAKEN},
        scopes=("devices:write",),
        body=ref("EmployeesBody"),
        body_csv=_CSV_OF_LIST,
        examples=_EXAMPLE_OF_LIST,
    ),
    Endpoint(
        method="put",
        path="/v1/employees",
        operation_id="replaceEmployees",
        tags=("attendance",),
        summary="Replace employees",
        description=f"Adds and changes employees, and removes whoever is not in the list. {_LIST}",
        answers={200: _TAKEN},
        scopes=("devices:write",),
        body=ref("EmployeesBody"),
        body_csv=_CSV_OF_LIST,
        examples=_EXAMPLE_OF_LIST,
    ),
    Endpoint(
        method="get",
        path="/v1/employees/{user_id}",
        operation_id="getEmployee",
        tags=("attendance",),
        summary="Get employee",
        description="Who a user ID is.",
        answers={200: _EMPLOYEE},
        scopes=("events:read",),
        parameters=(_USER_ID,),
    ),
    Endpoint(
        method="put",
        path="/v1/employees/{user_id}",
        operation_id="putEmployee",
        tags=("attendance",),
        summary="Add or change employee",
        description="Says who a user ID is.",
        answers={200: _EMPLOYEE},
        scopes=("devices:write",),
        parameters=(_USER_ID,),
        body=ref("EmployeeChange"),
        examples={"employee": {"employee_id": "EMP-0042", "name": "Asha Rao"}},
    ),
    Endpoint(
        method="delete",
        path="/v1/employees/{user_id}",
        operation_id="deleteEmployee",
        tags=("attendance",),
        summary="Remove employee",
        description="Removes an employee from the list. Events that were published keep what they carry.",
        answers={204: Answer("It is removed.")},
        scopes=("devices:write",),
        parameters=(_USER_ID,),
    ),
)
