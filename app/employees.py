"""The list of employees as it is sent: JSON or CSV, checked. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate

from app.gateway.values import LONGEST_ID

MOST = 100_000
COLUMNS = ("user_id", "employee_id", "name")
_SEPARATORS = (",", ";", "\t")


class Employee(NamedTuple):
    """Who a user ID is."""

    user_id: str
    employee_id: str
    name: str | None = None


class Wrong(ValueError):
    """Rows that can't be taken: (where, what is wrong with it)."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{where}: {what}" for where, what in errors))
        self.errors = errors


class EmployeeRow(Schema):
    """One of the list."""

    class Meta:
        unknown = RAISE

    user_id = fields.String(required=True, validate=validate.Length(1, LONGEST_ID))
    employee_id = fields.String(required=True, validate=validate.Length(1, 100))
    name = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=200))

    @pre_load
    def trim(self, row: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Without blanks around: they come along from spreadsheets."""
        return {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}


def employee(row: dict[str, Any]) -> Employee:
    """One of the list, checked. Raises marshmallow's ValidationError."""
    loaded = EmployeeRow().load(row)
    return Employee(loaded["user_id"], loaded["employee_id"], loaded["name"] or None)


def from_rows(rows: list[Any]) -> list[Employee]:
    """Employees of a JSON array. Raises Wrong."""
    return _checked((f"employees.{number}", row) for number, row in enumerate(rows))


def from_csv(data: bytes) -> list[Employee]:
    """Employees of a CSV file: a heading with user_id, employee_id and, if you like, name; comma, semicolon or tab.

    UTF-8, as Excel's "CSV UTF-8" saves it. Raises Wrong.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Wrong(("body", "is not UTF-8: save it as CSV UTF-8")) from None
    heading = text.lstrip().partition("\n")[0]
    separator = max(_SEPARATORS, key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise Wrong((f"line {reader.line_num}", f"is not CSV: {error}")) from None
    if not lines:
        raise Wrong(("body", "is empty: send a heading user_id,employee_id,name and a row for each employee"))
    columns = [cell.strip().lower() for cell in lines[0][1]]
    if sorted(columns) not in (sorted(COLUMNS), sorted(COLUMNS[:2])):
        raise Wrong(("line 1", "is not the heading user_id,employee_id,name (name may be left out)"))
    return _checked((f"line {number}", _row(columns, line)) for number, line in lines[1:])


def _row(columns: list[str], line: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(columns, line, strict=False))
    if len(line) > len(columns):
        row["a cell too many"] = line[len(columns)]
    return row


def _checked(rows: Iterable[tuple[str, Any]]) -> list[Employee]:
    found: dict[str, Employee] = {}
    errors: list[tuple[str, str]] = []
    for where, row in rows:
        if len(found) == MOST:
            errors.append((where, f"is one too many: there may be {MOST}"))
        else:
            errors += _take(where, row, found)
        if len(errors) > 20:
            break
    if errors:
        raise Wrong(*errors)
    return list(found.values())


def _take(where: str, row: Any, found: dict[str, Employee]) -> Iterator[tuple[str, str]]:
    """Takes a row in; what is wrong with it."""
    if not isinstance(row, dict):
        yield where, "is not an object with user_id, employee_id and name"
        return
    try:
        one = employee(row)
    except ValidationError as error:
        messages: Any = error.messages
        yield from ((f"{where}.{name}", str(texts[0])) for name, texts in messages.items())
        return
    if one.user_id in found:
        yield f"{where}.user_id", "is in the list twice"
    found[one.user_id] = one
