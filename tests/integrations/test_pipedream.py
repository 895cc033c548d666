"""The components in examples/pipedream, run by a stand-in for Pipedream's component API, with a relay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import requests

from app.schemas.actions import ACTIONS
from tests import node
from tests.harness import API_KEY, ROOT, Device, wait_for
from tests.integrations import signing
from tests.integrations.programs import Program, running
from tests.stage import Stage

FOLDER = ROOT / "examples" / "pipedream"
PLATFORM = Path(__file__).parent / "pipedream" / "platform.mjs"
FORGED = '{"id": "evt_forged"}'


# The source


@pytest.fixture
def source(stage: Stage, tmp_path: Path) -> Iterator[Program]:
    """The source, deployed and activated for punches."""
    props = {"relayUrl": f"{stage.relay.url}/", "apiKey": API_KEY, "events": ["attendance.punch"]}
    command = ("node", PLATFORM, "source", "{port}", FOLDER / "new-event.mjs")
    with running(tmp_path, *command, PROPS=json.dumps(props)) as made:
        _hook(made, "deploy")
        _hook(made, "activate")
        yield made


def _hook(source: Program, name: str) -> None:
    answer = requests.post(f"{source.url}/hooks/{name}", timeout=10)
    assert answer.status_code == 204, source.failed()


def _emitted(source: Program, user: str | None = None) -> list[dict[str, Any]]:
    """The emitted events, only those of `user` if given."""
    lines = [json.loads(line) for line in source.printed()]
    return [line for line in lines if user in (None, line["event"].get("user_id"))]


def _subscriptions(stage: Stage, source: Program) -> list[dict[str, Any]]:
    every = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    return [each for each in every if each["target_url"].startswith(source.url)]


def test_it_emits_samples_when_it_is_deployed(source: Program) -> None:
    assert 1 <= len(_emitted(source)) <= 3
    assert {line["event"]["type"] for line in _emitted(source)} == {"attendance.punch"}


def test_it_emits_each_punch_until_it_is_disabled(stage: Stage, source: Program, device: Device) -> None:
    (subscription,) = _subscriptions(stage, source)
    device.send_done(device.punch("dream"))
    (line,) = wait_for(lambda: _emitted(source, "dream"))
    event = line["event"]
    assert line["metadata"]["id"] == event["id"]
    assert line["metadata"]["summary"] == f"attendance.punch · dream · {device.id}"
    assert isinstance(line["metadata"]["ts"], int)
    path = f"/v1/subscriptions/{subscription['id']}/deliveries"
    wait_for(lambda: 204 in [row["response_status"] for row in stage.relay.get(path)["data"]])

    _hook(source, "deactivate")
    assert _subscriptions(stage, source) == []
    _hook(source, "deactivate")  # a second call does no harm


def test_activating_it_again_makes_no_second_subscription(
    stage: Stage, source: Program, device: Device
) -> None:
    before = _subscriptions(stage, source)
    _hook(source, "activate")
    assert [row["id"] for row in _subscriptions(stage, source)] == [before[0]["id"]]
    device.send_done(device.punch("again"))
    wait_for(lambda: _emitted(source, "again"))


def test_every_prop_has_a_description() -> None:
    names = []
    for name in ("new-event", "run-action"):
        path = json.dumps(str(FOLDER / f"{name}.mjs"))
        code = f"import({path}).then((made) => console.log(JSON.stringify(made.default.props)))"
        for prop, made in json.loads(node.run(FOLDER, "node", "--eval", code).stdout).items():
            if isinstance(made, dict) and not made["type"].startswith("$"):
                assert len(made.get("description", "")) > 20, prop
                names.append(prop)
    assert names == ["relayUrl", "apiKey", "events", "relayUrl", "apiKey", "action"]


def test_it_can_be_disabled_if_its_subscription_no_longer_exists(stage: Stage, source: Program) -> None:
    (subscription,) = _subscriptions(stage, source)
    stage.relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    _hook(source, "deactivate")


def test_it_emits_the_events_of_a_batch(stage: Stage, source: Program, device: Device) -> None:
    (subscription,) = _subscriptions(stage, source)
    change = {"batch_max": 3, "batch_wait_ms": 60_000, "filters": {"device_ids": [device.id]}}
    stage.relay.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json=change)
    for _ in range(3):
        device.send_done(device.punch("many"))
    wait_for(lambda: len(_emitted(source, "many")) == 3)


def test_it_refuses_forged_deliveries(source: Program) -> None:
    before = source.printed()
    for headers in ({}, signing.headers(FORGED, signing.new_secret()), signing.headers(FORGED, "")):
        assert signing.post(source.url, FORGED, headers) == 401
    _hook(source, "deactivate")
    assert signing.post(source.url, FORGED, signing.headers(FORGED, "")) == 401
    assert source.printed() == before


def test_it_refuses_old_deliveries(source: Program) -> None:
    secret = requests.get(f"{source.url}/db/subscription", timeout=5).json()["secret"]
    for seconds_ago in (310, -310):
        assert (
            signing.post(source.url, FORGED, signing.headers(FORGED, secret, seconds_ago=seconds_ago)) == 401
        )
    assert "evt_forged" not in "".join(source.printed())
    assert signing.post(source.url, FORGED, signing.headers(FORGED, secret)) == 204


def test_it_accepts_deliveries_signed_with_two_secrets(stage: Stage, source: Program, device: Device) -> None:
    """The secret was rotated, and the source still has the former one."""
    (subscription,) = _subscriptions(stage, source)
    stage.relay.call("POST", f"/v1/subscriptions/{subscription['id']}/rotate-secret")
    device.send_done(device.punch("rotated"))
    wait_for(lambda: _emitted(source, "rotated"))


# The action


def _run(stage: Stage, action: str, **fields: Any) -> CompletedProcess[str]:
    """Fills in the action's form and runs it."""
    props = {"relayUrl": stage.relay.url, "apiKey": API_KEY, "action": action, **fields}
    command = ("node", PLATFORM, "action", FOLDER / "run-action.mjs")
    return node.run(FOLDER, *command, PROPS=json.dumps(props))


def _ran(stage: Stage, action: str, **fields: Any) -> dict[str, Any]:
    """Runs the action and returns the content of its form and its result."""
    done = _run(stage, action, **fields)
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found["additional"]) == set(ACTIONS[action].schema().fields)
    return found


def test_it_adds_a_user(stage: Stage, device: Device) -> None:
    user = {"user_id": "300", "first_name": "Asha", "card_number": "12345"}
    found = _ran(stage, "add-user", device_id=device.id, **user)
    assert found["returned"]["status"] == "completed"
    assert found["exported"]["$summary"] == "add-user: The command was carried out."
    assert stage.simulator.gateway.device(device.id).users["300"].first_name == "Asha"


def test_it_offers_all_actions_and_the_devices(stage: Stage, device: Device) -> None:
    found = _ran(stage, "load-device-information", device_id=device.id)
    assert {option["value"] for option in found["options"]["action"]} == {*ACTIONS}
    assert device.id in [option["value"] for option in found["additional"]["device_id"]["options"]]
    assert found["returned"]["registered_users"] == 0


def test_its_form_asks_for_the_fields_of_the_action(stage: Stage, device: Device) -> None:
    done = _run(stage, "delete-log-all", device_id=device.id)
    assert done.returncode != 0 and "confirm is required" in done.stdout


def test_it_says_why_an_action_failed(stage: Stage, device: Device) -> None:
    done = _run(stage, "delete-user", device_id=device.id, user_id="nobody")
    assert done.returncode != 0 and "Error: There is no user with this ID" in done.stdout
