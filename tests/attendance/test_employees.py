"""The list of employees: imported completely or not at all, and part of every later event."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from app.attendance.employees import Employee, Wrong, from_csv
from app.settings.table import load
from app.store import Store
from app.store.server.keys import EMPLOYEES
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row, rows
from tests.harness import ROOT, Device, Receiver, Relay, wait_for
from tests.relay.tools import cursor_at, key_with, problem


def csv_of(*rows: tuple[str, ...]) -> bytes:
    return "\r\n".join(",".join(line) for line in (("user_id", "employee_id", "name"), *rows)).encode()


def take(relay: Relay, data: bytes, method: str = "POST") -> dict[str, Any]:
    answer = relay.call(method, "/v1/employees", data=data)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_events_contain_the_employee_id_until_the_employee_is_removed(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(1)
    photo = device.sample(10)
    photo["RealTime"]["Log"]["UserID"] = user
    seen = []
    for step, employee in enumerate((None, "E 1", "E 2", None)):
        if employee:
            path = f"/v1/employees/{user}"
            assert office.call("PUT", path, json={"employee_id": employee, "name": "Zoë"}).json() == {
                "id": user,
                "user_id": user,
                "employee_id": employee,
                "name": "Zoë",
                "device_id": None,
            }
        elif step:
            assert office.call("DELETE", f"/v1/employees/{user}").status_code == 204
        for minute in range(4):  # both web processes have it
            punch(device, user, at(day, f"{9 + step:02d}:{minute:02d}"))
        photo["RealTime"]["OperationID"] = f"photo{step}{user}"
        device.send_done(photo)
        shown = row(office, day, user)
        assert (shown["employee_id"], shown["user_name"]) == (employee, "Zoë" if employee else None)
        seen.append(employee)
    punches = office.events(device_id=device.id, type="attendance.punch")
    assert [event["employee_id"] for event in punches] == [each for each in seen for _ in range(4)]
    assert [event["user_name"] for event in punches[::4]] == [None, "Zoë", "Zoë", None]
    photos = office.events(device_id=device.id, type="attendance.photo")
    assert [event["employee_id"] for event in photos] == seen


def test_post_adds_and_changes_employees_and_put_replaces_the_list(office: Relay) -> None:
    one, two, three = sorted(a_user() for _ in range(3))
    first = csv_of((one, "E1", "Asha"), (two, "E2", ""))
    take(office, csv_of(), "PUT")
    assert take(office, b"\xef\xbb\xbf" + first)["added"] == 2
    listed = {"employees": [{"user_id": two, "employee_id": "E2b"}, {"user_id": three, "employee_id": "E3"}]}
    answer = office.call("POST", "/v1/employees", json=listed).json()
    assert answer == {"added": 1, "changed": 1, "unchanged": 0, "removed": 0, "unknown_device_ids": []}
    assert take(office, first)["unchanged"] == 1
    answer = take(office, csv_of((one, "E1", "Asha")), "PUT")
    assert (answer["unchanged"], answer["removed"]) == (1, 2)
    assert office.get("/v1/employees") == {
        "data": [{"id": one, "user_id": one, "employee_id": "E1", "name": "Asha", "device_id": None}],
        "next_cursor": None,
    }
    problem(office.call("GET", f"/v1/employees/{two}"), 404)
    problem(office.call("DELETE", f"/v1/employees/{two}"), 404)


def test_the_command_line_imports_a_file(office: Relay) -> None:
    user = a_user()
    command = [sys.executable, "-m", "app", "employees", "import", "-"]
    how: dict[str, Any] = {"cwd": ROOT, "env": office.environment, "capture_output": True, "text": True}
    done = subprocess.run(command, input=f"user_id;employee_id\n{user};E9\n", **how)
    assert (done.returncode, done.stdout) == (0, "1 added, 0 changed, 0 unchanged, 0 removed\n")
    assert office.get(f"/v1/employees/{user}")["employee_id"] == "E9"
    done = subprocess.run(command, input="user_id,employee_id\n,E1\n", **how)
    assert done.returncode == 1 and "line 2, user_id: is empty" in done.stderr


def test_pages_contain_all_employees(office: Relay) -> None:
    users = [f"page{number}" for number in ("2", "10", "10a", "A2", "A10")]
    take(office, csv_of(*((user, "E", "") for user in users)))
    found, cursor = [], cursor_at(office, "/v1/employees", "page")
    while cursor:
        page = office.get("/v1/employees", params={"cursor": cursor, "limit": 2})
        found += [one["user_id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert [user for user in found if user.startswith("page")] == users


@pytest.mark.parametrize(
    ("data", "pointer", "message"),
    [
        (b"", "", "is empty"),
        (b"\x81", "", "is neither UTF-8, UTF-16 nor Windows-1252"),
        (b"id,name\n1,x", "", "line 1: must be the header row"),
        (b"user_id,employee_id\n1,\n", "", "line 2, employee_id: is empty"),
        (b"user_id,employee_id\n1,E1,x\n", "", "line 2, extra cell: has more cells than the header row"),
        (b"user_id,employee_id\n1,E1\n\n1,E2\n", "", "line 4, user_id: appears more than once"),
        (b"user_id,employee_id\n" + b"1" * 129 + b",E1\n", "", "line 2, user_id: has 129 characters"),
        (b'{"employees": [{"user_id": 5, "employee_id": "E"}]}', "/employees/0/user_id", "must be a string in quotes"),
        (b'{"employees": [{"user_id": "5", "employee_id": "E", "a/b~.c": 1}]}', "/employees/0/a~1b~0.c", "is not a"),
        (b'{"employees": [3]}', "/employees/0", "must be an object"),
        (b'{"employees": 3}', "/employees", "is required"),
        (b"[]", "/employees", "is required"),
    ],
)  # fmt: skip
def test_an_invalid_row_is_named_and_nothing_is_imported(
    office: Relay, data: bytes, pointer: str, message: str
) -> None:
    before = office.get("/v1/employees", params={"limit": 200})
    for method in ("POST", "PUT"):
        (error,) = problem(office.call(method, "/v1/employees", data=data), 422)["errors"]
        assert error["pointer"] == pointer and error["message"].startswith(message), error
    assert office.get("/v1/employees", params={"limit": 200}) == before


def test_a_csv_without_line_breaks_is_refused_with_advice_about_curl(office: Relay) -> None:
    for data, lists_lines in ((b"user_id,employee_id1,E1", True), (b"id,name\n1,x", False)):
        (error,) = problem(office.call("POST", "/v1/employees", data=data), 422)["errors"]
        assert ("--data-binary" in error["message"]) == lists_lines


def test_a_list_that_is_not_json_is_400(office: Relay) -> None:
    for method in ("POST", "PUT"):
        problem(office.call(method, "/v1/employees", data=b"{"), 400)


def test_an_invalid_change_of_an_employee_is_refused(office: Relay) -> None:
    problem(office.call("PUT", "/v1/employees/7", json={"name": "x"}), 422, "employee_id")
    problem(office.call("PUT", "/v1/employees/" + "7" * 129, json={"employee_id": "x"}), 422, "user_id")
    answer = office.call("PUT", f"/v1/employees/7?device_id={'d' * 101}", json={"employee_id": "x"})
    (error,) = problem(answer, 422)["errors"]
    assert error == {"parameter": "device_id", "message": "has 101 characters, but at most 100 are allowed"}
    problem(office.call("PUT", "/v1/employees/7", key=key_with(office, "events:read"), json={}), 403)


def test_a_csv_file_from_a_spreadsheet_is_imported() -> None:
    text = '\ufeffEmployee_ID\tUser_ID\tName\r\n E1 \t 007\t"Rao, ""A"""\r\n\t\t\r\n'
    assert from_csv(text.encode()) == [Employee("007", "E1", 'Rao, "A"')]
    with pytest.raises(Wrong, match="is not CSV"):
        from_csv(b"user_id,employee_id\n" + b"1" * 200_000 + b",x\n")


