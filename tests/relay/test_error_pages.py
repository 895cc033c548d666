"""Every error code in the program has an entry in the page that `type` links to, also under a path."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import requests
from flask import Flask

from app.api import create_app
from app.api.problem_codes import problem_codes
from app.api.problems import respond
from app.settings.table import load
from tests.harness import ROOT, Relay

CODES = [code for code, _ in problem_codes()]


def _used_codes() -> set[str]:
    """The codes that calls in the program pass as `code=`."""
    found = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            for keyword in node.keywords:
                is_text = isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
                if name in ("Problem", "respond", "problem_document") and keyword.arg == "code" and is_text:
                    assert isinstance(keyword.value, ast.Constant)
                    found.add(str(keyword.value.value))
    return found


def test_every_code_in_the_program_is_explained() -> None:
    used = _used_codes()
    assert {"idempotency_key_reused", "request_in_progress"} <= used
    assert used <= set(CODES)
    assert len(CODES) == len(set(CODES))
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert headings == CODES


def test_a_running_relay_serves_an_anchor_for_each_code(relay: Relay) -> None:
    page = requests.get(f"{relay.url}/docs/errors", timeout=10)
    assert page.status_code == 200
    for code in CODES:
        assert page.text.count(f"<dt id={code}>") == 1


@pytest.fixture
def app_with_path(tmp_path: Path) -> Flask:
    made_up = {"RELAY_DATA_DIR": str(tmp_path), "RELAY_SECRET_KEY": "x" * 32, "RELAY_API_KEY": "x" * 32}
    return create_app(load({**made_up, "RELAY_PUBLIC_URL": "https://example.org/relay"}))


def test_types_keep_the_path_of_the_public_url(app_with_path: Flask) -> None:
    for code in CODES:
        with app_with_path.test_request_context():
            document = respond(422, "It is wrong.", code=code).get_json()
        assert document["type"] == f"https://example.org/relay/docs/errors#{code}"
        assert document["code"] == code
    answer = app_with_path.test_client().get("/nothing")
    assert answer.get_json()["type"] == "https://example.org/relay/docs/errors#not_found"


def test_the_challenge_says_what_is_wrong_with_a_key(relay: Relay) -> None:
    reads = relay.call("POST", "/v1/api-keys", json={"name": "reads", "scopes": ["events:read"]}).json()
    bearer = 'Bearer realm="cams-relay"'
    for key, status, challenge in (
        (None, 401, bearer),
        ("crk_wrong", 401, f'{bearer}, error="invalid_token"'),
        (reads["key"], 403, f'{bearer}, error="insufficient_scope", scope="devices:write"'),
    ):
        answer = relay.call("POST", "/v1/devices", key=key, json={})
        assert answer.status_code == status
        assert answer.headers["WWW-Authenticate"] == challenge
