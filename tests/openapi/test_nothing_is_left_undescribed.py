"""Responses of a running relay have no fields missing from the description. Schemathesis checks the reverse."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from tests.harness import Receiver
from tests.openapi.reading import Json, resolved
from tests.stage import Stage


def _closed(schema: Any) -> Any:
    """Returns the schema with additional properties forbidden."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    return made


class Described:
    """Calls a relay and checks its response against the description."""

    def __init__(self, document: Json, stage: Stage) -> None:
        self._document, self._stage = document, stage

    def __call__(self, method: str, path: str, described: str | None = None, **how: Any) -> Any:
        answer: requests.Response = self._stage.relay.call(method, path, **how)
        responses = self._document["paths"][described or path][method.lower()]["responses"]
        response = resolved(self._document, responses[str(answer.status_code)])
        (content,) = response["content"].values()
        components = {"schemas": _closed(self._document["components"]["schemas"])}
        validator = Draft202012Validator({**_closed(content["schema"]), "components": components})
        errors = [error.message for error in validator.iter_errors(answer.json())]
        assert not errors, (method, path, errors)
        return answer.json()


@pytest.fixture
def described(full_document: Json, stage: Stage) -> Described:
    return Described(full_document, stage)


def test_responses_of_actions_and_commands_are_described(described: Described, stage: Stage) -> None:
    device = stage.new_device()
    url = f"{stage.simulator.url}/control/devices/{device.id}/punch"
    assert requests.post(url, json={"user_id": "2"}, timeout=10).ok
    period = {"start_time": "2020-01-01T00:00:00", "end_time": "2036-01-01T00:00:00", "publish": True}
    log = described("POST", "/v1/actions/load-log", json={"device_id": device.id, **period})
    assert log["row_count"] == 1
    whole = described("GET", f"/v1/commands/{log['command_id']}", "/v1/commands/{command_id}")
    assert whole["logs"] == log["logs"]
    about = described("POST", "/v1/actions/load-device-information", json={"device_id": device.id})
    assert about["device_model"]
    described("GET", f"/v1/commands/{about['command_id']}", "/v1/commands/{command_id}")
    described("GET", "/v1/commands", params={"device_id": device.id})
    waiting = {"json": {"device_id": device.id}, "headers": {"Prefer": "respond-async"}}
    assert "status_url" in described("POST", "/v1/actions/resend-all-user", **waiting)
    nobody = described("POST", "/v1/actions/delete-user", json={"device_id": device.id, "user_id": "nobody"})
    assert nobody["status_code"] == 9
    assert described("POST", "/v1/actions/delete-user", json={"device_id": device.id})["errors"]


def test_responses_with_data_from_devices_are_described(described: Described, stage: Stage) -> None:
    device = stage.new_device()
    for number in (1, 2, 4, 10):
        device.send_done(device.sample(number))
    only = {"params": {"device_id": device.id}}
    assert described("GET", "/v1/users", **only)["data"]
    described("GET", "/v1/users/8", "/v1/users/{user_id}")
    card = "/v1/users/8/credentials/card/0"
    described("GET", card, "/v1/users/{user_id}/credentials/{credential_type}/{index}", **only)
    # Reads each event alone, as events have different schemas.
    for event in described("GET", "/v1/events", **only)["data"]:
        described("GET", f"/v1/events/{event['id']}", "/v1/events/{event_id}")
    described("GET", "/v1/devices")
    described("GET", f"/v1/devices/{device.id}", "/v1/devices/{device_id}")


def test_responses_of_subscriptions_and_keys_are_described(
    described: Described, stage: Stage, receiver: Receiver
) -> None:
    made = described("POST", "/v1/subscriptions", json={"target_url": receiver.url, "events": ["*"]})
    path, one = f"/v1/subscriptions/{made['id']}", "/v1/subscriptions/{subscription_id}"
    described("GET", path, one)
    described("GET", "/v1/subscriptions")
    described("POST", f"{path}/test", f"{one}/test")
    receiver.wait(1)
    described("GET", f"{path}/deliveries", f"{one}/deliveries")
    described("POST", f"{path}/replay", f"{one}/replay", json={"since": "2026-01-01"})
    described("POST", f"{path}/rotate-secret", f"{one}/rotate-secret")
    described("POST", f"{path}/enable", f"{one}/enable")
    described("PATCH", path, one, json={"batch_max": 2})
    key = described("POST", "/v1/api-keys", json={"name": "of a test", "scopes": ["events:read"]})
    described("GET", "/v1/api-keys")
    path, one = f"/v1/api-keys/{key['id']}", "/v1/api-keys/{key_id}"
    described("GET", path, one)
    described("PATCH", path, one, json={"name": "renamed"})
    described("POST", f"{path}/rotate", f"{one}/rotate", json={"previous_key_expires_in": 60})
    described("GET", "/v1/me")
    described("GET", "/health")
    described("GET", "/v1/me", key=None)
