"""Employees from CSV files and workbooks with columns of any names: previewed, taken whole or not at all, bounded."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from app.attendance import employee_files, workbook_reader
from app.attendance.employee_files import chosen, from_table, read_table, suggested
from app.attendance.employees import MOST, Employee, Wrong
from app.store.people import employees as stored
from tests.attendance.tools import a_user
from tests.harness import ROOT, Relay
from tests.relay.tools import problem

MAP = "user_id=Badge,employee_id=Emp Code,name=Full Name"
HEADING = ("Badge", "Emp Code", "Full Name")
BOOK = '<workbook xmlns:r="r"><sheets><sheet name="A" r:id="1"/></sheets></workbook>'
LINKS = '<Relationships><Relationship Id="1" Target="worksheets/sheet1.xml"/></Relationships>'


def workbook(rows: Sequence[Sequence[Any]]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"strings_to_numbers": False}) as book:
        sheet = book.add_worksheet()
        zeros = book.add_format({"num_format": "00000"})
        for line, row in enumerate(rows):
            for column, value in enumerate(row):
                sheet.write(line, column, value, zeros if isinstance(value, int) else None)
    return buffer.getvalue()


def parts(**texts: str) -> bytes:
    """Return a workbook with these parts. In names, `_` stands for a slash, and .xml is added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", BOOK)
        archive.writestr("xl/_rels/workbook.xml.rels", LINKS)
        for name, text in texts.items():
            archive.writestr(f"xl/{name.replace('_', '/')}.xml", text)
    return buffer.getvalue()


def problems(data: bytes, mapping: str = MAP) -> str:
    with pytest.raises(Wrong) as raised:
        table = read_table(data)
        from_table(table, chosen(mapping, table.heading))
    return "\n".join(map(str, raised.value.faults))


@pytest.mark.parametrize("is_workbook", [True, False])
def test_columns_are_chosen_by_their_names_or_numbers(is_workbook: bool) -> None:
    rows = [("No", *HEADING, "Site"), ("1", "0042", "E1", "Zoë, Ana", "S"), ("2", "7", "E2", "", "")]
    text = "\n".join(";".join(row) for row in rows)
    table = read_table(workbook(rows) if is_workbook else b"\xef\xbb\xbf" + text.encode())
    columns = chosen("user_id= badge ,employee_id=3,name=FULL  name,device_id=Site", table.heading)
    assert from_table(table, columns) == [
        Employee("0042", "E1", "Zoë, Ana", "S"),
        Employee("7", "E2", None, None),
    ]


def test_numbers_of_a_workbook_are_read_as_they_are_shown() -> None:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet()
        sheet.write_row(1, 1, HEADING)
        sheet.write_number(3, 1, 42, book.add_format({"num_format": "00000"}))
        sheet.write_number(3, 2, 120000000000)
        sheet.write_rich_string(3, 3, "As", book.add_format({"bold": True}), "ha")
        sheet.write_formula(4, 1, "=40+2", None, 42)
        sheet.write_number(4, 2, 1.5)
        book.add_worksheet("Other").write(0, 0, "not read")
    table = read_table(buffer.getvalue())
    assert table.heading == ["", *HEADING] and table.heading_line == 2
    assert [number for number, _ in table.lines] == [4, 5]
    assert from_table(table, chosen(MAP, table.heading)) == [
        Employee("00042", "120000000000", "Asha"),
        Employee("42", "1.5"),
    ]


