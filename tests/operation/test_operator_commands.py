"""Commands for keys, subscriptions, devices and events have the same results as the API, without secrets."""

from __future__ import annotations

import json
import queue
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import click
import pytest
import redis

from app.cli.shared import asked_store
from app.settings.table import load
from tests.command_line import cli, run_for
from tests.harness import Receiver, Relay, wait_for


def fails(relay: Relay, *arguments: str, given: str | None = None) -> str:
    """Runs a command that must fail, and returns its error message."""
    ran = run_for(relay, *arguments, given=given)
    assert ran.returncode == 1 and ran.stdout == "", ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stderr


def rows(relay: Relay, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in cli(relay, *arguments, "--json").splitlines()]


def actions_by_command_line(relay: Relay) -> list[tuple[str, str]]:
    entries = relay.get("/v1/audit", params={"limit": 200})["data"]
    return [
        (one["action"], one["device_id"] or one["subject"])
        for one in entries
        if one["actor"] == "command line"
    ]


def test_keys_are_listed_as_the_api_lists_them_and_revoked_keys_stop_working(relay: Relay) -> None:
    made = relay.call("POST", "/v1/api-keys", json={"name": "for a test", "scopes": ["events:read"]}).json()
    listed = rows(relay, "keys", "list")
    assert {key: made[key] for key in made if key != "key"} in listed
    table = cli(relay, "keys", "list")
    assert made["id"] in table and made["key"] not in table and "for a test" in table
    assert "no-such" in fails(relay, "keys", "revoke", "no-such", "--yes")
    assert "Aborted" in fails(relay, "keys", "revoke", made["id"])  # without a confirmation
    assert relay.call("GET", "/v1/me", key=made["key"]).ok
    assert rows(relay, "keys", "revoke", made["id"], "--yes") == [{"id": made["id"], "revoked": True}]
    assert relay.call("GET", "/v1/me", key=made["key"]).status_code == 401
    assert ("api_key.deleted", made["id"]) in actions_by_command_line(relay)


@pytest.mark.parametrize(
    "options, given, stays",
    [
        ((), "y\nn\n", True),
        ((), "y\ny\n", False),
        (("--yes",), "", True),
        (("--yes", "--subscriptions", "delete"), "", False),
    ],
)
def test_revoking_a_key_lists_its_subscriptions_and_asks_about_them(
    relay: Relay, options: tuple[str, ...], given: str, stays: bool
) -> None:
    body = {"name": "of a tool", "scopes": ["subscriptions:write", "events:read"]}
    made = relay.call("POST", "/v1/api-keys", json=body).json()
    hook = {"target_url": "http://127.0.0.1:9/a-secret-path", "event_types": ["device.silent"]}
    subscription = relay.call("POST", "/v1/subscriptions", key=made["key"], json=hook).json()
    ran = run_for(relay, "keys", "revoke", made["id"], *options, given=given)
    assert ran.returncode == 0, ran.stderr
    assert f"  {subscription['id']} 127.0.0.1:9\n" in ran.stderr and "secret" not in ran.stderr
    shown = relay.call("GET", f"/v1/subscriptions/{subscription['id']}")
    assert shown.status_code == (200 if stays else 404)
    relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}")


def test_a_command_that_succeeds_prints_no_log_lines(relay: Relay, tmp_path: Path) -> None:
    """The audit log records the command, but the user isn't shown a log line."""
    made = run_for(relay, "keys", "create", "--name", "quiet", "--scope", "events:read")
    saved = run_for(relay, "backup", str(tmp_path / "copy"))
    assert (made.returncode, made.stderr) == (0, "") and (saved.returncode, saved.stderr) == (0, "")
    done = [action for action, _ in actions_by_command_line(relay)]
    assert {"api_key.created", "store.backed_up"} <= set(done)


