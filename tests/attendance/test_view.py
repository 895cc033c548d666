"""The attendance view over the API: days, months and files, from punches as machines send them."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, timedelta
from typing import Any

import pytest

from app.attendance import COLUMNS
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row, rows
from tests.harness import Relay
from tests.relay.tools import problem


def test_a_day_goes_across_devices_and_past_midnight(office: Relay) -> None:
    front, back = office.device(timezone=KOLKATA), office.device(timezone=KOLKATA)
    user, day = a_user(), days_ago(3)
    punch(back, user, at(day + timedelta(days=1), "01:30"), Type="CheckIn")
    punch(front, user, at(day, "09:20"), Type="CheckOut")
    punch(front, user, at(day, "03:00"))  # of the day before
    found = row(office, day, user)
    assert list(found) == list(COLUMNS)
    assert found | {"user_name": None} == {
        "date": str(day),
        "user_id": user,
        "user_name": None,
        "employee_id": None,
        "timezone": KOLKATA,
        "first_in": f"{day}T09:20:00+05:30",
        "first_in_device_id": front.id,
        "last_out": f"{day + timedelta(days=1)}T01:30:00+05:30",
        "last_out_device_id": back.id,
        "worked_seconds": 58_200,
        "worked_hours": 16.17,
        "punch_count": 2,
        "missing_punch": False,
        "is_late": True,
        "late_seconds": 300,
        "day_over": True,
    }
    assert row(office, day - timedelta(days=1), user)["missing_punch"] is True


def test_a_punch_that_comes_late_changes_the_day_and_one_that_is_sent_again_replaces_itself(
    office: Relay,
) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    punch(device, user, at(day, "18:00"), Type="CheckIn")
    assert row(office, day, user)["first_in"] == f"{day}T18:00:00+05:30"
    punch(device, user, at(day, "18:00"), Type="CheckOut")
    found = row(office, day, user)
    assert (found["first_in"], found["last_out"]) == (None, f"{day}T18:00:00+05:30")
    assert found["punch_count"] == 1
    punch(device, user, at(day, "09:00"))
    assert row(office, day, user)["worked_hours"] == 9.0


def test_a_site_without_a_zone_and_one_whose_zone_is_set_later(office: Relay) -> None:
    device, user, day = office.device(), a_user(), days_ago(2)
    punch(device, user, at(day, "09:00"))
    assert row(office, day, user)["timezone"] == "+05:30"
    device_path = f"/v1/devices/{device.id}"
    assert office.call("PATCH", device_path, json={"timezone": "America/New_York"}).status_code == 200
    found = row(office, day - timedelta(days=1), user)  # 22:30 of the evening before, or 23:30
    assert found["timezone"] == "America/New_York"


def test_a_suspect_clock_is_left_out(office: Relay) -> None:
    device, user = office.device(timezone=KOLKATA), a_user()
    ahead = at(days_ago(-3), "09:00")
    punch(device, user, ahead)
    assert rows(office, ahead.date(), user_id=user) == []


def test_a_day_by_zone_by_device_and_page_by_page(office: Relay) -> None:
    kolkata, berlin = office.device(timezone=KOLKATA), office.device(timezone="Europe/Berlin")
    day, users = days_ago(5), sorted(a_user() for _ in range(7))
    for user in users:
        punch(kolkata, user, at(day, "09:00"))
    punch(berlin, users[0], at(day, "09:00", "Europe/Berlin"))
    assert [found["user_id"] for found in rows(office, day, limit=3) if found["user_id"] in users] == users
    assert [found["user_id"] for found in rows(office, day, limit=2, device_id=berlin.id)] == users[:1]
    assert [found["user_id"] for found in rows(office, day, timezone="Europe/Berlin")] == users[:1]
    assert row(office, day, users[0])["punch_count"] == 2
    assert row(office, day, users[0], timezone=KOLKATA)["punch_count"] == 1
    assert rows(office, day, device_id="unknown") == []


def test_a_persons_month_and_its_sums(office: Relay) -> None:
    device, user = office.device(timezone=KOLKATA), "a/b " + a_user()
    first, last = days_ago(4), days_ago(3)
    for day, clock in ((first, "09:00"), (first, "17:00"), (last, "09:30")):
        punch(device, user, at(day, clock))
    months = [
        office.get(f"/v1/attendance/{user}", params={"month": month})
        for month in sorted({f"{day:%Y-%m}" for day in (first, last)})
    ]
    assert [found["date"] for month in months for found in month["data"]] == [str(first), str(last)]
    sums = {
        name: sum(month[name] for month in months)
        for name in ("days_present", "late_days", "missing_punch_days", "worked_seconds")
    }
    assert sums == {"days_present": 2, "late_days": 1, "missing_punch_days": 1, "worked_seconds": 28_800}


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_user_id_may_end_like_a_files_name(office: Relay, ending: str) -> None:
    device, day = office.device(timezone=KOLKATA), days_ago(1)
    plain = a_user()
    user = f"{plain}.{ending}"
    punch(device, user, at(day, "09:00"))
    query = {"month": f"{day:%Y-%m}"}
    found = office.get(f"/v1/attendance/{user}", params={**query, "format": "json"})
    assert (found["user_id"], found["days_present"]) == (user, 1)
    file = office.call("GET", f"/v1/attendance/{user}.csv", params=query)
    assert file.headers["content-type"] == "text/csv; charset=utf-8" and user in file.text
    other = office.call("GET", f"/v1/attendance/{user}", params=query)
    assert "attachment" in other.headers["content-disposition"] and user not in other.text
    problem(office.call("GET", f"/v1/attendance/{user}", params={**query, "format": "xml"}), 422, "format")


@pytest.mark.parametrize("path", ["/v1/attendance", "/v1/attendance/{user}"])
def test_files_hold_what_is_shown_and_no_formula(office: Relay, path: str) -> None:
    device, user, day = office.device(timezone=KOLKATA), "=1+1 " + a_user(), days_ago(6)
    punch(device, user, at(day, "08:00"))
    query = {"month": f"{day:%Y-%m}", "user_id": user}
    path = path.format(user=user)
    got = office.call("GET", f"{path}.csv", params=query)
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    (line,) = csv.DictReader(io.StringIO(got.text))
    shown = row(office, day, user)
    assert line["user_id"] == f"'{user}" and line["first_in"] == shown["first_in"]
    book = office.call("GET", f"{path}.xlsx", params=query)
    assert f"attendance-{day:%Y-%m}.xlsx" in book.headers["content-disposition"]
    sheet = zipfile.ZipFile(io.BytesIO(book.content)).read("xl/worksheets/sheet1.xml").decode()
    assert user in sheet and shown["first_in"] in sheet and "<f>" not in sheet


def test_everybodys_month_is_one_file(office: Relay) -> None:
    device, users, day = office.device(timezone=KOLKATA), {a_user(), a_user()}, days_ago(1)
    for user in users:
        punch(device, user, at(day, "08:00"))
        punch(device, user, at(day, "16:30"))
    got = office.call("GET", "/v1/attendance.csv", params={"month": f"{day:%Y-%m}", "device_id": device.id})
    found = list(csv.DictReader(io.StringIO(got.text)))
    assert {line["user_id"]: line["worked_hours"] for line in found} == dict.fromkeys(users, "8.5")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("", {}, "date"),
        ("", {"date": "24.11.2026"}, "date"),
        ("", {"date": "2026-02-30"}, "date"),
        ("", {"date": "9999-12-31"}, "date"),
        ("", {"date": "0001-01-01"}, "date"),
        ("", {"date": "2026-11-24", "timezone": "Kolkata"}, "timezone"),
        ("", {"date": "2026-11-24", "timezone": "../x"}, "timezone"),
        ("", {"date": "2026-11-24", "limit": "0"}, "limit"),
        ("/2", {}, "month"),
        ("/2", {"month": "2026-13"}, "month"),
        (".csv", {}, "date"),
        (".xlsx", {"month": "11/2026"}, "month"),
        ("/2.csv", {"month": "2026-00"}, "month"),
    ],
)
def test_what_is_wrong_is_said(office: Relay, path: str, query: dict[str, Any], field: str) -> None:
    problem(office.call("GET", f"/v1/attendance{path}", params=query), 422, field)


def test_any_cursor_and_any_id_is_taken(office: Relay) -> None:
    day = str(days_ago(1))
    for cursor in ("\x00", "zzz\x1f\x1f", "ü", "[", "("):
        assert "data" in office.get("/v1/attendance", params={"date": day, "cursor": cursor})
        assert office.get("/v1/attendance", params={"date": day, "user_id": cursor})["data"] == []


def test_a_removed_devices_punches_stay(office: Relay) -> None:
    device, user, day = office.device(timezone="UTC"), a_user(), days_ago(2)
    punch(device, user, at(day, "15:00").astimezone(UTC))
    assert row(office, day, user)["timezone"] == "UTC"
    assert office.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    assert row(office, day, user)["first_in_device_id"] == device.id