@pytest.mark.parametrize(("is_workbook", "line"), [(True, "row"), (False, "line")])
def test_a_bad_row_is_named_with_its_line_and_column(is_workbook: bool, line: str) -> None:
    rows = [HEADING, ("1", "E1", "A"), ("2", "", "B"), ("1", "E3", "C" * 201)]
    data = workbook(rows) if is_workbook else "\n".join(",".join(row) for row in rows).encode()
    messages = problems(data).splitlines()
    assert messages[0].startswith(f"{line} 3, employee_id (column 'Emp Code'): is empty")
    assert messages[1].startswith(f"{line} 4, name (column 'Full Name'):")
    assert f"{line} 3, user_id (column 'Badge'): appears more than once" in problems(
        workbook([HEADING, ("1", "E", "A"), ("1", "E", "A")])
        if is_workbook
        else b"Badge,Emp Code,Full Name\n1,E,A\n1,E,A"
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("user_id=Badge", "no column is chosen for employee_id"),
        (
            "user_id=Badge,employee_id=Nr",
            "there is no column 'Nr'. The columns are: Badge, Emp Code, Full Name",
        ),
        ("user_id=Badge,employee_id=4", "there is no column '4'"),
        ("user_id=1,employee_id=1", "two fields have the same column"),
        ("user_id=1,user_id=2", "user_id appears twice"),
        ("user=Badge", "'user=Badge' is not FIELD=COLUMN"),
    ],
)
def test_a_wrong_map_is_refused(mapping: str, message: str) -> None:
    assert message in problems(",".join(HEADING).encode() + b"\n1,2,3", mapping)


def test_two_columns_of_one_name_need_a_number() -> None:
    data = b"Badge,Code,Code\n1,E1,X1"
    assert "several columns are named 'Code'" in problems(data, "user_id=Badge,employee_id=Code")
    table = read_table(data)
    assert from_table(table, chosen("user_id=Badge,employee_id=3", table.heading)) == [Employee("1", "X1")]


def test_usual_names_are_suggested() -> None:
    assert suggested(["AC-No.", "Employee Code", "Name", "Code"]) == {
        "user_id": 0,
        "employee_id": 1,
        "name": 2,
    }
    assert suggested(["x", "y"]) == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Save it as .xlsx without a password"),
        (b"PK\x03\x04 and nothing", "is not an Excel workbook"),
        (parts(), "has no sheet"),
        (parts(worksheets_sheet1="<worksheet>"), "is not an Excel workbook that can be read"),
        (parts(worksheets_sheet1="<worksheet/>"), "is empty"),
        (b"x" * (employee_files.LARGEST_FILE + 1), "is larger than 16 MiB"),
        (workbook([HEADING])[:-40], "is not an Excel workbook"),
    ],
)
def test_what_is_no_workbook_is_refused(data: bytes, message: str) -> None:
    assert message in problems(data)


def test_entities_are_refused() -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;">]>'
    assert "contains a DTD" in problems(parts(worksheets_sheet1=f"{entities}<worksheet>&b;</worksheet>"))


