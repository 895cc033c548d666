"""Keys of a wrong type in the store, as after damage or a foreign tool: every kind of key, every page.

No response is a 500, no traceback is logged, and nothing is deleted. `/health` and `doctor` report what can't be
read, so that an incomplete list isn't mistaken for a complete one.
"""

from __future__ import annotations

import os
import re
import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import requests
from click.testing import CliRunner

from app.cli import main
from app.settings.table import current, load
from app.store import Store
from app.store.privacy.stored_data import STORED_DATA, StoredData, pattern
from app.web.application import create_app
from tests.console.tools import Client
from tests.harness import API_KEY, Device, Receiver, Relay
from tests.relay.tools import corrected_punch, key_with

PERSON = "70001"
OVERWRITTEN = "{g}:listening"  # web processes set it every few seconds, even if its type is wrong
# Every process that starts repairs these (tests/relay/test_repaired_keys.py)
REPAIRED = ("{g}:devices", "{g}:key_id", "{g}:shards", "{g}:store")
# Pages that show no stored data.
STATIC = re.compile(r"/docs|/openapi|/postman|/console/static|/console/sign-in")


@dataclass
class Lived:
    """A relay with at least one row in every list, the paths of its pages, and a stored API key."""

    relay: Relay
    store: Store
    device: Device
    paths: list[str]
    console: Client
    key: str
    rows: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    relay = Relay(
        tmp_path_factory.mktemp("types"), RELAY_RETRY_SCHEDULE="600", RELAY_SHARDS="1", WEB_CONCURRENCY="1"
    )
    good, bad = Receiver(), Receiver()
    bad.answer = lambda _: (500, {}, b"")
    relay.start()
    try:
        device = relay.device(gateway_url="http://127.0.0.1:9/api")
        subscription = relay.subscribe(good)
        relay.subscribe(bad)
        leave_traces(device)
        good.wait(5)
        begin_replay(relay, subscription["id"])
        # No worker, because it would write to the store. It has its own tests (tests/delivery/test_parked.py).
        relay.kill("worker")
        console = Client(relay)
        assert console.sign_in(API_KEY).status_code == 303
        key = key_with(relay, "admin")
        store = Store(load(relay.environment))
        paths = paths_of(relay, device, subscription["id"])
        found = Lived(relay, store, device, paths, console, key)
        whole = read_all(found)
        refused = [
            path for path, answer in whole.items() if answer.status_code >= 400 and "/console" not in path
        ]
        assert refused == []
        found.statuses = {path: answer.status_code for path, answer in whole.items()}
        found.rows = {path: rows(answer) for path, answer in whole.items()}
        yield found
    finally:
        relay.stop()
        good.close()
        bad.close()


def leave_traces(device: Device) -> None:
    template = {"Type": "Face", "UserID": PERSON, "Index": "0", "Size": "4", "Data": "ZmFjZQ=="}
    updated = {"UserID": PERSON, "FirstName": "Asha", "Template": [template]}
    device.send_done(device.envelope(UserUpdated=updated))
    device.send_done(device.punch(PERSON))
    photo = {"UserID": PERSON, "LogPhoto": "/9j/AAAA", "LogTime": "2026-11-24 09:00:00 GMT +0530"}
    device.send_done(device.envelope(Log=photo))
    device.send_done(device.envelope(NewThing={"UserID": PERSON}))
    row = {"employee_id": "E1", "name": "Asha"}
    assert device.relay.call("PUT", f"/v1/employees/{PERSON}", json=row).ok
    body = {"device_id": device.id, "user_id": PERSON, "first_name": "Asha"}
    headers = {"Prefer": "wait=10", "Idempotency-Key": secrets.token_hex(8)}
    assert device.relay.call("POST", "/v1/actions/add-user", json=body, headers=headers).status_code < 600


