"""Each command, sent like its sample, gets the documented response and changes the device."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from sim_tools import SAMPLES, TOKEN, Caller, RecordingRelay, eventually, sample, shape, templates_of

from simulator.clock import from_wire
from simulator.device import Device
from simulator.records import LogRow, Template, User

COMMANDS = sorted(
    path.name.removesuffix(".request.json")
    for path in SAMPLES.glob("*.request.json")
    if int(path.name[:2]) >= 12
)
ADDS = [name for name in COMMANDS if "-AddUser" in name]
ROWS_AT = ("2020-09-17 09:01:44", "2020-09-17 16:00:00", "2020-09-17 16:53:43")


@pytest.fixture
def furnished(device: Device) -> Device:
    """A device with the users in the samples, and three log rows of their day."""
    for user_id in ("1", "20", "User123"):
        device.users[user_id] = User(user_id, "jency", "mary")
    device.users["1"].templates[("Card", 0)] = Template("Card", "9804445")
    for number, at in enumerate(ROWS_AT, 1):
        moment = from_wire(f"{at} GMT +0530")
        device.logs.append(LogRow(str(number), moment, "CheckIn", "Face", 36.5, False))
    device.photos.append(datetime.now())
    return device


def send_sample(caller: Caller, name: str) -> tuple[Any, Any]:
    """Send the documented request. Return it with the response."""
    body = sample(f"{name}.request")
    if name.startswith("28-"):
        # The sample adds user 1, whom the device already has.
        body["Add"]["User"]["UserID"] = "101"
    answer = caller.post("D1", json.dumps(body).encode())
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    return body, answer.json()


@pytest.mark.parametrize("name", COMMANDS)
def test_answer_has_the_shape_of_its_sample(name: str, furnished: Device, caller: Caller) -> None:
    body, answer = send_sample(caller, name)
    documented = sample(f"{name}.response")
    assert shape(answer) == shape(documented)
    assert answer["Status"] == "done"
    assert answer.get("StatusCode", 0) == 0
    assert answer["OperationID"] == body["OperationID"]


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_recorded_under_its_name_with_its_body(
    name: str, furnished: Device, caller: Caller
) -> None:
    body, _ = send_sample(caller, name)
    (received,) = caller.control("GET", "/D1/commands")
    assert received["operation"] == name[3:]
    assert received["operation_id"] == body["OperationID"]
    assert received["body"] == body
    assert received["body"]["AuthToken"] == TOKEN
    assert (received["status_code"], received["encrypted"]) == (0, False)


@pytest.mark.parametrize("name", ADDS)
def test_add_user_keeps_the_user_and_every_template(name: str, furnished: Device, caller: Caller) -> None:
    body, _ = send_sample(caller, name)
    given = body["Add"]["User"]
    user = furnished.users[given["UserID"]]
    assert (user.first_name, user.last_name, user.user_type) == ("Manu", "Mona", "User")
    items = body["Add"].get("Template", [])
    assert templates_of(furnished, user.user_id) == {
        (item["Type"], int(item.get("Index", 0))) for item in items
    }
    assert {template.data for template in user.templates.values()} == {item["Data"] for item in items}


def test_no_command_but_enroll_and_resend_pushes_a_callback(
    furnished: Device, relay: RecordingRelay, caller: Caller
) -> None:
    for name in COMMANDS:
        if "Resend" not in name and "Enroll" not in name:
            send_sample(caller, name)
    furnished.punch("9")
    (callback,) = relay.wait_for(1)
    assert callback["RealTime"]["PunchLog"]["UserId"] == "9"


def test_delete_user_deletes_one_user(furnished: Device, caller: Caller) -> None:
    send_sample(caller, "29-DeleteUser")
    assert set(furnished.users) == {"1", "20"}


def test_delete_all_user_deletes_all_users(furnished: Device, caller: Caller) -> None:
    send_sample(caller, "30-DeleteAllUser")
    assert not furnished.users and furnished.logs and furnished.photos


def test_delete_log_all_only_deletes_the_logs(furnished: Device, caller: Caller) -> None:
    send_sample(caller, "31-DeleteLogAll")
    assert furnished.users and not furnished.logs and furnished.photos


def test_delete_attendance_photo_only_deletes_the_photos(furnished: Device, caller: Caller) -> None:
    send_sample(caller, "32-DeleteAttendancePhoto")
    assert furnished.users and furnished.logs and not furnished.photos


def test_resend_attendance_pushes_the_punches_of_the_time_range_again(
    furnished: Device, relay: RecordingRelay, caller: Caller
) -> None:
    send_sample(caller, "33-ResendAttendance")
    (callback,) = relay.wait_for(1)
    log = callback["RealTime"]["PunchLog"]
    assert (log["UserId"], log["LogTime"]) == ("2", f"{ROWS_AT[1]} GMT +0530")
    assert furnished.outbox.wait_empty(5) and len(relay.received) == 1


def test_resend_all_user_pushes_every_profile_and_template(
    furnished: Device, relay: RecordingRelay, caller: Caller
) -> None:
    send_sample(caller, "34-ResendAllUser")
    updated = [callback["RealTime"]["UserUpdated"] for callback in relay.wait_for(3)]
    assert [(item["UserID"], len(item["Template"])) for item in updated] == [
        ("1", 1),
        ("20", 0),
        ("User123", 0),
    ]


@pytest.mark.parametrize("known", [True, False])
def test_enroll_pushes_a_fingerprint_after_some_time(
    known: bool, furnished: Device, relay: RecordingRelay, caller: Caller
) -> None:
    if known:
        furnished.users["3"] = User("3", "Old", "Name")
    send_sample(caller, "35-EnrollFingerPrint")
    assert templates_of(furnished, "3") == set()
    (callback,) = relay.wait_for(1)
    assert shape(callback) == shape(sample("06-ManuallyUserUpdatedWithFingerPrint.request"))
    assert templates_of(furnished, "3") == {("Fingerprint", 0)}
    assert furnished.users["3"].first_name == ("Old" if known else "Rajesh")


def test_enroll_uses_the_next_free_finger(furnished: Device, caller: Caller) -> None:
    for operation_id in ("op1", "op2"):
        body = sample("35-EnrollFingerPrint.request") | {"OperationID": operation_id}
        caller.post("D1", json.dumps(body).encode())
        wanted = int(operation_id[2:])
        eventually(lambda wanted=wanted: len(templates_of(furnished, "3")) == wanted)  # type: ignore[misc]
    assert templates_of(furnished, "3") == {("Fingerprint", 0), ("Fingerprint", 1)}


def test_update_access_time_refuses_the_user_outside_the_range(furnished: Device, caller: Caller) -> None:
    send_sample(caller, "36-UpdateAccessTime")
    user = furnished.users["20"]
    assert user.access_start == from_wire("2022-07-11 00:00:00 GMT +0530")
    inside = {"user_id": "20", "at": "2022-07-11T12:00:00"}
    caller.control("POST", "/D1/punch", inside, expect=201)
    caller.control("POST", "/D1/punch", {"user_id": "20"}, expect=409)


def test_a_disabled_user_is_refused_until_enabled(
    furnished: Device, relay: RecordingRelay, caller: Caller
) -> None:
    send_sample(caller, "38-DisableUser")
    logs = len(furnished.logs)
    caller.control("POST", "/D1/punch", {"user_id": "1"}, expect=409)
    assert len(furnished.logs) == logs and len(furnished.outbox) == 0
    send_sample(caller, "37-EnableUser")
    caller.control("POST", "/D1/punch", {"user_id": "1"}, expect=201)
    relay.wait_for(1)


def test_device_information_contains_counts(furnished: Device, caller: Caller) -> None:
    furnished.users["1"].templates[("Face", 0)] = Template("Face", "Zm9v")
    _, answer = send_sample(caller, "13-LoadDeviceInformation")
    shown = answer["DeviceInformation"]
    assert (shown["RegisteredUsers"], shown["RegisteredFaces"]) == ("3", "1")
    assert shown["MaximumAttendanceLogsSupported"] == "500000"
    assert re.fullmatch(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d GMT \+0530", shown["LastConnectedTime"])


def test_load_log_returns_the_rows_of_the_time_range(furnished: Device, caller: Caller) -> None:
    moment = from_wire("2020-09-18 09:00:00 GMT +0530")
    furnished.logs.append(LogRow("9", moment, "CheckIn", "Face"))
    _, answer = send_sample(caller, "12-LoadLog")
    log = answer["PunchLog"]
    assert log["ReturnRowCount"] == "3"
    assert log["Log"][0] == {
        "Type": "CheckIn",
        "Temperature": 36.5,
        "InputType": "Face",
        "UserID": "1",
        "LogTime": f"{ROWS_AT[0]} GMT +0530",
        "FaceMask": False,
    }
