"""Every endpoint needs a key with its scope; keys are hashed, expire and can be deleted. Contract §5."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from flask import Flask

from app.api import create_app
from app.api.auth import ANY_KEY, PUBLIC
from app.settings import load
from app.store.api_keys import SCOPES
from tests.harness import API_KEY, Relay, wait_for
from tests.relay.tools import key_with, post, problem, store

OPEN = {"/callback", "/health", "/metrics", "/photos", "/bodies", "/openapi.json", "/openapi.yaml"}
OPEN |= {"/postman.json", "/docs", "/"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The application, for its table of endpoints alone: nothing is served by it."""
    folder = tmp_path_factory.mktemp("access")
    return create_app(load({"RELAY_DATA_DIR": str(folder), "RELAY_API_KEY": API_KEY}))


def endpoints(app: Flask) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    """Method, path with made-up values, and the declared scopes of each endpoint."""
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


# How a key is shown


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
def test_both_headers_are_taken(relay: Relay, headers: dict[str, str]) -> None:
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
def test_anything_else_is_401(relay: Relay, headers: dict[str, str]) -> None:
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
    for key, value in store(relay).items():
        assert made["key"] not in key and made["key"].encode() not in value, key
    assert made["key"] not in relay.logs()


def test_a_deleted_key_ends_working_at_once(relay: Relay) -> None:
    made = post(relay, "/v1/api-keys", {"name": "gone", "scopes": ["events:read"]})
    assert relay.call("GET", "/v1/events", key=made["key"]).status_code == 200
    assert relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    for _ in range(10):  # new connections reach all web processes
        answer = requests.get(f"{relay.url}/v1/events", headers={"X-API-Key": made["key"]}, timeout=10)
        problem(answer, 401)
    problem(relay.call("DELETE", f"/v1/api-keys/{made['id']}"), 404)


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
def test_a_wrong_key_body_is_422_naming_the_field(
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


# Problems everywhere


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/events/evt_nothing", 404),
        ("GET", "/v1/events/evt_" + "0" * 16, 404),
        ("GET", "/v1/events/" + "z" * 3000, 404),
        ("GET", "/v1/devices/nobody", 404),
        ("PATCH", "/v1/devices/nobody", 404),
        ("DELETE", "/v1/devices/nobody", 404),
        ("GET", "/v1/subscriptions/sub_none", 404),
        ("DELETE", "/v1/events", 405),
        ("GET", "/callback", 405),
        ("PUT", "/v1/devices", 405),
        ("POST", "/health", 405),
    ],
)
def test_what_is_not_there_is_a_problem(relay: Relay, method: str, path: str, status: int) -> None:
    answer = relay.call(method, path)
    problem(answer, status)
    if status == 405:
        assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'"x"', b"\xff", b"{" * 9000, b'{"a": "\\ud800"}', b"NaN"]
)
@pytest.mark.parametrize("path", ["/v1/devices", "/v1/subscriptions", "/v1/api-keys"])
def test_a_body_that_is_no_object_is_422(relay: Relay, path: str, body: bytes) -> None:
    problem(relay.call("POST", path, data=body), 422, "body")


def test_a_body_past_16_mib_is_413_everywhere(relay: Relay) -> None:
    body = b'{"name": "' + b"x" * (16 * 1024 * 1024) + b'"}'
    problem(relay.call("POST", "/v1/api-keys", data=body), 413)
    chunks = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    problem(relay.call("POST", "/v1/api-keys", data=chunks), 413)


def test_a_url_or_headers_that_are_too_long_are_a_problem_too(relay: Relay) -> None:
    problem(relay.call("GET", "/v1/events", params={"cursor": "x" * 9_000}), 414)
    problem(relay.call("GET", "/v1/events", headers={"X-Long": "x" * 20_000}), 431)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /callback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    ],
)
def test_what_is_hardly_http_is_400(relay: Relay, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = connection.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "content-type: application/problem+json" in answer.lower()
