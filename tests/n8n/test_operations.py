"""Every operation of the node Cams Biometrics that sends a command, run in a real n8n with the simulator."""

from __future__ import annotations

import base64
import re

import pytest

from app import openapi
from app.schemas.actions import ACTIONS
from simulator.jpeg import make_jpeg
from tests.harness import Device, wait_for
from tests.n8n.n8n import ACTION, PACKAGE, TRIGGER, Json, N8n
from tests.n8n.operations import READS, chosen
from tests.stage import Stage

pytestmark = [
    pytest.mark.timeout(900),  # the first one may have to install n8n
    pytest.mark.usefixtures("user_100"),
]
COMMANDS = openapi.catalog()["actions"]
TIMES = {
    "start_time": "2026-11-01T00:00:00",
    "end_time": "2026-11-24T23:59:59",
    "start": "2026-11-01T00:00:00",
    "end": "2026-12-24T23:59:59",
}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def flat(command: Json, device: Device) -> Json:
    """Returns the body of /v1/actions/{name} with every field."""
    body = {field["name"]: TIMES.get(field["name"], field["example"]) for field in command["fields"]}
    return {**body, "device_id": device.id}


def parameters(command: Json, body: Json) -> Json:
    """Returns the same values as parameters of the node, as the editor would store them."""
    made: Json = {"resource": command["subject"], "operation": command["name"]}
    additional: Json = {}
    kinds = {one["data"]: one["type"] for one in openapi.catalog()["credentials"]}
    credentials: Json = {}
    for field in command["fields"]:
        name, value = field["name"], body[field["name"]]
        kind = kinds.get(name) or (name.removesuffix("_index") if field["kind"] == "index" else None)
        if command["name"] == "add-user" and kind:
            group = credentials.setdefault(camel(kind), {})
            if field["kind"] == "file":
                group.update(source="base64", data=value)
            else:
                group["index" if field["kind"] == "index" else camel(name)] = value
        elif not field["required"]:
            additional[camel(name)] = value
        elif field["kind"] in ("device", "user"):
            made[camel(name)] = chosen(value)
        elif field["kind"] == "file":
            base = camel(name.removesuffix("_data"))
            made |= {f"{base}Source": "base64", f"{base}Data": value}
        else:
            made[camel(name)] = value
    return made | {"additionalFields": additional, "credentials": credentials}


def test_every_operation_of_the_node_is_tested(n8n: N8n) -> None:
    types = n8n.session.get(f"{n8n.url}/types/nodes.json", timeout=30).json()
    (node,) = (one for one in types if one["name"] == ACTION)
    listed = {
        (one["displayOptions"]["show"]["resource"][0], option["value"])
        for one in node["properties"]
        if one["name"] == "operation"
        for option in one["options"]
        if option["value"] != "__CUSTOM_API_CALL__"  # n8n adds it
    }
    reads = {(resource, operation) for resource, found in READS.items() for operation in found}
    assert listed == reads | {(command["subject"], command["name"]) for command in COMMANDS}
    assert {command["name"] for command in COMMANDS} == set(ACTIONS)
    assert any(one["name"] == f"{ACTION}Tool" for one in types)  # usable by an AI agent
    assert not any(one["name"] == f"{TRIGGER}Tool" for one in types)


def test_the_readme_names_every_operation(n8n: N8n) -> None:
    readme = (PACKAGE / "README.md").read_text()
    section = readme.partition("\n## Cams Biometrics\n")[2].partition("\n- **Waiting.**")[0]
    for one in node_type(n8n)["properties"]:
        if one["name"] == "operation":
            resource = one["displayOptions"]["show"]["resource"][0].title()
            (row,) = re.findall(rf"^\| {resource} \| (.*) \|$", section, re.MULTILINE)
            named = [
                *row.split(" · "),
                *(re.findall("^- (.*)$", section, re.MULTILINE) if resource == "User" else []),
            ]
            listed = {option["name"] for option in one["options"]} - {"Custom API Call"}
            assert sorted(named) == sorted(listed)


