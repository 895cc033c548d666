"""Every endpoint needs a key with its scope; keys are hashed, expire and can be deleted. Contract §5."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from flask import Flask

from app.api import create_app
from app.api.auth import ANY_KEY, PUBLIC
from app.settings.table import load
from app.store import Store
from app.store.access.scopes import SCOPES
from app.web.application import create_app as create_web
from tests.console.tools import Client
from tests.harness import API_KEY, Device, Relay, wait_for
from tests.relay.tools import key_with, post, problem, stored_values

OPEN = {
    "/.well-known/jwks.json",
    "/callback",
    "/health",
    "/metrics",
    "/photos",
    "/bodies",
    "/openapi.json",
    "/openapi.yaml",
}
OPEN |= {"/postman.json", "/docs", "/"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The application, only for its table of endpoints. It doesn't serve requests."""
    folder = tmp_path_factory.mktemp("access")
    return create_app(load({"RELAY_DATA_DIR": str(folder), "RELAY_API_KEY": API_KEY}))


def endpoints(app: Flask) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    """Yield each endpoint's method, path (with made-up values) and declared scopes."""
    for rule in app.url_map.iter_rules():
        scopes = getattr(app.view_functions[rule.endpoint], "scopes", None)
        path = re.sub(r"<(?:(\w+):)?\w+>", lambda match: "1" if match[1] == "int" else "nobody", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, path, scopes


def test_every_endpoint_declares_its_scopes(app: Flask) -> None:
    found = list(endpoints(app))
    assert len(found) > 25
    for method, path, scopes in found:
        assert scopes, f"{method} {path} declares no scope"
        assert set(scopes) <= {*SCOPES, PUBLIC, ANY_KEY}, f"{method} {path}: {scopes}"
        if PUBLIC in scopes:
            assert any(path == start or path.startswith(start + "/") for start in OPEN), f"{path} is open"


def test_every_endpoint_is_401_without_a_key_403_without_its_scope_and_works_with_it(
    relay: Relay, app: Flask
) -> None:
    without = {scope: key_with(relay, *(set(SCOPES) - {scope, "admin"})) for scope in SCOPES}
    having = {scope: key_with(relay, scope) for scope in SCOPES}
    checked = 0
    for method, path, scopes in endpoints(app):
        if scopes is None or PUBLIC in scopes:
            continue
        how: dict[str, Any] = {"stream": True} if path.endswith("/stream") else {}
        problem(relay.call(method, path, key=None), 401)
        problem(relay.call(method, path, key="crk_" + secrets.token_urlsafe(24)), 401)
        if ANY_KEY not in scopes:
            others = set(SCOPES) - {*scopes, "admin"}
            lacking = without[scopes[0]] if len(scopes) == 1 else key_with(relay, *others)
            assert scopes[0] in problem(relay.call(method, path, key=lacking), 403)["detail"]
        for key in [having[scope] for scope in scopes if scope in having] or [having["metrics:read"]]:
            answer = relay.call(method, path, key=key, **how)
            answer.close()
            assert answer.status_code in (200, 201, 202, 204, 404, 422), (
                f"{method} {path} {answer.status_code}"
            )
        checked += 1
    assert checked > 20


def test_metrics_need_their_scope(relay: Relay) -> None:
    problem(relay.call("GET", "/metrics", key=None), 401)
    problem(relay.call("GET", "/metrics", key=key_with(relay, "events:read")), 403)
    answer = relay.call("GET", "/metrics", key=key_with(relay, "metrics:read"))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "cams_relay_spool_bytes" in answer.text


def test_health_needs_no_key(relay: Relay) -> None:
    answer = relay.call("GET", "/health", key=None)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_admin_includes_every_scope(relay: Relay) -> None:
    admin = key_with(relay, "admin")
    for path in ("/v1/events", "/v1/devices", "/v1/subscriptions", "/v1/api-keys", "/metrics"):
        assert relay.call("GET", path, key=admin).status_code == 200


# How keys are shown


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {key}"},
        {"Authorization": "bearer {key}"},
        {"Authorization": "Bearer   {key} "},
        {"X-API-Key": "{key}"},
        {"x-api-key": "{key}"},
        {"X-API-Key": "{key}", "Authorization": "Basic dTpw"},
    ],
)
def test_both_headers_are_accepted(relay: Relay, headers: dict[str, str]) -> None:
    key = key_with(relay, "events:read")
    filled = {name: value.format(key=key) for name, value in headers.items()}
    shown = relay.get("/v1/me", key=None, headers=filled)
    assert (shown["name"], shown["scopes"]) == ("of a test", ["events:read"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", shown["version"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": API_KEY},
        {"Authorization": f"Basic {API_KEY}"},
        {"X-API-Key": ""},
        {"X-API-Key": API_KEY[:-1]},
        {"X-API-Key": API_KEY.upper()},
        {"X-API-Key": "caf\xe9"},
        {"Cookie": f"X-API-Key={API_KEY}"},
    ],
)
def test_any_other_authentication_is_401(relay: Relay, headers: dict[str, str]) -> None:
    answer = requests.get(f"{relay.url}/v1/me", headers=headers, timeout=10)
    problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    problem(requests.get(f"{relay.url}/v1/me?api_key={API_KEY}", headers=headers, timeout=10), 401)


