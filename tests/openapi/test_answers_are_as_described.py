"""Schemathesis generates requests for every operation, and the running relay responds as described.

The relay uses the simulator, so actions are carried out. Most generated IDs are replaced by real ones, as otherwise
nearly every response would be a 404.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import openapi
from app.gateway.operations import CREDENTIAL_FIELDS
from tests.harness import API_KEY
from tests.stage import Stage

_EXAMPLES = 10
_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_TEMPLATE = base64.b64encode(b"no real template").decode()
_ENDLESS = "streamEvents"
_GATEWAYS_OWN = {502, 503}

_config = SchemathesisConfig.from_dict(
    {
        "generation": {
            "mode": "all",  # both valid and invalid requests
            "max-examples": _EXAMPLES,
            "deterministic": True,
            "allow-x00": False,
            "with-security-parameters": False,  # the key is always sent; tests/relay sends wrong ones
        },
        "phases": {"coverage": {"unexpected-methods": []}},
        # Fifteen nearly equal operations, whose differences are covered by generated requests.
        "operations": [
            {"include-path-regex": "/add-user-with", "phases": {"coverage": {"enabled": False}}},
        ],
    }
)


def _without_default() -> dict[str, Any]:
    """The description without the `default` responses, which would allow every status."""
    made = openapi.document()
    for item in made["paths"].values():
        for operation in item.values():
            del operation["responses"]["default"]
    return made


schema = schemathesis.openapi.from_dict(_without_default(), config=_config).exclude(operation_id=_ENDLESS)


@pytest.fixture(scope="module")
def spare_device(stage: Stage) -> str:
    """A device that requests may change. Actions on it needn't work."""
    return stage.new_device().id


@pytest.fixture(scope="module")
def known(stage: Stage) -> dict[str, Any]:
    """Values that exist in the relay, by the names of parameters and fields."""
    relay, device = stage.relay, stage.device
    body = {"target_url": "http://127.0.0.1:9/", "events": ["subscription.disabled"]}
    made = relay.call("POST", "/v1/subscriptions", json=body)
    return {
        "device_id": device.id,
        "event_id": relay.events(device_id=device.id)[0]["id"],
        "subscription_id": made.json()["id"],
        "user_id": "8",
        "credential_type": "card",
        "index": 0,
        "name": "docs.js",
        "target_url": "http://127.0.0.1:9/",
        "gateway_url": stage.simulator.command_url(),
        "timezone": "UTC",
        "confirm": True,
        "first_name": "Asha",
        **dict.fromkeys((name for name in CREDENTIAL_FIELDS.values() if name.endswith("_data")), _TEMPLATE),
    }


@schema.parametrize()
@settings(deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_responses_are_as_described(
    case: schemathesis.Case, stage: Stage, known: dict[str, Any], spare_device: str
) -> None:
    _put_in(case, {**known, "device_id": spare_device} if case.method == "PATCH" else known)
    answer = case.call(base_url=stage.relay.url, headers={"X-API-Key": API_KEY}, timeout=40)
    # The description is bytes, but schemathesis parses it.
    unchecked = {response_schema_conformance} if case.path == "/openapi.yaml" else set()
    case.validate_response(answer, checks=[check for check in _CHECKS if check not in unchecked])
    if answer.status_code >= 500:
        assert answer.status_code in _GATEWAYS_OWN
        assert answer.json()["status_code"] is not None, answer.text


def _put_in(case: Any, known: dict[str, Any]) -> None:
    """Replaces generated IDs by real ones, except if the request would delete data that others need."""
    if isinstance(case.body, dict):  # avoids DNS lookups, which are slow without a network
        for name in ("target_url", "gateway_url"):
            if str(case.body.get(name)).startswith("http"):
                case.body[name] = known[name]
    negative = case.meta is not None and case.meta.generation.mode.is_negative
    if case.method == "DELETE" or negative:
        return
    given = known
    if case.path == "/v1/devices":  # a device can only be registered once
        given = {name: value for name, value in known.items() if name != "device_id"}
    if "/add-user" in case.path:
        given = {**known, "user_id": secrets.token_hex(6)}
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place |= {name: value for name, value in given.items() if name in place}