def node_type(n8n: N8n) -> Json:
    """The node's description as sent to the editor."""
    types = n8n.session.get(f"{n8n.url}/types/nodes.json", timeout=30).json()
    (node,) = (one for one in types if one["name"] == ACTION)
    found: Json = node
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=[command["name"] for command in COMMANDS])
def test_a_command_reaches_the_gateway_as_the_api_would_send_it(
    command: Json, n8n: N8n, stage: Stage
) -> None:
    """With every field set, the node's request equals one sent by /v1/actions to another device."""
    device, other = stage.new_device(), stage.new_device()
    if not command["name"].startswith("add-user"):
        stage.add_user(device)
        stage.add_user(other)
    answer = stage.relay.call("POST", f"/v1/actions/{command['name']}", json=flat(command, other))
    assert answer.status_code == 200, answer.text
    execution = n8n.run(parameters(command, flat(command, device)))
    assert execution.status == "success", execution.error
    ((operation, body),) = stage.received(device)
    assert operation is not None
    assert [(operation, body)] == stage.received(other)
    if command["name"] != "load-log":
        (result,) = execution.json("Cams")
        assert (result["status"], result["action"]) == ("completed", command["name"])
        deleted = {"deleted"} if command["name"].startswith("delete-") else set()
        assert set(result) == set(answer.json()) | deleted


def test_a_loaded_log_is_one_item_per_punch_or_one_item_with_all(
    n8n: N8n, stage: Stage, device: Device
) -> None:
    for user in ("8", "100", "8"):
        stage.machine(device).punch(user)
    wanted = {
        "resource": "log",
        "operation": "load-log",
        "deviceId": chosen(device.id),
        "startTime": "={{ $now.minus({ days: 1 }) }}",
        "endTime": "={{ $now.plus({ days: 1 }) }}",
    }
    split = n8n.run(wanted)
    assert [punch["user_id"] for punch in split.json("Cams")] == ["8", "100", "8"]
    assert [item["pairedItem"] for item in split.output("Cams")] == [{"item": 0}] * 3
    (whole,) = n8n.run({**wanted, "splitLogs": False}).json("Cams")
    assert whole["row_count"] == 3
    punches = [[punch["punch_id"] for punch in found] for found in (whole["logs"], split.json("Cams"))]
    assert punches[0] == punches[1]  # not all fields, as the lateness depends on the clock


def test_a_photo_from_binary_data_is_sent_completely(n8n: N8n, stage: Stage, device: Device) -> None:
    photo = make_jpeg("made up", 20_000)
    workflow = n8n.workflow(
        n8n.start_node(),
        n8n.node(
            "n8n-nodes-base.code",
            "Text",
            {"jsCode": f"return [{{ json: {{ text: '{base64.b64encode(photo).decode()}' }} }}];"},
            typeVersion=2,
        ),
        n8n.node(
            "n8n-nodes-base.convertToFile",
            "File",
            {"operation": "toBinary", "sourceProperty": "text", "binaryPropertyName": "portrait"},
            typeVersion=1.1,
        ),
        n8n.node(
            ACTION,
            "Cams",
            {
                "resource": "user",
                "operation": "add-user",
                "deviceId": chosen(device.id),
                "userId": "55",
                "credentials": {
                    "face": {"source": "binary", "binary": "portrait"},
                    "card": {"cardNumber": "={{ 4711 }}"},
                },
            },
        ),
    )
    execution = workflow.run()
    assert execution.status == "success", execution.error
    user = stage.machine(device).find_user("55")
    templates = {template.type: template.data for template in user.templates.values()}
    assert base64.b64decode(templates["Face"]) == photo
    assert templates["Card"] == "4711"  # the expression returned a number


def test_each_items_values_are_used_for_its_command_and_items_stay_paired(
    n8n: N8n, stage: Stage, device: Device
) -> None:
    execution = n8n.run(
        {
            "resource": "user",
            "operation": "add-user-with-card",
            "deviceId": chosen("={{ $json.device }}"),
            "userId": "={{ $json.id }}",
            "cardNumber": "={{ $json.card }}",
            "additionalFields": {"firstName": "={{ $json.name }}"},
        },
        items=[
            {"device": device.id, "id": 71, "card": 1234, "name": "Zoë"},
            {"device": device.id, "id": "72", "card": "0099", "name": ""},
        ],
    )
    assert execution.status == "success", execution.error
    users = [stage.machine(device).find_user(user) for user in ("71", "72")]
    assert users[0].first_name == "Zoë"
    assert [item["json"]["user_id"] for item in execution.output("Cams")] == ["71", "72"]
    assert [item["pairedItem"]["item"] for item in execution.output("Cams")] == [0, 1]