# Keys


def test_a_key_is_shown_once_and_stored_hashed(relay: Relay) -> None:
    made = post(relay, "/v1/api-keys", {"name": "n8n", "scopes": ["events:read", "actions:read"]})
    assert made["scopes"] == ["actions:read", "events:read"] and made["expires_at"] is None
    listed = relay.get("/v1/api-keys", params={"limit": 200})["data"]
    (row,) = (row for row in listed if row["id"] == made["id"])
    assert "key" not in row and row["name"] == "n8n"
    for key, value in stored_values(relay).items():
        assert made["key"] not in key and made["key"].encode() not in value, key
    assert made["key"] not in relay.logs()


def test_a_deleted_key_stops_working_immediately(relay: Relay) -> None:
    made = post(relay, "/v1/api-keys", {"name": "gone", "scopes": ["events:read"]})
    assert relay.call("GET", "/v1/events", key=made["key"]).status_code == 200
    assert relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    for _ in range(10):  # new connections reach all web processes
        answer = requests.get(f"{relay.url}/v1/events", headers={"X-API-Key": made["key"]}, timeout=10)
        problem(answer, 401)
    problem(relay.call("DELETE", f"/v1/api-keys/{made['id']}"), 404)


def test_a_key_cannot_expire_after_the_last_possible_year(relay: Relay) -> None:
    wanted = {"name": "n8n", "scopes": ["events:read"], "expires_at": "9999-12-31T23:59:59-23:59"}
    problem(relay.call("POST", "/v1/api-keys", json=wanted), 422, "expires_at")


def test_a_key_expires(relay: Relay) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    key = key_with(relay, "events:read", expires_at=soon.isoformat())
    assert relay.call("GET", "/v1/me", key=key).status_code == 200
    wait_for(lambda: relay.call("GET", "/v1/me", key=key).status_code == 401, 5)
    assert datetime.now(UTC) > soon - timedelta(seconds=1)


@pytest.mark.parametrize(
    "body, fields",
    [
        ({}, {"name", "scopes"}),
        ({"name": "x"}, {"scopes"}),
        ({"name": "", "scopes": ["admin"]}, {"name"}),
        ({"name": 7, "scopes": ["admin"]}, {"name"}),
        ({"name": "x", "scopes": []}, {"scopes"}),
        ({"name": "x", "scopes": "admin"}, {"scopes"}),
        ({"name": "x", "scopes": ["events:write"]}, {"scopes.0"}),
        ({"name": "x", "scopes": ["admin"], "expires_at": "tomorrow"}, {"expires_at"}),
        ({"name": "x", "scopes": ["admin"], "expires_at": "2020-01-01T00:00:00Z"}, {"expires_at"}),
        ({"name": "x", "scopes": ["admin"], "more": 1}, {"more"}),
    ],
)
def test_an_invalid_body_for_a_key_is_422_and_names_the_field(
    relay: Relay, body: dict[str, Any], fields: set[str]
) -> None:
    problem(relay.call("POST", "/v1/api-keys", json=body), 422, *fields)