# One user ID, several people


def by_person(relay: Relay, day: Any, user: str, **query: Any) -> dict[str | None, tuple[str | None, Any]]:
    """Return names and hours of a day by employee ID."""
    found = rows(relay, day, user_id=user, **query)
    assert len({row["employee_id"] for row in found}) == len(found)
    return {row["employee_id"]: (row["user_name"], row["worked_hours"]) for row in found}


def two_sites(relay: Relay, user: str, day: Any) -> tuple[Device, Device]:
    first, second = relay.device(timezone=KOLKATA), relay.device(timezone=KOLKATA)
    for device, ins, outs in ((first, "08:00", "12:00"), (second, "13:00", "21:30")):
        punch(device, user, at(day, ins), Type="CheckIn")
        punch(device, user, at(day, outs), Type="CheckOut")
    return first, second


def test_a_user_id_can_belong_to_different_people_at_two_sites(office: Relay) -> None:
    user, day = a_user(), days_ago(2)
    first, second = two_sites(office, user, day)
    assert by_person(office, day, user) == {None: (None, 13.5)}
    john = {"user_id": user, "device_id": first.id, "employee_id": "E-JOHN", "name": "John"}
    assert office.call("POST", "/v1/employees", json={"employees": [john]}).json()["added"] == 1
    assert by_person(office, day, user) == {"E-JOHN": ("John", 4.0), None: (None, 8.5)}
    mary = {"user_id": user, "employee_id": "E-MARY", "name": "Mary"}
    office.call("POST", "/v1/employees", json={"employees": [mary]}).raise_for_status()
    assert by_person(office, day, user) == {"E-JOHN": ("John", 4.0), "E-MARY": ("Mary", 8.5)}
    assert [row["employee_id"] for row in rows(office, day, limit=1, device_id=second.id)] == ["E-MARY"]
    # New punches contain the person's employee ID, on each device.
    for device, name in ((first, "John"), (second, "Mary")):
        punch(device, user, at(day, "22:00"))
        event = office.events(device_id=device.id, type="attendance.punch")[-1]
        assert (event["employee_id"], event["user_name"]) == (f"E-{name.upper()}", name)
    # Two devices of one person are one row.
    more = {**john, "device_id": second.id, "name": None}
    office.call("POST", "/v1/employees", json={"employees": [more]}).raise_for_status()
    assert [row["punch_count"] for row in rows(office, day, user_id=user)] == [6]


