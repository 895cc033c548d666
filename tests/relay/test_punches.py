"""A punch is one event, however often, late or in which form it is sent. A changed one is a revision. Contract §3."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.harness import Device, Relay
from tests.relay.tools import counters, events, gateway_time, log_of, now, only, punches

INDIA = timezone(timedelta(hours=5, minutes=30))


# Identity


def test_a_punch_is_identified_by_user_instant_and_device(relay: Relay) -> None:
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
def test_the_same_punch_in_another_form_is_a_duplicate(device: Device, change: Any) -> None:
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
def test_one_instant_is_one_punch_in_every_time_format(relay: Relay, spelled: str) -> None:
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
        ("Type", "OverTimeIn", "punch_type", "overtime_in"),
        ("InputType", "Face", "input_type", "face"),
        ("Temperature", "37.5", "temperature_celsius", 37.5),
        ("FaceMask", True, "face_mask", True),
    ],
)
def test_a_punch_sent_again_with_a_changed_value_is_a_revision(
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
    bare = device.punch(at=at, Type="BreakIn")
    del log_of(bare)["InputType"]
    device.send_done(bare)
    device.send_done(device.punch(at=at, Type=None, FaceMask=True))
    latest = punches(device)[-1]
    assert latest["revision"] == 3
    assert (latest["punch_type"], latest["direction"]) == ("break_in", "in")
    assert (latest["input_type"], latest["temperature_celsius"]) == ("fingerprint", 36.8)
    assert latest["face_mask"] is True


# In and out in the same second


@pytest.mark.parametrize("order", ["in first", "out first"])
def test_an_in_and_an_out_in_the_same_second_are_two_punches(device: Device, order: str) -> None:
    at, kinds = now() - timedelta(days=1), ["CheckIn", "CheckOut"]
    if order == "out first":
        kinds.reverse()
    for kind in (*kinds, *kinds):
        device.send_done(device.punch(user="5", at=at, Type=kind))
    found = punches(device)
    assert [event["direction"] for event in found] == [kind[5:].lower() for kind in kinds]
    assert [event["revision"] for event in found] == [1, 1]
    assert len({event["punch_id"] for event in found}) == 2
    assert counters(device)["duplicates"] == 2


def test_two_punches_in_the_same_second_have_separate_revisions(device: Device) -> None:
    at = now() - timedelta(days=1)
    sent = [
        ("CheckOut", "Card"),
        ("CheckIn", "Card"),
        ("BreakIn", "Card"),
        ("CheckOut", "Face"),
        (None, "Palm"),
    ]
    for kind, sent_direction in sent:
        device.send_done(device.punch(user="5", at=at, Type=kind, InputType=sent_direction))
    found = punches(device)
    shown = [(event["punch_type"], event["input_type"], event["revision"]) for event in found]
    assert shown == [
        ("check_out", "card", 1),
        ("check_in", "card", 1),
        ("break_in", "card", 2),
        ("check_out", "face", 2),
        # A punch without a type could be either of the two, so it is taken for the first.
        ("check_out", "palm", 3),
    ]
    out, other = {event["punch_id"] for event in found if event["direction"] == "out"}, found[1]["punch_id"]
    assert len(out) == 1 and other not in out and found[2]["punch_id"] == other


def test_rows_of_one_file_in_the_same_second_are_two_punches(device: Device) -> None:
    """Some exports have times without seconds."""
    at = now().replace(second=0) - timedelta(days=1)
    batch = [log_of(device.punch(user="5", at=at, Type=kind)) for kind in ("CheckOut", "CheckIn", "CheckOut")]
    device.send_done(device.envelope(PunchLog={"Log": batch}))
    assert [event["direction"] for event in punches(device)] == ["out", "in"]
    device.send_done(device.envelope(PunchLog={"Log": batch}))
    assert len(punches(device)) == 2


def test_a_row_with_an_operation_time_corrects_a_punch(device: Device) -> None:
    at = now() - timedelta(days=1)
    device.send_done(device.punch(user="5", at=at, Type="CheckIn"))
    later = gateway_time(now())
    device.send_done(device.punch(user="5", at=at, Type="CheckOut", OperationTime=later))
    assert [(event["punch_type"], event["revision"]) for event in punches(device)] == [
        ("check_in", 1),
        ("check_out", 2),
    ]


@pytest.mark.parametrize("order", ["correction last", "correction first"])
def test_a_corrected_direction_is_not_restored(device: Device, order: str) -> None:
    at, later = now() - timedelta(days=1), gateway_time(now() - timedelta(minutes=5))
    original = device.punch(user="5", at=at, Type="CheckIn")
    correction = device.punch(user="5", at=at, Type="CheckOut", OperationTime=later)
    both = [original, correction] if order == "correction last" else [correction, original]
    for document in (*both, original, correction, original):
        device.send_done(document)
    found = punches(device)
    assert {event["punch_id"] for event in found} == {found[0]["punch_id"]}
    assert found[-1]["punch_type"] == "check_out"
    assert len(found) == (2 if order == "correction last" else 1)


@pytest.mark.parametrize("kinds", [("CheckIn", "CheckOut"), ("CheckOut", "CheckIn")])
def test_correcting_one_of_two_punches_does_not_change_the_other(
    device: Device, kinds: tuple[str, str]
) -> None:
    at, later = now() - timedelta(days=1), gateway_time(now())
    for kind in kinds:
        device.send_done(device.punch(user="5", at=at, Type=kind))
    for kind in ("CheckOut", "OverTimeOut"):
        device.send_done(device.punch(user="5", at=at, Type=kind, OperationTime=later))
    latest = {event["punch_id"]: event["punch_type"] for event in punches(device)}
    assert sorted(latest.values()) == ["check_in", "overtime_out"]


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_device_with_a_direction_has_one_punch_per_second(relay: Relay, direction: str) -> None:
    device, at = relay.device(direction=direction), now() - timedelta(days=1)
    for kind in ("CheckIn", "CheckOut"):
        device.send_done(device.punch(user="5", at=at, Type=kind))
    found = punches(device)
    assert [event["direction"] for event in found] == [direction, direction]
    assert [event["revision"] for event in found] == [1, 2]
    assert len({event["punch_id"] for event in found}) == 1


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
def test_a_historical_batch_is_one_event_per_row(device: Device, form: Any) -> None:
    batch = rows(device, 7)
    device.send_done(form(device, batch))
    assert [event["user_id"] for event in events(device)] == [str(number) for number in range(7)]
    assert {event["type"] for event in events(device)} == {"attendance.punch"}
    device.send_done(form(device, batch))
    assert len(events(device)) == 7


def test_a_large_batch_with_duplicates_publishes_each_punch_once(device: Device) -> None:
    batch = rows(device, 1_000)
    changed = {**batch[10], "Type": "BreakIn"}
    device.send_done(device.envelope(PunchLog={"Log": [*batch, *batch[:300], changed]}))
    found = punches(device)
    assert len(found) == 1_001
    assert len({event["punch_id"] for event in found}) == 1_000
    assert (found[-1]["user_id"], found[-1]["revision"]) == ("10", 2)
    assert counters(device)["duplicates"] == 300
    assert counters(device)["callbacks"] == 1


def test_a_batch_with_an_in_for_each_out_is_published_completely(device: Device) -> None:
    at = (now() - timedelta(days=1)).replace(second=0)
    batch = [
        log_of(device.punch(user=str(number), at=at, Type=kind))
        for kind in ("CheckOut", "CheckIn")
        for number in range(200)
    ]
    device.send_done(device.envelope(PunchLog={"Log": batch}))
    found = events(device)
    assert [event["type"] for event in found] == ["attendance.punch"] * 400
    assert [event["direction"] for event in found] == ["out"] * 200 + ["in"] * 200
    assert len({event["punch_id"] for event in found}) == 400


def test_a_batch_of_revisions_and_new_punches_is_published_completely(device: Device) -> None:
    batch = rows(device, 200)
    device.send_done(device.envelope(PunchLog={"Log": batch[:150]}))
    device.send_done(device.envelope(PunchLog={"Log": [{**row, "Temperature": "37.5"} for row in batch]}))
    found = events(device)
    assert [event["type"] for event in found] == ["attendance.punch"] * 350
    assert [event["revision"] for event in found] == [1] * 150 + [2] * 150 + [1] * 50
    assert {event["temperature_celsius"] for event in found[150:]} == {37.5}
    assert [event["user_id"] for event in found[150:]] == [str(number) for number in range(200)]


def test_an_empty_batch_publishes_nothing(device: Device) -> None:
    device.send_done(device.envelope(PunchLog={"ReturnRowCount": "0", "Log": []}))
    assert events(device) == []


def test_a_batch_sent_partly_before_publishes_the_rest(device: Device) -> None:
    batch = rows(device, 6)
    device.send_done(device.envelope(PunchLog={"Log": batch[:4]}))
    device.send_done(device.envelope(PunchLog={"Log": batch[2:]}))
    assert [event["user_id"] for event in events(device)] == [str(number) for number in range(6)]
