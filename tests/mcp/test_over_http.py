"""Authentication and host names over HTTP, and configurations that the command line refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import requests

from tests.harness import ROOT, free_port
from tests.mcp.clients import Assistants, run, serving

_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    },
}


def _post(url: str, key: str | None, **headers: str) -> requests.Response:
    accepted = {"Accept": "application/json, text/event-stream"}
    sent = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.post(url, json=_HELLO, headers={**accepted, **sent, **headers}, timeout=15)


@pytest.mark.parametrize("key", [None, "crk_wrong", "crk_wröng", "x" * 5000])
def test_callers_without_an_api_key_are_refused(assistants: Assistants, key: str | None) -> None:
    sent = None if key is None else key.encode().decode("latin-1")
    answer = _post(assistants.url, sent)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "API key" in answer.json()["error_description"]


def test_a_deleted_key_ends_at_once(assistants: Assistants) -> None:
    relay = assistants.stage.relay
    made = relay.call("POST", "/v1/api-keys", json={"name": "short-lived", "scopes": ["events:read"]}).json()
    assert _post(assistants.url, made["key"]).status_code == 200
    assert relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    assert _post(assistants.url, made["key"]).status_code == 401


def test_hundreds_of_wrong_keys_do_not_block_other_callers(assistants: Assistants, tmp_path: Path) -> None:
    """To the relay, the requests with wrong keys come from the same address as all others on this machine."""
    relay, key = assistants.stage.relay, assistants.key("events:read")
    with serving(relay.url, tmp_path) as url:
        assert _post(url, key).status_code == 200
        answers = [_post(url, f"crk_made-up-{number}") for number in range(250)]
        assert [answer.status_code for answer in answers] == [401] * 99 + [429] * 151
        assert answers[-1].headers["Retry-After"] == "60"
        assert _post(url, assistants.key("events:read")).status_code == 429, (
            "this key was never used here before"
        )
        assert _post(url, key).status_code == 200
        assert relay.call("GET", "/v1/me", key=key).status_code == 200


def test_a_session_belongs_to_the_key_that_opened_it(assistants: Assistants) -> None:
    mine, other = assistants.key("events:read"), assistants.key("events:read")
    session = {"Mcp-Session-Id": _post(assistants.url, mine).headers["mcp-session-id"]}
    assert _post(assistants.url, mine, **session).status_code != 404
    assert _post(assistants.url, other, **session).status_code == 404


def test_only_allowed_host_names_are_served(assistants: Assistants, tmp_path: Path) -> None:
    """A page whose name resolves to this machine (DNS rebinding) is refused even with a valid key."""
    key = assistants.key("events:read")
    port = assistants.url.split(":")[2].split("/")[0]
    assert _post(assistants.url, key, Host="evil.example").status_code == 421
    assert _post(assistants.url, key, Host=f"127.0.0.1.evil.example:{port}").status_code == 421
    assert _post(assistants.url, key, Origin="https://evil.example").status_code == 403
    assert _post(assistants.url, key, Origin="http://localhost:3000").status_code == 200
    with serving(assistants.stage.relay.url, tmp_path, "--allow-host", "mcp.example.com") as url:
        name = {"Host": "mcp.example.com"}
        assert _post(url, key, **name).status_code == 200
        assert _post(url, key, **name, Origin="https://mcp.example.com").status_code == 200
        assert _post(url, key, **name, Origin="https://evil.example").status_code == 403
        assert _post(url, key, Host="evil.example").status_code == 421


def test_an_unreachable_relay_is_reported(tmp_path: Path) -> None:
    with serving(f"http://127.0.0.1:{free_port()}", tmp_path) as url:
        answer = _post(url, "crk_made-up")
    assert answer.status_code == 503 and "can't be reached" in answer.json()["error_description"]
    assert "crk_made-up" not in (tmp_path / "mcp.log").read_text()


def test_a_url_that_is_not_a_relay_is_reported(assistants: Assistants, tmp_path: Path) -> None:
    with serving(assistants.url.removesuffix("/mcp"), tmp_path) as url:
        answer = _post(url, "crk_made-up")
    assert answer.status_code == 503 and "is not a cams-relay" in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--http", "9", "--host", "0.0.0.0"), "--allow-host relay.example.com"),
        (("--url", "relay.example.com"), "use, for example, --url https://relay.example.com"),
        ((), "there is no API key. Set RELAY_API_KEY"),
    ],
)
def test_settings_that_cannot_work_prevent_the_start(
    tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "app", "mcp", *options],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr


def test_the_key_in_the_data_folder_is_used(assistants: Assistants, tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "api_key").write_text(assistants.key("events:read") + "\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "mcp", "--url", assistants.stage.relay.url + "/"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        process.stdin.write("".join(f"{json.dumps(message)}\n" for message in (_HELLO, initialized, listing)))
        process.stdin.flush()
        assert '"serverInfo"' in process.stdout.readline()
        assert '"who_is_in"' in process.stdout.readline()
    finally:
        process.stdin.close()
        process.wait(10)
    assert process.returncode == 0


def test_the_web_process_does_not_load_the_mcp_server() -> None:
    """Modules that only assistants need are imported on first use, which keeps cold starts short."""
    code = "import sys, app.api, app.cli, app.web.gunicorn; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "flask" in loaded and not loaded & {"mcp", "pydantic", "starlette", "uvicorn", "jsonschema"}


def test_old_and_new_protocol_versions_are_supported(assistants: Assistants) -> None:
    """The SDK's client uses the newest version; clients of 2025 begin with `initialize`, as `_post` does."""
    key = assistants.key("events:read")
    opened = _post(assistants.url, key)
    assert '"protocolVersion":"2025-06-18"' in opened.text.replace(" ", "")

    async def newest() -> str:
        async with httpx2.AsyncClient() as _, assistants.over_http(key) as client:
            return client.protocol_version

    assert run(newest) >= "2025-11-25"
