"""Every action of the app, run through its communication block with a relay and the simulator."""

from __future__ import annotations

import base64
import json
import threading
import time

import pytest

from app import openapi
from app.openapi.make.commands import name_of
from app.schemas.actions import ACTIONS
from simulator.faults import Fault
from simulator.jpeg import make_jpeg
from tests.harness import API_KEY, Device
from tests.make.app import App, Json, filled
from tests.make.checks import fails, shown
from tests.make.runtime import Make, MakeError, https
from tests.stage import Stage

pytestmark = pytest.mark.usefixtures("user_100")


COMMANDS = openapi.catalog()["actions"]
TIMES = {
    "start_time": "2026-11-01T00:00:00+05:30",
    "end_time": "2026-11-24T23:59:59+05:30",
    "start": "2026-11-01T00:00:00+05:30",
    "end": "2026-12-24T23:59:59+05:30",
}
READS = {
    "cancelCommand",
    "deleteEmployee",
    "downloadPhoto",
    "getAttendance",
    "getCommand",
    "getCredential",
    "getDevice",
    "getEmployee",
    "getEvent",
    "getUser",
    "makeApiCall",
    "searchAttendance",
    "searchCommands",
    "searchDevices",
    "searchEmployees",
    "searchEvents",
    "searchUsers",
    "updateEmployee",
}


def values(command: Json, device: Device) -> Json:
    """Returns values for all fields of an action. The API and the module's form use the same names."""
    body = {field["name"]: TIMES.get(field["name"], field["example"]) for field in command["fields"]}
    return {**body, "device_id": device.id}


def test_every_module_is_tested(app: App) -> None:
    modules = {component.name for component in app.of("module")}
    triggers = {component.name for component in app.of("module", "instant_trigger")}
    assert modules - triggers == READS | {name_of(name) for name in ACTIONS}
    assert {command["name"] for command in COMMANDS} == set(ACTIONS)


# Commands


@pytest.mark.parametrize("command", COMMANDS, ids=[command["name"] for command in COMMANDS])
def test_a_command_reaches_the_gateway_as_the_api_would_send_it(
    command: Json, app: App, make: Make, stage: Stage
) -> None:
    """With every field set, the module's request equals one sent by /v1/actions to another device."""
    device, other = stage.new_device(), stage.new_device()
    for each in (device, other):
        stage.relay.call("PATCH", f"/v1/devices/{each.id}", json={"timezone": "Asia/Kolkata"})
        if not command["name"].startswith("add-user"):
            stage.add_user(each)
    answer = stage.relay.call("POST", f"/v1/actions/{command['name']}", json=values(command, other))
    assert answer.status_code == 200, answer.text
    name = name_of(command["name"])
    bundles = shown(app, name, make.run(name, **values(command, device)))
    ((operation, body),) = stage.received(device)
    assert operation is not None
    assert [(operation, body)] == stage.received(other)
    if command["name"] != "load-log":
        (result,) = bundles
        assert (result["status"], result["action"]) == ("completed", command["name"])
        assert set(result) == set(answer.json())


def test_empty_fields_are_not_sent(make: Make, stage: Stage, device: Device) -> None:
    make.run("addUserWithCard", device_id=device.id, user_id="71", card_number="0099", first_name="")
    stage.relay.call(
        "POST",
        "/v1/actions/add-user-with-card",
        json={"device_id": device.id, "user_id": "71", "card_number": "0099"},
    )
    first, second = stage.received(device)
    assert first == second


def test_a_photo_from_another_module_is_sent_completely(make: Make, stage: Stage, device: Device) -> None:
    photo = make_jpeg("made up", 20_000)
    data = base64.b64encode(photo).decode()  # what Make's base64() returns for a file's data
    make.run("addUser", device_id=device.id, user_id="55", face_data=data)
    (template,) = stage.machine(device).find_user("55").templates.values()
    assert (template.type, base64.b64decode(template.data)) == ("Face", photo)


