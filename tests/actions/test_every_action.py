"""Each action sends its documented body, unencrypted and encrypted, and changes the device as documented."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from app.gateway.operations import BY_ACTION, BY_NAME
from simulator.records import Template, User
from simulator.spec import DeviceSpec
from tests.actions.tools import KEY, Machine, Maker
from tests.documented import flat_credentials
from tests.harness import SAMPLES, Relay, wait_for

BINARY = bytes(range(200))
DATA = base64.b64encode(BINARY).decode()
NAMES = [
    path.name.partition(".")[0] for path in sorted(SAMPLES.glob("*.request.json")) if path.name[:2] > "11"
]
DESTRUCTIVE = ("delete-all-user", "delete-log-all", "delete-attendance-photo")


def flat_and_wire(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return a documented sample: its action, the flat input, and the body that the relay must build from it."""
    wire: dict[str, Any] = json.loads((SAMPLES / f"{name}.request.json").read_text())
    (verb,) = wire.keys() - {"OperationID", "AuthToken", "Time"}
    flat = flat_credentials(wire[verb], BINARY)
    subjects = [part for part in wire[verb].values() if isinstance(part, dict)]
    for user in subjects:
        for key, field in {
            "UserID": "user_id",
            "FirstName": "first_name",
            "LastName": "last_name",
            "Start": "start",
            "End": "end",
        }.items():
            if key in user:
                flat[field] = user[key].replace(" ", "T") if field in ("start", "end") else user[key]
        if "UserType" in user:
            flat["user_type"] = user["UserType"].lower()
    if "PunchLog" in wire[verb]:
        times = wire[verb]["PunchLog"]["Filter"]
        flat["start_time"] = times["StartTime"].replace(" GMT ", "").replace(" ", "T")
        flat["end_time"] = times["EndTime"].replace(" GMT ", "").replace(" ", "T")
    action = BY_NAME[name.partition("-")[2]].action
    assert action
    if action in DESTRUCTIVE:
        flat["confirm"] = True
    return action, flat, wire


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("name", NAMES)
def test_the_documented_body_is_sent_key_by_key(name: str, key: str | None, make: Maker) -> None:
    one = make(timezone="Asia/Kolkata", security_key=key)
    action, flat, wire = flat_and_wire(name)
    if "Add" not in wire and "user_id" in flat:
        one.device.users[flat["user_id"]] = User(flat["user_id"])
    answer = one.done(action, **flat)
    (receipt,) = one.desk.received
    assert receipt.encrypted is (key is not None)
    assert isinstance(receipt.body, dict)
    sent = dict(receipt.body)
    for own in ("OperationID", "AuthToken", "Time"):
        wire.pop(own)
    assert sent.pop("AuthToken") == one.registered.token
    assert sent.pop("OperationID") == answer["operation_id"]
    at = datetime.strptime(sent.pop("Time"), "%Y-%m-%d %H:%M:%S GMT %z")
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=30) and at.utcoffset() == timedelta(hours=5.5)
    assert sent == wire
    assert list(sent) == list(wire)
    assert (answer["action"], answer["device_id"]) == (action, one.id)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("name", [name for name in NAMES if "AddUser" in name])
def test_each_add_puts_the_user_on_the_device(name: str, key: str | None, make: Maker) -> None:
    one = make({"strict_sizes": True}, security_key=key)
    action, flat, wire = flat_and_wire(name)
    one.done(action, **flat)
    user = one.device.users[flat["user_id"]]
    assert (user.first_name, user.last_name, user.user_type) == ("Manu", "Mona", "User")
    expected = {
        (item["Type"], int(item.get("Index", 0))): item["Data"] for item in wire["Add"].get("Template", [])
    }
    assert {place: template.data for place, template in user.templates.items()} == expected


def _punched(one: Machine) -> None:
    one.device.punch("7", at=datetime(2026, 11, 20, 8, 30, tzinfo=UTC))
    one.device.punch("7", "CheckOut", at=datetime(2026, 11, 21, 17, 0, tzinfo=UTC), photo=b"picture")


def _callbacks(one: Machine) -> int:
    found: int = one.relay.get(f"/v1/devices/{one.id}")["callbacks"]
    return found


PERIOD = {"start_time": "2026-11-20T00:00:00Z", "end_time": "2026-11-20T23:59:59Z"}
CHANGES: dict[str, tuple[dict[str, Any], Callable[[Machine, dict[str, Any]], object]]] = {
    "load-log": (PERIOD, lambda one, answer: [row["user_id"] for row in answer["logs"]] == ["7"]),
    "load-device-information": ({}, lambda one, answer: answer["registered_users"] == 2),
    "delete-user": ({"user_id": "1"}, lambda one, _: list(one.device.users) == ["2"]),
    "delete-all-user": ({"confirm": True}, lambda one, _: not one.device.users),
    "delete-log-all": ({"confirm": True}, lambda one, _: not one.device.logs and one.device.photos),
    "delete-attendance-photo": ({"confirm": True}, lambda one, _: not one.device.photos and one.device.logs),
    "resend-attendance": (PERIOD, lambda one, _: wait_for(lambda: _callbacks(one) == 4)),
    "resend-all-user": ({}, lambda one, _: wait_for(lambda: _callbacks(one) >= 5)),
    "enroll-fingerprint": (
        {"user_id": "1", "first_name": "A", "last_name": "B"},
        lambda one, _: wait_for(lambda: ("Fingerprint", 0) in one.device.users["1"].templates),
    ),
    "update-access-time": (
        {"user_id": "1", "start": "2026-11-24T08:00:00", "end": "2026-11-24T18:00:00"},
        lambda one, _: one.device.users["1"].access_end is not None,
    ),
    "enable-user": ({"user_id": "1"}, lambda one, _: one.device.users["1"].enabled),
    "disable-user": ({"user_id": "2"}, lambda one, _: not one.device.users["2"].enabled),
}


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("action", CHANGES)
def test_each_other_action_reads_or_changes_the_device(action: str, key: str | None, make: Maker) -> None:
    one = make({"enroll_seconds": 0.0}, security_key=key)
    one.device.users["1"] = User("1", enabled=False)
    one.device.users["2"] = User("2", templates={("Card", 0): Template("Card", "77")})
    _punched(one)
    wait_for(lambda: _callbacks(one) == 3)
    fields, changed = CHANGES[action]
    answer = one.done(action, **fields)
    assert changed(one, answer)


