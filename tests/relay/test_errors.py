"""An error contains its code, its place in the request, and a link to its documentation."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from app.api.problem_codes import problem_codes
from tests.harness import Relay
from tests.relay.tools import problem


@pytest.mark.parametrize(
    ("path", "parameter", "detail"),
    [
        ("/v1/events?userid=7", "userid", "It takes type, device_id, user_id"),
        (
            "/v1/events?since=2026-11-25T00:00:00Z&until=2026-11-24T00:00:00Z",
            "until",
            "must not be before since",
        ),
        ("/v1/me?verbose=1", "verbose", "It takes none."),
        ("/v1/me?x", "x", "It takes none."),
        ("/v1/events?user_id=7&user_id=8", "user_id", "more than once"),
        ("/v1/attendance.csv?month=2026-11&user=7", "user", "user_id"),
    ],
)
def test_an_unknown_parameter_is_refused(path: str, parameter: str, detail: str, relay: Relay) -> None:
    """With a mistyped filter, the response would contain everybody's data."""
    (error,) = problem(relay.call("GET", path), 422)["errors"]
    assert error["parameter"] == parameter and detail in error["message"]


def test_the_key_is_checked_before_parameters(relay: Relay) -> None:
    assert requests.get(f"{relay.url}/v1/events?userid=7", timeout=10).status_code == 401


def test_errors_name_the_place_in_the_request(relay: Relay) -> None:
    long_key = {"Idempotency-Key": "x" * 300}
    device = relay.device(gateway_url="http://127.0.0.1:9/")
    body = {"device_id": device.id, "user_id": "1"}
    hook = {"target_url": "https://a.example/", "event_types": ["*"]}
    for answer, place in (
        (relay.call("GET", "/v1/events?limit=0"), {"parameter": "limit"}),
        (relay.call("POST", "/v1/subscriptions", json={"target_url": 7, "events": ["*"]}), {"pointer": "/target_url"}),
        (relay.call("POST", "/v1/subscriptions", json={**hook, "event_types": ["x"]}),
         {"pointer": "/event_types/0"}),
        (relay.call("POST", "/v1/subscriptions", json={**hook, "filters": {"punch_types": ["Check In"]}}),
         {"pointer": "/filters/punch_types"}),
        (relay.call("POST", "/v1/subscriptions", json={**hook, "filters": {"value": 1}}),
         {"pointer": "/filters/value"}),
        (relay.call("POST", "/v1/subscriptions", json={**hook, "headers": {"value": 7}}),
         {"pointer": "/headers/value"}),
        (relay.call("POST", "/v1/subscriptions", json={**hook, "key": 1}), {"pointer": "/key"}),
        (relay.call("POST", "/v1/subscriptions", json=[]), {"pointer": ""}),
        (relay.call("POST", "/v1/subscriptions", json={**hook, "a/b~c.d": 1}), {"pointer": "/a~1b~0c.d"}),
        (relay.call("POST", "/v1/subscriptions?Prefer=1", json=hook), {"parameter": "Prefer"}),
        (relay.call("POST", "/v1/actions/enable-user", json=body, headers=long_key), {"header": "Idempotency-Key"}),
    ):  # fmt: skip
        (error,) = problem(answer, 422)["errors"]
        assert error.items() >= place.items()


def test_a_body_that_is_not_json_is_400(relay: Relay) -> None:
    for path in ("/v1/subscriptions", "/v1/employees"):
        answer = relay.call("POST", path, data=b"{", headers={"Content-Type": "application/json"})
        assert problem(answer, 400)["code"] == "bad_request"


def test_type_links_to_a_page_that_explains_the_code(relay: Relay) -> None:
    found = problem(relay.call("GET", "/v1/events/evt_none"), 404)
    page, _, anchor = found["type"].partition("#")
    assert (page, anchor) == (f"{relay.url}/docs/errors", "not_found")
    answer = requests.get(page, timeout=10)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert set(re.findall(r"<dt id=(\w+)>", answer.text)) == {code for code, _ in problem_codes()}


def test_a_callers_request_id_is_in_the_response(relay: Relay) -> None:
    answer = relay.call("GET", "/v1/events?limit=0", headers={"X-Request-Id": "made-up-id-1"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "made-up-id-1"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (
            "/v1/subscriptions",
            {"event_types": "attendance.punch"},
            'must be a list of strings, e.g. ["attendance.punch"]',
        ),
        ("/v1/subscriptions", {"filters": {"user_ids": [2]}}, 'must be a string in quotes, e.g. "2"'),
        ("/v1/subscriptions", {"filter": {}}, "is not a field here. Did you mean filters? The fields are target_url, "),
        ("/v1/subscriptions", {"filters": 3}, "must be an object. The fields are device_ids, user_ids, "),
        ("/v1/subscriptions", {"batch_max": "5"}, "must be a whole number from 1 to 500, without quotes"),
        ("/v1/subscriptions", {"batch_max": 0}, "must be from 1 to 500"),
        ("/v1/subscriptions", {"format": "cloudevent"}, "is not valid. Did you mean cloudevents? It must be one of "),
        ("/v1/subscriptions", {"headers": []}, 'must be an object, e.g. {"X-Team": "payroll"}'),
        ("/v1/subscriptions", {"include_card_numbers": 7}, "must be true or false, without quotes"),
        (
            "/v1/api-keys",
            {"scopes": "people:read"},
            'must be a list of strings, e.g. ["events:read", "subscriptions:write"]',
        ),
        ("/v1/api-keys", {"scopes": ["person:read"]}, "is not valid. Did you mean people:read? It must be one of "),
        ("/v1/api-keys", {"scopes": []}, "is empty. It must have 1 to "),
        (
            "/v1/api-keys",
            {"expires_at": "tomorrow"},
            'must be a time in ISO 8601 with an offset, e.g. "2036-11-24T00:00:00Z"',
        ),
        ("/v1/devices", {"label": "x" * 201}, "has 201 characters, but at most 200 are allowed"),
    ],
)  # fmt: skip
def test_a_message_says_what_a_valid_value_is(
    path: str, body: dict[str, Any], message: str, relay: Relay
) -> None:
    errors = problem(relay.call("POST", path, json=body), 422)["errors"]
    assert any(error["message"].startswith(message) for error in errors), errors
