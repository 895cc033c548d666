"""Refused callbacks are listed without secrets, reported by event, log and doctor, and recognised later."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.command_line import run_for
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import KEY, done, key_with, problem, sealed, stored_values


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Relay]:
    """A relay to which nobody else sends callbacks."""
    with Relay(tmp_path) as started:
        yield started


def unregistered_device(relay: Relay, device_id: str = "") -> Device:
    """A device that isn't registered."""
    return Device(relay, device_id or f"NEW{secrets.token_hex(4)}", secrets.token_hex(16))


def sent_to(relay: Relay, path: str, body: bytes) -> requests.Response:
    return relay.session.post(relay.url + path, data=body, timeout=15)


def listed(relay: Relay, **fields: Any) -> list[dict[str, Any]]:
    """Return the sources with these values."""
    rows = relay.get("/v1/refused")["data"]
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def counted(relay: Relay, count: int, **fields: Any) -> dict[str, Any]:
    """Return the only source with these values, once it has this many callbacks. Processes write once a second."""

    def whole() -> dict[str, Any] | None:
        found = listed(relay, **fields)
        assert len(found) <= 1
        return found[0] if found and found[0]["count"] == count else None

    found: dict[str, Any] = wait_for(whole, 20, every=0.2)
    return found


def test_an_invalid_content_length_hides_no_refused_callback(alone: Relay) -> None:
    """Sent to each web process. A recorded size must fit into the store and JSON."""
    for number in range(8):
        with socket.create_connection(("127.0.0.1", alone.port), 10) as connection:
            connection.sendall(
                f"POST /callback/P{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {10**25}\r\n\r\n".encode()
            )
            assert b"413" in connection.recv(4096).partition(b"\r\n")[0]
    unknown = unregistered_device(alone)
    for _ in range(3):
        problem(sent_to(alone, f"/callback/{unknown.id}", json.dumps(unknown.punch()).encode()), 401)
    counted(alone, 3, claimed_device_id=unknown.id)
    wait_for(lambda: alone.events(type="callback.refused"), 20)


@pytest.mark.parametrize("form", ["{}", "DEV-{}", "{}A"])
def test_a_token_in_the_url_is_not_shown(relay: Relay, form: str) -> None:
    token = secrets.token_hex(16)
    problem(sent_to(relay, f"/callback/{form.format(token)}", b"{}"), 401)
    wait_for(lambda: relay.get("/v1/refused")["data"])
    time.sleep(2)  # each process writes once a second
    assert token not in json.dumps(relay.get("/v1/refused"))


def test_refused_callbacks_are_listed_by_source_without_their_secrets(relay: Relay) -> None:
    unknown, person = unregistered_device(relay), secrets.token_hex(8)
    for _ in range(3):
        body = json.dumps(unknown.punch(person)).encode()
        problem(sent_to(relay, f"/callback/{unknown.id}", body), 401)
    row = counted(relay, 3, claimed_device_id=unknown.id)
    assert row["address"] == "127.0.0.1"
    assert row["auth_token_hint"] == unknown.token[-4:]
    assert (row["http_status"], row["reason"]) == (401, "unauthorised")
    assert row["message"].startswith("No device has this AuthToken")
    assert row["size_bytes"] == len(body)
    assert row["first_refused_at"] <= row["last_refused_at"]
    assert row["registered_device_id"] is None
    content = b"".join(stored_values(relay).values())
    assert unknown.token.encode() not in content and person.encode() not in content
    assert unknown.token not in relay.logs()


def test_every_reason_is_listed(relay: Relay) -> None:
    keyed = relay.device(security_key=KEY)
    problem(sent_to(relay, f"/callback/{keyed.id}", json.dumps(keyed.punch()).encode()), 401)
    problem(sent_to(relay, "/callback/OTHER1", sealed({"x": 1}, "another-made-up-key-of-32-bytes.")), 400)
    problem(sent_to(relay, "/callback/OTHER2", b"no JSON"), 400)
    problem(sent_to(relay, "/callback/OTHER3", b"{" + b" " * (16 * 1024 * 1024)), 413)
    assert counted(relay, 1, claimed_device_id=keyed.id)["registered_device_id"] == keyed.id
    assert counted(relay, 1, claimed_device_id="OTHER1")["reason"] == "undecryptable"
    assert counted(relay, 1, claimed_device_id="OTHER2")["reason"] == "malformed"
    assert counted(relay, 1, claimed_device_id="OTHER3")["reason"] == "too_large"


def test_only_callbacks_are_counted(alone: Relay) -> None:
    assert alone.call("GET", "/v1/me", key="crk_made-up-and-wrong").status_code == 401
    assert alone.call("GET", "/v1/me", key=None).status_code == 401
    unknown = unregistered_device(alone)
    problem(unknown.send(unknown.punch()), 401)
    counted(alone, 1, auth_token_hint=unknown.token[-4:])
    assert len(listed(alone)) == 1


def test_an_auth_token_in_the_url_is_not_shown(alone: Relay) -> None:
    device, unknown = alone.device(), unregistered_device(alone)
    for token in (device.token, unknown.token):
        problem(sent_to(alone, f"/callback/{token}", json.dumps(unknown.punch()).encode()), 401)
        problem(sent_to(alone, f"/callback?stgid={token}", b"{}"), 401)
    wait_for(lambda: sum(row["count"] for row in listed(alone)) == 4, 20, every=0.2)
    shown = alone.call("GET", "/v1/refused").text + alone.logs()
    assert device.token not in shown and unknown.token not in shown
    assert device.token.encode() not in b"".join(stored_values(alone).values())


