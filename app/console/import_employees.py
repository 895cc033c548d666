"""The import of employees: choosing the columns of a file, previewing the changes, and importing it.

The browser sends the file with each request, so nothing is stored in between.
"""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, request

from app.api import employees as employees_api
from app.api.auth import needs, store
from app.api.query_parameters import takes
from app.api.request_helpers import answer, raw_body
from app.attendance.employee_files import Table, check_columns, from_table, read_table, suggested
from app.attendance.employees import COLUMNS, Employee, Fault, Wrong
from app.console.frame import page

blueprint = Blueprint("import_employees", __name__, url_prefix="/console/attendance/employees")

_SHOWN = 10


@blueprint.post("/preview")
@needs("devices:write")
@takes(*COLUMNS)
def preview() -> Response:
    """Show the columns of the file in the body, its first employees, and what importing it would change."""
    try:
        table = read_table(raw_body())
    except Wrong as wrong:
        return page("employees_preview", table=None, problems=_texts(wrong))
    problems, employees, changes, columns = [], list[Employee](), None, suggested(table.heading)
    try:
        columns = _columns(table) if request.args else columns
        check_columns(columns)
        employees = from_table(table, columns)
        changes = store().employees.take(employees, is_preview=True)
    except Wrong as wrong:
        problems = _texts(wrong)
    return page(
        "employees_preview",
        table=table,
        fields=COLUMNS,
        columns=columns,
        employees=employees[:_SHOWN],
        count=len(employees),
        changes=changes,
        problems=problems,
    )


@blueprint.post("/import")
@needs("devices:write")
@takes(*COLUMNS)
def take() -> Response:
    """Import the file in the body. If any row is wrong, nothing is imported."""
    try:
        table = read_table(raw_body())
        columns = _columns(table)
        check_columns(columns)
        return answer(asdict(store().employees.take(from_table(table, columns))))
    except Wrong as wrong:
        raise employees_api.refused(wrong) from None


def _columns(table: Table) -> dict[str, int]:
    """Return the columns in the query: the index of each field's column."""
    found = {}
    for field in COLUMNS:
        value = request.args.get(field, "")
        if not value:
            continue
        if not (value.isdecimal() and len(value) < 5 and int(value) < len(table.heading)):
            raise Wrong(Fault("map", f"the file has no column {value[:10]!r} for {field}"))
        found[field] = int(value)
    return found


def _texts(wrong: Wrong) -> list[str]:
    return [fault.what if fault.where in ("body", "map") else str(fault) for fault in wrong.faults]
