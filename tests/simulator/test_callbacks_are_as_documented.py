"""Each of the 11 callbacks has the keys and value types of its documented sample."""

import base64
import re
from typing import Any

import pytest
from sim_tools import TOKEN, Caller, RecordingRelay, sample, shape

from simulator.device import Device
from simulator.records import User

WIRE_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT [+-]\d{4}")

CALLBACKS: list[tuple[str, str, dict[str, Any]]] = [
    ("01-ManuallyUserDeleted", "delete-user", {"user_id": "1"}),
    ("02-ManuallyDateModified", "time", {"to": "2020-09-17 10:22:24 GMT +0530"}),
    ("03-ManuallyUserUpdatedWithoutTemplate", "user", {"user_id": "1", "first_name": "jency"}),
    ("04-ManuallyUserUpdatedWithCard", "user", {"user_id": "8", "credentials": ["card"]}),
    ("05-ManuallyUserUpdatedWithPassword", "user", {"user_id": "8", "credentials": ["password"]}),
    (
        "06-ManuallyUserUpdatedWithFingerPrint",
        "user",
        {"user_id": "2", "credentials": [{"type": "fingerprint", "index": 6}]},
    ),
    ("07-ManuallyUserUpdatedWithFace", "user", {"user_id": "2", "credentials": ["face"]}),
    ("08-ManuallyUserUpdatedWithPalm", "user", {"user_id": "2", "credentials": ["palm"]}),
    ("09-ManuallyUserUpdatedWithUserPhoto", "user", {"user_id": "5", "credentials": ["user_photo"]}),
    ("10-RealTimeAttendancePhoto", "photo", {"user_id": "3"}),
    (
        "11-RealTimePunchLog",
        "punch",
        {"user_id": "2", "type": "check_out", "temperature": 36.8, "face_mask": False},
    ),
]


@pytest.mark.parametrize(("name", "action", "body"), CALLBACKS, ids=[name for name, _, _ in CALLBACKS])
def test_callback_has_the_shape_of_its_sample(
    name: str, action: str, body: dict[str, Any], device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    device.users["1"] = User("1")
    caller.control("POST", f"/D1/{action}", body, expect=201)
    (callback,) = relay.wait_for(1)
    assert shape(callback) == shape(sample(f"{name}.request"))


def test_a_callback_contains_the_device_and_times_in_the_gateways_format(
    device: Device, relay: RecordingRelay
) -> None:
    device.punch("2", "CheckOut", "Face", 36.84, True)
    (callback,) = relay.wait_for(1)
    real_time = callback["RealTime"]
    assert real_time["AuthToken"] == TOKEN
    assert (real_time["LabelName"], real_time["SerialNumber"]) == ("Device D1", "D1")
    assert real_time["Time"].endswith("GMT +0000")
    assert WIRE_TIME.fullmatch(real_time["Time"])
    log = real_time["PunchLog"]
    assert log["LogTime"].endswith("GMT +0530")
    assert (log["Temperature"], log["FaceMask"], log["UserId"]) == ("36.8", True, "2")


def test_biometric_template_has_the_size_of_its_bytes(device: Device, relay: RecordingRelay) -> None:
    from simulator.records import Template

    device.edit_user("2", templates=[Template("Fingerprint", base64.b64encode(b"x" * 77).decode(), 3)])
    (callback,) = relay.wait_for(1)
    (item,) = callback["RealTime"]["UserUpdated"]["Template"]
    assert (item["Size"], item["Index"], item["UserID"]) == ("77", "3", "2")


def test_several_credentials_are_sent_one_per_callback_or_as_a_group(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    body = {"user_id": "2", "first_name": "Raj", "credentials": ["card", "fingerprint"]}
    caller.control("POST", "/D1/user", body, expect=201)
    caller.control("POST", "/D1/user", body | {"grouped": True}, expect=201)
    callbacks = [callback["RealTime"]["UserUpdated"] for callback in relay.wait_for(3)]
    assert [[item["Type"] for item in updated["Template"]] for updated in callbacks] == [
        ["Card"],
        ["Fingerprint"],
        ["Card", "Fingerprint"],
    ]
    assert ["FirstName" in updated for updated in callbacks] == [True, False, True]


def test_a_name_change_of_a_user_with_a_fingerprint_sends_a_profile_callback(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    body = {"user_id": "2", "first_name": "Raj", "credentials": ["fingerprint"]}
    caller.control("POST", "/D1/user", body, expect=201)
    first, second = (callback["RealTime"]["UserUpdated"] for callback in relay.wait_for(2))
    assert (first["FirstName"], first["Template"]) == ("Raj", [])
    assert [item["Type"] for item in second["Template"]] == ["Fingerprint"]


def test_a_punch_with_a_photo_sends_two_callbacks_with_the_same_time(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    caller.control("POST", "/D1/punch", {"user_id": "3", "photo": True}, expect=201)
    punch, photo = (callback["RealTime"] for callback in relay.wait_for(2))
    assert photo["Log"]["LogTime"] == punch["PunchLog"]["LogTime"]
    picture = base64.b64decode(photo["Log"]["LogPhoto"])
    assert picture.startswith(b"\xff\xd8") and picture.endswith(b"\xff\xd9")
    assert len(picture) == 30 * 1024


def test_a_punch_without_measurements_omits_them(device: Device, relay: RecordingRelay) -> None:
    device.punch("2")
    (callback,) = relay.wait_for(1)
    assert callback["RealTime"]["PunchLog"].keys() == {"Type", "InputType", "UserId", "LogTime"}


@pytest.mark.parametrize("top_level", [False, True])
def test_a_historical_batch_contains_rows(
    top_level: bool, device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    caller.control("POST", "/D1/batch", {"count": 3, "top_level": top_level}, expect=201)
    (callback,) = relay.wait_for(1)
    assert ("RealTime" in callback) is not top_level
    log = callback.get("RealTime", callback)["PunchLog"]
    assert log["ReturnRowCount"] == "3"
    assert len({(row["UserID"], row["LogTime"]) for row in log["Log"]}) == 3


def test_a_raw_body_is_sent_unchanged_except_for_the_token(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    body = {"RealTime": {"AuthToken": "$AUTH_TOKEN", "Door": {"Open": True}}}
    caller.control("POST", "/D1/raw", {"body": body}, expect=201)
    caller.control("POST", "/D1/raw", {"body": "stgid=1,userid=2"}, expect=201)
    device.outbox.wait_empty(5)
    first, second = relay.received
    assert first.json == {"RealTime": {"AuthToken": TOKEN, "Door": {"Open": True}}}
    assert second.body == b"stgid=1,userid=2"


@pytest.mark.parametrize("mode", ["hybrid_db", "hybrid_file"])
def test_db_and_file_modes_only_push_attendance(mode: str, make_device: Any, relay: RecordingRelay) -> None:
    device: Device = make_device(mode=mode)
    device.edit_user("2", "Raj")
    device.take_photo("2", b"jpeg")
    device.remove_user("2")
    device.punch("2")
    (callback,) = relay.wait_for(1)
    assert "PunchLog" in callback["RealTime"]
    assert device.outbox.wait_empty(5) and len(relay.received) == 1