@pytest.mark.parametrize("part", ["worksheets_sheet1", "sharedStrings", "styles"])
def test_a_part_that_unpacks_to_too_much_is_refused(part: str) -> None:
    bomb = "<x>" + " " * (workbook_reader.LARGEST_PART + 1) + "</x>"
    data = parts(**{"worksheets_sheet1": "<worksheet/>", part: bomb})
    assert len(data) < 200_000
    assert "when unpacked" in problems(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_without_a_limit_is_refused(method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("xl/workbook.xml", BOOK)
    assert "another method than Deflate" in problems(buffer.getvalue())


def test_what_costs_the_parsers_much_is_refused() -> None:
    tag = f'<worksheet a="{"x" * 3 * 1024 * 1024}"/>'
    assert "a tag of more than 1 MiB" in problems(parts(worksheets_sheet1=tag))
    for tags in ("<a>" * 100_000, "".join(f"<a{number}/>" for number in range(20_000))):
        sheet = parts(worksheets_sheet1=f"<worksheet>{tags}")
        assert "too many levels or names of tags" in problems(sheet)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(5_001):
            archive.writestr(str(number), b"")
    assert "more than 5,000 parts" in problems(buffer.getvalue())
    assert "has more than 200 columns" in problems(b"x," * 200 + b"x\n1,2")


def test_an_error_of_a_formula_is_no_employee_id() -> None:
    cells = '<c t="str"><v>{}</v></c><c t="{}"><v>{}</v></c>'
    rows = [("Badge", "str", "Emp Code"), ("1", "str", "E1"), ("2", "e", "#N/A")]
    sheet = "".join(f"<row>{cells.format(*row)}</row>" for row in rows)
    messages = problems(parts(worksheets_sheet1=f"<worksheet>{sheet}</worksheet>"), "user_id=1,employee_id=2")
    assert "row 3" in messages and "#N/A" not in messages


def test_too_many_rows_and_columns_are_bounded() -> None:
    row = (
        '<row><c t="str"><v>Badge</v></c><c t="str"><v>Emp Code</v></c><c t="str"><v>Full Name</v></c></row>'
    )
    many = parts(worksheets_sheet1=f"<worksheet>{row * (MOST + 2)}</worksheet>")
    assert f"has more than {MOST + 1:,} rows" in problems(many)
    wide = '<worksheet><row r="1"><c r="A1" t="str"><v>a</v></c><c r="ZZZ1" t="str"><v>b</v></c></row></worksheet>'
    assert read_table(parts(worksheets_sheet1=wide)).heading == ["a"]


def test_a_cell_in_the_last_row_and_column_costs_nothing() -> None:
    """The other readers that were tried return a million rows, or end the process."""
    far = (
        '<row r="1"><c r="A1" t="str"><v>a</v></c></row>'
        '<row r="1048575"><c r="XFD1048575" t="str"><v>b</v></c></row>'
        '<row r="1048576"><c r="A1048576" t="str"><v>c</v></c></row>'
    )
    table = read_table(parts(worksheets_sheet1=f"<worksheet>{far}</worksheet>"))
    assert (table.heading, table.lines) == (["a"], [(1_048_576, ["c"])])


def _import(relay: Relay, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "employees", "import", *words]
    return subprocess.run(command, cwd=ROOT, env=relay.environment, capture_output=True, text=True)


def test_the_command_line_previews_and_imports_a_workbook(office: Relay, tmp_path: Path) -> None:
    user, other, path = a_user(), a_user(), tmp_path / "people.xlsx"
    path.write_bytes(workbook([HEADING, (user, "E1", "Asha Rao"), (other, "E2", "")]))
    words = (str(path), "--map", MAP)
    preview = _import(office, *words, "--preview")
    assert preview.returncode == 0, preview.stderr
    assert f"{user}  E1" in preview.stdout and "Asha Rao" in preview.stdout
    assert "Preview, nothing was changed: 2 added, 0 changed, 0 unchanged, 0 removed" in preview.stdout
    problem(office.call("GET", f"/v1/employees/{user}"), 404)
    done = _import(office, *words)
    assert (done.returncode, done.stdout) == (0, "2 added, 0 changed, 0 unchanged, 0 removed\n"), done.stderr
    assert office.get(f"/v1/employees/{user}")["name"] == "Asha Rao"
    path.write_bytes(workbook([HEADING, (user, "E1b", ""), (other, "", "")]))
    refused = _import(office, *words)
    assert refused.returncode == 1 and "row 3, employee_id (column 'Emp Code'): is empty" in refused.stderr
    assert office.get(f"/v1/employees/{user}")["employee_id"] == "E1"  # nothing was imported from the file
    unnamed = _import(office, str(path))
    assert unnamed.returncode == 1 and "user_id=Badge,employee_id=Emp Code,name=Full Name" in unnamed.stderr


def test_the_list_has_a_limit(office: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.settings.table import load
    from app.store import Store

    users = [a_user() for _ in range(3)]
    with_two = [Employee(user, "E") for user in users[:2]]
    store = Store(load(office.environment))
    employees_store = store.employees
    employees_store.take(with_two, replace=True)
    monkeypatch.setattr(stored, "MOST_IN_ALL", 2)
    with pytest.raises(Wrong, match="would have more than"):
        employees_store.take([Employee(users[2], "E")])
    with pytest.raises(Wrong, match="would have more than"):
        employees_store.change(users[2], None, lambda _: Employee(users[2], "E"))
    assert employees_store.take([Employee(users[0], "E9")]).changed == 1
    assert employees_store.take([Employee(users[2], "E")], replace=True).removed == 2
