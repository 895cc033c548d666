"""Signing in, and the rights of a session: those of its key, while the key exists, only from the console's pages."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

from app.api.auth import ANY_KEY, PUBLIC
from app.settings.table import load
from app.store.access.scopes import SCOPES
from app.web.application import create_app
from tests.console.tools import Client, token_in
from tests.harness import API_KEY, wait_for
from tests.relay.tools import key_with, problem, stream_ends
from tests.stage import Stage


@pytest.fixture
def client(stage: Stage) -> Client:
    return Client(stage.relay)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The application, used only for its table of endpoints."""
    folder: Path = tmp_path_factory.mktemp("routes")
    return create_app(load({"RELAY_DATA_DIR": str(folder), "RELAY_API_KEY": API_KEY}))


def _pages(app: Flask) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("console."):
            scopes = app.view_functions[rule.endpoint].scopes  # type: ignore[attr-defined]
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield method, re.sub(r"<(?:\w+:)?\w+>", "nobody", rule.rule), scopes


def test_every_page_needs_its_scope(stage: Stage, app: Flask) -> None:
    relay, open_ones, checked = stage.relay, set(), 0
    for method, path, scopes in _pages(app):
        assert scopes and set(scopes) <= {*SCOPES, PUBLIC, ANY_KEY}, path
        if PUBLIC in scopes:
            open_ones.add(path)
            continue
        problem(relay.call(method, path, key=None), 401)
        problem(relay.call(method, path, key=key_with(relay, *(set(SCOPES) - {*scopes, "admin"}))), 403)
        checked += 1
    assert checked > 10
    unknown = {"/console/", "/console/nobody"}
    assert open_ones == {
        "/",
        "/console/sign-in",
        "/console/sign-out",
        "/console/static/nobody/nobody",
        *unknown,
    }


def test_a_program_gets_404_at_the_root(stage: Stage) -> None:
    problem(stage.relay.call("GET", "/", headers={"Accept": "application/json"}), 404)


@pytest.mark.parametrize("path", ["/console/nothing", "/console/devices/a/b", "/console/health/"])
def test_an_unknown_path_is_a_page_in_the_console_and_a_problem_in_the_api(
    stage: Stage, client: Client, path: str
) -> None:
    signed_out = client.get(path)
    assert (signed_out.status_code, signed_out.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert 'href="/"' in signed_out.text and "/console/health" not in signed_out.text
    client.sign_in(API_KEY)
    missing = client.get(path)
    assert missing.status_code == 404 and 'href="/console/health"' in missing.text
    assert missing.headers["content-security-policy"]
    for program in (path, "/v1/nothing"):
        problem(stage.relay.call("GET", program, headers={"Accept": "application/json"}), 404)
    problem(client.get("/v1/nothing"), 404)
    assert client.get("/console").headers["location"].endswith("/console/")
    assert client.get("/console/").headers["location"] == "/"


def test_signing_in_sets_a_cookie_that_scripts_cannot_read_and_the_key_is_nowhere(client: Client) -> None:
    answer = client.sign_in(API_KEY, next="/console/health")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/health")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and API_KEY not in cookie
    page = client.get("/console/health")
    assert page.status_code == 200 and API_KEY not in page.text
    assert page.headers["cache-control"] == "no-store"


def test_over_https_the_cookie_is_secure(tmp_path: Path) -> None:
    made = create_app(
        load({"RELAY_DATA_DIR": str(tmp_path), "RELAY_PUBLIC_URL": "https://relay.example.com"})
    )
    assert "Secure" in made.test_client().get("/console/sign-in").headers["set-cookie"]


def test_the_session_gets_a_new_token_when_somebody_signs_in(client: Client) -> None:
    client.get("/console/sign-in")
    planted = client.session.cookies["cams_relay_session"]
    client.sign_in(API_KEY)
    assert client.session.cookies["cams_relay_session"] != planted


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "evil"])
def test_signing_in_does_not_redirect_to_other_sites(client: Client, elsewhere: str) -> None:
    assert client.sign_in(API_KEY, next=elsewhere).headers["location"] == "/"


