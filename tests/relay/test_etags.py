"""ETag, If-Match and If-None-Match, and PATCH by RFC 7396."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import API_KEY, Device, Relay
from tests.relay.tools import problem

KINDS = ("devices", "subscriptions", "employees", "api-keys")
CHANGE: dict[str, dict[str, Any]] = {
    "devices": {"label": "Back Door"},
    "subscriptions": {"description": "changed"},
    "employees": {"name": "Zoë"},
    "api-keys": {"name": "changed"},
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(kind: str, relay: Relay) -> str:
    """The path of a new resource of this kind."""
    if kind == "devices":
        return f"/v1/devices/{relay.device().id}"
    if kind == "employees":
        path = f"/v1/employees/{secrets.token_hex(4)}"
        assert relay.call("PUT", path, json={"employee_id": "E1", "name": "Asha"}).ok
        return path
    if kind == "api-keys":
        made = relay.call("POST", "/v1/api-keys", json={"name": "n8n", "scopes": ["events:read"]})
        return f"/v1/api-keys/{made.json()['id']}"
    # Another URL for each test, because a repeated request returns the existing subscription.
    body = {"target_url": f"https://hooks.example/{secrets.token_hex(4)}", "events": ["*"]}
    return f"/v1/subscriptions/{relay.call('POST', '/v1/subscriptions', json=body).json()['id']}"


def tag_of(relay: Relay, path: str) -> str:
    answer = relay.call("GET", path)
    tag = answer.headers["ETag"]
    assert answer.status_code == 200 and tag.startswith('"') and tag.endswith('"')  # a strong ETag
    return tag


def test_an_unchanged_resource_is_304(relay: Relay, path: str, kind: str) -> None:
    tag = tag_of(relay, path)
    for given in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = relay.call("GET", path, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    for given in ('"x"', "nonsense", tag.strip('"')):
        assert relay.call("GET", path, headers={"If-None-Match": given}).status_code == 200
    changed = relay.call("PATCH", path, json=CHANGE[kind])
    assert changed.headers["ETag"] == tag_of(relay, path) != tag
    assert relay.call("GET", path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_with_an_outdated_etag_is_refused(relay: Relay, path: str, kind: str, method: str) -> None:
    old = tag_of(relay, path)
    assert relay.call("PATCH", path, json=CHANGE[kind], headers={"If-Match": old}).status_code == 200
    before = relay.get(path)
    body = {} if method == "DELETE" else {"json": CHANGE[kind]}
    # A weak ETag never matches (RFC 9110 §13.1.1).
    for given in (old, f"W/{tag_of(relay, path)}", "nonsense"):
        found = problem(relay.call(method, path, headers={"If-Match": given}, **body), 412)
        assert found["code"] == "precondition_failed" and found["errors"][0]["header"] == "If-Match"
    assert relay.get(path) == before
    if method == "PATCH":
        assert relay.call(method, path, headers={"If-Match": "*"}, **body).ok
    assert relay.call(method, path, headers={"If-Match": f'"x", {tag_of(relay, path)}'}, **body).ok


def test_of_concurrent_changes_with_the_same_etag_one_succeeds(relay: Relay, path: str, kind: str) -> None:
    headers = {"If-Match": tag_of(relay, path), "X-API-Key": API_KEY}
    (name,) = CHANGE[kind]

    def patch(number: int) -> int:
        return relay.call("PATCH", path, json={name: f"number {number}"}, headers=headers).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(patch, range(6))) == [200, *[412] * 5]


def test_an_employee_that_does_not_exist_matches_no_etag(relay: Relay) -> None:
    path = f"/v1/employees/{secrets.token_hex(4)}"
    problem(relay.call("PUT", path, json={"employee_id": "E1"}, headers={"If-Match": "*"}), 412)
    problem(relay.call("PATCH", path, json={"name": "Asha"}), 404)
    problem(relay.call("GET", path), 404)


def test_an_employee_is_only_created_with_if_none_match(relay: Relay) -> None:
    path, only_new = f"/v1/employees/{secrets.token_hex(4)}", {"If-None-Match": "*"}
    assert relay.call("PUT", path, json={"employee_id": "E1"}, headers=only_new).status_code == 200
    told = problem(relay.call("PUT", path, json={"employee_id": "E2"}, headers=only_new), 412)
    assert "already" in told["detail"]
    assert relay.get(path)["employee_id"] == "E1"
    assert relay.call("PUT", path, json={"employee_id": "E2"}).status_code == 200


def test_a_secret_changes_a_devices_etag_and_a_callback_does_not(relay: Relay, device: Device) -> None:
    path = f"/v1/devices/{device.id}"
    tag = tag_of(relay, path)
    device.send_done(device.punch())
    assert relay.get(path)["last_seen_at"] and tag_of(relay, path) == tag
    assert relay.call("PATCH", path, json={"auth_token": secrets.token_hex(16)}).ok
    assert tag_of(relay, path) != tag


@pytest.mark.parametrize("kind", ["subscriptions"])
def test_a_new_secret_changes_a_subscriptions_etag(relay: Relay, path: str) -> None:
    tag = tag_of(relay, path)
    assert relay.call("POST", f"{path}/rotate-secret").ok
    assert tag_of(relay, path) != tag


def test_null_resets_a_devices_field_to_its_default(relay: Relay) -> None:
    default = relay.get(f"/v1/devices/{relay.device().id}")
    fields = {
        "mode": "hybrid_sdk",
        "timezone": "Asia/Kolkata",
        "direction": "in",
        "label": "Gate",
        "serial_number": "1",
        "same_visit_seconds": 0,
        "silent_after_minutes": 5,
        "working_hours": "Mon-Fri 08:00-18:00",
    }
    path = f"/v1/devices/{relay.device(**fields).id}"
    headers = {"Content-Type": "application/merge-patch+json"}
    for name, value in fields.items():
        assert relay.get(path)[name] == value
        changed = relay.call("PATCH", path, json={name: None}, headers=headers)
        assert (changed.status_code, changed.json()[name]) == (200, default[name])
    assert relay.call("PATCH", path, json={"require_callback_secret": None}).ok
    problem(relay.call("PATCH", path, json={"auth_token": None}), 422, "auth_token")


@pytest.mark.parametrize("kind", ["employees"])
def test_a_patch_is_merged_into_an_employee(relay: Relay, path: str) -> None:
    assert relay.call("PATCH", path, json={"employee_id": "E2"}).json()["name"] == "Asha"
    headers = {"Content-Type": "application/merge-patch+json"}
    assert relay.call("PATCH", path, json={"name": None}, headers=headers).json()["name"] is None
    assert relay.get(path)["employee_id"] == "E2"
    assert relay.call("PATCH", path, json={}).json() == relay.get(path)
    for wrong, field in (({"employee_id": None}, "employee_id"), ({"user_id": "8"}, "user_id")):
        problem(relay.call("PATCH", path, json=wrong), 422, field)
