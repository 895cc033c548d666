"""The attendance view in the API: days, months and files, from punches as devices send them."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, timedelta
from typing import Any

import pytest

from app.attendance.rules import COLUMNS
from app.base.natural_order import natural_key
from app.settings.table import load
from app.store import Store
from app.store.attendance.view import Sites
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row, rows
from tests.harness import Relay
from tests.relay.tools import problem


def test_a_day_includes_all_devices_and_continues_past_midnight(office: Relay) -> None:
    front, back = office.device(timezone=KOLKATA), office.device(timezone=KOLKATA)
    user, day = a_user(), days_ago(3)
    punch(back, user, at(day + timedelta(days=1), "01:00"), Type="CheckIn")
    punch(front, user, at(day, "12:20"), Type="CheckOut")
    punch(front, user, at(day, "03:00"), Type="CheckOut")  # of the day before
    found = row(office, day, user)
    assert list(found) == list(COLUMNS)
    assert found | {"user_name": None} == {
        "date": str(day),
        "user_id": user,
        "user_name": None,
        "employee_id": None,
        "timezone": KOLKATA,
        "first_in": f"{day}T12:20:00+05:30",
        "first_in_device_id": front.id,
        "last_out": f"{day + timedelta(days=1)}T01:00:00+05:30",
        "last_out_device_id": back.id,
        "worked_seconds": 45_600,
        "worked_hours": 12.67,
        "present_seconds": None,
        "present_hours": None,
        "punch_count": 2,
        "missing_punch": False,
        "is_late": True,
        "late_seconds": 11_100,
        "day_over": True,
        "correction_count": 0,
    }
    assert row(office, day - timedelta(days=1), user)["missing_punch"] is True


def test_a_late_punch_changes_the_day_and_a_corrected_punch_replaces_the_former(
    office: Relay,
) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    punch(device, user, at(day, "18:00"), Type="DoorOpen")
    assert row(office, day, user)["first_in"] == f"{day}T18:00:00+05:30"
    punch(device, user, at(day, "18:00"), Type="CheckOut")
    found = row(office, day, user)
    assert (found["first_in"], found["last_out"]) == (None, f"{day}T18:00:00+05:30")
    assert found["punch_count"] == 1
    punch(device, user, at(day, "09:00"))
    assert row(office, day, user)["worked_hours"] == 9.0


def test_two_shifts_without_a_break_are_shown(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    for clock, kind in (
        ("08:00", "CheckIn"),
        ("12:00", "CheckIn"),
        ("12:00", "CheckOut"),
        ("17:30", "CheckOut"),
    ):
        punch(device, user, at(day, clock), Type=kind)
    found = row(office, day, user)
    assert (found["punch_count"], found["worked_hours"], found["present_hours"]) == (4, 9.5, 9.5)
    # The second job may be a night shift.
    night = a_user()
    for clock, kind in (("14:00", "CheckIn"), ("22:00", "CheckOut"), ("22:00", "CheckIn")):
        punch(device, night, at(day, clock), Type=kind)
    punch(device, night, at(day + timedelta(days=1), "06:00"), Type="CheckOut")
    found = row(office, day, night)
    assert (found["punch_count"], found["worked_hours"], found["missing_punch"]) == (4, 16.0, False)


def test_a_night_shift_followed_by_another_shift_is_shown(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(3)
    next_day = day + timedelta(days=1)
    punch(device, user, at(day, "22:00"), Type="CheckIn")
    for clock, kind in (("06:00", "CheckOut"), ("06:00", "CheckIn"), ("14:00", "CheckOut")):
        punch(device, user, at(next_day, clock), Type=kind)
    for one in (day, next_day):
        found = row(office, one, user)
        shown = [found[name] for name in ("punch_count", "worked_hours", "present_hours", "missing_punch")]
        assert shown == [2, 8.0, 8.0, False]


def test_a_site_without_a_time_zone_uses_one_that_is_set_later(office: Relay) -> None:
    device, user, day = office.device(), a_user(), days_ago(2)
    punch(device, user, at(day, "09:00"))
    assert row(office, day, user)["timezone"] == "+05:30"
    device_path = f"/v1/devices/{device.id}"
    assert office.call("PATCH", device_path, json={"timezone": "America/New_York"}).status_code == 200
    found = row(office, day - timedelta(days=1), user)  # 22:30 of the evening before, or 23:30
    assert found["timezone"] == "America/New_York"


def test_punches_with_a_suspect_clock_are_left_out(office: Relay) -> None:
    device, user = office.device(timezone=KOLKATA), a_user()
    ahead = at(days_ago(-3), "09:00")
    punch(device, user, ahead)
    assert rows(office, ahead.date(), user_id=user) == []


def test_a_day_can_be_filtered_by_time_zone_and_device_and_read_in_pages(office: Relay) -> None:
    kolkata, berlin = office.device(timezone=KOLKATA), office.device(timezone="Europe/Berlin")
    day, users = days_ago(5), sorted((a_user() for _ in range(7)), key=natural_key)
    for user in users:
        punch(kolkata, user, at(day, "09:00"))
    punch(berlin, users[0], at(day, "09:00", "Europe/Berlin"))
    assert [found["user_id"] for found in rows(office, day, limit=3) if found["user_id"] in users] == users
    assert [found["user_id"] for found in rows(office, day, limit=2, device_id=berlin.id)] == users[:1]
    assert [found["user_id"] for found in rows(office, day, timezone="Europe/Berlin")] == users[:1]
    assert row(office, day, users[0])["punch_count"] == 2
    assert row(office, day, users[0], timezone=KOLKATA)["punch_count"] == 1
    assert rows(office, day, device_id="unknown") == []


def test_pages_of_a_day_reuse_the_list_of_people_until_it_changes(office: Relay) -> None:
    device, day, start = office.device(timezone=KOLKATA), days_ago(6), a_user() + "-"
    for number in range(5):
        punch(device, f"{start}{number}", at(day, "09:00"))
    store = Store(load(office.environment))

    def reads() -> int:
        calls: int = store.connection.redis.info("commandstats")["cmdstat_zrangebylex"]["calls"]
        return calls

    sites = Sites(device_ids=(device.id,))
    found, cursor = [], None
    counts = []
    for _ in range(2):
        page = store.attendance.day(day, sites, 2, cursor)
        found += [one["user_id"] for one in page.rows]
        cursor = page.next_cursor
        counts.append(reads())
    assert counts[0] == counts[1]
    punch(device, f"{start}9", at(day, "09:00"))
    found += [one["user_id"] for one in store.attendance.day(day, sites, 2, cursor).rows]
    assert found == [f"{start}{number}" for number in (0, 1, 2, 3, 4, 9)]
    assert reads() > counts[1]


def test_user_ids_are_sorted_in_natural_order(office: Relay) -> None:
    device, day, start = office.device(timezone=KOLKATA), days_ago(5), a_user() + "-"
    users = [start + end for end in ("", "2", "10", "010a", "A2", "A10", "Ä")]
    for user in reversed(users):
        punch(device, user, at(day, "09:00"))
    found = [found["user_id"] for found in rows(office, day, limit=2, device_id=device.id)]
    assert found == users
    got = office.call("GET", "/v1/attendance.csv", params={"date": str(day), "device_id": device.id})
    lines = list(csv.DictReader(io.StringIO(got.content.decode("utf-8-sig"))))
    assert [line["user_id"] for line in lines] == users


def test_a_csv_file_starts_with_a_byte_order_mark(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(5)
    office.call("PUT", f"/v1/employees/{user}", json={"employee_id": "E-1", "name": "Zoë Ñandú"})
    punch(device, user, at(day, "09:00"))
    month = {"month": f"{day:%Y-%m}"}
    for path, query in (
        ("/v1/attendance.csv", {"date": str(day)}),
        ("/v1/attendance.csv", month),
        (f"/v1/attendance/{user}.csv", month),
        ("/v1/events.csv", {"user_id": user}),
    ):
        content = office.call("GET", path, params=query).content
        assert content.startswith(b"\xef\xbb\xbf") and content.count(b"\xef\xbb\xbf") == 1
        assert "Zoë Ñandú" in content.decode()


def test_a_persons_month_contains_days_and_totals(office: Relay) -> None:
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
def test_a_user_id_can_end_like_a_file_name(office: Relay, ending: str) -> None:
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
def test_files_contain_the_same_data_without_formulas(office: Relay, path: str) -> None:
    device, user, day = office.device(timezone=KOLKATA), "=1+1 " + a_user(), days_ago(6)
    punch(device, user, at(day, "08:00"))
    query = {"month": f"{day:%Y-%m}"}
    if "{user}" not in path:
        query["user_id"] = user
    path = path.format(user=user)
    got = office.call("GET", f"{path}.csv", params=query)
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    (line,) = csv.DictReader(io.StringIO(got.content.decode("utf-8-sig")))
    shown = row(office, day, user)
    assert line["user_id"] == f"'{user}" and line["first_in"] == shown["first_in"]
    book = office.call("GET", f"{path}.xlsx", params=query)
    named = f'attachment; filename="attendance-{user.replace("=1+1 ", "_1_1_")}-{day:%Y-%m}.'
    assert got.headers["content-disposition"] == f'{named}csv"'
    assert book.headers["content-disposition"] == f'{named}xlsx"'
    everybody = office.call("GET", "/v1/attendance.xlsx", params={"month": f"{day:%Y-%m}"})
    assert everybody.headers["content-disposition"] == f'attachment; filename="attendance-{day:%Y-%m}.xlsx"'
    sheet = zipfile.ZipFile(io.BytesIO(book.content)).read("xl/worksheets/sheet1.xml").decode()
    assert user in sheet and "<f>" not in sheet


def test_a_file_can_contain_the_month_of_all_people(office: Relay) -> None:
    device, users, day = office.device(timezone=KOLKATA), {a_user(), a_user()}, days_ago(1)
    for user in users:
        punch(device, user, at(day, "08:00"))
        punch(device, user, at(day, "16:30"))
    got = office.call("GET", "/v1/attendance.csv", params={"month": f"{day:%Y-%m}", "device_id": device.id})
    found = list(csv.DictReader(io.StringIO(got.content.decode("utf-8-sig"))))
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
def test_invalid_parameters_are_refused_with_a_sentence(
    office: Relay, path: str, query: dict[str, Any], field: str
) -> None:
    problem(office.call("GET", f"/v1/attendance{path}", params=query), 422, field)


def test_any_user_id_can_be_requested(office: Relay) -> None:
    for user_id in ("\x00", "zzz\x1f\x1f", "ü", "[", "("):
        query = {"date": str(days_ago(1)), "user_id": user_id}
        assert office.get("/v1/attendance", params=query)["data"] == []


def test_a_reader_that_another_process_overtakes_still_sees_all_punches(
    office: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process may have read the new punches a moment earlier, when there were fewer."""
    index = Store(load(office.environment)).attendance_index
    user, day = a_user(), days_ago(2)
    device = office.device(timezone=KOLKATA)
    store, shards = index._store, index._connection.shards
    overtaken: list[str] = []

    def overtake(shard: Any, last: str, newest: str, *rest: Any) -> bool:
        if not overtaken:
            overtaken.append(newest)
            return False
        return store(shard, last, newest, *rest)

    monkeypatch.setattr(index, "_store", overtake)
    for number in range(20):
        punch(device, user, at(day, "09:00") + timedelta(minutes=number))
    index.catch_up()
    assert not [entry for shard in shards for entry in index._next(shard)[0]]


