"""The command line: invalid settings, doctor, keys, and `up`. Contract §1."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import requests

from app.run.up import _screen
from app.settings.table import VARIABLES, load
from app.store import Store
from tests.command_line import SECRET, Up, children, environment, run, run_for
from tests.harness import API_KEY, Relay, wait_for
from tests.processes import children as run_by

# Settings

WRONG = [
    ("PORT", "80000"),
    ("PORT", "http"),
    ("WEB_CONCURRENCY", "0"),
    ("REDIS_URL", "myhost:6379"),
    ("REDIS_URL", "http://localhost"),
    ("REDIS_URL", "redis://localhost:port/0"),
    ("REDIS_URL", "redis://localhost:6379/zero"),
    ("REDIS_URL", "redis://[::1"),
    ("RELAY_RQ_URL", "http://localhost"),
    ("RELAY_REDIS_TLS", "unchecked"),
    ("RELAY_REDIS_CONNECTIONS", "1"),
    ("RELAY_API_KEY", "tiny-key"),
    ("RELAY_PUBLIC_URL", "relay.example.com"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com:port"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com/?a=b"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com//relay"),  # links to //relay lead to the host "relay"
    ("RELAY_PUBLIC_URL", "https://relay.example.com/%2Frelay"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com/hr/\t/relay"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com/hr%2F/"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com/\\relay"),
    ("RELAY_PUBLIC_URL", "https://relay.example.com/%5Crelay"),
    ("RELAY_TRUSTED_PROXIES", "-1"),
    ("RELAY_ALLOW_PRIVATE_TARGETS", "localhost"),
    ("RELAY_ALLOW_PRIVATE_TARGETS", "10.0.0.0/99"),
    ("RELAY_RETRY_SCHEDULE", "5;10"),
    ("RELAY_RETRY_SCHEDULE", "5,-1"),
    ("RELAY_RETRY_SCHEDULE", "5,nan"),
    ("RELAY_DELIVERY_TIMEOUT", "soon"),
    ("RELAY_DELIVERY_TIMEOUT", "0"),
    ("RELAY_COMMAND_WAIT", "-5"),
    ("RELAY_COMMAND_TIMEOUT", "inf"),
    ("RELAY_COMMAND_POLL_SCHEDULE", "a,b"),
    ("RELAY_SPOOL", "maybe"),
    ("RELAY_DURABILITY", "always"),
    ("RELAY_RETENTION_DAYS", "0"),
    ("RELAY_DEDUPE_DAYS", "1.5"),
    ("RELAY_AUDIT_DAYS", "0"),
    ("RELAY_LOG_FORMAT", "xml"),
    ("RELAY_DAY_STARTS", "4"),
    ("RELAY_LATE_AFTER", "24:00"),
    ("RELAY_SAME_VISIT_SECONDS", "3601"),
    ("RELAY_LONGEST_SHIFT_HOURS", "25"),
    ("RELAY_SILENT_AFTER_MINUTES", "an hour"),
    ("RELAY_WORKING_HOURS", "9 to 5"),
    ("RELAY_WORKING_HOURS", "Mon-Tue 08:00-12:00, Tue 11:00-13:00"),
    ("RELAY_SHARDS", "0"),
    ("RELAY_METRICS_OPEN", "perhaps"),
    ("RELAY_LOG_LEVEL", "loud"),
    ("DATABASE_URL", "mysql://host/database"),
    ("RELAY_ARCHIVE_DAYS", "three years"),
    ("RELAY_BACKUP_TO", "ftp://host/folder"),
    ("RELAY_BACKUP_EVERY", "daily"),
    ("RELAY_BACKUP_KEEP", "0"),
    ("RELAY_CONNECTIONS", "2"),
    ("RELAY_CONNECTIONS_PER_ADDRESS", "0"),
    ("RELAY_HEADER_TIMEOUT", "0"),
    ("RELAY_BODY_TIMEOUT", "long"),
    ("RELAY_BODY_MEMORY", "8"),
    ("RELAY_BODY_MEMORY_PER_ADDRESS", "a lot"),
    ("RELAY_DEVICES_WITHOUT_HINT", "0"),
    ("RELAY_STREAMS_PER_KEY", "0"),
    ("RELAY_STREAMS_PER_ADDRESS", "all"),
    ("RELAY_DEVICE_EVENTS_PER_MINUTE", "9999"),
    ("RELAY_DEVICE_MIB_PER_MINUTE", "15"),
    ("RELAY_DEVICE_MIB_PER_DAY", "1.5"),
    ("RELAY_DEVICE_USERS", "0"),
    ("RELAY_KEY_MIB_PER_MINUTE", "15"),
    ("RELAY_KEY_MIB_PER_DAY", "lots"),
    ("RELAY_MOST_DEVICES", "0"),
    ("RELAY_MOST_SUBSCRIPTIONS", "0"),
    ("RELAY_MOST_API_KEYS", "none"),
]
FREE = {"HOST", "RELAY_DATA_DIR", "RELAY_SECRET_KEY", "RELAY_SECRET_KEY_OLD"}  # any text is valid


def test_every_setting_has_an_invalid_value_in_this_test() -> None:
    assert {variable.name for variable in VARIABLES} - FREE <= {name for name, _ in WRONG}


@pytest.mark.parametrize("name, value", WRONG)
def test_an_invalid_setting_is_reported_in_one_sentence_with_an_example(name: str, value: str) -> None:
    from app.settings.table import SettingsError, load

    with pytest.raises(SettingsError) as error:
        load({name: value, "RELAY_SECRET_KEY": SECRET})
    text = str(error.value)
    variable = next(variable for variable in VARIABLES if variable.name == name)
    assert text.startswith(f"{name}: ") and text.endswith(f"{name}={variable.example}") and "\n" not in text
    is_hidden = variable.secret or name == "RELAY_BACKUP_TO"  # its URL may contain a password
    assert (value in text or repr(value) in text) is not is_hidden
    assert load({name: variable.example, "RELAY_SECRET_KEY": SECRET})


@pytest.mark.parametrize("command", ["up", "web", "worker", "store", "doctor"])
def test_an_invalid_setting_stops_every_command_with_one_line(tmp_path: Path, command: str) -> None:
    ended = run(tmp_path, command, RELAY_RETENTION_DAYS="many")
    assert ended.returncode != 0
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    assert len(lines) == 1, lines
    assert (
        "RELAY_RETENTION_DAYS" in lines[0] and "'many'" in lines[0] and "RELAY_RETENTION_DAYS=30" in lines[0]
    )


def test_gunicorn_reports_an_invalid_setting_in_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:app.web.gunicorn", "app.web.wsgi:app"],
        cwd=tmp_path,
        env=environment(tmp_path, RELAY_SPOOL="perhaps"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode != 0
    assert "RELAY_SPOOL: 'perhaps'" in ended.stderr and "Traceback" not in ended.stderr


def test_a_redis_url_without_a_secret_key_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "web", REDIS_URL="redis://:hidden-password@127.0.0.1:1/0")
    assert ended.returncode != 0
    assert "RELAY_SECRET_KEY" in ended.stderr and len(ended.stderr.strip().splitlines()) == 1
    assert "hidden-password" not in ended.stderr


def test_a_dot_env_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RELAY_RETENTION_DAYS=many\n")
    assert "'many'" in run(tmp_path, "doctor").stderr
    assert "'many'" not in run(tmp_path, "doctor", RELAY_RETENTION_DAYS="30").stderr


# doctor and keys


def test_doctor_prints_a_line_per_problem_and_exits_with_1(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        "doctor",
        REDIS_URL="redis://:hidden-password@127.0.0.1:1/0",
        RELAY_SECRET_KEY="short",
        RELAY_ALLOW_PRIVATE_TARGETS="10.0.0.0/8, ALL",
    )
    assert ended.returncode == 1
    lines = ended.stdout.strip().splitlines()
    for word in ("RELAY_SECRET_KEY", "RELAY_ALLOW_PRIVATE_TARGETS", "RELAY_PUBLIC_URL", "REDIS_URL"):
        assert sum(f"{word}" in line.partition(":")[0].partition("=")[0] + line for line in lines), word
    # The store can't be reached; the others are warnings. The last line counts the problems.
    assert [line[0] for line in lines] == ["✗", "!", "!", "!", "✗"]
    assert "hidden-password" not in ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_doctor_exits_with_0_without_problems(tmp_path: Path) -> None:
    with Relay(tmp_path) as relay:
        relay.device()
        ended = run_for(relay, "doctor", RELAY_PUBLIC_URL=relay.url)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


def keys_create(relay: Relay, *options: str) -> subprocess.CompletedProcess[str]:
    return run_for(relay, "keys", "create", *options)


def test_a_key_created_on_the_command_line_works(relay: Relay) -> None:
    made = keys_create(relay, "--name", "cli", "--scope", "events:read", "--scope", "metrics:read")
    assert made.returncode == 0
    key = made.stdout.strip()
    shown = relay.get("/v1/me", key=key)
    assert (shown["name"], shown["scopes"]) == ("cli", ["events:read", "metrics:read"])


def test_an_invalid_scope_is_refused_on_the_command_line(relay: Relay) -> None:
    made = keys_create(relay, "--name", "cli", "--scope", "events:write")
    assert made.returncode != 0 and "events:write" in made.stderr and "events:read" in made.stderr
    assert made.stdout == "" and "Traceback" not in made.stderr


def test_creating_a_key_needs_the_store(tmp_path: Path) -> None:
    made = run(tmp_path, "keys", "create", "--name", "x", "--scope", "admin")
    assert made.returncode != 0 and "data/secret_key doesn't exist" in made.stderr
    assert "RELAY_DATA_DIR" in made.stderr and len(made.stderr.strip().splitlines()) == 1


def test_a_backup_that_cannot_be_written_does_not_blame_the_store(relay: Relay, tmp_path: Path) -> None:
    name = "copy" * 61  # with the ending for incomplete files, the name is too long
    ended = run_for(relay, "backup", str(tmp_path / name))
    assert ended.returncode == 1 and "copy can't be written: File name too long" in ended.stderr


# up


def test_up_shows_a_simulated_punch_within_5_s_and_stops_cleanly(tmp_path: Path) -> None:
    up = Up(tmp_path)
    try:
        shown = up.wait_for_screen()
        text = up.text()
        file = Path(up.environment["RELAY_DATA_DIR"]) / "api_key"
        key = file.read_text().strip()
        assert f"the one in {file}\n" in text
        assert key not in text  # it would end up in a log
        assert f"{up.url}/callback" in text and "cloudflared" in text and "ngrok" in text
        wait_for(
            lambda: up.get("/v1/events?type=attendance.punch", key)["data"], 5 - (time.monotonic() - shown)
        )
        wait_for(
            lambda: "attendance.punch" in up.text().partition("Ctrl-C")[2], 5 - (time.monotonic() - shown)
        )
        children_of_up = children(up.process.pid)
        assert len(children_of_up) >= 4
    finally:
        status = up.stop()
    assert status == 0
    assert "Traceback" not in up.text()
    # A second start finds all earlier data.
    again = Up(tmp_path, "--no-simulator")
    try:
        again.wait_for_screen()
        assert key not in again.text()
        assert again.get("/v1/events?type=attendance.punch", key)["data"]
    finally:
        again.stop()


def test_the_simulated_device_takes_commands_although_loopback_addresses_are_refused(tmp_path: Path) -> None:
    up = Up(tmp_path)
    try:
        up.wait_for_screen()
        headers = {"X-API-Key": (Path(up.environment["RELAY_DATA_DIR"]) / "api_key").read_text().strip()}
        wait_for(lambda: up.get("/v1/users", headers["X-API-Key"])["data"], 30)

        def call(method: str, path: str, body: object) -> requests.Response:
            return requests.request(method, up.url + path, json=body, headers=headers, timeout=60)

        body = {"device_id": "VIRTUAL01"}
        for action, more in (("enable-user", {"user_id": "2"}), ("load-device-information", {})):
            answer = call("POST", f"/v1/actions/{action}", body | more)
            assert answer.status_code == 200, answer.text
        gateway = f"http://127.0.0.1:{up.environment['SIMULATOR_PORT']}/external/api3.0/biometric"
        device = {"device_id": "OTHER", "auth_token": "made-up-token-0123456789", "gateway_url": gateway}
        assert call("POST", "/v1/devices", device).status_code == 422
        hook = {"target_url": gateway, "event_types": ["*"]}
        assert call("POST", "/v1/subscriptions", hook).status_code == 422
    finally:
        up.stop()


@pytest.mark.parametrize("terminal", [True, False])
def test_up_prints_the_first_key_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    store = cast(Store, SimpleNamespace(api_keys=SimpleNamespace(has_first=True, first="crk_made-up")))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    image = load({"RELAY_DATA_DIR": "/data"})
    screen = _screen(image, store, "cams-relay", first_time=True, virtual=False)
    assert ("crk_made-up" in screen) == terminal
    assert ("docker compose exec relay cat /data/api_key" in screen) != terminal
    again = _screen(image, store, "cams-relay", first_time=False, virtual=False)
    assert "crk_made-up" not in again


@pytest.mark.parametrize(
    ("allowed", "works"), [("", False), ("10.0.0.0/8", False), ("127.0.0.0/8", True), ("all", True)]
)
def test_up_suggests_a_target_that_the_relay_accepts(allowed: str, works: bool) -> None:
    store = cast(Store, SimpleNamespace(api_keys=SimpleNamespace(has_first=True, first="crk_made-up")))
    settings = load({"RELAY_ALLOW_PRIVATE_TARGETS": allowed})
    screen = _screen(settings, store, "cams-relay", first_time=False, virtual=False)
    assert ("http://127.0.0.1:9000/" in screen) == works
    assert ("RELAY_ALLOW_PRIVATE_TARGETS=" in screen) != works


def test_up_without_a_simulator_prints_its_screen_and_no_punch(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOST=127.0.0.2\n")
    up = Up(tmp_path, "--no-simulator", RELAY_API_KEY=API_KEY)
    up.url = up.url.replace("127.0.0.1", "127.0.0.2")
    try:
        up.wait_for_screen()
        assert "virtual" not in up.text() and API_KEY not in up.text()
        assert up.get("/v1/devices", API_KEY)["data"] == []
        assert up.get("/health", "")["status"] == "ok"
    finally:
        assert up.stop() == 0


def test_up_reports_a_port_in_use(tmp_path: Path, relay: Relay) -> None:
    ended = run(tmp_path, "up", PORT=str(relay.port))
    assert ended.returncode != 0
    assert f"PORT={relay.port}" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "name, value", [("HOST", "192.0.2.1"), ("HOST", "no-such.invalid"), ("RELAY_DATA_DIR", "/proc/nothing")]
)
def test_up_names_the_invalid_setting(tmp_path: Path, name: str, value: str) -> None:
    ended = run(tmp_path, "up", **{name: value})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {name}={value}") and "Traceback" not in ended.stderr


@pytest.mark.parametrize("port", ["abc", "-1", "65536"])
def test_up_reports_a_problem_with_the_simulators_port(tmp_path: Path, port: str) -> None:
    ended = run(tmp_path, "up", SIMULATOR_PORT=port)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: SIMULATOR_PORT: {port!r} is not a whole number between 0 and 65535; "
        "use, for example, SIMULATOR_PORT=8090\n"
    )


def test_up_logs_in_the_configured_format(tmp_path: Path) -> None:
    """Including its own messages, such as one about a process that has ended."""
    up = Up(tmp_path, "--no-simulator", RELAY_LOG_FORMAT="json")
    try:
        up.wait_for_screen()
        (jobs,) = [pid for pid, command in run_by(up.process.pid).items() if "workers.rq" in command]
        os.kill(jobs, 9)
        wait_for(lambda: '"logger":"relay.supervisor"' in up.text())
    finally:
        up.stop()
