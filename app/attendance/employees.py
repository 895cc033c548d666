"""Reads and checks lists of employees in JSON or CSV. Pure, except that other tasks may run between the rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields, pre_load

from app.attendance.csv_text import UnknownEncoding, decoded, without_separator_line
from app.base.json_pointer import json_pointer
from app.base.request_schema import Body, Length
from app.base.yielding import in_turns
from app.gateway.values import LONGEST_ID

MOST = 100_000
"""The most employees in one list that is imported."""
MOST_IN_ALL = 200_000
"""The most employees that are stored."""
COLUMNS = ("user_id", "employee_id", "name", "device_id")
_REQUIRED = frozenset(COLUMNS[:2])
# The separator of a user ID and a device ID in the store (app/store/people/employees.py).
_SEPARATOR = "\x1f"
_DELIMITERS = (",", ";", "\t")
EXTRA = "extra cell"
_NO_LINE_BREAKS = (
    ". The list has no line breaks. "
    "With curl, send the file with --data-binary @FILE, because -d removes them"
)


class Employee(NamedTuple):
    """The person behind a user ID, on all devices or, with `device_id`, on one."""

    user_id: str
    employee_id: str
    name: str | None = None
    device_id: str | None = None


class Fault(NamedTuple):
    """A problem in a list, and its place: `pointer` is a JSON Pointer into the body, and "" for a CSV file."""

    where: str
    what: str
    pointer: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Wrong(ValueError):
    """Some rows are invalid."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


def too_many() -> Wrong:
    """Return the problem that the stored list is full."""
    return Wrong(Fault("employees", f"would have more than {MOST_IN_ALL:,} entries. Remove some first"))


class Place(NamedTuple):
    """The place of a row: its line in a file, or its number in a JSON array.

    `headings` are the columns that fields are read from, if a file calls them differently.
    """

    number: int
    is_csv: bool
    line: str = "line"
    headings: Mapping[str, str] = MappingProxyType({})

    def fault(self, what: str, field: str | None = None) -> Fault:
        """Return a problem with the row, or with a field of it."""
        if self.is_csv:
            name = self.headings.get(field or "")
            heading = "" if name is None else f" (column {name})"
            return Fault(f"{self.line} {self.number}{'' if field is None else f', {field}{heading}'}", what)
        path = ("employees", str(self.number), *(() if field is None else (field,)))
        return Fault(".".join(path), what, json_pointer(*path))


