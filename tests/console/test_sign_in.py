"""Signing in works only from the relay's own page, with a cookie that no other host can set, and not by guessing."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api import create_app as create_api
from app.base.vault import Vault
from app.settings.table import load
from app.store.access.failed_attempts import MOST, WINDOW_SECONDS, FailedTries, TooManyTries
from app.store.server.connection import Connection
from app.web.application import create_app
from tests.console.tools import Client, token_in
from tests.harness import API_KEY, Relay, wait_for
from tests.relay.tools import problem
from tests.stage import Stage

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "OWN"},
]
OWN = [{}, {"Origin": "OWN"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]


@pytest.fixture
def client(stage: Stage) -> Client:
    return Client(stage.relay)


def filled(headers: dict[str, str], client: Client) -> dict[str, str]:
    return {name: client.url if value == "OWN" else value for name, value in headers.items()}


def sent(client: Client, path: str, headers: dict[str, str], **data: str) -> Any:
    return client.session.post(
        client.url + path, data=data, headers=filled(headers, client), timeout=20, allow_redirects=False
    )


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_site_cannot_sign_in_sign_out_or_call_the_api(
    client: Client, headers: dict[str, str]
) -> None:
    token = token_in(client.get("/console/sign-in").text)
    answer = sent(client, "/console/sign-in", headers, key=API_KEY, csrf_token=token)
    assert answer.status_code == 403 and "another site" in answer.text and API_KEY not in answer.text
    assert client.get("/console/health").status_code == 303, "no session"
    client.sign_in(API_KEY)
    token = token_in(client.get("/console/health").text)
    assert sent(client, "/console/sign-out", headers, csrf_token=token).status_code == 403
    call = {**filled(headers, client), "X-CSRF-Token": token}
    body = {"name": "x", "scopes": ["events:read"]}
    problem(client.session.post(f"{client.url}/v1/api-keys", json=body, headers=call, timeout=10), 403)
    assert client.get("/console/health").status_code == 200, "still signed in"


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_the_relays_own_page_can_sign_in_sign_out_and_call_the_api(
    client: Client, headers: dict[str, str]
) -> None:
    token = token_in(client.get("/console/sign-in").text)
    assert sent(client, "/console/sign-in", headers, key=API_KEY, csrf_token=token).status_code == 303
    token = token_in(client.get("/console/health").text)
    assert sent(client, "/console/sign-out", headers, csrf_token=token).status_code == 303


def test_signing_in_again_ends_the_previous_session(stage: Stage, client: Client) -> None:
    client.sign_in(API_KEY)
    former = client.session.cookies["cams_relay_session"]
    page = client.get("/console/health").text
    client.post("/console/sign-in", key=API_KEY, csrf_token=token_in(page))
    assert client.session.cookies["cams_relay_session"] != former
    thief = Client(stage.relay)
    thief.session.cookies.set("cams_relay_session", former)
    assert thief.get("/console/health").status_code == 303


# The cookie


def browser(folder: Path, **settings: str) -> FlaskClient:
    made = create_app(load({"RELAY_DATA_DIR": str(folder), "RELAY_API_KEY": API_KEY, **settings}))
    return made.test_client()


@pytest.mark.parametrize(
    "settings", [{"RELAY_PUBLIC_URL": "https://relay.example.com"}, {}], ids=["by setting", "by request"]
)
def test_over_https_the_cookie_has_the_host_prefix(tmp_path: Path, settings: dict[str, str]) -> None:
    place = "http://localhost" if settings else "https://localhost"
    cookie = browser(tmp_path, **settings).get("/console/sign-in", base_url=place).headers["set-cookie"]
    assert cookie.startswith("__Host-cams_relay_session=")
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= parts and "Domain" not in cookie


def test_over_plain_http_the_cookie_has_no_prefix(tmp_path: Path) -> None:
    cookie = browser(tmp_path).get("/console/sign-in").headers["set-cookie"]
    assert cookie.startswith("cams_relay_session=") and "Secure" not in cookie and "HttpOnly" in cookie


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_relays_below_different_paths_of_a_host_have_different_cookies(tmp_path: Path, scheme: str) -> None:
    """A browser that signs in to one relay stays signed in to the others."""
    cookies = {
        browser(tmp_path / name, RELAY_PUBLIC_URL=f"{scheme}://hr.example.com{path}")
        .get("/console/sign-in")
        .headers["set-cookie"]
        .partition("=")[0]
        for name, path in (("one", ""), ("two", "/relay"), ("three", "/relay/2"))
    }
    assert len(cookies) == 3
    assert all(name.startswith("__Host-" if scheme == "https" else "cams") for name in cookies)


def test_over_https_a_cookie_without_the_host_prefix_is_ignored(stage: Stage, client: Client) -> None:
    """A cookie without the prefix may come from another host of the domain, or from plain http."""
    client.sign_in(API_KEY)
    token = client.session.cookies["cams_relay_session"]
    app = create_app(load({**stage.relay.environment, "RELAY_PUBLIC_URL": "https://relay.example.com"}))
    for name, status in (("cams_relay_session", 303), ("__Host-cams_relay_session", 200)):
        answer = app.test_client(use_cookies=False).get(
            "/console/health", headers={"Cookie": f"{name}={token}", "Accept": "text/html"}
        )
        assert answer.status_code == status, name


# Guessing while the store is away


@pytest.fixture
def without_store(tmp_path: Path) -> Flask:
    """An application that was connected to its store, which no longer exists."""
    relay = Relay(tmp_path)
    relay.start("store")
    try:
        app = create_api(load(relay.environment))
        client = app.test_client()
        wait_for(lambda: client.get("/v1/me", headers={"X-API-Key": API_KEY}).status_code == 200, 60)
        app.extensions["store"].api_keys._worked.clear()
    finally:
        relay.stop()
    return app


def test_wrong_keys_are_limited_while_the_store_is_away(without_store: Flask) -> None:
    client = without_store.test_client()

    def tried(key: str, address: str = "203.0.113.7") -> int:
        return client.get(
            "/v1/me", headers={"X-API-Key": key}, environ_base={"REMOTE_ADDR": address}
        ).status_code

    assert tried(API_KEY, "203.0.113.9") == 200
    for _ in range(MOST):
        assert tried("crk_" + secrets.token_urlsafe(24)) == 503
    answers = {tried("crk_" + secrets.token_urlsafe(24)) for _ in range(5)}
    assert answers == {429}
    assert tried("crk_made-up", "203.0.113.8") == 503, "another address is not limited"
    assert tried(API_KEY) == 200, "nor is a key that has worked here before"


def test_a_correct_key_is_also_refused_once_an_address_is_over_the_limit(
    without_store: Flask,
) -> None:
    client = without_store.test_client()
    for _ in range(MOST + 1):
        client.get("/v1/me", headers={"X-API-Key": "crk_" + secrets.token_urlsafe(24)})
    answer = client.get("/v1/me", headers={"X-API-Key": API_KEY})
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= WINDOW_SECONDS + 1


def test_the_number_of_remembered_addresses_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.access.failed_attempts._MOST_REMEMBERED", 50)
    settings = load({"RELAY_DATA_DIR": str(tmp_path), "RELAY_API_KEY": API_KEY})
    tries = FailedTries(Connection(settings, Vault("made-up-secret-key-for-tests-only-0123456789")))
    for number in range(50 + MOST):
        tries.count_here(f"203.0.{number // 200}.{number % 200}")
    with pytest.raises(TooManyTries):
        tries.count_here("198.51.100.1")
