"""The workbook: cells that a spreadsheet can calculate with, readable headings, and totals."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest

from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row
from tests.harness import Relay

_NULL = datetime(1899, 12, 30)
_CELL = re.compile(r'<c r="([A-Z]+)(\d+)"([^>]*?)(?:/>|>(.*?)</c>)', re.S)


class Book:
    """The cells of a workbook: (value, number format), by sheet, heading and row."""

    def __init__(self, content: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        styles = self._zip.read("xl/styles.xml").decode()
        texts = {
            number: unescape(text)
            for number, text in re.findall(r'<numFmt numFmtId="(\d+)" formatCode="([^"]*)"', styles)
        }
        cells = styles[styles.index("<cellXfs") :]
        self._formats = [texts.get(one, one) for one in re.findall(r'<xf numFmtId="(\d+)"', cells)]

    def rows(self, sheet: int) -> list[dict[str, tuple[Any, str]]]:
        xml = self._zip.read(f"xl/worksheets/sheet{sheet}.xml").decode()
        found: dict[int, dict[str, tuple[Any, str]]] = {}
        for column, line, attributes, content in _CELL.findall(xml):
            found.setdefault(int(line), {})[column] = self._cell(attributes, content)
        headings = {column: str(value) for column, (value, _) in found.pop(1).items()}
        return [{headings[column]: value for column, value in found[line].items()} for line in sorted(found)]

    def _cell(self, attributes: str, content: str) -> tuple[Any, str]:
        kind = re.search(r't="(\w+)"', attributes)
        style = re.search(r's="(\d+)"', attributes)
        value = re.sub(r"<[^>]*>", "", content)
        shown = self._formats[int(style[1]) if style else 0]
        if kind is None:
            return float(value), shown
        return (value == "1" if kind[1] == "b" else unescape(value)), shown


def when(serial: float) -> datetime:
    return _NULL + timedelta(seconds=round(serial * 86_400))


def book(relay: Relay, path: str, **query: Any) -> Book:
    return Book(relay.call("GET", path, params=query).content)


def test_dates_times_and_durations_are_numbers_with_a_format(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(4)
    punch(device, user, at(day, "09:31:44"), Type="CheckIn")
    punch(device, user, at(day + timedelta(days=1), "01:10:02"), Type="CheckOut")
    (shown,) = book(office, "/v1/attendance.xlsx", date=day, user_id=user).rows(1)
    midnight = datetime.combine(day, datetime.min.time())
    expected = {
        "Date": (midnight, "yyyy-mm-dd"),
        "First in": (midnight + timedelta(hours=9, minutes=31, seconds=44), "yyyy-mm-dd hh:mm:ss"),
        "Last out": (midnight + timedelta(hours=25, minutes=10, seconds=2), "yyyy-mm-dd hh:mm:ss"),
    }
    assert {name: (when(shown[name][0]), shown[name][1]) for name in expected} == expected
    seconds = row(office, day, user)["worked_seconds"]
    assert (round(shown["Worked (h:mm:ss)"][0] * 86_400), shown["Worked (h:mm:ss)"][1]) == (
        seconds,
        "[h]:mm:ss",
    )
    assert shown["Late by (h:mm:ss)"][1] == "[h]:mm:ss" and shown["Late"][0] is True
    assert shown["User ID"][0] == user and shown["Punches"][0] == 2


def test_the_second_sheet_has_totals_of_each_person_and_of_all(office: Relay) -> None:
    device, start, first = office.device(timezone=KOLKATA), a_user(), days_ago(20)
    users = [f"{start}-2", f"{start}-10"]
    neighbours = (first + timedelta(days=1), first - timedelta(days=1))
    days = [first, next(day for day in neighbours if day.month == first.month)]
    for user in users:
        for day in days:
            punch(device, user, at(day, "09:00"), Type="CheckIn")
            punch(device, user, at(day, "19:00"), Type="CheckOut")
    found = book(office, "/v1/attendance.xlsx", month=f"{days[0]:%Y-%m}", device_id=device.id).rows(2)
    shown = [(line["User ID"][0], line["Days"][0], line["Worked (hours)"][0]) for line in found]
    assert shown == [(users[0], 2, 20.0), (users[1], 2, 20.0), ("Total", 4, 40.0)]
    assert round(found[2]["Worked (h:mm:ss)"][0] * 24) == 40  # more than 24 hours; it doesn't wrap
    assert found[2]["Worked (h:mm:ss)"][1] == "[h]:mm:ss"


def test_totals_are_empty_if_present_hours_are_missing_and_those_days_are_counted(office: Relay) -> None:
    """If unknown hours counted as 0, the sum would be too small but look right."""
    device, start = office.device(timezone=KOLKATA), a_user()
    known, unknown = f"{start}-1", f"{start}-2"
    first = days_ago(20)
    neighbours = (first + timedelta(days=1), first - timedelta(days=1))
    second = next(day for day in neighbours if day.month == first.month)
    for user, types in ((known, ("CheckIn", "CheckOut")), (unknown, ("CheckIn", "CheckIn"))):
        for day, (check_in, check_out) in ((first, ("CheckIn", "CheckOut")), (second, types)):
            punch(device, user, at(day, "09:00"), Type=check_in)
            punch(device, user, at(day, "19:00"), Type=check_out)
    found = book(office, "/v1/attendance.xlsx", month=f"{first:%Y-%m}", device_id=device.id).rows(2)
    shown = {
        line["User ID"][0]: (
            line.get("Present (hours)", (None,))[0],
            line.get("Present (h:mm:ss)", (None,))[0],
            line["Days without present hours"][0],
        )
        for line in found
    }
    assert shown == {known: (20.0, 20 / 24, 0), unknown: (None, None, 1), "Total": (None, None, 1)}


@pytest.mark.parametrize("path", ["/v1/attendance.xlsx", "/v1/attendance/nobody-there.xlsx"])
def test_a_month_without_punches_gives_a_workbook_with_headings(office: Relay, path: str) -> None:
    empty = book(office, path, month="1999-01")
    assert empty.rows(1) == empty.rows(2) == []


def test_a_single_punch_leaves_cells_empty_and_text_stays_text(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), "007" + a_user(), days_ago(3)
    office.call("PUT", f"/v1/employees/{user}", json={"employee_id": "+42", "name": "=1+1"})
    punch(device, user, at(day, "09:00"), Type="CheckIn")
    (shown,) = book(office, "/v1/attendance.xlsx", date=day, user_id=user).rows(1)
    assert "Last out" not in shown and "Worked (hours)" not in shown
    assert (shown["User ID"][0], shown["Employee ID"][0], shown["Name"][0]) == (user, "+42", "=1+1")