def test_the_totals_of_a_month_are_for_one_person_only(office: Relay) -> None:
    user, day = a_user(), days_ago(2)
    first, second = two_sites(office, user, day)
    path, month = f"/v1/attendance/{user}", {"month": f"{day:%Y-%m}"}
    assert office.get(path, params=month)["worked_hours"] == 13.5
    john = {"user_id": user, "device_id": first.id, "employee_id": "E-JOHN", "name": "John"}
    office.call("POST", "/v1/employees", json={"employees": [john]}).raise_for_status()
    several = problem(office.call("GET", path, params=month), 409)
    assert several["people"] == [
        {"employee_id": None, "user_name": None, "device_ids": [second.id]},
        {"employee_id": "E-JOHN", "user_name": "John", "device_ids": [first.id]},
    ]
    assert "E-JOHN and a person without" in several["detail"]
    assert office.get(path, params={**month, "device_id": second.id})["worked_hours"] == 8.5
    mary = {"user_id": user, "employee_id": "E-MARY", "name": "Mary"}
    office.call("POST", "/v1/employees", json={"employees": [mary]}).raise_for_status()
    detail = problem(office.call("GET", path, params=month), 409)["detail"]
    assert "E-JOHN, E-MARY. Add" in detail and detail.endswith("e.g. employee_id=E-JOHN")
    for name, worked in (("John", 4.0), ("Mary", 8.5)):
        only = {"employee_id": f"E-{name.upper()}"}
        found = office.get(path, params={**month, **only})
        assert (found["employee_id"], found["user_name"], found["worked_hours"]) == (
            only["employee_id"],
            name,
            worked,
        )
        assert by_person(office, day, user, **only) == {only["employee_id"]: (name, worked)}
        assert only["employee_id"] in {row["employee_id"] for row in rows(office, day, **only)}
        for file, query in ((f"{path}.csv", month), ("/v1/attendance.csv", {"date": str(day)})):
            got = office.call("GET", file, params={**query, **only})
            lines = [line for line in got.text.splitlines() if user in line]
            assert len(lines) == 1 and name in lines[0]
    both = office.call("GET", f"{path}.csv", params=month).text
    assert "E-JOHN" in both and "E-MARY" in both
    assert office.get(path, params={**month, "employee_id": "E-NOBODY"})["days_present"] == 0


def test_entries_for_a_device_are_listed_changed_and_removed_separately(office: Relay) -> None:
    user = "many" + a_user()
    path, site_a = f"/v1/employees/{user}", {"device_id": "SITE-A"}
    assert office.call("PUT", path, json={"employee_id": "E1"}).json()["device_id"] is None
    made = office.call("PUT", path, json={"employee_id": "E2", "name": "Zoë"}, params=site_a).json()
    assert made == {"id": user, "user_id": user, "employee_id": "E2", "name": "Zoë", "device_id": "SITE-A"}
    assert office.get(path)["employee_id"] == "E1" and office.get(path, params=site_a)["employee_id"] == "E2"
    found: list[str] = []
    cursor = cursor_at(office, "/v1/employees", user[:-1])
    while cursor and len(found) < 2:
        page = office.get("/v1/employees", params={"cursor": cursor, "limit": 1})
        found += [one["employee_id"] for one in page["data"] if one["user_id"] == user]
        cursor = page["next_cursor"]
    assert found == ["E1", "E2"]
    assert office.call("DELETE", path, params=site_a).status_code == 204
    assert office.call("DELETE", path, params=site_a).status_code == 404
    assert office.get(path)["employee_id"] == "E1"


