"""A command that the store may have accepted is never reported as safe to send again."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from app.settings.table import load
from app.web.application import create_app
from tests.harness import API_KEY, Relay


@pytest.fixture
def client(relay: Relay) -> FlaskClient:
    return create_app(load(relay.environment)).test_client()


@pytest.fixture
def body(relay: Relay) -> dict[str, Any]:
    device = relay.device(gateway_url="http://127.0.0.1:9/nobody")
    return {"device_id": device.id, "confirm": True}


def _away(*_: Any, **__: Any) -> None:
    raise redis.ConnectionError("made up")


def _sent(client: FlaskClient, action: str, body: dict[str, Any], **headers: str) -> Any:
    return client.post(f"/v1/actions/{action}", json=body, headers={"X-API-Key": API_KEY, **headers})


@pytest.mark.parametrize("prefer", ["wait=5", "respond-async"])
def test_a_command_queued_before_the_store_went_away_is_202(
    prefer: str, client: FlaskClient, body: dict[str, Any], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.application.extensions["waiter"], "wait", _away)
    answer = _sent(client, "delete-all-user", body, Prefer=prefer)
    assert answer.status_code == 202 and answer.json["status"] == "queued"
    assert answer.json["status_url"] == answer.headers["Location"]
    assert relay.get(f"/v1/commands/{answer.json['command_id']}")["action"] == "delete-all-user"


def test_a_command_that_may_be_queued_is_not_reported_as_repeatable(
    client: FlaskClient, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.application.extensions["store"].commands, "_create", _away)
    answer = _sent(client, "delete-all-user", body)
    assert (answer.status_code, answer.json["code"]) == (422, "outcome_unknown")
    assert "Retry-After" not in answer.headers
    # Commands that do no harm when repeated may be sent again.
    assert _sent(client, "resend-all-user", {"device_id": body["device_id"]}).status_code == 503
