"""`/v1/employees`: who a user ID is. Events and rows of attendance carry it as `employee_id`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from flask import Blueprint, Response, request

from app.api.auth import needs, store
from app.api.io import answer, body, limit, page, raw_body
from app.api.problems import Problem
from app.employees import Employee, EmployeeRow, Wrong, employee, from_csv, from_rows

blueprint = Blueprint("employees", __name__, url_prefix="/v1/employees")


def _list() -> list[Employee]:
    """The list in the body: JSON, or else CSV."""
    data = raw_body().strip()
    try:
        if not data.startswith((b"{", b"[")):
            return from_csv(data)
        value = orjson.loads(data)
        rows = value.get("employees") if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(rows, list):
            raise Wrong(("employees", "is needed: an array of objects with user_id, employee_id and name"))
        return from_rows(rows)
    except orjson.JSONDecodeError as error:
        raise Problem(422, f"The body is not JSON: {error}", [("body", "Send JSON or CSV.")]) from None
    except Wrong as wrong:
        detail = "; ".join(f"{where}: {what}" for where, what in wrong.errors[:5])
        raise Problem(422, detail, list(wrong.errors)) from None


def _nobody() -> Problem:
    return Problem(404, "The list of employees has nobody with this user ID.")


def _found(user_id: str) -> dict[str, Any]:
    found = store().employees.of([user_id])
    if user_id not in found:
        raise _nobody()
    return found[user_id]._asdict()


@blueprint.post("")
@needs("devices:write")
def add() -> Response:
    """Adds and changes employees: a list as JSON or CSV, all of it or nothing."""
    return answer(asdict(store().employees.take(_list())))


@blueprint.put("")
@needs("devices:write")
def replace() -> Response:
    """The same, and removes whoever is not in the list."""
    return answer(asdict(store().employees.take(_list(), replace=True)))


@blueprint.get("")
@needs("events:read")
def show_all() -> Response:
    """The employees, by user id."""
    count = limit()
    found, more = store().employees.page(request.args.get("cursor", ""), count)
    return page([one._asdict() for one in found], found[-1].user_id if more and found else None)


@blueprint.get("/<path:user_id>")
@needs("events:read")
def show(user_id: str) -> Response:
    """One employee."""
    return answer(_found(user_id))


@blueprint.put("/<path:user_id>")
@needs("devices:write")
def change(user_id: str) -> Response:
    """Adds or changes one employee."""
    values = body(EmployeeRow(exclude=("user_id",)))
    store().employees.take([employee({**values, "user_id": user_id})])
    return answer(_found(user_id))


@blueprint.delete("/<path:user_id>")
@needs("devices:write")
def remove(user_id: str) -> Response:
    """Removes one employee from the list. Events that were published keep what they carry."""
    if not store().employees.remove(user_id):
        raise _nobody()
    return Response(status=204)
