"""An invalid body is refused before anything is sent, and the error names the field."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.actions.tools import KEY, Machine, Maker, key_with, problem
from tests.harness import Receiver, Relay, free_port

DATA = base64.b64encode(b"template").decode()
TOO_LARGE = base64.b64encode(bytes(1024 * 1024 + 1)).decode()
PERIOD = {"start_time": "2026-11-01T00:00:00", "end_time": "2026-11-02T00:00:00"}
ACCESS = {"user_id": "1", "start": "2026-11-01T00:00:00", "end": "2026-11-02T00:00:00"}

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("add-user", {}, "user_id"),
    ("add-user", {"user_id": ""}, "user_id"),
    ("add-user", {"user_id": "   "}, "user_id"),
    ("add-user", {"user_id": None}, "user_id"),
    ("add-user", {"user_id": ["1"]}, "user_id"),
    ("add-user", {"user_id": "x" * 129}, "user_id"),
    ("add-user", {"user_id": "1", "userid": "1"}, "userid"),
    ("add-user", {"user_id": "1", "UserID": "1"}, "UserID"),
    ("add-user", {"user_id": "1", "user_type": "boss"}, "user_type"),
    ("add-user", {"user_id": "1", "user_type": True}, "user_type"),
    ("add-user", {"user_id": "1", "password": "12a4"}, "password"),
    ("add-user", {"user_id": "1", "password": "12 4"}, "password"),
    ("add-user", {"user_id": "1", "password": "١٢٣"}, "password"),
    ("add-user", {"user_id": "1", "password": "1234\n"}, "password"),
    ("add-user", {"user_id": "1", "face_data": "not base64!"}, "face_data"),
    ("add-user", {"user_id": "1", "face_data": "/9j/4AAQSkZJRgAB..."}, "face_data"),
    ("add-user", {"user_id": "1", "face_data": "AAAAA"}, "face_data"),
    ("add-user", {"user_id": "1", "face_data": ""}, "face_data"),
    ("add-user", {"user_id": "1", "user_photo_data": TOO_LARGE}, "user_photo_data"),
    ("add-user", {"user_id": "1", "face_data": TOO_LARGE}, "face_data"),
    ("add-user", {"user_id": "1", "fingerprint_data": DATA, "fingerprint_index": 10}, "fingerprint_index"),
    ("add-user", {"user_id": "1", "fingerprint_data": DATA, "fingerprint_index": -1}, "fingerprint_index"),
    ("add-user", {"user_id": "1", "fingerprint_data": DATA, "fingerprint_index": 1.7}, "fingerprint_index"),
    ("add-user", {"user_id": "1", "face_data": DATA, "face_index": 10}, "face_index"),
    ("add-user", {"user_id": "1", "palm_data": DATA, "palm_index": 10}, "palm_index"),
    ("add-user", {"user_id": "1", "fingerprint_index": 3}, "fingerprint_index"),
    ("add-user", {"user_id": "1", "card_number": ""}, "card_number"),
    ("add-user", {"user_id": "1", "card_number": {"number": 1}}, "card_number"),
    ("add-user", {"user_id": "1", "confirm": True}, "confirm"),
    ("add-user-with-card", {"user_id": "1"}, "card_number"),
    ("add-user-with-card", {"user_id": "1", "card_number": "5", "face_data": DATA}, "face_data"),
    ("add-user-with-card", {"user_id": "1", "card_number": "5", "password": "1"}, "password"),
    ("add-user-without-template", {"user_id": "1", "card_number": "5"}, "card_number"),
    ("add-user-with-palm-and-face", {"user_id": "1", "palm_data": DATA}, "face_data"),
    ("delete-user", {}, "user_id"),
    ("delete-user", {"user_id": "1", "confirm": True}, "confirm"),
    ("delete-all-user", {}, "confirm"),
    ("delete-all-user", {"confirm": False}, "confirm"),
    ("delete-all-user", {"confirm": None}, "confirm"),
    ("delete-log-all", {"confirm": "true"}, "confirm"),
    ("delete-log-all", {"confirm": 1}, "confirm"),
    ("delete-attendance-photo", {"confirm": "yes"}, "confirm"),
    ("delete-attendance-photo", {"confirm": True, "user_id": "1"}, "user_id"),
    ("load-device-information", {"publish": True}, "publish"),
    ("load-log", {"start_time": PERIOD["start_time"]}, "end_time"),
    ("load-log", {**PERIOD, "publish": "maybe"}, "publish"),
    ("load-log", {**PERIOD, "offset": "x"}, "offset"),
    ("load-log", {**PERIOD, "start_time": "yesterday"}, "start_time"),
    ("load-log", {**PERIOD, "start_time": 1762000000}, "start_time"),
    ("load-log", {**PERIOD, "end_time": "2026-13-01T00:00:00"}, "end_time"),
    ("load-log", {"start_time": PERIOD["end_time"], "end_time": PERIOD["start_time"]}, "end_time"),
    ("resend-attendance", {"start_time": PERIOD["end_time"], "end_time": PERIOD["start_time"]}, "end_time"),
    ("resend-attendance", {**PERIOD, "publish": True}, "publish"),
    ("update-access-time", {**ACCESS, "end": "2026-10-31T23:59:59"}, "end"),
    ("update-access-time", {**ACCESS, "start_time": "2026-10-31T23:59:59"}, "start_time"),
    ("enroll-fingerprint", {"user_id": "1", "fingerprint_index": 1}, "fingerprint_index"),
    ("enable-user", {"user_id": "1", "access": "enable"}, "access"),
]


@pytest.mark.parametrize(
    ("action", "fields", "field"),
    WRONG,
    ids=[f"{action}-{field}-{n}" for n, (action, _, field) in enumerate(WRONG)],
)
def test_an_invalid_field_is_named_and_nothing_is_sent(
    action: str, fields: dict[str, Any], field: str, one: Machine
) -> None:
    found = problem(one.act(action, **fields), 422, field)
    value = fields.get(field)
    if isinstance(value, str) and len(value) > 3 and field in ("password", "face_data"):
        assert value not in str(found)
    assert one.relay.get(f"/v1/commands?device_id={one.id}")["data"] == []
    one.done("load-device-information")
    assert len(one.bodies) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"null"])
def test_a_body_that_is_not_an_object_is_422(body: bytes, one: Machine) -> None:
    answer = one.relay.call("POST", "/v1/actions/add-user", data=body)
    assert answer.status_code == 422 and answer.json()["errors"]
    assert not one.bodies


@pytest.mark.parametrize("body", [b"{", b"user_id=1"])
def test_a_body_that_is_not_json_is_400(body: bytes, one: Machine) -> None:
    problem(one.relay.call("POST", "/v1/actions/add-user", data=body), 400)
    assert not one.bodies


def test_all_invalid_fields_are_named(one: Machine) -> None:
    answer = one.act("add-user", user_type="x", password="a", colour="red")
    problem(answer, 422, "user_id", "user_type", "password", "colour")


def test_an_unknown_action_is_404(one: Machine) -> None:
    problem(one.act("open-door"), 404)
    problem(one.act("RealTimePunchLog"), 404)


def test_an_unknown_device_is_named_in_the_error(one: Machine) -> None:
    problem(one.act("delete-user", user_id="1", device_id="NOBODY"), 422, "device_id")
    problem(one.relay.call("POST", "/v1/actions/delete-user", json={"user_id": "1"}), 422, "device_id")


def test_a_device_without_gateway_url_is_refused_with_advice(make: Maker) -> None:
    found = problem(make(gateway_url=None).act("load-device-information"), 422, "device_id")
    assert "gateway_url" in found["detail"]


@pytest.mark.parametrize("mode", ["hybrid_db", "hybrid_file"])
def test_a_device_mode_without_commands_is_422_and_nothing_is_sent(mode: str, make: Maker) -> None:
    one = make(mode=mode)
    found = problem(one.act("load-device-information"), 422, "device_id")
    assert (found["status_code"], found["status_name"]) == (15, "Feature Not Supported")
    assert {"gateway_status", "command_id"} <= found.keys()
    problem(one.act("add-user", user_id="1"), 422)
    assert not one.bodies


def test_a_device_in_sdk_mode_accepts_commands(make: Maker) -> None:
    make(mode="hybrid_sdk").done("load-device-information")


@pytest.mark.parametrize(
    ("scope", "allowed", "forbidden"),
    [
        ("actions:read", "load-device-information", ("add-user", "delete-user", "delete-all-user")),
        ("actions:write", "add-user", ("load-device-information", "load-log", "delete-log-all")),
        ("actions:destructive", "delete-all-user", ("load-log", "add-user", "enroll-fingerprint")),
    ],
)
def test_each_action_needs_its_own_scope(
    scope: str, allowed: str, forbidden: tuple[str, ...], one: Machine
) -> None:
    key = key_with(one.relay, scope)
    fields: dict[str, Any] = {"user_id": "1"} if allowed == "add-user" else {}
    if scope == "actions:destructive":
        fields["confirm"] = True
    made = one.done(allowed, key=key, **fields)
    # A caller who may send a command may also see its result.
    assert one.relay.call("GET", f"/v1/commands/{made['command_id']}", key=key).status_code == 200
    for action in forbidden:
        problem(one.act(action, key=key), 403)
    assert len(one.bodies) == 1
    listed = one.relay.call("GET", "/v1/commands", key=key).status_code
    assert listed == (200 if scope == "actions:read" else 403)


def test_calls_with_other_scopes_or_without_a_key_are_refused(one: Machine) -> None:
    made = one.done("load-device-information")["command_id"]
    key = key_with(one.relay, "events:read", "devices:write", "templates:read")
    for method, path in (
        ("POST", "/v1/actions/load-device-information"),
        ("GET", "/v1/commands"),
        ("GET", f"/v1/commands/{made}"),
        ("DELETE", f"/v1/commands/{made}"),
    ):
        problem(one.relay.call(method, path, key=key, json={"device_id": one.id}), 403)
        problem(one.relay.call(method, path, key=None, json={"device_id": one.id}), 401)
    write = key_with(one.relay, "actions:write")
    problem(one.relay.call("GET", f"/v1/commands/{made}", key=write), 403)
    assert len(one.bodies) == 1


def test_a_gateway_at_a_private_address_is_refused_unless_allowed(
    tmp_path_factory: Any, receiver: Receiver
) -> None:
    """It is refused when a device is registered, and at each connection, in case the setting has changed."""
    strict = Relay(
        tmp_path_factory.mktemp("strict"),
        RELAY_ALLOW_PRIVATE_TARGETS="10.1.2.0/24",
        RELAY_COMMAND_TIMEOUT="2",
    )
    strict.start("store", "web")
    try:
        body = {"device_id": "P1", "auth_token": "a" * 32, "gateway_url": receiver.url}
        problem(strict.call("POST", "/v1/devices", json=body), 422, "gateway_url")
        strict.environment["RELAY_ALLOW_PRIVATE_TARGETS"] = "127.0.0.0/8"
        strict.kill("web")
        strict.start("web")
        assert strict.call("POST", "/v1/devices", json=body).status_code == 201
        strict.environment["RELAY_ALLOW_PRIVATE_TARGETS"] = ""
        strict.start("worker")
        answer = strict.call("POST", "/v1/actions/load-device-information", json={"device_id": "P1"})
        found = problem(answer, 422, "gateway_url")
        assert found["command_id"] and found["status_code"] is None
        assert not receiver.received
    finally:
        strict.stop()


def test_a_gateway_that_refuses_connections_is_502_immediately(make: Maker) -> None:
    one = make(gateway_url=f"http://127.0.0.1:{free_port()}/external", security_key=KEY)
    found = problem(one.act("delete-all-user", confirm=True), 502)
    assert (found["command_status"], found["status_code"]) == ("failed", None)
    assert "could not be reached" in found["detail"]