def test_a_loaded_log_is_one_bundle_per_punch(app: App, make: Make, stage: Stage, device: Device) -> None:
    for user in ("8", "100", "8"):
        stage.machine(device).punch(user)
    wanted = {
        "device_id": device.id,
        "start_time": "2020-01-01T00:00:00Z",
        "end_time": "2020-01-02T00:00:00Z",
    }
    assert make.run("loadLog", **wanted) == []
    now = time.time()
    wanted |= {
        name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + shift))
        for name, shift in (("start_time", -86_400), ("end_time", 86_400))
    }
    bundles = shown(app, "loadLog", make.run("loadLog", **wanted))
    assert [punch["user_id"] for punch in bundles] == ["8", "100", "8"]
    two = make.run("loadLog", **wanted, limit=2)
    assert [punch["punch_id"] for punch in two] == [punch["punch_id"] for punch in bundles[:2]]


def test_a_log_that_is_not_available_yet_is_an_error(
    app: App, make: Make, stage: Stage, device: Device
) -> None:
    stage.machine(device).switch(online=False)
    block = app["module", "loadLog"].files["communication"]
    hasty = {**block, "headers": {"prefer": "wait=1"}}
    parameters = filled(app["module", "loadLog"].files["mappableParams"], values(COMMANDS[0], device))
    with pytest.raises(MakeError) as raised:
        make.run_block(hasty, parameters)
    assert raised.value.kind == "ConnectionError"  # Make retries after this error
    assert "The log isn't available yet: command cmd_" in raised.value.message


def test_a_slow_command_can_be_polled(app: App, make: Make, stage: Stage, device: Device) -> None:
    """The module returns the unfinished command, and Get a Command polls until it has ended."""
    stage.machine(device).switch(online=False)
    (pending,) = shown(app, "enableUser", make.run("enableUser", device_id=device.id, user_id="100", wait=1))
    assert pending["status"] in ("queued", "sending", "waiting")
    (looked,) = shown(app, "getCommand", make.run("getCommand", command_id=pending["command_id"]))
    assert looked["status"] in ("queued", "sending", "waiting")
    make.hurry = 10
    back = threading.Timer(1, lambda: stage.machine(device).switch(online=True))
    back.start()
    (ended,) = make.run("getCommand", command_id=pending["command_id"], wait=True)
    assert (ended["status"], ended["action"], ended["user_id"]) == ("completed", "enable-user", "100")


def test_waiting_ends_before_makes_timeout(app: App) -> None:
    """A module waits at most 30 s, as Make stops it after 40 s."""
    again = app["module", "getCommand"].files["communication"]["repeat"]
    assert again["delay"] * again["limit"] <= 30_000
    for name in ACTIONS:
        component = app["module", name_of(name)]
        waits = [field for field in component.files["mappableParams"] if field["name"] == "wait"]
        assert [(field["default"], field["validate"]["max"]) for field in waits] in ([(30, 30)], [])
        assert waits or component.files["communication"]["headers"]["prefer"] == "wait=30"


def test_the_same_idempotency_key_is_one_command(make: Make, stage: Stage, device: Device) -> None:
    wanted = {"device_id": device.id, "user_id": "100", "idempotency_key": f"once-{device.id}"}
    ((first,), (again,)) = (make.run("enableUser", **wanted) for _ in range(2))
    assert first["command_id"] == again["command_id"]
    assert len(stage.received(device)) == 1
    ((one,), (two,)) = (make.run("enableUser", device_id=device.id, user_id="100") for _ in range(2))
    assert one["command_id"] != two["command_id"]  # without a key, each run is a separate command


DESTRUCTIVE = [command for command in COMMANDS if command["effect"] == "destructive"]


@pytest.mark.parametrize("command", DESTRUCTIVE, ids=[command["name"] for command in DESTRUCTIVE])
def test_without_the_switch_nothing_is_deleted(
    command: Json, make: Make, stage: Stage, device: Device
) -> None:
    error = fails(make, name_of(command["name"]), device_id=device.id, confirm=False)
    assert (error.kind, error.message) == (
        "DataError",
        "[422] confirm: must be true, because this can't be undone",
    )
    assert stage.received(device) == []