def test_every_action_is_tested() -> None:
    actions = {flat_and_wire(name)[0] for name in NAMES}
    assert actions == set(BY_ACTION)
    assert set(CHANGES) == {action for action in actions if not action.startswith("add-user")}


CREDENTIALS: dict[str, dict[str, Any]] = {
    "Card": {"card_number": "90210"},
    "Password": {"password": "004711"},
    "Fingerprint": {"fingerprint_data": DATA, "fingerprint_index": 9},
    "Face": {"face_data": DATA, "face_index": 3},
    "Palm": {"palm_data": DATA, "palm_index": 1},
    "UserPhoto": {"user_photo_data": DATA},
}


def test_add_user_accepts_all_64_combinations_of_credentials(make: Maker) -> None:
    one = make({"strict_sizes": True}, security_key=KEY)
    for number in range(len(CREDENTIALS) + 1):
        for kinds in combinations(CREDENTIALS, number):
            fields = {name: value for kind in kinds for name, value in CREDENTIALS[kind].items()}
            user_id = "u-" + "-".join(kinds)
            one.done("add-user", user_id=user_id, first_name="Zoë", user_type="admin", **fields)
            user = one.device.users[user_id]
            assert {kind for kind, _ in user.templates} == set(kinds)
            assert (user.first_name, user.last_name, user.user_type) == ("Zoë", "", "Admin")
            sent = one.bodies[-1]["Add"]
            assert sent["User"]["UserType"] == ("ADMIN" if kinds else "Admin")
            assert ("Template" in sent) is bool(kinds)
    indexes = dict(one.device.users["u-" + "-".join(CREDENTIALS)].templates.keys())
    assert indexes == {"Card": 0, "Password": 0, "Fingerprint": 9, "Face": 3, "Palm": 1, "UserPhoto": 0}


def test_base64_is_accepted_as_a_data_url_in_lines_or_without_padding(one: Machine) -> None:
    picture = base64.b64encode(BINARY[:100]).decode()
    assert picture.endswith("=")
    for number, written in enumerate(
        (f"data:image/jpeg;base64,{picture}", f"{picture[:40]}\r\n{picture[40:]}", picture.rstrip("="))
    ):
        one.done("add-user", user_id=str(number), face_data=written)
        (item,) = one.bodies[-1]["Add"]["Template"]
        assert (item["Data"], item["Size"], item["Index"]) == (picture, "100", "0")


def test_a_picture_of_one_mib_is_sent(one: Machine) -> None:
    picture = base64.b64encode(bytes(1024 * 1024)).decode()
    one.done("add-user-with-user-photo", user_id="1", user_photo_data=picture)
    assert one.device.users["1"].templates["UserPhoto", 0].data == picture


def test_each_command_has_a_different_operation_id(one: Machine) -> None:
    ids = {one.done("load-device-information")["operation_id"] for _ in range(5)}
    assert len(ids) == 5
    assert {body["OperationID"] for body in one.bodies} == ids


@pytest.mark.parametrize(
    "query", ["?stgid={id}", "?stgid=OTHER&stgid={id}", "?STGID={id}", "?a=1&b=&stgid={id}", ""]
)
def test_the_gateway_url_contains_stgid_once(query: str, make: Maker, relay: Relay) -> None:
    one = make()
    url = one.sim.command_url() + query.format(id=one.id)
    assert relay.call("PATCH", f"/v1/devices/{one.id}", json={"gateway_url": url}).status_code == 200
    one.done("load-device-information")  # two stgids, or none, would be answered 2
    stored_url = relay.get(f"/v1/devices/{one.id}")["gateway_url"]
    assert stored_url == one.sim.command_url() + ("?a=1&b=" if "a=1" in query else "")


def test_names_and_ids_in_any_script_are_sent_unchanged(one: Machine) -> None:
    one.done("add-user", user_id="Ü-1/2", first_name="名前", last_name='O\'Brien "x"')
    assert (one.device.users["Ü-1/2"].first_name, one.device.users["Ü-1/2"].last_name) == (
        "名前",
        'O\'Brien "x"',
    )
    assert one.act("delete-user", user_id=" Ü-1/2 ").status_code == 404, "that is another ID"
    assert one.done("delete-user", user_id="Ü-1/2")["user_id"] == "Ü-1/2"


def test_a_gateway_that_does_not_know_the_device_is_404(make: Maker) -> None:
    one = make()
    one.sim.gateway.remove_device(one.id)
    answer = one.act("load-device-information")
    assert (answer.status_code, answer.json()["status_code"]) == (404, 2)
    one.sim.gateway.add_device(DeviceSpec(one.id, auth_token=one.registered.token, delay_seconds=0))
    one.done("load-device-information")