def enable(user: str, device: Device) -> Json:
    return {
        "resource": "user",
        "operation": "enable-user",
        "deviceId": chosen(device.id),
        "userId": chosen(user),
    }


def test_an_error_contains_the_relays_message(n8n: N8n, device: Device) -> None:
    execution = n8n.run(enable("9999", device))
    assert execution.status == "error"
    assert execution.error["message"] == "There is no user with this ID on the device. Add the user first."
    assert "API_RESPONSE_USER_NOT_FOUND" in execution.error["description"]
    assert execution.error["httpCode"] == "404"


def test_an_invalid_field_is_reported(n8n: N8n, device: Device) -> None:
    execution = n8n.run(
        {
            "resource": "user",
            "operation": "add-user-with-password",
            "deviceId": chosen(device.id),
            "userId": "5",
            "password": "not digits",
        }
    )
    assert (execution.status, execution.error["httpCode"]) == ("error", "422")
    assert execution.error["message"] == "password: must be 1 to 32 digits"


def test_with_continue_on_fail_the_other_items_continue(n8n: N8n, stage: Stage, device: Device) -> None:
    execution = n8n.run(
        enable("={{ $json.user }}", device),
        items=[{"user": "100"}, {"user": "9999"}, {"user": "100"}],
        onError="continueRegularOutput",
    )
    assert execution.status == "success"
    good, bad, also = execution.output("Cams")
    assert (good["json"]["status"], also["json"]["status"]) == ("completed", "completed")
    assert bad["json"]["error"].startswith("There is no user with this ID")
    assert bad["json"]["status"] == 404
    assert [item["pairedItem"]["item"] for item in (good, bad, also)] == [0, 1, 2]


DESTRUCTIVE = [command for command in COMMANDS if command["effect"] == "destructive"]


@pytest.mark.parametrize("command", DESTRUCTIVE, ids=[command["name"] for command in DESTRUCTIVE])
def test_without_the_switch_nothing_is_deleted(command: Json, n8n: N8n, stage: Stage, device: Device) -> None:
    execution = n8n.run(
        {
            "resource": command["subject"],
            "operation": command["name"],
            "deviceId": chosen(device.id),
            "confirm": False,
        }
    )
    assert execution.status == "error"
    assert "was not confirmed" in execution.error["message"]
    assert stage.received(device) == []


HELD = {"queued", "sending", "waiting"}


def test_the_node_does_not_wait_for_an_offline_device(n8n: N8n, stage: Stage, device: Device) -> None:
    """It doesn't wait for the commands queued behind the first one either."""
    stage.machine(device).switch(online=False)
    wanted = {**enable("={{ $json.user }}", device), "options": {"maxWait": 300}}
    execution = n8n.run(wanted, items=[{"user": "100"}, {"user": "8"}, {"user": "100"}])
    assert execution.status == "success"
    first, *behind = execution.json("Cams")
    assert first["status"] == "waiting"
    assert {one["status"] for one in behind} <= HELD
    stage.machine(device).switch(online=True)
    for one in (first, *behind):
        path = f"/v1/commands/{one['command_id']}"
        wait_for(lambda path=path: stage.relay.get(path)["status"] not in HELD, 30)


@pytest.mark.parametrize("options", [{"maxWait": 1}, {"waitForResult": False}], ids=str)
def test_without_waiting_the_command_is_returned_for_later(
    options: Json, n8n: N8n, stage: Stage, device: Device
) -> None:
    stage.machine(device).switch(online=False)
    (pending,) = n8n.run({**enable("100", device), "options": options}).json("Cams")
    assert pending["status"] in ("queued", "sending", "waiting")
    stage.machine(device).switch(online=True)
    look = {"resource": "command", "operation": "get", "commandId": chosen(pending["command_id"])}
    ended = wait_for(
        lambda: (found := n8n.run(look).json("Cams")[0])["status"] == "completed" and found, 30, every=0.5
    )
    assert (ended["action"], ended["user_id"]) == ("enable-user", "100")


def test_the_same_idempotency_key_is_one_command(n8n: N8n, stage: Stage, device: Device) -> None:
    wanted = {**enable("100", device), "options": {"idempotencyKey": f"once-{device.id}"}}
    first, again = n8n.run(wanted, items=[{"run": 1}, {"run": 2}]).json("Cams")
    assert first["command_id"] == again["command_id"]
    assert len(stage.received(device)) == 1
