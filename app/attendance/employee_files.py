"""Reads employees from a CSV file or an Excel workbook whose columns have any names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.attendance import workbook_reader
from app.attendance.employees import (
    COLUMNS,
    EXTRA,
    MOST,
    Employee,
    Fault,
    Place,
    Wrong,
    checked,
    lines_of_csv,
)
from app.base.yielding import in_turns

LARGEST_FILE: Final = 16 * 1024 * 1024
REQUIRED: Final = COLUMNS[:2]
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0"
# What exports call these columns, as letters and digits. The first one that is found is suggested.
_USUAL: Final[Mapping[str, Sequence[str]]] = {
    "user_id": (
        "userid",
        "acno",
        "badgenumber",
        "badgeid",
        "badge",
        "pin",
        "enrollno",
        "enrollid",
        "deviceuserid",
    ),
    "employee_id": (
        "employeeid",
        "employeecode",
        "employeeno",
        "employeenumber",
        "empcode",
        "empid",
        "empno",
        "code",
    ),
    "name": ("name", "fullname", "employeename", "empname", "username"),
    "device_id": ("deviceid", "device", "serialnumber", "stgid", "servicetagid"),
}


class Table(NamedTuple):
    """The rows of a file. `heading_line`: the line of the column names."""

    heading: list[str]
    heading_line: int
    lines: list[tuple[int, list[str]]]
    is_sheet: bool

    def column_name(self, index: int) -> str:
        """Return the name of a column for messages."""
        name = self.heading[index]
        return repr(name) if name else str(index + 1)


def read_table(data: bytes) -> Table:
    """Return the rows of a CSV file or of the first sheet of a workbook. Raises Wrong."""
    if len(data) > LARGEST_FILE:
        raise Wrong(Fault("body", f"is larger than {LARGEST_FILE // 1024 // 1024} MiB"))
    if data.startswith(_OLD_WORKBOOK):
        raise Wrong(
            Fault(
                "body", "is an old or password-protected Excel workbook. Save it as .xlsx without a password"
            )
        )
    is_sheet = data.startswith(workbook_reader.MARK)
    try:
        lines = list(in_turns(workbook_reader.rows_of(data, MOST + 1))) if is_sheet else lines_of_csv(data)
    except workbook_reader.UnreadableWorkbook as error:
        raise Wrong(Fault("body", str(error))) from None
    if not lines:
        raise Wrong(
            Fault("body", "is empty. It must have a row with the column names and a row for each employee")
        )
    number, heading = lines[0]
    if len(heading) > workbook_reader.MOST_COLUMNS:
        raise Wrong(Fault("body", f"has more than {workbook_reader.MOST_COLUMNS} columns"))
    return Table([cell.strip() for cell in heading], number, lines[1:], is_sheet)


def suggested(heading: Sequence[str]) -> dict[str, int]:
    """Return the columns that are likely meant: the index of each field's column that was recognised."""
    squeezed = ["".join(filter(str.isalnum, name.lower())) for name in heading]
    found: dict[str, int] = {}
    for field, names in _USUAL.items():
        for name in names:
            if name in squeezed and squeezed.index(name) not in found.values():
                found[field] = squeezed.index(name)
                break
    return found


def chosen(text: str, heading: Sequence[str]) -> dict[str, int]:
    """Return the columns that `user_id=Badge,employee_id=2` names: the index of each field's column. Raises Wrong."""
    found: dict[str, int] = {}
    for part in text.split(","):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or field not in COLUMNS:
            what = f"{part.strip()!r} is not FIELD=COLUMN. The fields are: {', '.join(COLUMNS)}"
            raise Wrong(Fault("map", f"{what}. Use, for example, user_id=Badge,employee_id=Code,name=Name"))
        if field in found:
            raise Wrong(Fault("map", f"{field} appears twice"))
        found[field] = _index(column, heading)
    check_columns(found)
    return found


def named_as_fields(heading: Sequence[str]) -> dict[str, int]:
    """Return the columns that are named like the fields. Raises Wrong if a required one is missing."""
    names = [name.lower() for name in heading]
    found = {field: names.index(field) for field in COLUMNS if field in names}
    if any(field not in found for field in REQUIRED):
        likely = suggested(heading)
        example = {"user_id": "Badge", "employee_id": "Code"} | {
            field: heading[index] for field, index in likely.items() if "," not in heading[index]
        }
        said = ",".join(f"{field}={column}" for field, column in example.items())
        raise Wrong(
            Fault(
                "map",
                f"the columns user_id and employee_id are required. Choose them with --map, e.g. {said}",
            )
        )
    return found


def check_columns(columns: Mapping[str, int]) -> None:
    """Raise Wrong if a required field has no column, or if two fields have the same one."""
    missing = [field for field in REQUIRED if field not in columns]
    if missing:
        raise Wrong(Fault("map", f"no column is chosen for {' and '.join(missing)}"))
    if len(set(columns.values())) < len(columns):
        raise Wrong(Fault("map", "two fields have the same column"))


def _index(column: str, heading: Sequence[str]) -> int:
    """Return the index of a column, given by its name in any case or by its number from 1."""
    folded = [" ".join(name.split()).casefold() for name in heading]
    wanted = " ".join(column.split()).casefold()
    if folded.count(wanted) > 1:
        raise Wrong(Fault("map", f"several columns are named {column!r}. Use the column's number"))
    if wanted in folded:
        return folded.index(wanted)
    if column.isdecimal() and len(column) < 5 and 1 <= int(column) <= len(heading):
        return int(column) - 1
    names = ", ".join(name for name in heading if name)[:300]
    raise Wrong(Fault("map", f"there is no column {column!r}. The columns are: {names}"))


def from_table(table: Table, columns: Mapping[str, int]) -> list[Employee]:
    """Read an employee from each row; `columns` are the indexes of the fields' columns. Raises Wrong."""
    return checked(_rows(table, columns))


def _rows(table: Table, columns: Mapping[str, int]) -> Iterator[tuple[Place, dict[str, Any]]]:
    headings = {field: table.column_name(index) for field, index in columns.items()}
    line = "row" if table.is_sheet else "line"
    for number, cells in table.lines:
        row: dict[str, Any] = {
            field: cells[index].strip() if index < len(cells) else "" for field, index in columns.items()
        }
        if len(cells) > len(table.heading) and not table.is_sheet:
            row[EXTRA] = cells[len(table.heading)]
        yield Place(number, True, line, headings), row