def test_punches_of_a_removed_device_are_still_shown(office: Relay) -> None:
    device, user, day = office.device(timezone="UTC"), a_user(), days_ago(2)
    punch(device, user, at(day, "15:00").astimezone(UTC))
    assert row(office, day, user)["timezone"] == "UTC"
    assert office.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    assert row(office, day, user)["first_in_device_id"] == device.id


def test_a_day_shift_and_a_night_shift_are_shown(office: Relay) -> None:
    """The office's day starts at 04:00, which works for both shifts."""
    device, night, early = office.device(timezone=KOLKATA), a_user(), a_user()
    day = days_ago(4)
    for number in range(2):
        punch(device, night, at(day + timedelta(days=number), "18:30"), Type="CheckIn")
        punch(device, night, at(day + timedelta(days=number + 1), "07:10"), Type="CheckOut")
    punch(device, early, at(day + timedelta(days=1), "06:00"), Type="CheckIn")
    punch(device, early, at(day + timedelta(days=1), "14:00"), Type="CheckOut")
    assert [row(office, day + timedelta(days=number), night)["worked_hours"] for number in range(2)] == [
        12.67
    ] * 2
    assert not rows(office, day + timedelta(days=2), user_id=night)
    assert row(office, day + timedelta(days=1), early)["worked_hours"] == 8.0


