"""ERPNext with Frappe HR: `add_log_based_on_employee_field` of Employee Checkin, which accepts devices' logs.

https://docs.frappe.io/hr/integrating-frappe-hr-with-biometric-attendance-devices
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from tests.services.web import Request, Service

KEY, SECRET = "made-up-key", "made-up-secret"
METHOD = "/api/method/hrms.hr.doctype.employee_checkin.employee_checkin.add_log_based_on_employee_field"


def _refused(status: int, kind: str, message: str) -> tuple[int, Any]:
    return status, {"exception": f"frappe.exceptions.{kind}: {message}", "exc_type": kind}


class ErpNext(Service):
    """A site with employees by attendance device ID. `checkins` are its Employee Checkins.

    `inactive` are employees whose entries are refused, as after they have left.
    The next `failures` calls get a 503, as while a site is being updated.
    """

    def __init__(self, employees: dict[str, str]) -> None:
        super().__init__()
        self.employees = employees
        self.checkins: list[dict[str, Any]] = []
        self.inactive: set[str] = set()
        self.failures = 0

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("authorization") != f"token {KEY}:{SECRET}":
            return _refused(401, "AuthenticationError", "")
        if (request.method, request.path) != ("POST", METHOD):
            return _refused(404, "DoesNotExistError", request.path)
        if self.failures:
            self.failures -= 1
            return 503, {"message": "Updating"}
        given = request.json
        employee = self.employees.get(given["employee_field_value"])
        assert given.get("employee_fieldname", "attendance_device_id") == "attendance_device_id"
        if employee is None:
            field = "attendance_device_id"
            return _refused(
                404,
                "DoesNotExistError",
                f"No Employee found for the given employee field value. '{field}': {given['employee_field_value']}",
            )
        if employee in self.inactive:
            message = f"Transactions cannot be created for an Inactive Employee {employee}."
            status, answer = _refused(417, "InactiveEmployeeStatusError", message)
            return status, {**answer, "_server_messages": json.dumps([json.dumps({"message": message})])}
        time = datetime.strptime(given["timestamp"], "%Y-%m-%d %H:%M:%S")
        if given.get("log_type") not in (None, "", "IN", "OUT"):
            return _refused(417, "ValidationError", 'Log Type must be one of "IN", "OUT"')
        if any((one["employee"], one["time"]) == (employee, time) for one in self.checkins):
            return _refused(
                417, "ValidationError", "This employee already has a log with the same timestamp."
            )
        made = {
            "employee": employee,
            "time": time,
            "log_type": given.get("log_type"),
            "device_id": given.get("device_id"),
        }
        self.checkins.append(made)
        return 200, {"message": {**made, "time": given["timestamp"], "doctype": "Employee Checkin"}}
