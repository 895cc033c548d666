"""The modules for attendance and for the list of employees."""

from __future__ import annotations

from app.openapi.catalog import values
from app.openapi.make import forms
from app.openapi.make.component import Component, module
from app.openapi.make.reads import DEVICE, Read, module_of, one, search
from app.openapi.schemas import COMPONENTS
from app.openapi.vocabulary import Json

ATTENDANCE = "Attendance"
EMPLOYEES = "Employees"

_DATE: Json = {
    "name": "date",
    "label": "Date",
    "type": "text",
    "required": True,
    "validate": {"pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "help": "The day, e.g. `2026-11-24`. From another module's date: `formatDate()` with `YYYY-MM-DD`.",
}
_MONTH: Json = {
    **_DATE,
    "name": "month",
    "label": "Month",
    "validate": {"pattern": r"^\d{4}-\d{2}$"},
    "help": "The month, e.g. `2026-11`. From another module's date: `formatDate()` with `YYYY-MM`.",
}
_PUNCHED_ON: Json = {**DEVICE, "help": "Only punches on this device."}
_TIMEZONE: Json = {
    "name": "timezone",
    "label": "Time zone",
    "type": "text",
    "advanced": True,
    "help": "Only punches on devices in this time zone, e.g. `Asia/Kolkata`.",
}
_USER: Json = {
    "name": "user_id",
    "label": "User ID",
    "type": "text",
    "help": "Only this person, by the user ID on the devices. Separate several user IDs with commas.",
}
_THE_USER: Json = {**_USER, "required": True, "help": "The person's user ID on the devices."}
_EMPLOYEE: Json = {
    "name": "employee_id",
    "label": "Employee ID",
    "type": "text",
    "help": "Only this employee. Use it if a user ID belongs to different people on different devices.",
}
_THE_EMPLOYEE: Json = {**_EMPLOYEE, "required": True, "help": "The ID in your payroll or HR system."}
_NAME: Json = {
    "name": "name",
    "label": "Name",
    "type": "text",
    "help": "The full name. If it is empty, the name on the device is used.",
}
_ENTRY: Json = {
    **DEVICE,
    "advanced": True,
    "help": "The entry for this device. If no device is selected, the entry for all devices.",
}

_ONE = "/v1/employees/{{parameters.user_id}}"
_FOR_DEVICE = {"device_id": forms.given("device_id")}

_READS = (
    search(
        "searchAttendance",
        "Search attendance",
        "Returns who punched on a day, with first in, last out, hours, missing punches and lateness.",
        ATTENDANCE,
        "AttendanceDay",
        "/v1/attendance",
        *(_DATE, _USER, _EMPLOYEE, _PUNCHED_ON, _TIMEZONE),
    ),
    Read(
        "read",
        "getAttendance",
        "Get an attendance month",
        "Returns a person's attendance in a month, by day, with totals.",
        ATTENDANCE,
        "AttendanceMonth",
        (_THE_USER, _MONTH, _EMPLOYEE, _PUNCHED_ON, _TIMEZONE),
        one(
            "/v1/attendance/{{parameters.user_id}}",
            qs={
                "format": "json",  # otherwise, a user ID that ends with .csv would return a file
                **{name: forms.given(name) for name in ("month", "employee_id", "device_id", "timezone")},
            },
        ),
    ),
    search(
        "searchEmployees",
        "List employees",
        "Returns the list of employees, sorted by user ID.",
        EMPLOYEES,
        "Employee",
        "/v1/employees",
    ),
    Read(
        "read",
        "getEmployee",
        "Get an employee",
        "Returns the employee ID and name for a user ID.",
        EMPLOYEES,
        "Employee",
        (_THE_USER, _ENTRY),
        one(_ONE, qs=_FOR_DEVICE),
    ),
    Read(
        "update",
        "updateEmployee",
        "Create or update an employee",
        "Sets the employee ID and name for a user ID. Later attendance events contain them.",
        EMPLOYEES,
        "Employee",
        (_THE_USER, _THE_EMPLOYEE, _NAME, _ENTRY),
        one(
            _ONE,
            method="PUT",
            qs=_FOR_DEVICE,
            body={"employee_id": forms.given("employee_id"), "name": forms.given("name")},
        ),
    ),
)


def components(catalog: Json) -> list[Component]:
    return [*(module_of(read, catalog) for read in _READS), _delete()]


def _delete() -> Component:
    shown = [field for field in values(COMPONENTS["Employee"]) if field["name"] == "user_id"]
    return module(
        "delete",
        "deleteEmployee",
        "Delete an employee",
        "Removes an employee from the list. Events that were already sent don't change.",
        EMPLOYEES,
        {
            "communication": {
                "url": _ONE,
                "method": "DELETE",
                "qs": _FOR_DEVICE,
                "response": {"output": {"user_id": forms.given("user_id")}},
            },
            "mappableParams": [_THE_USER, _ENTRY],
            "interface": forms.interface(shown),
            "samples": forms.sample(shown),
        },
    )
