"""`/v1/employees`: maps user IDs to employees. Events and attendance rows then contain `employee_id`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from flask import Blueprint, Response, request
from marshmallow import ValidationError

from app.api import cursors, etags
from app.api.auth import needs, store
from app.api.problems import Problem, placed
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, limit, page, raw_body, refuse_other_media_types
from app.attendance.employees import Employee, EmployeeRow, Fault, Wrong, employee, from_csv, from_rows
from app.store.access.scopes import PEOPLE_READERS

blueprint = Blueprint("employees", __name__, url_prefix="/v1/employees")


def _list() -> list[Employee]:
    """Return the list in the body, which is JSON or CSV."""
    refuse_other_media_types("JSON or CSV, with Content-Type: application/json or text/csv")
    data = raw_body().strip()
    try:
        if not data.startswith((b"{", b"[")):
            return from_csv(data)
        value = orjson.loads(data)
        rows = value.get("employees") if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(rows, list):
            what = "is required: an array of objects with user_id, employee_id and name"
            raise Wrong(Fault("employees", what, "/employees"))
        return from_rows(rows)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"The body is not JSON: {error}. Send JSON or CSV.") from None
    except Wrong as wrong:
        raise refused(wrong) from None


def _take(*, replace: bool = False) -> Response:
    """Take the list in the body."""
    employees = _list()
    try:
        return answer(asdict(store().employees.take(employees, replace=replace)))
    except Wrong as wrong:
        raise refused(wrong) from None


def refused(wrong: Wrong) -> Problem:
    """Return a 422 with the problems of a list."""
    return Problem(422, "; ".join(map(str, wrong.faults[:5])), [_error(one) for one in wrong.faults])


def _error(fault: Fault) -> tuple[str, str]:
    """Return an item of `errors`. A line of a CSV file has no JSON Pointer, so the message names it."""
    is_line = not fault.pointer and fault.where != "body"
    return placed(fault.where, pointer=fault.pointer), str(fault) if is_line else fault.what


def _wrong_address(error: ValidationError) -> Problem:
    """Return a 422 for the user ID in the path or the device ID in the query."""
    found: Any = error.messages
    errors: list[tuple[str, str]] = [
        (placed(name, parameter=name), texts[0]) for name, texts in found.items()
    ]
    return Problem(422, "; ".join(f"{name}: {text}" for name, text in errors), errors)


def _nobody() -> Problem:
    return Problem(404, "There is no employee with this user ID.")


def _device_id() -> str | None:
    return request.args.get("device_id") or None


@blueprint.post("")
@needs("devices:write")
def add() -> Response:
    """Adds and changes employees from a JSON or CSV list. If any row is wrong, nothing is changed."""
    return _take()


@blueprint.put("")
@needs("devices:write")
def replace() -> Response:
    """Replaces the list of employees: adds and changes those in the body, and removes all others."""
    return _take(replace=True)


@blueprint.get("")
@needs(*PEOPLE_READERS)
@takes("limit", "cursor")
def show_all() -> Response:
    """Lists the employees, sorted by user ID."""
    found, cursor = store().employees.page(cursors.after() or "", limit())
    return page([_row(one) for one in found], cursor)


@blueprint.get("/<path:user_id>")
@needs(*PEOPLE_READERS)
@takes("device_id")
def show(user_id: str) -> Response:
    """Returns an employee: the entry for all devices or, with `device_id`, the entry for one device."""
    found = store().employees.get(user_id, _device_id())
    if found is None:
        raise _nobody()
    return _shown(found)


@blueprint.put("/<path:user_id>")
@needs("devices:write")
@takes("device_id")
def change(user_id: str) -> Response:
    """Adds or changes an employee, with `device_id` on one device."""
    values = body(EmployeeRow(exclude=("user_id", "device_id")))
    try:
        one = employee({**values, "user_id": user_id, "device_id": _device_id()})
    except ValidationError as error:
        raise _wrong_address(error) from None

    def how(before: Employee | None) -> Employee:
        etags.check_absent(before is not None)
        _check_match(before)
        return one

    try:
        store().employees.change(user_id, _device_id(), how)
    except Wrong as wrong:
        raise refused(wrong) from None
    return _shown(one)


@blueprint.patch("/<path:user_id>")
@needs("devices:write")
@takes("device_id")
def merge(user_id: str) -> Response:
    """Changes the fields of an employee that you send (RFC 7396)."""
    values = body(EmployeeRow(exclude=("user_id", "device_id")), partial=True)
    if values.get("name") == "":
        values["name"] = None

    def how(before: Employee | None) -> Employee:
        if before is None:
            raise _nobody()
        _check_match(before)
        return before._replace(**values)

    changed = store().employees.change(user_id, _device_id(), how)
    assert changed is not None
    return _shown(changed)


@blueprint.delete("/<path:user_id>")
@needs("devices:write")
@takes("device_id")
def remove(user_id: str) -> Response:
    """Removes an employee from the list. Events that have already been published don't change."""

    def how(before: Employee | None) -> None:
        if before is None:
            raise _nobody()
        _check_match(before)

    store().employees.change(user_id, _device_id(), how)
    return Response(status=204)


def _shown(one: Employee) -> Response:
    return etags.shown(_row(one), etags.of_employee(one._asdict()))


def _row(one: Employee) -> dict[str, Any]:
    return {"id": one.user_id, **one._asdict()}


def _check_match(before: Employee | None) -> None:
    if etags.is_conditional():
        etags.check(None if before is None else etags.of_employee(before._asdict()))
