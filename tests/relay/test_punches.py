"""A punch is one event, however often, late or oddly spelled it comes; a changed one is a revision. Contract §3."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.harness import Device, Relay
from tests.relay.tools import counters, done, events, gateway_time, now, only

INDIA = timezone(timedelta(hours=5, minutes=30))


def punches(device: Device) -> list[dict[str, Any]]:
    return events(device, type="attendance.punch")


def log_of(document: dict[str, Any]) -> dict[str, Any]:
    """The PunchLog of a callback."""
    log: dict[str, Any] = document["RealTime"]["PunchLog"]
    return log


# Identity


def test_user_instant_and_device_make_a_punch(relay: Relay) -> None:
    first, second = relay.device(), relay.device()
    at = now() - timedelta(hours=1)
    for device in (first, second):
        device.send_done(device.punch(user="2", at=at))
        device.send_done(device.punch(user="3", at=at))
        device.send_done(device.punch(user="2", at=at + timedelta(seconds=1)))
    assert len({punch["punch_id"] for device in (first, second) for punch in punches(device)}) == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log,
        lambda log: {**log, "UserID": log["UserId"], "UserId": None},
        lambda log: {("UserID" if name == "UserId" else name): value for name, value in log.items()},
        lambda log: {**log, "UserId": int(log["UserId"])},
        lambda log: {**log, "UserId": " 2 "},
        lambda log: {("AttendanceType" if name == "Type" else name): value for name, value in log.items()},
        lambda log: {**log, "Type": "check in", "InputType": "FINGERPRINT"},
        lambda log: {**log, "Temperature": 36.8},
        lambda log: {**log, "Temperature": "36.80"},
        lambda log: {**log, "FaceMask": "false"},
        lambda log: {**log, "FaceMask": 0},
        lambda log: {**log, "Temperature": None, "FaceMask": None, "Type": None, "InputType": None},
        lambda log: {"UserId": log["UserId"], "LogTime": log["LogTime"]},
        lambda log: {**log, "Something": "else"},
    ],
)
def test_the_same_punch_in_other_words_is_a_duplicate(device: Device, change: Any) -> None:
    at = datetime(2026, 3, 1, 9, 0, tzinfo=INDIA)
    document = device.punch(at=at, Temperature="36.8", FaceMask=False)
    device.send_done(document)
    again = device.punch(at=at)  # with another OperationID
    again["RealTime"]["PunchLog"] = change(log_of(document))
    device.send_done(again)
    assert only(device, "attendance.punch")["revision"] == 1
    assert counters(device)["duplicates"] == 1


@pytest.mark.parametrize(
    "spelled",
    [
        "2026-03-01 09:00:00 GMT +0530",
        "2026-03-01 09:00:00 GMT+0530",
        "2026-03-01 09:00:00 +05:30",
        "2026-03-01T09:00:00+0530",
        "2026-03-01 03:30:00 GMT +0000",
        "2026-03-01 03:30:00 GMT",
        "2026-03-01T03:30:00Z",
        "2026-02-28 17:30:00 GMT -1000",
        "2026-03-01 09:00:00",  # the device's own time zone
    ],
)
def test_one_instant_is_one_punch_however_it_is_spelled(relay: Relay, spelled: str) -> None:
    device = relay.device(timezone="Asia/Kolkata")
    device.send_done(device.punch(at=datetime(2026, 3, 1, 9, 0, tzinfo=INDIA)))
    device.send_done(device.punch(LogTime=spelled))
    assert only(device, "attendance.punch")["occurred_at"] == "2026-03-01T09:00:00+05:30"


@pytest.mark.parametrize(
    "spelled, local, utc",
    [
        ("2026-03-01 09:00:00 GMT +0530", "2026-03-01T09:00:00+05:30", "2026-03-01T03:30:00Z"),
        ("2026-03-01 00:10:00 GMT +0530", "2026-03-01T00:10:00+05:30", "2026-02-28T18:40:00Z"),
        ("2026-03-01 23:50:00 GMT -0800", "2026-03-01T23:50:00-08:00", "2026-03-02T07:50:00Z"),
        ("2026-03-01 12:00:00 GMT +0545", "2026-03-01T12:00:00+05:45", "2026-03-01T06:15:00Z"),
        ("2024-02-29 12:00:00 GMT +0000", "2024-02-29T12:00:00+00:00", "2024-02-29T12:00:00Z"),
    ],
)
def test_a_punchs_times_keep_the_devices_offset(device: Device, spelled: str, local: str, utc: str) -> None:
    device.send_done(device.punch(LogTime=spelled))
    event = only(device, "attendance.punch")
    assert (event["occurred_at"], event["occurred_at_utc"]) == (local, utc)
    assert (event["local_date"], event["local_time"]) == (spelled[:10], spelled[11:19])


# Revisions


@pytest.mark.parametrize(
    "field, value, shown, becomes",
    [
        ("Type", "CheckOut", "punch_type", "check_out"),
        ("InputType", "Face", "input_type", "face"),
        ("Temperature", "37.5", "temperature_celsius", 37.5),
        ("FaceMask", True, "face_mask", True),
    ],
)
def test_a_punch_sent_again_with_another_value_is_a_revision(
    device: Device, field: str, value: Any, shown: str, becomes: Any
) -> None:
    document = device.punch(Temperature="36.8", FaceMask=False)
    device.send_done(document)
    log_of(document)[field] = value
    device.send_done(document)
    device.send_done(document)
    first, second = punches(device)
    assert (first["revision"], second["revision"]) == (1, 2)
    assert first["punch_id"] == second["punch_id"] and first["id"] < second["id"]
    assert second[shown] == becomes != first[shown]
    same = FIELDS_OF_THE_PUNCH - {shown, "direction"}
    assert {name: first[name] for name in same} == {name: second[name] for name in same}


FIELDS_OF_THE_PUNCH = {
    *("user_id", "punch_type", "direction", "input_type", "temperature_celsius", "face_mask"),
    *("occurred_at", "local_date", "local_time"),
}


def test_a_field_that_is_missing_in_a_revision_keeps_its_value(device: Device) -> None:
    at = now() - timedelta(days=1)
    device.send_done(device.punch(at=at, Type="CheckIn", Temperature="36.8"))
    bare = device.punch(at=at, Type="CheckOut")
    del log_of(bare)["InputType"]
    device.send_done(bare)
    device.send_done(device.punch(at=at, Type=None, FaceMask=True))
    latest = punches(device)[-1]
    assert latest["revision"] == 3
    assert (latest["punch_type"], latest["direction"]) == ("check_out", "out")
    assert (latest["input_type"], latest["temperature_celsius"]) == ("fingerprint", 36.8)
    assert latest["face_mask"] is True


# Words


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
def test_punch_types(device: Device, word: str | None, punch_type: str | None, direction: str | None) -> None:
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
def test_input_types(device: Device, word: str | None, shown: str | None) -> None:
    device.send_done(device.punch(InputType=word))
    assert only(device, "attendance.punch")["input_type"] == shown


# Late, early, in any order


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
    device.send_done(punch)  # which is not published again, nor counted
    event = only(device, "attendance.punch")
    assert abs(event["delay_seconds"] - seconds) <= 5
    assert event["is_late_arrival"] == (event["delay_seconds"] > 300)
    assert (event["is_late_arrival"], event["clock_suspect"]) == (late, suspect)
    assert counters(device)["clock_suspect"] == int(suspect)


def test_punches_in_any_order_all_come_and_ids_sort_by_receipt(device: Device) -> None:
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


# Batches


def rows(device: Device, count: int) -> list[dict[str, Any]]:
    return [log_of(device.punch(user=str(number))) for number in range(count)]


@pytest.mark.parametrize(
    "form",
    [
        lambda device, rows: device.envelope(PunchLog={"ReturnRowCount": str(len(rows)), "Log": rows}),
        lambda device, rows: device.envelope(PunchLog={"Log": rows}),
        lambda device, rows: device.envelope(PunchLog=rows),
        lambda device, rows: {
            "AuthToken": device.token,
            "OperationID": "op",
            "PunchLog": {"ReturnRowCount": len(rows), "Log": rows},
        },
        lambda device, rows: {
            **device.envelope(),
            "PunchLog": {"ReturnRowCount": str(len(rows)), "Log": rows},
        },
    ],
    ids=["in RealTime", "without a count", "a list", "top level", "beside RealTime"],
)
def test_a_historical_batch_is_one_event_a_row(device: Device, form: Any) -> None:
    batch = rows(device, 7)
    device.send_done(form(device, batch))
    assert [event["user_id"] for event in events(device)] == [str(number) for number in range(7)]
    assert {event["type"] for event in events(device)} == {"attendance.punch"}
    device.send_done(form(device, batch))
    assert len(events(device)) == 7


def test_a_large_batch_with_repetitions_inside_comes_once_each(device: Device) -> None:
    batch = rows(device, 1_000)
    changed = {**batch[10], "Type": "CheckOut"}
    device.send_done(device.envelope(PunchLog={"Log": [*batch, *batch[:300], changed]}))
    found = punches(device)
    assert len(found) == 1_001
    assert len({event["punch_id"] for event in found}) == 1_000
    assert (found[-1]["user_id"], found[-1]["revision"]) == ("10", 2)
    assert counters(device)["duplicates"] == 300
    assert counters(device)["callbacks"] == 1


def test_an_empty_batch_is_nothing(device: Device) -> None:
    device.send_done(device.envelope(PunchLog={"ReturnRowCount": "0", "Log": []}))
    assert events(device) == []


def test_a_batch_that_was_sent_in_part_before_adds_the_rest(device: Device) -> None:
    batch = rows(device, 6)
    device.send_done(device.envelope(PunchLog={"Log": batch[:4]}))
    device.send_done(device.envelope(PunchLog={"Log": batch[2:]}))
    assert [event["user_id"] for event in events(device)] == [str(number) for number in range(6)]


# Names


def test_a_punch_carries_the_name_as_it_is_known_then(device: Device) -> None:
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


def test_a_name_is_known_to_every_web_process_at_once(relay: Relay) -> None:
    import requests

    device = relay.device()
    for turn in range(12):
        update = {"UserID": "2", "FirstName": f"Name{turn}", "LastName": ""}
        requests.post(f"{relay.url}/callback", json=device.envelope(UserUpdated=update), timeout=10)
        done(requests.post(f"{relay.url}/callback", json=device.punch(), timeout=10))
        assert punches(device)[-1]["user_name"] == f"Name{turn}"


def test_names_are_of_their_device(relay: Relay) -> None:
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
def test_any_user_id_is_kept_as_it_is(relay: Relay, device: Device, user: str) -> None:
    device.send_done(device.punch(user=user))
    clean = user.replace("\x00\n", "")
    assert only(device, "attendance.punch")["user_id"] == clean
    assert len(relay.events(device_id=device.id, user_id=clean)) == 1


def test_a_device_may_say_another_serial_number_than_was_registered(relay: Relay) -> None:
    device = relay.device(serial_number="SN-77")
    document = device.punch()
    document["RealTime"] |= {"SerialNumber": "sn77 ", "LabelName": ""}
    device.send_done(document)
    assert only(device, "attendance.punch")["device_serial"] == "sn77"


def test_times_of_receipt_are_ours(device: Device) -> None:
    before = datetime.now(UTC)
    document = device.punch(at=now() - timedelta(days=3))
    document["RealTime"]["Time"] = gateway_time(now() - timedelta(days=3))
    device.send_done(document)
    received = datetime.fromisoformat(only(device, "attendance.punch")["received_at"])
    assert before - timedelta(milliseconds=1) <= received <= datetime.now(UTC)