def test_reading_the_list_needs_a_scope(relay: Relay) -> None:
    for scope in ("devices:write", "events:read"):
        assert relay.call("GET", "/v1/refused", key_with(relay, scope)).status_code == 200
    problem(relay.call("GET", "/v1/refused", key_with(relay, "metrics:read", "actions:read")), 403)
    problem(relay.call("GET", "/v1/refused", key=None), 401)


def test_the_list_is_paged(alone: Relay) -> None:
    for number in range(5):
        problem(sent_to(alone, f"/callback/PAGED{number}", b"{}"), 401)
    wait_for(lambda: len(listed(alone)) == 5, 20, every=0.2)
    found, cursor = [], None
    while True:
        page = alone.get("/v1/refused", params={"limit": 2, "cursor": cursor})
        assert len(page["data"]) <= 2
        found += [row["claimed_device_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == [f"PAGED{number}" for number in range(5)]
    problem(alone.call("GET", "/v1/refused?cursor=nonsense"), 422, "cursor")


def test_a_device_registered_afterwards_is_recognised(alone: Relay) -> None:
    unknown = unregistered_device(alone)
    waiting = unknown.punch()
    for _ in range(3):
        problem(unknown.send(waiting), 401)
    counted(alone, 3, auth_token_hint=unknown.token[-4:])
    body = {"device_id": unknown.id, "auth_token": unknown.token}
    answer = alone.call("POST", "/v1/devices", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made["refused_callbacks"] == 3 and made["refused_since"]
    assert made["refused_note"].startswith(
        "3 callbacks with this device's AuthToken have been refused since "
    )
    assert made["refused_note"].endswith(" The gateway sends them again.")
    assert alone.get(f"/v1/devices/{unknown.id}")["refused_note"] == made["refused_note"]
    rows = alone.get("/v1/devices", params={"limit": 200})["data"]
    assert {row["device_id"]: row["refused_note"] for row in rows}[unknown.id] == made["refused_note"]
    assert listed(alone, auth_token_hint=unknown.token[-4:])[0]["registered_device_id"] == unknown.id
    done(unknown.send(waiting))
    shown = alone.get(f"/v1/devices/{unknown.id}")
    assert shown["refused_note"] is None and shown["refused_callbacks"] == 3
    other = alone.device()
    shown = alone.get(f"/v1/devices/{other.id}")
    assert (shown["refused_callbacks"], shown["refused_since"], shown["refused_note"]) == (0, None, None)


def test_an_event_is_published_once_an_hour_per_source(alone: Relay, receiver: Receiver) -> None:
    alone.subscribe(receiver, events=["callback.refused"])
    unknown, other = unregistered_device(alone), unregistered_device(alone)
    problem(unknown.send(unknown.punch()), 401)
    receiver.wait(1, 30)
    problem(unknown.send(unknown.punch()), 401)
    problem(other.send(other.punch()), 401)
    problem(sent_to(alone, "/callback", b"what scanners send"), 400)
    first, second = (got.json for got in receiver.wait(2, 30))
    assert first["auth_token_hint"] == unknown.token[-4:] and second["auth_token_hint"] == other.token[-4:]
    assert first["address"] == "127.0.0.1" and first["http_status"] == 401 and first["count"] >= 1
    assert first["device_id"] is None and first["test"] is False
    counted(alone, 2, auth_token_hint=unknown.token[-4:])
    assert len(alone.events(type="callback.refused")) == 2


def test_the_log_has_one_warning_for_each_source(relay: Relay) -> None:
    unknown = unregistered_device(relay)
    body = json.dumps(unknown.punch()).encode()
    for _ in range(20):
        problem(sent_to(relay, f"/callback/{unknown.id}", body), 401)
    counted(relay, 20, claimed_device_id=unknown.id)
    lines = [line for line in relay.logs().splitlines() if unknown.id in line]
    assert 1 <= len(lines) <= int(relay.environment["WEB_CONCURRENCY"])
    expected = (
        f"from 127.0.0.1 for device {unknown.id} with an AuthToken that ends in {unknown.token[-4:]}: 401 "
    )
    assert all("WARNING" in line and expected in line for line in lines), lines


def test_health_and_doctor_report_refused_callbacks_and_health_names_no_source(alone: Relay) -> None:
    unknown = unregistered_device(alone)
    problem(sent_to(alone, "/callback", b"what scanners send"), 400)
    counted(alone, 1, reason="malformed")
    assert requests.get(f"{alone.url}/health", timeout=10).json()["warnings"] == []
    problem(sent_to(alone, f"/callback/{unknown.id}", json.dumps(unknown.punch()).encode()), 401)
    counted(alone, 1, claimed_device_id=unknown.id)
    (warning,) = requests.get(f"{alone.url}/health", timeout=10).json()["warnings"]
    assert warning.startswith("1 callback from 1 source has been refused") and "GET /v1/refused" in warning
    assert unknown.id not in warning and unknown.token[-4:] not in warning and "127.0.0.1" not in warning
    assert "\ncams_relay_callbacks_refused_sources 1.0" in alone.call("GET", "/metrics").text
    ran = run_for(alone, "doctor")
    assert (
        f"1 callback from 127.0.0.1 for device {unknown.id} (AuthToken ends in {unknown.token[-4:]})"
        in ran.stdout
    )
    body = {"device_id": unknown.id, "auth_token": unknown.token}
    assert alone.call("POST", "/v1/devices", json=body).status_code == 201
    done(unknown.send(unknown.punch()))
    assert requests.get(f"{alone.url}/health", timeout=10).json()["warnings"] == []