def test_a_key_is_renamed_and_rotated_and_the_previous_one_works_as_long_as_requested(relay: Relay) -> None:
    made = relay.call("POST", "/v1/api-keys", json={"name": "old", "scopes": ["events:read"]}).json()
    assert "'new'" in cli(relay, "keys", "rename", made["id"], "new")
    ran = run_for(relay, "keys", "rotate", made["id"], "--overlap", "3600")
    second = ran.stdout.strip()
    assert ran.returncode == 0 and "valid until" in ran.stderr and second.startswith("crk_")
    assert relay.get("/v1/me", key=second) == relay.get("/v1/me", key=made["key"])
    assert relay.get("/v1/me", key=second)["name"] == "new"
    (shown,) = rows(relay, "keys", "rotate", made["id"], "--overlap", "0")
    assert shown["previous_key_expires_at"] is None and shown["name"] == "new"
    statuses = [
        relay.call("GET", "/v1/me", key=key).status_code for key in (made["key"], second, shown["key"])
    ]
    assert statuses == [401, 401, 200]
    assert "previous_key_expires_in" in fails(relay, "keys", "rotate", made["id"], "--overlap", "-1")
    assert "no API key" in fails(relay, "keys", "rotate", "no-such")
    assert "no API key" in fails(relay, "keys", "rename", "no-such", "name")
    found = actions_by_command_line(relay)
    assert ("api_key.rotated", made["id"]) in found and ("api_key.changed", made["id"]) in found


def test_all_pages_of_a_list_are_printed(relay: Relay) -> None:
    for number in range(3):
        assert relay.call(
            "POST", "/v1/api-keys", json={"name": f"page {number}", "scopes": ["events:read"]}
        ).ok
    script = "import app.cli.operator as o; o._PAGE = 1; from app.cli import main; main(['keys', 'list', '--json'])"
    ran = subprocess.run(
        [sys.executable, "-c", script], env=relay.environment, capture_output=True, text=True, timeout=60
    )
    listed = [json.loads(line)["id"] for line in ran.stdout.splitlines()]
    assert listed == [one["id"] for one in relay.get("/v1/api-keys", params={"limit": 200})["data"]]


def test_a_device_is_registered_with_the_apis_checks_and_without_showing_its_secrets(relay: Relay) -> None:
    token, key, name = secrets.token_hex(16), secrets.token_hex(16), f"CLI{secrets.token_hex(4)}"
    file = relay.folder / "security-key"
    file.write_text(f"{key}\n")
    options = ("--auth-token-file", "-", "--security-key-file", str(file), "--label", "Main gate", "--json")
    assert "is not a valid AuthToken" in fails(relay, "devices", "add", name, *options, given="short")
    added = run_for(relay, "devices", "add", name, *options, given=f"{token}\n")
    assert added.returncode == 0, added.stderr
    shown = json.loads(added.stdout)
    assert shown == relay.get(f"/v1/devices/{name}")
    assert (shown["label"], shown["has_security_key"]) == ("Main gate", True)
    assert "already registered" in fails(relay, "devices", "add", name, *options, given=token)
    assert "AuthToken is missing" in fails(relay, "devices", "add", "OTHER")
    assert "timezone" in fails(relay, "devices", "add", "OTHER", *options, "--timezone", "Mars", given=token)
    assert "gateway_url" in fails(
        relay, "devices", "add", "OTHER", *options, "--gateway-url", "http://10.0.0.1/", given=token
    )
    assert shown in rows(relay, "devices", "list")
    table = cli(relay, "devices", "list")
    assert name in table and "Main gate" in table
    for text in (added.stdout, added.stderr, table):
        assert token not in text and key not in text
    assert ("device.registered", name) in actions_by_command_line(relay)


def test_subscriptions_are_listed_tested_and_replayed(relay: Relay, receiver: Receiver) -> None:
    device = relay.device()
    receiver.url += "/path-secret-made-up"
    made = relay.subscribe(receiver, device, headers={"X-Team": "header-secret-made-up"})
    device.send_done(device.punch())
    (punch,) = receiver.wait(1)
    listed = next(one for one in rows(relay, "subscriptions", "list") if one["id"] == made["id"])
    assert listed["target_url"] == receiver.url and "secret" not in listed
    table = cli(relay, "subscriptions", "list")
    assert made["id"] in table and "path-secret-made-up" not in table
    for text in (table, json.dumps(listed)):
        assert made["secret"] not in text and "header-secret-made-up" not in text
    (queued,) = rows(relay, "subscriptions", "test", made["id"], "--event-type", "user.deleted")
    wait_for(lambda: queued["event_id"] in [event["id"] for event in receiver.events()])
    assert "is queued" in cli(relay, "subscriptions", "replay", made["id"], "--since", "2026-01-01T00:00:00Z")
    ids = [punch.json["id"]] * 2
    wait_for(lambda: [one["id"] for one in receiver.events() if one["type"] == "attendance.punch"] == ids)
    assert "1 event is queued again (rpl_" in cli(
        relay, "subscriptions", "replay", made["id"], "--event-id", punch.json["id"]
    )
    wait_for(lambda: len([one for one in receiver.events() if one["id"] == ids[0]]) == 3)
    assert "no subscription" in fails(relay, "subscriptions", "test", "sub_none/../x")
    assert "event_type" in fails(relay, "subscriptions", "test", made["id"], "--event-type", "none")
    assert "ISO 8601" in fails(relay, "subscriptions", "replay", made["id"], "--since", "yesterday")
    assert "event_ids" in fails(relay, "subscriptions", "replay", made["id"])
    both = run_for(
        relay, "subscriptions", "replay", made["id"], "--event-id", ids[0], "--since", "2026-01-01"
    )
    assert both.returncode == 2 and "can't be combined" in both.stderr


