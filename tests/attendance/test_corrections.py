"""Punches can be added, changed, excluded and restored. What the device reported stays as it is."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from app.events.types import FIELDS
from app.settings.table import load
from app.store import Store
from app.store.server.keys import Shard
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row, rows
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import key_with, problem


def correct(relay: Relay, user: str, kind: str, **fields: Any) -> dict[str, Any]:
    body = {"kind": kind, "user_id": user, "reason": "Forgot.", **fields}
    response = relay.call("POST", "/v1/corrections", json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    assert relay.get(response.headers["Location"].removeprefix(relay.url)) == made
    return made


def punches(relay: Relay, user: str, day: date, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = relay.get(
        "/v1/punches", params={"user_id": user, "date": str(day), **query}
    )["data"]
    return found


def worked(relay: Relay, day: date, user: str) -> dict[str, Any]:
    """Return what a person's day counts."""
    found = row(relay, day, user)
    return {
        name: found[name] for name in ("worked_hours", "punch_count", "missing_punch", "correction_count")
    }


@pytest.fixture
def gate(office: Relay) -> Device:
    return office.device(timezone=KOLKATA)


def test_an_added_punch_completes_a_day_in_the_view_the_month_and_the_files(
    office: Relay, gate: Device
) -> None:
    user, day = a_user(), days_ago(2)
    punch(gate, user, at(day, "09:00"), Type="CheckIn")
    wait_for(lambda: rows(office, day, user_id=user))
    assert row(office, day, user)["last_out"] is None
    made = correct(office, user, "added", device_id=gate.id, punched_at=f"{day}T18:00:00", direction="out")
    assert made["punched_at"] == f"{day}T18:00:00+05:30" and made["reported_at"] is None
    shown = row(office, day, user)
    assert (shown["last_out"], shown["worked_hours"]) == (f"{day}T18:00:00+05:30", 9.0)
    assert (shown["missing_punch"], shown["punch_count"], shown["correction_count"]) == (False, 2, 1)
    month = office.get(f"/v1/attendance/{user}", params={"month": f"{day:%Y-%m}"})
    assert (month["worked_hours"], month["missing_punch_days"]) == (9.0, 0)
    file = office.call("GET", "/v1/attendance.csv", params={"date": str(day), "user_id": user}).text
    assert f"{day}T18:00:00+05:30" in file
    # The event of the device is unchanged, and there is no other.
    (event,) = office.events(user_id=user, type="attendance.punch")
    assert event["occurred_at"] == f"{day}T09:00:00+05:30"