def test_a_csv_file_with_devices_is_imported_and_its_errors_are_named() -> None:
    given = b"user_id,device_id,employee_id,name\n29,SITE-A,E1,John\n29,,E2,Mary\n29,SITE-B,E1,\n"
    assert from_csv(given) == [
        Employee("29", "E1", "John", "SITE-A"),
        Employee("29", "E2", "Mary"),
        Employee("29", "E1", None, "SITE-B"),
    ]
    for wrong in (
        b"user_id,device_id,employee_id\n29,S,E1\n29,S,E2\n",
        b"user_id,device_id,employee_id,device_id\n29,S,E1,S\n",
        b"user_id,device_id,employee_id\n29," + b"S" * 101 + b",E1\n",
        b"user_id,employee_id\n2\x1f9,E1\n",
    ):
        with pytest.raises(Wrong):
            from_csv(wrong)


def test_devices_that_are_not_registered_are_named(office: Relay) -> None:
    """Such an entry has no effect, so two people's hours would be added up without anybody noticing."""
    user, device = a_user(), office.device()
    places = (device.id, f"{device.id}-b", f"{device.id}-a")
    listed = [{"user_id": user, "employee_id": f"E{place}", "device_id": place} for place in places]
    for _ in range(2):  # also if nothing changed
        answer = office.call("POST", "/v1/employees", json={"employees": listed}).json()
        assert answer["unknown_device_ids"] == [f"{device.id}-a", f"{device.id}-b"]
    command = [sys.executable, "-m", "app", "employees", "import", "-"]
    given = f"user_id,employee_id,device_id\n{user},E1,{device.id}\n{user},E2,{device.id.lower()}x\n"
    how: dict[str, Any] = {"cwd": ROOT, "env": office.environment, "capture_output": True, "text": True}
    done = subprocess.run(command, input=given, **how)
    assert done.returncode == 0 and done.stdout.startswith("1 added")
    assert done.stderr.startswith(f"Warning: These devices are not registered: {device.id.lower()}x")
    many = [{"user_id": user, "employee_id": "E", "device_id": f"many {number:03d}"} for number in range(150)]
    answer = office.call("POST", "/v1/employees", json={"employees": many}).json()
    assert len(answer["unknown_device_ids"]) == 100


def test_entries_for_all_devices_are_stored_as_earlier_versions_read_them(office: Relay) -> None:
    """This matters during a rolling restart, and after a downgrade to a version without entries for devices."""
    user, store = a_user(), Store(load(office.environment))
    for one in (Employee(user, "E-1", "Zoë"), Employee(user, "E-2", None, "SITE-A")):
        store.employees.take([one])
        assert store.employees.get(user, one.device_id) == one
    sealed = store.connection.redis.hget(EMPLOYEES, user)
    assert json.loads(store.vault.open("employee", sealed, user)) == ["E-1", "Zoë"]
    three = store.vault.seal("employee", b'["E-3", null, null]', user)  # as this version first stored it
    store.connection.redis.hset(EMPLOYEES, user, three)
    assert store.employees.get(user) == Employee(user, "E-3")


def command_line(relay: Relay, *arguments: str) -> str:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=relay.environment, capture_output=True, text=True, check=True
    ).stdout


def test_people_who_share_a_user_id_have_separate_events_and_are_erased_separately(
    office: Relay, receiver: Receiver
) -> None:
    user, day = a_user(), days_ago(2)
    office.subscribe(receiver, events=["attendance.day_changed"], filters={"user_ids": [user]})
    first, second = office.device(timezone=KOLKATA), office.device(timezone=KOLKATA)
    list_ = [
        {"user_id": user, "employee_id": "E-JOHN", "device_id": first.id},
        {"user_id": user, "employee_id": "E-MARY"},
    ]
    office.call("POST", "/v1/employees", json={"employees": list_}).raise_for_status()
    for device in (first, second):
        punch(device, user, at(day, "08:00"), Type="CheckIn")
        punch(device, user, at(day, "17:00"), Type="CheckOut")
    wait_for(lambda: {e["employee_id"] for e in receiver.events()} == {"E-JOHN", "E-MARY"}, 30)
    days_published = {(event["employee_id"], event["punch_count"]) for event in receiver.events()}
    assert {("E-JOHN", 2), ("E-MARY", 2)} <= days_published
    shown = json.loads(command_line(office, "export", "--user", user))
    assert shown["employee"]["employee_id"] == "E-MARY"
    assert [one["employee_id"] for one in shown["employee_on_devices"]] == ["E-JOHN"]
    erased = command_line(office, "forget", "--user", user, "--yes")
    assert office.call("GET", f"/v1/employees/{user}").status_code == 404, erased
    site_a = {"device_id": first.id}
    assert office.call("GET", f"/v1/employees/{user}", params=site_a).status_code == 404
