"""The endpoints of attendance (days and months, as JSON and files) and of the list of employees."""

from __future__ import annotations

from app.openapi.vocabulary import (
    CURSOR,
    LIMIT,
    Answer,
    Endpoint,
    Json,
    created,
    existed,
    in_path,
    page_of,
    parameter,
    ref,
    text,
)
from app.store.access.scopes import PEOPLE_READERS

_DATE = parameter(
    "date",
    "The day, in each site's time zone and according to RELAY_DAY_STARTS.",
    text("", "2026-11-24", format="date"),
    required=True,
)
_MONTH = parameter("month", "The month.", text("", "2026-11", pattern=r"^\d{4}-\d{2}$"), required=True)
_DATE_OR_MONTH = (
    {**_DATE, "required": False, "description": "The day. Required unless month is given."},
    {**_MONTH, "required": False, "description": "The month, if you want a whole month instead of one day."},
)
_TIMEZONE = parameter("timezone", "Only punches on devices in this time zone.", text("", "Asia/Kolkata"))
_DEVICES = parameter(
    "device_id", "Only punches from this device. Separate several IDs with commas.", text("", "ZHM1100001")
)
_USERS = parameter("user_id", "Only this user. Separate several IDs with commas.", text("", "2"))
_EMPLOYEE_ID = parameter(
    "employee_id",
    "Only this employee. Use it if a user ID belongs to different people on different devices.",
    text("", "EMP-0042"),
)
_FORMAT = parameter(
    "format",
    "Needed only for a user ID that ends with .csv or .xlsx. `json` returns JSON instead of a file.",
    {"type": "string", "enum": ["json"]},
)
_SITES = (_TIMEZONE, _DEVICES)
_SIMULATED = parameter(
    "simulated",
    "true includes the punches of simulated devices. By default, they are left out, unless "
    "device_id names a simulated device.",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
)
_USER_ID = in_path("user_id", "The person's user ID on the devices.", "2")
_CSV = Answer(
    "The file.",
    {"type": "string", "description": "A header row, followed by one row per person and day."},
    media="text/csv",
    example="date,user_id,user_name\r\n2026-11-24,2,Asha Rao\r\n",
)
_XLSX = Answer(
    "The workbook.",
    {"type": "string", "format": "binary", "description": "A sheet with one row per person and day."},
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
    problems: tuple[int, ...] = (),
) -> Endpoint:
    return Endpoint(
        method="get",
        path=path,
        operation_id=operation_id,
        tag="attendance",
        summary=summary,
        description=description,
        answers={200: answer},
        scopes=PEOPLE_READERS,
        parameters=parameters,
        problems=problems,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _endpoint(
        "/v1/attendance",
        "listAttendance",
        "List a day's attendance",
        "Returns who punched on a day, with first in, last out, hours, missing punches and lateness, sorted "
        "by user ID.",
        Answer("A page of people.", page_of("AttendanceDay")),
        _DATE,
        *_SITES,
        _USERS,
        _EMPLOYEE_ID,
        LIMIT,
        CURSOR,
    ),
    _endpoint(
        "/v1/attendance.csv",
        "exportAttendance",
        "Export attendance as CSV",
        "Returns everyone's attendance for a day or a month as a CSV file.",
        _CSV,
        *_DATE_OR_MONTH,
        *_SITES,
        _USERS,
        _EMPLOYEE_ID,
        _SIMULATED,
    ),
    _endpoint(
        "/v1/attendance.xlsx",
        "exportAttendanceWorkbook",
        "Export attendance as an Excel workbook",
        "Returns everyone's attendance for a day or a month as an Excel workbook.",
        _XLSX,
        *_DATE_OR_MONTH,
        *_SITES,
        _USERS,
        _EMPLOYEE_ID,
        _SIMULATED,
    ),
    _endpoint(
        "/v1/attendance/{user_id}",
        "getAttendance",
        "Get a person's month",
        "Returns a person's attendance in a month, by day, with totals. If the user ID belongs to several people in "
        "this month, the answer is 409, and `people` lists them. Add employee_id for one of them.",
        Answer("The month.", ref("AttendanceMonth")),
        _USER_ID,
        _MONTH,
        *_SITES,
        _EMPLOYEE_ID,
        _FORMAT,
        problems=(409,),
    ),
    _endpoint(
        "/v1/attendance/{user_id}.csv",
        "exportAttendanceMonth",
        "Export a person's month as CSV",
        "Returns a person's attendance in a month as a CSV file.",
        _CSV,
        _USER_ID,
        _MONTH,
        *_SITES,
        _EMPLOYEE_ID,
        _SIMULATED,
    ),
    _endpoint(
        "/v1/attendance/{user_id}.xlsx",
        "exportAttendanceMonthWorkbook",
        "Export a person's month as an Excel workbook",
        "Returns a person's attendance in a month as an Excel workbook.",
        _XLSX,
        _USER_ID,
        _MONTH,
        *_SITES,
        _EMPLOYEE_ID,
        _SIMULATED,
    ),
)

_ONE_USER = {**_USERS, "description": "The user.", "required": True}
_CORRECTED = created("The correction, which was made.", ref("Correction")) | existed(
    "The latest correction of the punch already said the same.", ref("Correction")
)