class EmployeeRow(Body):
    """An entry of the list."""

    user_id = fields.String(required=True, validate=Length(1, LONGEST_ID), metadata={"examples": ["2"]})
    employee_id = fields.String(required=True, validate=Length(1, 100), metadata={"examples": ["EMP-0042"]})
    name = fields.String(load_default=None, allow_none=True, validate=Length(max=200))
    device_id = fields.String(load_default=None, allow_none=True, validate=Length(max=100))

    @pre_load
    def trim(self, row: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Remove blanks around all fields except the user ID, which would otherwise become another user's."""
        return {
            name: value.strip() if isinstance(value, str) and name != "user_id" else value
            for name, value in row.items()
        }


def _plain(row: dict[str, Any]) -> Employee | None:
    """Return a row of texts that is clearly valid; None for any other, which the schema checks."""
    user_id, employee_id, name, device_id = (row.get(column) for column in COLUMNS)
    if len(row) != 2 + ("name" in row) + ("device_id" in row):
        return None
    if not (isinstance(user_id, str) and isinstance(employee_id, str)):
        return None
    if not isinstance(name, str | None) or not isinstance(device_id, str | None) or _SEPARATOR in user_id:
        return None
    device_id = (device_id and device_id.strip()) or None
    made = Employee(user_id, employee_id.strip(), (name and name.strip()) or None, device_id)
    is_short = len(made[2] or "") <= 200 and len(device_id or "") <= 100
    if 1 <= len(made[0]) <= LONGEST_ID and 1 <= len(made[1]) <= 100 and is_short:
        return made
    return None


@cache
def _row_schema() -> EmployeeRow:
    return EmployeeRow()


def employee(row: dict[str, Any]) -> Employee:
    """Return a checked entry. Raises marshmallow's ValidationError."""
    plain = _plain(row)  # for the many valid rows: takes a twentieth of the time
    if plain is not None:
        return plain
    loaded = _row_schema().load(row)
    if _SEPARATOR in loaded["user_id"]:
        raise ValidationError({"user_id": ["contains the control character 1F, which is not allowed"]})
    name, device_id = loaded["name"] or None, loaded["device_id"] or None
    return Employee(loaded["user_id"], loaded["employee_id"], name, device_id)


def from_rows(rows: list[Any]) -> list[Employee]:
    """Read employees from a JSON array. Raises Wrong."""
    return checked((Place(number, is_csv=False), row) for number, row in enumerate(rows))


def from_csv(data: bytes) -> list[Employee]:
    """Read employees from a CSV file with the columns user_id, employee_id and, optionally, name and device_id.

    Separated by comma, semicolon, tab or what Excel's line `sep=` names; see `decoded` for encodings. Raises Wrong.
    """
    lines = lines_of_csv(data)
    if not lines:
        raise Wrong(
            Fault(
                "body", "is empty. Send a header row user_id,employee_id,name and one row for each employee"
            )
        )
    columns = [cell.strip().lower() for cell in lines[0][1]]
    if len(set(columns)) < len(columns) or not _REQUIRED <= set(columns) <= set(COLUMNS):
        has_breaks = b"\n" in data or b"\r" in data
        raise Wrong(
            Place(lines[0][0], is_csv=True).fault(
                "must be the header row user_id,employee_id,name. name is optional, and you can add device_id"
                + ("" if has_breaks else _NO_LINE_BREAKS)
            )
        )
    return checked((Place(number, is_csv=True), _row(columns, line)) for number, line in lines[1:])


def lines_of_csv(data: bytes) -> list[tuple[int, list[str]]]:
    """Return the lines that aren't empty, each with its number. Raises Wrong."""
    try:
        text, named = without_separator_line(decoded(data))
    except UnknownEncoding as error:
        raise Wrong(Fault("body", str(error))) from None
    heading = text.lstrip().partition("\n")[0]
    delimiter = named or max(_DELIMITERS, key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, line) for line in in_turns(reader) if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise Wrong(Place(reader.line_num, is_csv=True).fault(f"is not CSV: {error}")) from None


def _row(columns: list[str], line: list[str]) -> dict[str, Any]:
    # Spreadsheets add blanks, also around the user ID.
    row: dict[str, Any] = dict(zip(columns, (cell.strip() for cell in line), strict=False))
    if len(line) > len(columns):
        row[EXTRA] = line[len(columns)]
    return row


def checked(rows: Iterable[tuple[Place, Any]]) -> list[Employee]:
    """Return the entries of all rows, or raise Wrong with the first problems."""
    found: dict[tuple[str, str | None], Employee] = {}
    faults: list[Fault] = []
    for place, row in in_turns(rows):
        if len(found) == MOST:
            faults.append(place.fault(f"is over the limit of {MOST} employees"))
        else:
            faults += _take(place, row, found)
        if len(faults) > 20:
            break
    if faults:
        raise Wrong(*faults)
    return list(found.values())


def _take(place: Place, row: Any, found: dict[tuple[str, str | None], Employee]) -> Iterator[Fault]:
    """Add a row; return what is wrong with it."""
    if not isinstance(row, dict):
        yield place.fault("must be an object with user_id, employee_id and name")
        return
    if place.is_csv and EXTRA in row:
        yield place.fault(
            "has more cells than the header row. Put cells that contain a separator in quotes", EXTRA
        )
        return
    try:
        one = employee(row)
    except ValidationError as error:
        messages: Any = error.messages
        yield from (place.fault(str(texts[0]), name) for name, texts in messages.items())
        return
    if (one.user_id, one.device_id) in found:
        yield place.fault("appears more than once", "user_id")
    found[one.user_id, one.device_id] = one
