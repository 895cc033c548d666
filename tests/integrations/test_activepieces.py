"""The piece in examples/activepieces, compiled, and called as Activepieces' engine does, with a relay."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app.events.types import EVENT_TYPES
from app.schemas.actions import ACTIONS
from tests import node
from tests.harness import API_KEY, ROOT, Device, Received, Receiver, wait_for
from tests.integrations import signing
from tests.integrations.programs import Program, running
from tests.stage import Stage

PIECE = ROOT / "examples" / "activepieces"
ENGINE = Path(__file__).parent / "activepieces" / "engine.mjs"
FORGED = '{"id": "evt_forged"}'

pytestmark = pytest.mark.timeout(300)  # the first run installs

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The engine with the compiled piece, whose packages are installed from its lock file."""
    node.installed(PIECE)
    built = node.npm(PIECE, "run", "build")
    assert built.returncode == 0, built.stdout
    with running(
        tmp_path_factory.mktemp("engine"), "node", ENGINE, "{port}", PIECE / "dist" / "index.js"
    ) as made:
        yield made


@pytest.fixture
def call(engine: Program, stage: Stage) -> Call:
    """Calls a function of the piece in a new flow and returns its result. Fails if it throws."""
    flow = secrets.token_hex(4)

    def made(of: str, key: str = API_KEY, **context: Any) -> Any:
        auth = {"relayUrl": f"{stage.relay.url}/", "apiKey": key}
        answer = requests.post(engine.url, json={"of": of, "flow": flow, "auth": auth, **context}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return made


def _payload(body: str, headers: dict[str, str]) -> dict[str, Any]:
    """A request in the form in which Activepieces passes it to a trigger."""
    return {"body": json.loads(body), "rawBody": body, "headers": headers, "queryParams": {}}


@pytest.fixture
def webhook(call: Call, receiver: Receiver) -> Receiver:
    """The receiver of the enabled trigger's deliveries."""
    call("onEnable", props={"events": ["attendance.punch"]}, webhookUrl=receiver.url)
    return receiver


def _subscriptions(stage: Stage, webhook: Receiver) -> list[dict[str, Any]]:
    every = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    return [each for each in every if each["target_url"] == webhook.url]


def _got(webhook: Receiver, text: str) -> tuple[str, dict[str, str]]:
    """Body and headers of the first delivery that contains this text."""

    def found() -> list[Received]:
        return [got for got in list(webhook.received) if text in got.body.decode()]

    first: Received = wait_for(found)[0]
    return first.body.decode(), first.headers


def test_a_punch_starts_a_flow_until_the_flow_is_disabled(
    stage: Stage, call: Call, webhook: Receiver, device: Device
) -> None:
    device.send_done(device.punch("piece"))
    got = _got(webhook, "piece")
    (event,) = call("run", payload=_payload(*got))
    sent = json.loads(got[0])
    assert event == {**sent, "_dedupe_key": sent["id"]}
    call("onDisable")
    assert _subscriptions(stage, webhook) == []
    assert call("run", payload=_payload(*got)) == []
    call("onDisable")  # a second call does no harm


def test_enabling_a_flow_again_makes_no_second_subscription(
    stage: Stage, call: Call, webhook: Receiver, device: Device
) -> None:
    before = _subscriptions(stage, webhook)
    call("onEnable", props={"events": ["attendance.punch"]}, webhookUrl=webhook.url)
    assert [row["id"] for row in _subscriptions(stage, webhook)] == [before[0]["id"]]
    device.send_done(device.punch("again"))
    body, headers = _got(webhook, '"again"')
    (event,) = call("run", payload=_payload(body, headers))
    assert event["user_id"] == "again"


def test_every_property_has_a_description() -> None:
    sources = "".join(path.read_text() for path in (PIECE / "src").glob("*.ts"))
    made = re.findall(
        r"(?:Property|SecretText)[.\w]*(?:<[^>]*>)?\(\{\n(.*?)(?:required|refreshers)", sources, re.S
    )
    assert len(made) == 6
    for text in made:
        assert "displayName:" in text and "description:" in text, text


def test_a_flow_can_be_disabled_if_its_subscription_no_longer_exists(
    stage: Stage, call: Call, webhook: Receiver
) -> None:
    (subscription,) = _subscriptions(stage, webhook)
    stage.relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    call("onDisable")


def test_each_event_of_a_batch_starts_a_flow(
    stage: Stage, call: Call, webhook: Receiver, device: Device
) -> None:
    (subscription,) = _subscriptions(stage, webhook)
    change = {"batch_max": 3, "batch_wait_ms": 60_000, "filters": {"device_ids": [device.id]}}
    stage.relay.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json=change)
    for _ in range(3):
        device.send_done(device.punch("many"))
    body, headers = _got(webhook, "many")
    ids = [event["id"] for event in json.loads(body)]
    assert [event["id"] for event in call("run", payload=_payload(body, headers))] == ids
    assert len(ids) == 3