# Errors


def test_an_error_contains_the_relays_message(make: Make, device: Device) -> None:
    error = fails(make, "enableUser", device_id=device.id, user_id="9999")
    assert error.kind == "DataError"
    sentence, _, command = error.message.partition(" Command: ")
    assert sentence == (
        "[404] There is no user with this ID on the device. Add the user first. "
        "The gateway said: API_RESPONSE_USER_NOT_FOUND."
    )
    assert command.startswith("cmd_")


def test_every_invalid_field_is_named(make: Make, device: Device) -> None:
    error = fails(make, "addUserWithPassword", device_id=device.id, user_id="x" * 129, password="not digits")
    assert error.kind == "DataError"
    assert error.message == (
        "[422] password: must be 1 to 32 digits; user_id: has 129 characters, but at most 128 are allowed"
    ), error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1, "DataError"), (4, "DataError"), (8, "DuplicateDataError"), (11, "DataError")],
)
def test_the_gateways_status_codes_become_errors_of_make(
    code: int, kind: str, make: Make, stage: Stage, device: Device
) -> None:
    stage.simulator.gateway.desk(device.id).set_faults([Fault(status_code=code)] * 3)
    assert fails(make, "enableUser", device_id=device.id, user_id="100").kind == kind


def test_commands_that_must_not_run_twice_are_not_repeated_by_make(app: App) -> None:
    """Make runs a module again after a ConnectionError, so these commands must not raise one."""
    for name, action in ACTIONS.items():
        response = app["module", name_of(name)].files["communication"]["response"]
        kinds = {error["type"] for error in response.get("error", {}).values() if isinstance(error, dict)}
        repeatable = action.operation is None or action.operation.repeatable
        assert ("error" not in response) if repeatable else ("ConnectionError" not in kinds and kinds)


def test_missing_objects_are_reported(make: Make) -> None:
    for name, given in (
        ("getEvent", {"event_id": "evt_made-up"}),
        ("getDevice", {"device_id": "NOSUCH"}),
        ("getUser", {"user_id": "nobody"}),
        ("getCommand", {"command_id": "cmd_made-up"}),
    ):
        error = fails(make, name, **given)
        assert (error.kind, bool(error.message)) == ("DataError", True), name


def test_keys_without_the_scope_and_deleted_keys_are_errors(app: App, stage: Stage, device: Device) -> None:
    made = stage.relay.call("POST", "/v1/api-keys", json={"name": "reader", "scopes": ["events:read"]}).json()
    make = Make(app)
    make.connect(url=https(stage.relay.url), apiKey=made["key"])
    error = fails(make, "enableUser", device_id=device.id, user_id="100")
    assert (error.kind, "actions:write" in error.message) == ("InvalidConfigurationError", True)
    stage.relay.call("DELETE", f"/v1/api-keys/{made['id']}")
    assert fails(make, "getDevice", device_id=device.id).kind == "InvalidAccessTokenError"


def test_makes_log_contains_no_secrets(make: Make, stage: Stage, device: Device) -> None:
    """Neither requests nor responses in the log contain keys, PINs or templates."""
    (command,) = (command for command in COMMANDS if command["name"] == "add-user")
    kinds = {field["name"]: field["kind"] for field in command["fields"]}
    made_up = {name: "31415926" for name, kind in kinds.items() if kind in ("pin", "file")}
    made_up["card_number"] = "0027182818"
    assert len(made_up) == 6
    make.run("addUser", device_id=device.id, user_id="77", **made_up)
    secret = {"user_id": "8", "device_id": device.id, "credential_type": "card"}
    (card,) = make.run("getCredential", **secret)
    hook = make.attach("newPunch", "https://hook.example.com/address-of-the-hook")
    hook.detach()
    log = json.dumps(make.log)
    assert len(make.log) == 5  # the connection's test is the first
    for word in (
        API_KEY,
        *made_up.values(),
        card["data"],
        "whsec_",
        hook.data["token"],
        "address-of-the-hook",
    ):
        assert word not in log, word