def test_a_wrong_key_is_refused_and_not_shown(client: Client) -> None:
    wrong = "crk_" + secrets.token_urlsafe(24)
    answer = client.sign_in(wrong)
    assert answer.status_code == 401 and wrong not in answer.text
    assert client.get("/console/devices").headers["location"] == "/console/sign-in?next=/console/devices"


def test_requests_that_change_something_need_the_csrf_token(stage: Stage, client: Client) -> None:
    assert client.post("/console/sign-in", key=API_KEY).status_code == 403
    client.sign_in(API_KEY)
    body = {"name": "x", "scopes": ["events:read"]}
    url = f"{client.url}/v1/api-keys"
    problem(client.session.post(url, json=body, timeout=10), 403)
    problem(client.session.post(url, json=body, headers={"X-CSRF-Token": "0" * 32}, timeout=10), 403)
    token = token_in(client.get("/console/health").text)
    assert client.session.post(url, json=body, headers={"X-CSRF-Token": token}, timeout=10).status_code == 201
    other = Client(stage.relay)
    other.sign_in(API_KEY)
    problem(other.session.post(url, json=body, headers={"X-CSRF-Token": token}, timeout=10), 403)
    assert client.post("/console/sign-out").status_code == 403


def test_signing_out_makes_the_cookie_invalid(stage: Stage, client: Client) -> None:
    client.sign_in(API_KEY)
    token = client.session.cookies["cams_relay_session"]
    client.post("/console/sign-out", csrf_token=token_in(client.get("/console/health").text))
    thief = Client(stage.relay)
    thief.session.cookies.set("cams_relay_session", token)
    assert thief.get("/console/health").status_code == 303


def test_a_session_ends_when_its_key_is_deleted(stage: Stage, client: Client) -> None:
    made = stage.relay.call("POST", "/v1/api-keys", json={"name": "office", "scopes": ["events:read"]}).json()
    client.sign_in(made["key"])
    assert client.get("/").status_code == 200
    assert stage.relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    assert client.get("/").status_code == 303

    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    client.sign_in(key_with(stage.relay, "events:read", expires_at=soon))
    wait_for(lambda: client.get("/").status_code == 303, 10)


def test_the_stream_of_events_ends_with_the_session(stage: Stage, client: Client) -> None:
    client.sign_in(API_KEY)
    token = token_in(client.get("/console/health").text)
    with closing(client.session.get(f"{client.url}/v1/events/stream", stream=True, timeout=30)) as answer:
        assert answer.status_code == 200
        assert client.post("/console/sign-out", csrf_token=token).status_code == 303
        stream_ends(answer)


def test_pages_only_show_what_the_keys_scopes_allow(stage: Stage, client: Client) -> None:
    client.sign_in(key_with(stage.relay, "subscriptions:write"))
    assert client.get("/").headers["location"] == "/console/subscriptions"
    page = client.get("/console/subscriptions").text
    assert 'href="/console/subscriptions"' in page and 'href="/console/health"' not in page
    refused = client.get("/console/health")
    assert refused.status_code == 403 and "metrics:read" in refused.text


def test_pages_load_nothing_from_other_origins(client: Client) -> None:
    client.sign_in(API_KEY)
    for path in ("/console/sign-in", "/", "/console/actions/delete-user", "/console/health"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert (
            "unsafe" not in policy and "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
        )
        assert not re.search(
            r"<script(?![^>]*(?:src=|application/json))|<style|\sstyle=|\son\w+=", answer.text
        )


def test_static_files_are_cached_and_renamed_when_their_content_changes(client: Client) -> None:
    (path,) = re.findall(r'href="(/console/static/[^"]+/console\.css)"', client.get("/console/sign-in").text)
    assert "immutable" in client.get(path).headers["cache-control"]
    stale = re.sub(r"static/\w+/", "static/0000/", path)
    assert client.get(stale).headers["cache-control"] == "no-store"
    assert client.get(path.replace("console.css", "..%2f__init__.py")).status_code == 404