def test_the_previous_secret_is_still_accepted(
    stage: Stage, call: Call, webhook: Receiver, device: Device
) -> None:
    (subscription,) = _subscriptions(stage, webhook)
    stage.relay.call("POST", f"/v1/subscriptions/{subscription['id']}/rotate-secret")
    device.send_done(device.punch("rotated"))
    assert len(call("run", payload=_payload(*_got(webhook, "rotated")))) == 1


def test_forged_deliveries_start_nothing(call: Call, webhook: Receiver) -> None:
    for headers in ({}, signing.headers(FORGED, signing.new_secret()), signing.headers(FORGED, "")):
        assert call("run", payload=_payload(FORGED, headers)) == []


def test_outdated_deliveries_start_nothing(call: Call, webhook: Receiver) -> None:
    secret = call("stored", name="subscription")["secret"]
    assert len(call("run", payload=_payload(FORGED, signing.headers(FORGED, secret)))) == 1
    for seconds_ago in (310, -310):
        headers = signing.headers(FORGED, secret, seconds_ago=seconds_ago)
        assert call("run", payload=_payload(FORGED, headers)) == []


def test_altered_deliveries_start_nothing(call: Call, webhook: Receiver, device: Device) -> None:
    device.send_done(device.punch("changed"))
    body, headers = _got(webhook, "changed")
    assert len(call("run", payload=_payload(body, headers))) == 1
    for changed in ({"webhook-id": "evt_other"}, {"webhook-timestamp": "1700000000"}):
        assert call("run", payload=_payload(body, {**headers, **changed})) == []
    assert call("run", payload=_payload(body + " ", headers)) == []


def test_its_sample_is_an_event(call: Call) -> None:
    samples = call("test", props={"events": ["user.updated"]})
    assert {event["type"] for event in samples} == {"user.updated"}


def test_it_offers_event_types_actions_and_devices(call: Call, device: Device) -> None:
    assert [option["value"] for option in call("options", name="events")["options"]] == [*EVENT_TYPES]
    assert {option["value"] for option in call("options", name="action")["options"]} == {*ACTIONS}
    assert device.id in [option["value"] for option in call("options", name="device_id")["options"]]


@pytest.mark.parametrize("name", ["add-user", "load-log", "delete-log-all"])
def test_the_fields_are_those_of_the_action(call: Call, name: str) -> None:
    fields = ACTIONS[name].schema().fields
    shown = call("fields", props={"action": name})
    assert {"device_id", *shown} == set(fields)
    assert all(shown[field]["required"] == fields[field].required for field in shown)


def test_it_adds_a_user(stage: Stage, call: Call, device: Device) -> None:
    fields = {"user_id": "300", "first_name": "Asha", "last_name": "", "card_number": None}
    answer = call("action", props={"device_id": device.id, "action": "add-user", "fields": fields})
    assert answer["status"] == "completed"
    assert stage.simulator.gateway.device(device.id).users["300"].first_name == "Asha"


def test_it_says_why_an_action_failed(call: Call, device: Device) -> None:
    props = {"device_id": device.id, "action": "delete-user", "fields": {"user_id": "nobody"}}
    with pytest.raises(AssertionError, match="There is no user with this ID"):
        call("action", props=props)


def test_a_connection_is_tested(call: Call) -> None:
    assert call("validate") == {"valid": True}
    refused = call("validate", key="wrong")
    assert refused["valid"] is False and "API key" in refused["error"]