def test_keys_page_without_gaps_while_keys_are_deleted(relay: Relay) -> None:
    made = [post(relay, "/v1/api-keys", {"name": f"p{n}", "scopes": ["events:read"]})["id"] for n in range(6)]
    found: list[str] = []
    cursor = None
    while True:
        page = relay.get("/v1/api-keys", params={"limit": 1, "cursor": cursor})
        found += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if found[-1] == made[2]:
            assert relay.call("DELETE", f"/v1/api-keys/{made[2]}").status_code == 204
    assert [key for key in found if key in made] == made
    assert len(set(found)) == len(found)


# The console's session


def test_a_session_changes_nothing_without_the_csrf_token(relay: Relay) -> None:
    """Checks every endpoint that changes something, including future ones: another site's form can't use it."""
    web = create_web(load(relay.environment))
    client, walked = Client(relay), 0
    assert client.sign_in(API_KEY).status_code == 303
    for method, path, scopes in endpoints(web):
        if method == "GET" or scopes is None or path.startswith("/callback"):
            continue
        for how in ({"json": {}}, {"data": {"csrf_token": "0" * 32}}, {"data": {}}):
            answer = client.session.request(
                method, relay.url + path, timeout=20, allow_redirects=False, **how
            )
            assert answer.status_code == 403, f"{method} {path} {answer.status_code}"
        walked += 1
    assert walked > 20 and client.get("/console/health").status_code == 200


def test_every_page_has_security_headers(relay: Relay) -> None:
    client, walked = Client(relay), 0
    assert client.sign_in(API_KEY).status_code == 303
    for method, path, _ in endpoints(create_web(load(relay.environment))):
        if method != "GET" or path.endswith("/stream"):
            continue
        answer = client.get(path)
        if answer.headers.get("content-type", "").startswith("text/html"):
            policy = answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy, path
            assert path.startswith("/docs") or "unsafe" not in policy, path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            walked += 1
    assert walked > 10


# Card numbers


def test_requests_to_send_card_numbers_are_audited(relay: Relay) -> None:
    def noted(subject: str) -> list[str]:
        rows = relay.get("/v1/audit", params={"limit": 200})["data"]
        mine = [
            row for row in rows if row["subject"] == subject and row["action"] == "card_numbers.subscribed"
        ]
        return [row["detail"] for row in reversed(mine)]

    body = {"target_url": "http://127.0.0.1:9/?token=made-up", "events": ["credential.updated"]}
    made = post(relay, "/v1/subscriptions", body)
    path = f"/v1/subscriptions/{made['id']}"
    assert noted(made["id"]) == []
    for change in (
        {"include_card_numbers": True},
        {"description": "x"},
        {"target_url": "http://127.0.0.2:9/"},
    ):
        assert relay.call("PATCH", path, json=change).status_code == 200
    assert noted(made["id"]) == ["sent to 127.0.0.1", "sent to 127.0.0.2"]
    assert relay.call("DELETE", path).status_code == 204


# Response times reveal nothing about a secret


def test_secrets_are_looked_up_by_keyed_digest_and_compared_in_constant_time(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only two things could be timed: the look-up of a digest made with a secret key, and `compare_digest`."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    devices = Store(load(relay.environment)).devices
    twin = relay.device(auth_token=device.token)
    assert {found.id for found in devices.by_token(device.token)} == {device.id, twin.id}
    assert compared == [(device.token.encode(), device.token.encode())] * 2
    compared.clear()
    assert devices.by_token(device.token[:-1] + "_") == [] and compared == []  # no candidate has this digest
    # A process that still remembers a replaced token compares it with the device's present token.
    fresh = secrets.token_hex(16)
    assert relay.call("PATCH", f"/v1/devices/{twin.id}", json={"auth_token": fresh}).status_code == 200
    devices.refresh(twin.id)
    assert [found.id for found in devices.by_token(device.token)] == [device.id]
    assert (fresh.encode(), device.token.encode()) in compared
    keys = Store(load(relay.environment)).api_keys
    compared.clear()
    assert keys.authenticate(API_KEY, "198.51.100.9") is not None
    assert keys.authenticate(API_KEY[:-1] + "_", "198.51.100.9") is None
    assert [len(pair) for pair in compared] == [2, 2]
