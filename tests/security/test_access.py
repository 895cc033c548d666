"""Every endpoint needs a key with its scope; keys are hashed, expire and can be deleted. Contract §5."""

from __future__ import annotations

import base64
import hmac
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
from app.settings.table import load
from app.store import Store
from app.store.access.failed_attempts import MOST, WINDOW_SECONDS, network_of
from app.store.access.scopes import SCOPES
from app.web.application import create_app as create_web
from tests.console.tools import Client
from tests.harness import API_KEY, Device, Relay, wait_for
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


def test_a_key_cannot_expire_after_the_last_year_there_is(relay: Relay) -> None:
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


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"'])
@pytest.mark.parametrize("path", ["/v1/devices", "/v1/subscriptions", "/v1/api-keys"])
def test_a_body_that_is_not_an_object_is_422(relay: Relay, path: str, body: bytes) -> None:
    problem(relay.call("POST", path, data=body), 422, "body")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"{" * 9000, b'{"a": "\\ud800"}', b"NaN"])
@pytest.mark.parametrize("path", ["/v1/devices", "/v1/subscriptions", "/v1/api-keys"])
def test_a_body_that_is_not_json_is_400(relay: Relay, path: str, body: bytes) -> None:
    problem(relay.call("POST", path, data=body), 400)


@pytest.mark.parametrize(
    ("path", "mib"),
    [
        ("/v1/api-keys", 1),
        ("/v1/subscriptions", 1),
        ("/v1/devices", 1),
        ("/v1/actions/add-user", 16),
        ("/v1/employees", 16),
    ],
)
def test_a_body_past_its_limit_is_413_and_says_the_limit(relay: Relay, path: str, mib: int) -> None:
    body = b'{"name": "' + b"x" * (mib * 1024 * 1024) + b'"}'
    chunks = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    for sent in (body, chunks):
        # Each by a connection of its own, for the relay closes one whose body it doesn't read to the end.
        answer = requests.post(relay.url + path, data=sent, headers={"X-API-Key": API_KEY}, timeout=30)
        assert f"larger than {mib} MiB" in problem(answer, 413)["detail"]


def test_the_photo_of_an_action_may_be_larger_than_other_bodies(relay: Relay) -> None:
    body = {
        "device_id": "nobody",
        "user_id": "1",
        "user_photo_data": base64.b64encode(bytes(2 * 1024 * 1024)).decode(),
    }
    assert relay.call("POST", "/v1/actions/add-user", json=body).status_code in (404, 422)


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
def test_malformed_http_is_400(relay: Relay, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = connection.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "content-type: application/problem+json" in answer.lower()


# Tries


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay behind one proxy, which the tests are: they say which address a request is from."""
    made = Relay(tmp_path_factory.mktemp("proxied"), RELAY_TRUSTED_PROXIES="1").start("store", "web")
    yield made
    made.stop()


def status_from(relay: Relay, address: str, key: str | None, path: str = "/v1/me") -> int:
    return relay.call("GET", path, key=key, headers={"X-Forwarded-For": address}).status_code


def barred(relay: Relay, address: str) -> None:
    """Fails from an address until it is past the limit, at each of the web processes."""
    statuses = []
    while statuses[-20:] != [429] * 20:
        # a connection each, so that both processes get some
        answer = requests.get(
            f"{relay.url}/v1/me",
            headers={"X-API-Key": secrets.token_urlsafe(24), "X-Forwarded-For": address},
            timeout=10,
        )
        statuses.append(answer.status_code)
        assert len(statuses) < 2 * MOST
    assert statuses[:MOST] == [401] * MOST and set(statuses[MOST:]) == {429}
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS
    problem(answer, 429)


def test_wrong_keys_are_limited_by_address_and_no_other_address_notices(proxied: Relay) -> None:
    fresh = key_with(proxied, "events:read")
    barred(proxied, "198.51.100.1")
    for key in (secrets.token_urlsafe(24), fresh):  # not even looked at, so that guessing gains nothing
        assert status_from(proxied, "198.51.100.1", key) == 429
    assert status_from(proxied, "198.51.100.1", None) == 401  # no try
    assert status_from(proxied, "198.51.100.1", None, "/health") == 200
    assert status_from(proxied, "198.51.100.2", secrets.token_urlsafe(24)) == 401
    assert status_from(proxied, "198.51.100.2", fresh) == 200


def test_callers_who_share_a_guessers_address_can_continue_for_now(proxied: Relay) -> None:
    made = post(proxied, "/v1/api-keys", {"name": "n8n", "scopes": ["events:read"]})
    for _ in range(20):  # both processes have seen it work
        requests.get(f"{proxied.url}/v1/me", headers={"X-API-Key": made["key"]}, timeout=10)
    barred(proxied, "198.51.100.3")
    for _ in range(20):
        answer = requests.get(
            f"{proxied.url}/v1/me",
            headers={"X-API-Key": made["key"], "X-Forwarded-For": "198.51.100.3"},
            timeout=10,
        )
        assert answer.status_code == 200
    assert proxied.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    assert status_from(proxied, "198.51.100.3", made["key"]) in (401, 429)


def test_guessing_keys_at_the_consoles_sign_in_counts_like_all_attempts(proxied: Relay) -> None:
    client = Client(proxied)
    client.session.headers["X-Forwarded-For"] = "198.51.100.5"
    assert client.sign_in(secrets.token_urlsafe(24)).status_code == 401
    statuses = [status_from(proxied, "198.51.100.5", secrets.token_urlsafe(24)) for _ in range(MOST + 20)]
    assert statuses[-1] == 429
    answer = client.sign_in(secrets.token_urlsafe(24))
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS


def test_callbacks_are_never_limited(proxied: Relay) -> None:
    """One gateway's address serves many devices; a 429 would have it hold up them all."""
    device = proxied.device()
    stranger = {**device.punch()["RealTime"], "AuthToken": "0" * 32}
    barred(proxied, "198.51.100.4")
    headers = {"X-Forwarded-For": "198.51.100.4"}
    for _ in range(MOST + 10):
        assert device.send({"RealTime": stranger}, headers=headers).status_code == 401
    assert device.send(device.punch(), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "address, network",
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("_hidden", "unknown"),
        ("x" * 5000, "unknown"),
        ("1.2.3.4.5}:other:key", "unknown"),
    ],
)
def test_an_address_counts_as_the_network_a_customer_has(address: str, network: str) -> None:
    assert network_of(address) == network


# The console's session


def test_a_session_changes_nothing_without_the_token_of_its_pages(relay: Relay) -> None:
    """Every endpoint that changes something, also one that is added: another site's form can't do it."""
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


def test_every_page_says_what_a_browser_may_do_with_it(relay: Relay) -> None:
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


# No time tells how much of a secret was right


def test_secrets_are_looked_up_by_keyed_digest_and_compared_in_constant_time(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stranger could time is the look-up of a digest whose key he doesn't have, and `compare_digest`."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    devices = Store(load(relay.environment)).devices
    twin = relay.device(auth_token=device.token)
    assert {found.id for found in devices.by_token(device.token)} == {device.id, twin.id}
    assert compared == [(device.token.encode(), device.token.encode())] * 2
    compared.clear()
    assert devices.by_token(device.token[:-1] + "_") == [] and compared == []  # no candidate under its digest
    # A process that remembers a token which was changed since compares it with what the device has now.
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