def test_a_device_with_direction_out_ends_a_shift_regardless_of_punch_type(office: Relay) -> None:
    entry, leave, user, day = (
        office.device(timezone=KOLKATA),
        office.device(timezone=KOLKATA),
        a_user(),
        days_ago(4),
    )
    changed = office.call("PATCH", f"/v1/devices/{leave.id}", json={"direction": "out"})
    assert changed.status_code == 200
    for device, clock in ((entry, "09:00"), (leave, "12:00"), (entry, "13:00"), (leave, "18:00")):
        punch(device, user, at(day, clock), Type="CheckIn")
    found = row(office, day, user)
    assert (found["worked_hours"], found["present_hours"]) == (9.0, 8.0)


def test_a_device_can_count_repeated_punches_in_its_own_way(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA, same_visit_seconds=600), a_user(), days_ago(2)
    for clock in ("09:00", "09:05"):
        punch(device, user, at(day, clock), Type="CheckIn")
    path = f"/v1/devices/{device.id}"
    assert office.get(path)["same_visit_seconds"] == 600
    assert row(office, day, user)["last_out"] is None
    for seconds, is_out in ((0, True), (301, False), (None, True)):  # the default is two minutes
        assert (
            office.call("PATCH", path, json={"same_visit_seconds": seconds}).json()["same_visit_seconds"]
            == seconds
        )
        assert (row(office, day, user)["last_out"] is not None) is is_out, seconds
    for wrong in (-1, 3_601, "60", 1.5):
        problem(office.call("PATCH", path, json={"same_visit_seconds": wrong}), 422, "same_visit_seconds")
