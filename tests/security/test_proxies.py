"""The relay only trusts the configured number of proxies for a caller's address and for its own URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import API_KEY, Device, Relay
from tests.relay.tools import only
from tests.security.tools import exchange

SPOOFED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Protocol": "ssl",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/evil",
    "X-Original-Url": "/evil",
    "X-Host": "evil.example",
    "Forwarded": "for=192.0.2.1;proto=https;host=evil.example",
}


def started(tmp_path_factory: pytest.TempPathFactory, **environment: str) -> Iterator[Relay]:
    made = Relay(
        tmp_path_factory.mktemp("proxied"), WEB_CONCURRENCY="1", FORWARDED_ALLOW_IPS="*", **environment
    )
    try:
        yield made.start("store", "web")
    finally:
        made.stop()


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay without proxies, on a platform that configures gunicorn to trust everybody."""
    yield from started(tmp_path_factory)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    yield from started(tmp_path_factory, RELAY_TRUSTED_PROXIES="1")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    yield from started(tmp_path_factory, RELAY_TRUSTED_PROXIES="1", RELAY_PUBLIC_URL="https://relay.example")


def urls(relay: Relay, device: Device, headers: dict[str, str]) -> set[str]:
    """Return the beginnings of all links created for a request with these headers."""
    photo = device.envelope(
        Log={"UserID": "2", "LogPhoto": "aGVsbG8=", "LogTime": "2026-03-01 09:00:00 GMT +0530"}
    )
    device.send_done(photo) if not headers else device.send(photo, headers=headers).raise_for_status()
    made = relay.call("POST", "/v1/api-keys", json={"name": "x", "scopes": ["events:read"]}, headers=headers)
    described: Any = relay.call("GET", "/openapi.json", headers=headers).json()
    swagger: Any = relay.call("GET", "/openapi.json?version=2.0", headers=headers).json()
    found = [
        only(device, "attendance.photo")["photo_url"].partition("/photos/")[0],
        made.headers["location"].partition("/v1/")[0],
        relay.call("GET", f"/v1/devices/{device.id}", headers=headers)
        .json()["callback_url"]
        .partition("/callback")[0],
        described["servers"][0]["url"],
        f"{swagger['schemes'][0]}://{swagger['host']}",
    ]
    return set(found)


def test_without_a_configured_proxy_headers_are_ignored(direct: Relay) -> None:
    assert urls(direct, direct.device(), SPOOFED) == {direct.url}


def test_only_scheme_and_host_are_taken_from_a_trusted_proxy(proxied: Relay) -> None:
    assert urls(proxied, proxied.device(), SPOOFED) == {"https://evil.example"}


def test_only_the_last_proxys_entry_of_a_list_counts(proxied: Relay) -> None:
    headers = {"X-Forwarded-Proto": "http, https", "X-Forwarded-Host": "evil.example, relay.example"}
    assert urls(proxied, proxied.device(), headers) == {"https://relay.example"}


def test_with_a_public_url_links_ignore_headers(published: Relay) -> None:
    assert urls(published, published.device(), {**SPOOFED, "Host": "evil.example"}) == {
        "https://relay.example"
    }


def test_callers_cannot_set_wsgi_environment_variables(direct: Relay, proxied: Relay) -> None:
    for relay in (direct, proxied):
        for name in ("SCRIPT_NAME", "PATH_INFO", "REMOTE_ADDR", "X_Forwarded_For"):
            (answer,) = exchange(relay, f"GET /health HTTP/1.1\r\nHost: x\r\n{name}: /evil\r\n\r\n".encode())
            assert (answer.status, json.loads(answer.body)["status"]) == (200, "ok"), name


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "evil.example/path",
        "evil.example?query",
        "user@evil.example",
        "evil.example#",
        "evil.example\\",
        "<script>",
        '"',
        "evil.example:port",
        "[::1",
        "caf\xe9",
        "%0d%0a",
    ],
)
def test_an_invalid_host_is_not_used_in_links_and_does_not_stop_a_callback(direct: Relay, host: str) -> None:
    device = direct.device()
    photo = device.envelope(
        Log={"UserID": "2", "LogPhoto": "aGVsbG8=", "LogTime": "2026-03-01 09:00:00 GMT +0530"}
    )
    for path, body in (("/callback", photo), ("/v1/api-keys", {"name": "x", "scopes": ["admin"]})):
        data = json.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {API_KEY}\r\nContent-Length: {len(data)}\r\n\r\n"
        (answer,) = exchange(direct, (head + data).encode("latin-1"))
        assert answer.status in (200, 201), answer.body
        if "location" in answer.headers:
            assert answer.headers["location"].startswith(f"{direct.url}/v1/")
    link = only(device, "attendance.photo")["photo_url"]
    assert link.startswith(f"{direct.url}/photos/")


def test_a_request_without_a_host_or_with_a_whole_url_is_served(direct: Relay) -> None:
    (answer,) = exchange(direct, b"GET /health HTTP/1.0\r\n\r\n")
    assert answer.status == 200
    (answer,) = exchange(direct, b"GET http://evil.example/v1/me HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status == 401