def test_tail_prints_the_latest_events_and_then_each_new_event_once(relay: Relay) -> None:
    device = relay.device()
    for _ in range(3):
        device.send_done(device.punch(user="\x1b[31m7"))
    options = ("events", "tail", "--device", device.id)
    stored = relay.events(device_id=device.id)
    assert rows(relay, *options, "--no-follow", "-n", "2") == stored[-2:]
    shown = cli(relay, *options, "--no-follow")
    assert len(shown.splitlines()) == 3 and "\x1b" not in shown
    assert "is not an event type" in fails(relay, "events", "tail", "--type", "none")
    following = subprocess.Popen(
        [sys.executable, "-m", "app", *options, "--type", "attendance.*", "--json", "-n", "1"],
        cwd=relay.folder,
        env=relay.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    assert following.stdout is not None
    reader = threading.Thread(target=lambda out: [lines.put(line) for line in out], args=(following.stdout,))
    reader.start()
    try:
        read = [json.loads(lines.get(timeout=60))]
        device.send_done(device.punch())
        device.send_done(device.punch())
        read += [json.loads(lines.get(timeout=60)) for _ in range(2)]
    except queue.Empty:
        following.kill()
        raise
    assert [one["id"] for one in read] == [
        one["id"] for one in relay.events(device_id=device.id, type="attendance.*")[-3:]
    ]
    following.send_signal(signal.SIGINT)
    assert following.wait(60) == 0
    reader.join(60)
    assert following.stderr is not None and following.stderr.read() == "" and lines.empty()


def test_a_closed_pipe_ends_the_command_without_an_error(relay: Relay) -> None:
    device = relay.device()
    for _ in range(3):
        device.send_done(device.punch())
    tail = f"{sys.executable} -m app events tail --device {device.id} --no-follow | head -n 1; sleep 1"
    ran = subprocess.run(
        ["sh", "-c", tail],
        cwd=relay.folder,
        env=relay.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert len(ran.stdout.splitlines()) == 1 and ran.stderr == ""


def test_a_failing_command_does_not_blame_the_store(
    relay: Relay,
) -> None:
    settings = load(relay.environment)
    for error in (BrokenPipeError(), FileNotFoundError(2, "No such file", "made-up")):
        with pytest.raises(type(error)), asked_store(settings):
            raise error
    with pytest.raises(click.ClickException), asked_store(settings):
        raise redis.ConnectionError("made up")


def test_a_secret_in_a_binary_file_is_refused_with_a_sentence(relay: Relay) -> None:
    file = relay.folder / "binary"
    file.write_bytes(b"\xff\xfe\x00")
    assert "is not a text file" in fails(relay, "devices", "add", "OTHER", "--auth-token-file", str(file))
    options = ("--auth-token-file", "-", "--security-key-file", str(file))
    assert "is not a text file" in fails(relay, "devices", "add", "OTHER", *options, given="a" * 32)


@pytest.mark.parametrize("what", ["keys", "subscriptions", "devices"])
def test_an_empty_list_prints_a_message(tmp_path_factory: pytest.TempPathFactory, what: str) -> None:
    relay = Relay(tmp_path_factory.mktemp("empty"), RELAY_SECRET_KEY="made-up-" * 8).start("store")
    try:
        wait_for(lambda: run_for(relay, what, "list").returncode == 0, 30)  # wait for the store
        before = sorted(relay.folder.rglob("*"))
        assert "no " in cli(relay, what, "list").lower()
        assert rows(relay, what, "list") == []
        assert sorted(relay.folder.rglob("*")) == before
    finally:
        relay.stop()