def test_a_changed_punch_counts_at_another_time_and_can_be_restored(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    for clock, kind in (("09:00", "CheckIn"), ("17:00", "CheckOut")):
        punch(gate, user, at(day, clock), Type=kind)
    wait_for(lambda: len(punches(office, user, day)) == 2)
    leaving = punches(office, user, day)[1]
    assert leaving["status"] == "reported" and leaving["punched_at"] == leaving["reported_at"]
    assert leaving["id"] == office.events(user_id=user, type="attendance.punch")[-1]["punch_id"]
    made = correct(office, user, "changed", punch_id=leaving["id"], punched_at=f"{day}T13:00:00+00:00")
    assert made["punched_at"] == f"{day}T18:30:00+05:30"
    assert (made["direction"], made["reported_at"]) == ("out", f"{day}T17:00:00+05:30")
    assert worked(office, day, user)["worked_hours"] == 9.5
    correct(office, user, "changed", punch_id=leaving["id"], direction=None)
    assert [one["direction"] for one in punches(office, user, day)] == ["in", None]
    assert worked(office, day, user)["worked_hours"] == 9.5
    correct(office, user, "restored", punch_id=leaving["id"])
    assert worked(office, day, user) == {
        "worked_hours": 8.0, "punch_count": 2, "missing_punch": False, "correction_count": 0
    }  # fmt: skip
    # The list keeps all of them, newest first, in pages.
    listed = office.get("/v1/corrections", params={"user_id": user, "limit": 2})
    assert [one["kind"] for one in listed["data"]] == ["restored", "changed"]
    rest = office.get(
        "/v1/corrections", params={"user_id": user, "limit": 2, "cursor": listed["next_cursor"]}
    )
    assert rest["data"] == [made] and rest["next_cursor"] is None


def test_an_excluded_punch_doesnt_count_and_may_empty_its_day(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    punch(gate, user, at(day, "09:00"))
    wait_for(lambda: punches(office, user, day))
    (found,) = punches(office, user, day)
    made = correct(office, user, "excluded", punch_id=found["id"], author="Meera Iyer")
    assert (made["punched_at"], made["author"]) == (None, "Meera Iyer")
    shown = row(office, day, user)
    assert (shown["first_in"], shown["last_out"], shown["punch_count"]) == (None, None, 0)
    assert (shown["missing_punch"], shown["correction_count"]) == (False, 1)
    month = office.get(f"/v1/attendance/{user}", params={"month": f"{day:%Y-%m}"})
    assert month["days_present"] == 0 and month["missing_punch_days"] == 0
    (listed,) = punches(office, user, day)
    assert listed["status"] == "excluded" and listed["punched_at"] is None
    assert listed["reported_at"] == f"{day}T09:00:00+05:30"


def test_a_punch_can_be_moved_to_another_day(office: Relay, gate: Device) -> None:
    """The clock of a device was a day ahead. Its punches didn't count, and count once they are corrected."""
    user, day = a_user(), days_ago(3)
    punch(gate, user, at(day + timedelta(days=1), "09:00"), Type="CheckIn")
    punch(gate, user, at(day, "18:00"), Type="CheckOut")
    wait_for(lambda: punches(office, user, day))
    (moved,) = punches(office, user, day + timedelta(days=1))
    correct(office, user, "changed", punch_id=moved["id"], punched_at=f"{day}T09:00:00")
    assert worked(office, day, user)["worked_hours"] == 9.0
    left = row(office, day + timedelta(days=1), user)
    assert (left["punch_count"], left["correction_count"]) == (0, 1)


def test_a_punch_of_a_wrong_clock_counts_once_it_is_corrected(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(1)
    punch(gate, user, at(days_ago(-13), "09:00"), Type="CheckIn")
    wait_for(lambda: office.events(user_id=user, type="attendance.punch"))
    (event,) = office.events(user_id=user, type="attendance.punch")
    assert event["clock_suspect"] is True and rows(office, day, user_id=user) == []
    correct(office, user, "changed", punch_id=event["punch_id"], punched_at=f"{day}T09:00:00")
    assert row(office, day, user)["first_in"] == f"{day}T09:00:00+05:30"


def test_a_person_with_only_added_punches_is_on_the_page_of_the_day(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(4)
    correct(office, user, "added", device_id=gate.id, punched_at=f"{day}T09:00:00")
    assert [one["user_id"] for one in rows(office, day) if one["user_id"] == user] == [user]
    assert user in office.call("GET", "/v1/attendance.csv", params={"date": str(day)}).text
    assert rows(office, day, device_id=office.device(timezone=KOLKATA).id) == []


def test_the_end_of_a_night_shift_can_be_added(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(3)
    punch(gate, user, at(day, "22:00"), Type="CheckIn")
    wait_for(lambda: rows(office, day, user_id=user))
    end = f"{day + timedelta(days=1)}T06:00:00"
    correct(office, user, "added", device_id=gate.id, punched_at=end, direction="out")
    assert row(office, day, user)["worked_hours"] == 8.0
    assert rows(office, day + timedelta(days=1), user_id=user) == []


def test_the_same_correction_twice_is_one(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    fields = {"device_id": gate.id, "punched_at": f"{day}T09:00:00", "direction": "in"}
    made = correct(office, user, "added", **fields)
    body = {"kind": "added", "user_id": user, "reason": "Another reason.", **fields}
    again = office.call("POST", "/v1/corrections", json=body)
    assert (again.status_code, again.json()) == (200, made)
    exclude = {"punch_id": made["punch_id"], "reason": "By mistake."}
    first = correct(office, user, "excluded", **exclude)
    again = office.call("POST", "/v1/corrections", json={"kind": "excluded", "user_id": user, **exclude})
    assert (again.status_code, again.json()) == (200, first)
    assert len(office.events(user_id=user, type="attendance.corrected")) == 2
    # An Idempotency-Key makes no second one either, even with the punch excluded meanwhile.
    headers = {"Idempotency-Key": a_user()}
    answers = [
        office.call(
            "POST",
            "/v1/corrections",
            json={"kind": "added", "user_id": user, "reason": "r", **fields},
            headers=headers,
        )
        for _ in range(2)
    ]
    assert answers[0].status_code == 201 and answers[0].json() == answers[1].json()


def test_a_correction_is_an_event_and_changes_the_day(
    office: Relay, gate: Device, receiver: Receiver
) -> None:
    user, day = a_user(), days_ago(2)
    office.call(
        "PUT", f"/v1/employees/{user}", json={"employee_id": "E-9", "name": "Asha"}
    ).raise_for_status()
    office.subscribe(receiver, events=["attendance.*"], filters={"user_ids": [user]})
    for clock, kind in (
        ("09:00", "CheckIn"),
        ("12:00", "CheckOut"),
        ("13:00", "CheckIn"),
        ("18:00", "CheckOut"),
    ):
        punch(gate, user, at(day, clock), Type=kind)
    wait_for(lambda: office.events(user_id=user, type="attendance.day_changed"), 60)
    lunch = punches(office, user, day)[1]
    made = correct(office, user, "changed", punch_id=lunch["id"], punched_at=f"{day}T12:30:00")
    (event,) = wait_for(lambda: office.events(user_id=user, type="attendance.corrected"))
    assert tuple(event) == FIELDS["attendance.corrected"]
    assert event["correction_id"] == made["id"] and event["device_id"] == gate.id
    assert (event["user_name"], event["employee_id"]) == ("Asha", "E-9")
    assert {name: event[name] for name in ("kind", "punched_at", "reported_at", "reason", "author")} == {
        name: made[name] for name in ("kind", "punched_at", "reported_at", "reason", "author")
    }
    # First in, last out and the number of punches are the same, but not the hours.
    wait_for(lambda: len(office.events(user_id=user, type="attendance.day_changed")) == 2, 60)
    changed = office.events(user_id=user, type="attendance.day_changed")
    assert [one["present_hours"] for one in changed] == [8.0, 8.5]
    correct(office, user, "excluded", punch_id=lunch["id"])
    wait_for(lambda: len(office.events(user_id=user, type="attendance.day_changed")) == 3, 60)
    wait_for(
        lambda: len([one for one in receiver.events() if one["type"] == "attendance.corrected"]) == 2, 20
    )


def test_a_day_whose_punches_are_all_excluded_is_published(
    office: Relay, gate: Device, receiver: Receiver
) -> None:
    user, day = a_user(), days_ago(2)
    office.subscribe(receiver, events=["attendance.day_changed"], filters={"user_ids": [user]})
    punch(gate, user, at(day, "09:00"))
    wait_for(lambda: office.events(user_id=user, type="attendance.day_changed"), 60)
    correct(office, user, "excluded", punch_id=punches(office, user, day)[0]["id"])
    wait_for(lambda: len(office.events(user_id=user, type="attendance.day_changed")) == 2, 60)
    last = office.events(user_id=user, type="attendance.day_changed")[-1]
    assert (last["punch_count"], last["first_in"], last["revision"]) == (0, None, 2)


def test_two_people_with_one_user_id_are_corrected_separately(office: Relay) -> None:
    first, second = office.device(timezone=KOLKATA), office.device(timezone=KOLKATA)
    user, day = a_user(), days_ago(2)
    for device, employee in ((first, "E-JOHN"), (second, "E-MARY")):
        office.call(
            "PUT", f"/v1/employees/{user}", json={"employee_id": employee}, params={"device_id": device.id}
        ).raise_for_status()
        punch(device, user, at(day, "09:00"))
    wait_for(lambda: len(rows(office, day, user_id=user)) == 2)
    correct(office, user, "added", device_id=second.id, punched_at=f"{day}T18:00:00")
    hours = {one["employee_id"]: one["worked_hours"] for one in rows(office, day, user_id=user)}
    assert hours == {"E-JOHN": None, "E-MARY": 9.0}
    assert len(punches(office, user, day, employee_id="E-JOHN")) == 1


def test_a_key_can_only_correct_punches_on_its_devices(office: Relay, gate: Device) -> None:
    user, day, other = a_user(), days_ago(2), office.device(timezone=KOLKATA)
    punch(gate, user, at(day, "09:00"))
    wait_for(lambda: punches(office, user, day))
    found = punches(office, user, day)[0]
    made = correct(office, user, "changed", punch_id=found["id"], direction="in")
    limited = key_with(office, "devices:write", "people:read", device_ids=[other.id])
    body = {"kind": "added", "user_id": user, "punched_at": f"{day}T10:00", "reason": "r"}
    problem(office.call("POST", "/v1/corrections", limited, json={**body, "device_id": gate.id}), 403)
    assert (
        office.call("POST", "/v1/corrections", limited, json={**body, "device_id": other.id}).status_code
        == 201
    )
    exclude = {"kind": "excluded", "user_id": user, "punch_id": found["id"], "reason": "r"}
    problem(office.call("POST", "/v1/corrections", limited, json=exclude), 404)
    problem(office.call("GET", f"/v1/corrections/{made['id']}", limited), 404)
    listed = office.call("GET", "/v1/corrections", limited, params={"user_id": user}).json()["data"]
    assert [one["device_id"] for one in listed] == [other.id]
    shown = office.call("GET", "/v1/punches", limited, params={"user_id": user, "date": str(day)}).json()[
        "data"
    ]
    assert [one["device_id"] for one in shown] == [other.id]
    problem(office.call("POST", "/v1/corrections", key_with(office, "people:read"), json=exclude), 403)


def test_a_changed_direction_leaves_the_time_in_the_sites_offset(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    punch(gate, user, at(day, "03:30", "UTC"), Type="CheckIn")
    (found,) = wait_for(lambda: punches(office, user, day))
    made = correct(office, user, "changed", punch_id=found["id"], direction="out")
    assert made["punched_at"] == made["reported_at"] == f"{day}T09:00:00+05:30"
    assert (made["direction"], made["reported_direction"]) == ("out", "in")


def test_a_local_time_has_the_offset_of_a_device_whose_time_zone_was_never_set(office: Relay) -> None:
    device, user, day = office.device(), a_user(), days_ago(2)
    added = {"device_id": device.id, "punched_at": f"{day}T18:00:00", "direction": "out"}
    body = {"kind": "added", "user_id": user, "reason": "r", **added}
    problem(office.call("POST", "/v1/corrections", json=body), 422, "punched_at")  # nothing is known yet
    punch(device, user, at(day, "09:00"), Type="CheckIn")
    wait_for(lambda: rows(office, day, user_id=user))
    assert correct(office, user, "added", **added)["punched_at"] == f"{day}T18:00:00+05:30"
    assert row(office, day, user)["worked_hours"] == 9.0


def test_a_wrong_correction_is_refused_and_says_why(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    added = {
        "kind": "added",
        "user_id": user,
        "device_id": gate.id,
        "punched_at": f"{day}T09:00",
        "reason": "r",
    }
    for change, field in (
        ({"kind": "removed"}, "kind"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"punched_at": "yesterday"}, "punched_at"),
        ({"punched_at": f"{days_ago(-2)}T09:00"}, "punched_at"),
        ({"punched_at": "1999-01-01T09:00"}, "punched_at"),
        ({"punched_at": "9999-12-31T23:59:59Z"}, "punched_at"),  # it has no time in Kolkata
        ({"punched_at": "0001-01-01T00:00:00+14:00"}, "punched_at"),
        ({"device_id": "NOBODY"}, "device_id"),
        ({"direction": "up"}, "direction"),
        ({"punch_id": "pun_1"}, "punch_id"),
        ({"kind": "excluded", "punch_id": "pun_1"}, "device_id"),
    ):
        problem(office.call("POST", "/v1/corrections", json={**added, **change}), 422, field)
    unknown = {"kind": "excluded", "user_id": user, "punch_id": "pun_1", "reason": "r"}
    problem(office.call("POST", "/v1/corrections", json=unknown), 404)
    punch_id = correct(office, user, "added", device_id=gate.id, punched_at=f"{day}T09:00")["punch_id"]
    for body, field in (
        ({"kind": "changed"}, "punched_at"),
        ({"kind": "restored"}, "kind"),
        ({"kind": "excluded", "direction": "in"}, "direction"),
    ):
        answer = office.call("POST", "/v1/corrections", json={**unknown, "punch_id": punch_id, **body})
        problem(answer, 422, field)
    for query in ({}, {"user_id": user, "date": "x"}):
        problem(office.call("GET", "/v1/punches", params=query), 422)
    problem(office.call("GET", "/v1/corrections"), 422, "user_id")


def test_corrections_survive_the_removal_of_the_device(office: Relay) -> None:
    gate, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    for clock in ("09:00", "17:00"):
        punch(gate, user, at(day, clock))
    wait_for(lambda: len(punches(office, user, day)) == 2)
    first, second = punches(office, user, day)
    correct(office, user, "changed", punch_id=second["id"], punched_at=f"{day}T18:00:00")
    office.call("DELETE", f"/v1/devices/{gate.id}").raise_for_status()
    assert worked(office, day, user)["worked_hours"] == 9.0
    correct(office, user, "changed", punch_id=first["id"], punched_at=f"{day}T08:00:00")
    assert worked(office, day, user)["worked_hours"] == 10.0
    correct(office, user, "restored", punch_id=second["id"])
    assert worked(office, day, user)["worked_hours"] == 9.0


def test_corrections_are_encrypted_and_old_ones_are_removed(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    correct(office, user, "added", device_id=gate.id, punched_at=f"{day}T09:00", reason="A reason to hide")
    store = Store(load(office.environment))
    shards = [
        shard for shard in store.connection.shards if store.connection.redis.hexists(shard.corrections, user)
    ]
    (shard,) = shards
    assert isinstance(shard, Shard)
    assert b"hide" not in store.connection.redis.hget(shard.corrections, user)
    store.correction_records.remove_older()
    assert len(store.correction_records.of([user])[user]) == 1
    store.correction_records.keep_seconds = -86_400
    store.correction_records.remove_older()
    assert store.correction_records.of([user]) == {}
    assert not store.connection.redis.hexists(shard.corrections, user)


def test_corrections_are_audited(office: Relay, gate: Device) -> None:
    user, day = a_user(), days_ago(2)
    made = correct(office, user, "added", device_id=gate.id, punched_at=f"{day}T09:00")
    entries = office.get("/v1/audit")["data"]
    (entry,) = [one for one in entries if one["subject"] == made["id"]]
    assert (entry["action"], entry["user_id"], entry["detail"]) == ("attendance.corrected", user, "added")
    assert entry["at"][:10] == made["created_at"][:10]
