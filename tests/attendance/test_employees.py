"""The list of employees: taken whole or not at all, and in every event from then on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from app.employees import Employee, Wrong, from_csv
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row
from tests.harness import ROOT, Relay
from tests.relay.tools import key_with, problem


def csv_of(*rows: tuple[str, ...]) -> bytes:
    return "\r\n".join(",".join(line) for line in (("user_id", "employee_id", "name"), *rows)).encode()


def take(relay: Relay, data: bytes, method: str = "POST") -> dict[str, Any]:
    answer = relay.call(method, "/v1/employees", data=data)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_events_carry_it_from_the_next_one_on_and_no_more_once_it_is_removed(office: Relay) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(1)
    photo = device.sample(10)
    photo["RealTime"]["Log"]["UserID"] = user
    seen = []
    for step, employee in enumerate((None, "E 1", "E 2", None)):
        if employee:
            path = f"/v1/employees/{user}"
            assert office.call("PUT", path, json={"employee_id": employee, "name": "Zoë"}).json() == {
                "user_id": user,
                "employee_id": employee,
                "name": "Zoë",
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


def test_a_list_adds_and_changes_and_a_whole_one_replaces(office: Relay) -> None:
    one, two, three = sorted(a_user() for _ in range(3))
    first = csv_of((one, "E1", "Asha"), (two, "E2", ""))
    take(office, csv_of(), "PUT")
    assert take(office, b"\xef\xbb\xbf" + first)["added"] == 2
    listed = {"employees": [{"user_id": two, "employee_id": "E2b"}, {"user_id": three, "employee_id": "E3"}]}
    answer = office.call("POST", "/v1/employees", json=listed).json()
    assert answer == {"added": 1, "changed": 1, "unchanged": 0, "removed": 0}
    assert take(office, first)["unchanged"] == 1
    answer = take(office, csv_of((one, "E1", "Asha")), "PUT")
    assert (answer["unchanged"], answer["removed"]) == (1, 2)
    assert office.get("/v1/employees") == {
        "data": [{"user_id": one, "employee_id": "E1", "name": "Asha"}],
        "next_cursor": None,
    }
    problem(office.call("GET", f"/v1/employees/{two}"), 404)
    problem(office.call("DELETE", f"/v1/employees/{two}"), 404)


def test_the_command_line_takes_a_file(office: Relay) -> None:
    user = a_user()
    command = [sys.executable, "-m", "app", "employees", "import", "-"]
    how: dict[str, Any] = {"cwd": ROOT, "env": office.environment, "capture_output": True, "text": True}
    done = subprocess.run(command, input=f"user_id;employee_id\n{user};E9\n", **how)
    assert (done.returncode, done.stdout) == (0, "1 added, 0 changed, 0 unchanged, 0 removed\n")
    assert office.get(f"/v1/employees/{user}")["employee_id"] == "E9"
    done = subprocess.run(command, input="user_id,employee_id\n,E1\n", **how)
    assert done.returncode == 1 and "line 2.user_id" in done.stderr


def test_pages_go_through_all_of_them(office: Relay) -> None:
    users = sorted("page" + a_user() for _ in range(5))
    take(office, csv_of(*((user, "E", "") for user in users)))
    found, cursor = [], "page"
    while cursor:
        page = office.get("/v1/employees", params={"cursor": cursor, "limit": 2})
        found += [one["user_id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert [user for user in found if user.startswith("page")] == users


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "body"),
        (b"\xff\xfe", "body"),
        (b"id,name\n1,x", "line 1"),
        (b"user_id,employee_id\n1,\n", "line 2.employee_id"),
        (b"user_id,employee_id\n1,E1,x\n", "line 2.a cell too many"),
        (b"user_id,employee_id\n1,E1\n\n1,E2\n", "line 4.user_id"),
        (b"user_id,employee_id\n" + b"1" * 129 + b",E1\n", "line 2.user_id"),
        (b'{"employees": [{"user_id": 5, "employee_id": "E"}]}', "employees.0.user_id"),
        (b'{"employees": [3]}', "employees.0"),
        (b'{"employees": 3}', "employees"),
        (b"[]", "employees"),
        (b"{", "body"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_taken(office: Relay, data: bytes, where: str) -> None:
    before = office.get("/v1/employees", params={"limit": 200})
    for method in ("POST", "PUT"):
        problem(office.call(method, "/v1/employees", data=data), 422, where)
    assert office.get("/v1/employees", params={"limit": 200}) == before


def test_a_wrong_change_of_one_is_said(office: Relay) -> None:
    problem(office.call("PUT", "/v1/employees/7", json={"name": "x"}), 422, "employee_id")
    problem(office.call("PUT", "/v1/employees/" + "7" * 129, json={"employee_id": "x"}), 422, "user_id")
    problem(office.call("PUT", "/v1/employees/7", key=key_with(office, "events:read"), json={}), 403)


def test_a_csv_as_spreadsheets_save_it() -> None:
    text = '\ufeffEmployee_ID\tUser_ID\tName\r\n E1 \t 007\t"Rao, ""A"""\r\n\t\t\r\n'
    assert from_csv(text.encode()) == [Employee("007", "E1", 'Rao, "A"')]
    with pytest.raises(Wrong, match="is not CSV"):
        from_csv(b"user_id,employee_id\n" + b"1" * 200_000 + b",x\n")
