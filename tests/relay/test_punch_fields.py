"""The fields of a punch: types, times, names, IDs and the direction of its device. Contract §3."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import Device, Relay
from tests.relay.tools import counters, done, events, gateway_time, now, only, punches

# Names of types


@pytest.mark.parametrize(
    "word, punch_type, direction",
    [
        ("CheckIn", "check_in", "in"),
        ("CheckOut", "check_out", "out"),
        ("BreakOut", "break_out", "out"),
        ("BreakIn", "break_in", "in"),
        ("OverTimeIn", "overtime_in", "in"),
        ("OvertimeOut", "overtime_out", "out"),
        ("MealIn", "meal_in", "in"),
        ("MealOut", "meal_out", "out"),
        ("DoorOpen", "door_open", None),
        ("Duress Alarm", "duress_alarm", None),
        (None, None, None),
        ("", None, None),
    ],
)
def test_punch_types_are_read(
    device: Device, word: str | None, punch_type: str | None, direction: str | None
) -> None:
    device.send_done(device.punch(Type=word))
    event = only(device, "attendance.punch")
    assert (event["punch_type"], event["direction"]) == (punch_type, direction)


@pytest.mark.parametrize(
    "word, shown",
    [
        ("Palm", "palm"),
        ("Card", "card"),
        ("Password", "password"),
        ("FingerVein", "finger_vein"),
        (None, None),
    ],
)
def test_input_types_are_read(device: Device, word: str | None, shown: str | None) -> None:
    device.send_done(device.punch(InputType=word))
    assert only(device, "attendance.punch")["input_type"] == shown


# Late and early punches


@pytest.mark.parametrize(
    "seconds, late, suspect",
    [
        (0, False, False),
        (290, False, False),
        (305, True, False),
        (29 * 86_400, True, False),
        (31 * 86_400, True, True),
        (-7_000, False, False),
        (-7_300, False, True),
        (-13 * 86_400, False, True),
    ],
)
def test_late_punches_and_wrong_clocks_are_marked(
    device: Device, seconds: int, late: bool, suspect: bool
) -> None:
    punch = device.punch(at=now() - timedelta(seconds=seconds))
    device.send_done(punch)
    device.send_done(punch)  # it isn't published again, nor counted
    event = only(device, "attendance.punch")
    assert abs(event["delay_seconds"] - seconds) <= 5
    assert event["is_late_arrival"] == (event["delay_seconds"] > 300)
    assert (event["is_late_arrival"], event["clock_suspect"]) == (late, suspect)
    assert counters(device)["clock_suspect"] == int(suspect)


def test_punches_in_any_order_are_published_and_their_ids_sort_by_receipt(device: Device) -> None:
    began = now() - timedelta(days=2)
    order = list(range(40))
    random.Random(7).shuffle(order)
    for minute in order:
        device.send_done(device.punch(user=str(minute), at=began + timedelta(minutes=minute)))
    found = punches(device)
    assert [int(event["user_id"]) for event in found] == order
    ids = [event["id"] for event in found]
    assert ids == sorted(ids) and len(set(ids)) == 40
    received = [event["received_at"] for event in found]
    assert received == sorted(received)


# User names


def test_a_punch_contains_the_name_known_at_that_time(device: Device) -> None:
    def named(first: str, last: str) -> None:
        device.send_done(
            device.envelope(UserUpdated={"UserID": "2", "FirstName": first, "LastName": last, "Template": []})
        )

    device.send_done(device.punch())
    named("Asha", "Rao")
    device.send_done(device.punch())
    named("Asha", "Iyer")
    device.send_done(device.punch())
    named("", "")
    device.send_done(device.punch())
    device.send_done(device.envelope(UserDeleted={"UserID": "2"}))
    device.send_done(device.punch())
    expected = [None, "Asha Rao", "Asha Iyer", "Asha Iyer", None]
    assert [event["user_name"] for event in punches(device)] == expected


def test_a_name_is_known_to_every_web_process_immediately(relay: Relay) -> None:
    import requests

    device = relay.device()
    for turn in range(12):
        update = {"UserID": "2", "FirstName": f"Name{turn}", "LastName": ""}
        requests.post(f"{relay.url}/callback", json=device.envelope(UserUpdated=update), timeout=10)
        done(requests.post(f"{relay.url}/callback", json=device.punch(), timeout=10))
        assert punches(device)[-1]["user_name"] == f"Name{turn}"


def test_names_are_separate_for_each_device(relay: Relay) -> None:
    first, second = relay.device(), relay.device()
    for device, name in ((first, "Asha"), (second, "Bela")):
        device.send_done(device.envelope(UserUpdated={"UserID": "2", "FirstName": name}))
    for device in (first, second):
        device.send_done(device.punch(user="2"))
    assert [punches(device)[0]["user_name"] for device in (first, second)] == ["Asha", "Bela"]


@pytest.mark.parametrize(
    "user",
    ["0", "007", "A-12/9", "ünïcödé", "用户", "a b", "{s0}:x", "*", "x" * 128, "2\x00\n", "-1", "null"],
)
def test_any_user_id_is_kept_unchanged(relay: Relay, device: Device, user: str) -> None:
    device.send_done(device.punch(user=user))
    assert only(device, "attendance.punch")["user_id"] == user
    assert len(relay.events(device_id=device.id, user_id=user)) == 1


ALIKE = ["7", " 7", "7 ", "7\n", "\t7", "7\x00", "7\x1f", "7\x1fx", "\x007", "7\x7f", "7\u00a0", "7\n\n"]


def test_ids_that_differ_in_spaces_or_control_characters_are_different_users(relay: Relay) -> None:
    device, at = relay.device(), now() - timedelta(minutes=5)
    for number, user in enumerate(ALIKE):
        card = {"Type": "Card", "UserID": user, "Data": "9804445"}
        update = {"UserID": user, "FirstName": f"Name{number}", "Template": [card]}
        device.send_done(device.envelope(UserUpdated=update))
        device.send_done(device.punch(user=user, at=at))
    found = punches(device)
    assert [(event["user_id"], event["user_name"], event["revision"]) for event in found] == [
        (user, f"Name{number}", 1) for number, user in enumerate(ALIKE)
    ]
    assert len({event["punch_id"] for event in found}) == len(ALIKE)
    assert len({event["credential_digest"] for event in events(device, type="credential.updated")}) == len(
        ALIKE
    )
    for number, user in enumerate(ALIKE):
        path = quote(user, safe="")
        assert relay.get(f"/v1/users/{path}")["full_name"] == f"Name{number}"
        assert relay.get(f"/v1/users/{path}/credentials/card/0?device_id={device.id}")["data"] == "9804445"
        assert len(relay.events(device_id=device.id, user_id=user)) == 3
    day = found[0]["local_date"]
    for path in (f"/v1/users?device_id={device.id}", f"/v1/attendance?date={day}&device_id={device.id}"):
        for limit in (1, 3, 50):
            assert sorted(row["user_id"] for row in _pages(relay, path, limit)) == sorted(ALIKE)
    device.send_done(device.envelope(UserDeleted={"UserID": "7"}))
    left = relay.get("/v1/users", params={"device_id": device.id})["data"]
    assert sorted(row["user_id"] for row in left) == sorted(ALIKE[1:])


def _pages(relay: Relay, path: str, limit: int) -> list[dict[str, Any]]:
    """Return all rows of a list, read in pages."""
    rows, cursor = [], ""
    while cursor is not None:
        page = relay.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})})
        rows += page["data"]
        cursor = page["next_cursor"]
    return rows


def test_a_lone_surrogate_in_an_id_makes_the_callback_unrecognised(device: Device) -> None:
    """It can't be stored as text, and two different ones must not become the same user."""
    for half in ("\ud800", "\ud801"):
        device.send_done(device.punch(user=f"7{half}"))
    assert [event["type"] for event in events(device)] == ["callback.unrecognised"] * 2