CORRECTIONS: tuple[Endpoint, ...] = (
    _endpoint(
        "/v1/punches",
        "listPunches",
        "List a person's punches on a day",
        "Returns the punches that belong to a person's day, by time, also those that were excluded or moved to another "
        "day.",
        Answer("The punches.", page_of("Punch")),
        _ONE_USER,
        _DATE,
        *_SITES,
        _EMPLOYEE_ID,
    ),
    _endpoint(
        "/v1/corrections",
        "listCorrections",
        "List a person's corrections",
        "Returns the corrections of a person's punches, newest first, also those that later ones replaced.",
        Answer("A page of corrections.", page_of("Correction")),
        _ONE_USER,
        _DEVICES,
        LIMIT,
        CURSOR,
    ),
    _endpoint(
        "/v1/corrections/{correction_id}",
        "getCorrection",
        "Get correction",
        "Returns a correction.",
        Answer("The correction.", ref("Correction")),
        in_path("correction_id", "The correction's ID.", "cor_0k2f7m3q9s1v5x8z4b6d0g2j"),
    ),
    Endpoint(
        method="post",
        path="/v1/corrections",
        operation_id="correctPunch",
        tag="attendance",
        summary="Correct a punch",
        description="Adds a punch that is missing, or changes, excludes or restores one. Attendance is computed with "
        "it at once. What the device reported stays stored.",
        answers=_CORRECTED,
        scopes=("devices:write",),
        body=ref("CorrectionBody"),
        examples={
            "added": {
                "kind": "added",
                "user_id": "2",
                "device_id": "ZHM1100001",
                "punched_at": "2026-11-24T18:00:00+05:30",
                "direction": "out",
                "reason": "Forgot to punch out.",
                "author": "Meera Iyer",
            },
            "excluded": {
                "kind": "excluded",
                "user_id": "2",
                "punch_id": "pun_5f0c1b2a3d4e",
                "reason": "Punched for a colleague.",
            },
        },
        problems=(404, 409),
    ),
)

_LIST = (
    "Send JSON, or CSV with the columns user_id, employee_id and name. If any row is wrong, nothing is "
    "changed."
)
_TAKEN = Answer("The number of changes.", ref("EmployeesTaken"))
_EMPLOYEE = Answer("The employee.", ref("Employee"))
_EXAMPLE_OF_LIST = {
    "two": {
        "employees": [
            {"user_id": "2", "employee_id": "EMP-0042", "name": "Asha Rao", "device_id": None},
            {"user_id": "3", "employee_id": "EMP-0043", "name": None, "device_id": None},
        ]
    }
}
_CSV_OF_LIST = "user_id,employee_id,name\r\n2,EMP-0042,Asha Rao\r\n3,EMP-0043,\r\n"

_ON_DEVICE = parameter(
    "device_id", "The entry for this device instead of the one for all devices.", {"type": "string"}
)

EMPLOYEES: tuple[Endpoint, ...] = (
    Endpoint(
        method="get",
        path="/v1/employees",
        operation_id="listEmployees",
        tag="attendance",
        summary="List employees",
        description="Returns the employees, sorted by user ID.",
        answers={200: Answer("A page of employees.", page_of("Employee"))},
        scopes=PEOPLE_READERS,
        parameters=(LIMIT, CURSOR),
    ),
    Endpoint(
        method="post",
        path="/v1/employees",
        operation_id="addEmployees",
        tag="attendance",
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
        tag="attendance",
        summary="Replace employees",
        description=f"Adds and changes employees, and removes those that are not in the list. {_LIST}",
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
        tag="attendance",
        summary="Get employee",
        description="Returns the employee with this user ID.",
        answers={200: _EMPLOYEE},
        scopes=PEOPLE_READERS,
        parameters=(_USER_ID, _ON_DEVICE),
    ),
    Endpoint(
        method="put",
        path="/v1/employees/{user_id}",
        operation_id="putEmployee",
        tag="attendance",
        summary="Add or change employee",
        description="Sets the employee ID and name for a user ID.",
        answers={200: _EMPLOYEE},
        scopes=("devices:write",),
        parameters=(_USER_ID, _ON_DEVICE),
        body=ref("EmployeeChange"),
        examples={"employee": {"employee_id": "EMP-0042", "name": "Asha Rao"}},
        problems=(412,),
    ),
    Endpoint(
        method="patch",
        path="/v1/employees/{user_id}",
        operation_id="updateEmployee",
        tag="attendance",
        summary="Update employee",
        description="Changes the fields that you send. null removes the name.",
        answers={200: _EMPLOYEE},
        scopes=("devices:write",),
        parameters=(_USER_ID, _ON_DEVICE),
        body=ref("EmployeePatch"),
        examples={"employee": {"name": "Asha Rao"}},
        problems=(412,),
    ),
    Endpoint(
        method="delete",
        path="/v1/employees/{user_id}",
        operation_id="deleteEmployee",
        tag="attendance",
        summary="Remove employee",
        description="Removes an employee from the list. Events that have already been published don't change.",
        answers={204: Answer("The employee was removed.")},
        scopes=("devices:write",),
        parameters=(_USER_ID, _ON_DEVICE),
        problems=(412,),
    ),
)