def begin_replay(relay: Relay, subscription: str) -> None:
    body = {"since": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
    assert relay.call("POST", f"/v1/subscriptions/{subscription}/replay", json=body).status_code == 202


def paths_of(relay: Relay, device: Device, subscription: str) -> list[str]:
    """Return a path for every readable page of the API and the console."""
    events = relay.events()
    photo, unrecognised = (
        next(event[field] for event in events if event.get(field)) for field in ("photo_url", "body_url")
    )
    values = {
        "subscription_id": subscription,
        "event_id": events[0]["id"],
        "device_id": device.id,
        "user_id": PERSON,
        "credential_type": "face",
        "index": "0",
        "command_id": relay.get("/v1/commands")["data"][0]["command_id"],
        "correction_id": corrected_punch(relay, device.id, PERSON)["id"],
        "delivery_id": relay.get(f"/v1/subscriptions/{subscription}/deliveries")["data"][0]["id"],
        "replay_id": relay.get(f"/v1/subscriptions/{subscription}/replays")["data"][0]["id"],
    }
    values["key_id"] = relay.get("/v1/api-keys")["data"][0]["id"]
    here, today = len(relay.url), datetime.now(UTC)
    paths = [photo[here:], unrecognised[here:]]
    for rule in create_app(load(relay.environment)).url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or STATIC.match(rule.rule) or "blob_id" in rule.arguments:
            continue
        path = re.sub(r"<(?:[a-z]+:)?(\w+)>", lambda name: values.get(name[1], "add-user"), rule.rule)
        if path == "/v1/events/stream" or "stream" in path:
            continue  # a response that doesn't end
        paths.append(path)
        if path in ("/v1/users", "/v1/events", "/v1/commands"):
            paths.append(f"{path}?device_id={device.id}")
        if path == "/v1/events":
            paths += [
                f"{path}?user_id={PERSON}",
                f"{path}?type=attendance.punch",
                "/v1/events/samples?type=attendance.punch",
            ]
        if path == f"/v1/users/{PERSON}/credentials/face/0":
            paths[-1] += f"?device_id={device.id}"
        if path == "/v1/events/samples":
            paths[-1] += "?type=attendance.punch"
        if path.startswith(f"/v1/attendance/{PERSON}"):
            paths[-1] += f"?month={today:%Y-%m}"
        elif path.startswith("/v1/attendance"):
            paths[-1] += f"?date={today:%Y-%m-%d}"
        if path in ("/v1/punches", "/v1/corrections", "/console/attendance/punches"):
            paths[-1] += f"?user_id={PERSON}"
        if path.endswith("/punches"):
            paths[-1] += f"&date={today:%Y-%m-%d}"
    assert len(paths) > 40
    return paths


def a_key(lived: Lived, data: StoredData) -> str:
    """Return the name of a key of this kind: an existing one, or a made-up one."""
    names = sorted(name.decode() for name in lived.store.connection.redis.scan_iter(match="{*"))
    depth = data.key.count(":")
    existing = [name for name in names if pattern(data).fullmatch(name) and name.count(":") == depth]
    own = [name for name in existing if PERSON in name]
    made_up = re.sub(r"\b[A-Z]+\b", "7", data.key)
    return (own or existing or [made_up])[0]


@contextmanager
def of_a_wrong_type(lived: Lived, key: str, data: StoredData) -> Iterator[None]:
    """Replace a key by one of another type. Check afterwards that nothing changed it, and put the original back."""
    client, aside = lived.store.connection.redis, f"{key[: key.index('}') + 1]}:aside"
    exists = client.exists(key)
    if exists:
        client.rename(key, aside)
    client.set(key, "x") if data.type != "string" else client.rpush(key, "x")
    try:
        yield
        wrong = b"string" if data.type != "string" else b"list"
        assert key in REPAIRED or client.type(key) == wrong, "the key was deleted or replaced"
    finally:
        client.delete(key)
        if exists:
            client.rename(aside, key)


def read_all(lived: Lived) -> dict[str, requests.Response]:
    """Return the responses of all pages, and of the API with a stored key, because that may be damaged, too."""
    answers = {}
    for path in lived.paths:
        if path == "/" or path.startswith("/console"):
            answers[path] = lived.console.get(path)
        else:
            answers[path] = lived.relay.call("GET", path, API_KEY)
    answers["/v1/me with a stored key"] = lived.relay.call("GET", "/v1/me", lived.key)
    return answers


def command(lived: Lived, *arguments: str) -> tuple[int, str]:
    """Run a command of the command line. Return its exit status and output. It must not raise an exception."""
    environment = {**dict.fromkeys(os.environ), **lived.relay.environment}
    current.cache_clear()  # another test in this process may have used other settings
    ran = CliRunner().invoke(main, arguments, env=environment)
    current.cache_clear()
    assert ran.exception is None or isinstance(ran.exception, SystemExit), traceback.format_exception(
        ran.exception
    )
    return ran.exit_code, ran.output


def rows(answer: requests.Response) -> int:
    """Return how many rows a page shows; 0 if it isn't a list."""
    if answer.headers["Content-Type"].startswith("application/json"):
        found = answer.json()
        return len(found["data"]) if isinstance(found, dict) and "data" in found else 0
    if answer.headers["Content-Type"].startswith("text/csv"):
        return answer.text.count("\n")
    return answer.text.count("<tr") + answer.text.count("\ncams_relay_")


@pytest.mark.parametrize(
    "data", [data for data in STORED_DATA if data.key != OVERWRITTEN], ids=lambda data: data.key
)
def test_a_key_of_a_wrong_type_is_reported_and_causes_no_500(lived: Lived, data: StoredData) -> None:
    key = a_key(lived, data)
    log = lived.relay.folder / "web.log"
    before = log.stat().st_size
    with of_a_wrong_type(lived, key, data):
        damaged = read_all(lived)
        health = lived.relay.call("GET", "/health", None)
        status, output = command(lived, "doctor")
        command(lived, "export", "--user", PERSON)
    assert {path: answer.text for path, answer in damaged.items() if answer.status_code in (500, 502)} == {}
    assert "Traceback" not in log.read_bytes()[before:].decode()
    assert (status, key in output) == (1, True), output
    named = [warning for warning in health.json()["warnings"] if key in warning or data.key in warning]
    for path, answer in damaged.items():
        if answer.status_code == 503 and path.startswith("/v1"):
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "doctor" in answer.json()["detail"], path
        if answer.status_code not in (lived.statuses[path], 503) or (
            answer.ok and rows(answer) < lived.rows[path]
        ):
            assert named, f"{path} shows less, and /health doesn't say why: {health.text}"
    assert health.status_code == 200, health.text
    assert not [warning for warning in lived.relay.get("/health")["warnings"] if "wrong type" in warning]


@pytest.mark.parametrize("key", ["{g}:devices", "{g}:key_id", "{g}:shards", "{g}:device_changes"])
def test_a_web_process_starts_despite_a_key_of_a_wrong_type(lived: Lived, key: str) -> None:
    data = next(data for data in STORED_DATA if data.key == key)
    log = lived.relay.folder / "web.log"
    before = log.stat().st_size
    with of_a_wrong_type(lived, key, data):
        lived.relay.kill("web")
        lived.relay.start("web")
        health = lived.relay.call("GET", "/health", None)
    assert (health.status_code, health.json()["store"]) == (200, "ok")
    assert key in " ".join(health.json()["warnings"])
    assert "Traceback" not in log.read_bytes()[before:].decode()
    lived.relay.kill("web")
    lived.relay.start("web")
    lived.device.send_done(lived.device.punch())