def test_a_device_can_send_another_serial_number_than_registered(relay: Relay) -> None:
    device = relay.device(serial_number="SN-77")
    document = device.punch()
    document["RealTime"] |= {"SerialNumber": "sn77 ", "LabelName": ""}
    device.send_done(document)
    assert only(device, "attendance.punch")["device_serial"] == "sn77"


def test_times_of_receipt_are_from_the_relays_clock(device: Device) -> None:
    before = datetime.now(UTC)
    document = device.punch(at=now() - timedelta(days=3))
    document["RealTime"]["Time"] = gateway_time(now() - timedelta(days=3))
    device.send_done(document)
    received = datetime.fromisoformat(only(device, "attendance.punch")["received_at"])
    assert before - timedelta(milliseconds=1) <= received <= datetime.now(UTC)


@pytest.mark.parametrize(("direction", "expected"), [("out", "out"), ("in", "in"), ("by_type", "in")])
def test_a_device_with_a_direction_sets_the_direction_of_its_punches(
    relay: Relay, direction: str, expected: str
) -> None:
    device = relay.device()
    assert relay.get(f"/v1/devices/{device.id}")["direction"] == "by_type"
    changed = relay.call("PATCH", f"/v1/devices/{device.id}", json={"direction": direction})
    assert changed.status_code == 200 and changed.json()["direction"] == direction
    document = device.punch(user="2", Type="CheckIn")
    device.send_done(document)
    document["RealTime"]["PunchLog"]["InputType"] = "Card"
    device.send_done(document)
    assert [(event["revision"], event["punch_type"], event["direction"]) for event in events(device)] == [
        (1, "check_in", expected),
        (2, "check_in", expected),
    ]


def test_a_null_direction_restores_the_default(relay: Relay) -> None:
    device = relay.device()
    path = f"/v1/devices/{device.id}"
    default = relay.get(path)["direction"]
    relay.call("PATCH", path, json={"direction": "out"}).raise_for_status()
    answer = relay.call("PATCH", path, json={"direction": None})
    assert answer.json()["direction"] == relay.get(path)["direction"] == default != "out"


@pytest.mark.parametrize("direction", ["IN", "", 1, "exit"])
def test_an_invalid_direction_is_refused(relay: Relay, direction: str | int) -> None:
    device = relay.device()
    answer = relay.call("PATCH", f"/v1/devices/{device.id}", json={"direction": direction})
    assert answer.status_code == 422 and "direction" in answer.text
