"""Refused callbacks are shown with their cause: unknown device, wrong AuthToken or wrong Callback URL."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.command_line import run_for
from tests.harness import Device, Relay, wait_for


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Relay]:
    """A relay to which nobody else sends callbacks, without workers."""
    started = Relay(tmp_path).start("store", "web")
    yield started
    started.stop()


def refuse(relay: Relay, device_id: str, token: str) -> dict[str, Any]:
    """Send a callback with this AuthToken to this Callback URL; return its source once it is listed."""
    body = json.dumps(Device(relay, device_id, token).punch())
    answer = relay.session.post(f"{relay.url}/callback/{device_id}", data=body, timeout=15)
    assert answer.status_code == 401, answer.text

    def listed() -> Any:
        rows = relay.get("/v1/refused")["data"]
        return next(
            (
                row
                for row in rows
                if (row["claimed_device_id"], row["auth_token_hint"]) == (device_id, token[-4:])
            ),
            None,
        )

    found: dict[str, Any] = wait_for(listed, 20, every=0.2)
    return found


def register(relay: Relay, device_id: str, token: str) -> None:
    made = relay.call("POST", "/v1/devices", json={"device_id": device_id, "auth_token": token})
    assert made.status_code == 201, made.text


def doctor(relay: Relay) -> list[str]:
    """Return the lines that `doctor` prints."""
    ran = run_for(relay, "doctor")
    return ran.stdout.splitlines()


def line_of(relay: Relay, device_id: str) -> str:
    """Return `doctor`'s line about callbacks to this device's Callback URL."""
    (found,) = [line for line in doctor(relay) if f"for device {device_id} " in line]
    return found


def test_for_a_registered_device_with_a_wrong_token_the_advice_is_not_to_register(alone: Relay) -> None:
    token, other = secrets.token_hex(16), secrets.token_hex(14) + "ffff"
    register(alone, "ZHM1100001", token)
    row = refuse(alone, "ZHM1100001", other)
    expected = (
        "ZHM1100001 is registered with a different AuthToken. Correct its AuthToken: the device's AuthToken in the "
        "API Monitor is not the one registered here."
    )
    assert row["message"] == expected and row["registered_device_id"] is None
    line = line_of(alone, "ZHM1100001")
    assert expected in line and "Register the device" not in line
    note = alone.get("/v1/devices/ZHM1100001")["refused_note"]
    assert note.startswith("1 callback to this device's Callback URL has been refused since ")
    assert note.endswith(f" {expected} The gateway sends it again.")
    shown = line + note + json.dumps(row)
    assert token not in shown and other not in shown
    changed = alone.call("PATCH", "/v1/devices/ZHM1100001", json={"auth_token": other})
    assert changed.status_code == 200
    (row,) = alone.get("/v1/refused")["data"]
    assert row["registered_device_id"] == "ZHM1100001"
    assert (
        row["message"]
        == "ZHM1100001 is now registered with this AuthToken. The gateway sends the callbacks again."
    )


def test_for_a_callback_url_of_another_device_the_advice_is_to_correct_it(alone: Relay) -> None:
    token = secrets.token_hex(16)
    register(alone, "ZHM1100001", token)
    row = refuse(alone, "ZHM1100002", token)
    expected = (
        "The AuthToken belongs to ZHM1100001, but the Callback URL is for ZHM1100002. Correct the Callback URL of "
        "ZHM1100001 in the API Monitor."
    )
    assert row["message"] == expected and row["registered_device_id"] == "ZHM1100001"
    assert expected in line_of(alone, "ZHM1100002")
    note = alone.get("/v1/devices/ZHM1100001")["refused_note"]
    assert expected in note and note.endswith(" The gateway sends it again.")
    register(alone, "ZHM1100002", secrets.token_hex(16))
    assert expected in alone.get("/v1/devices/ZHM1100002")["refused_note"]


def test_refused_callbacks_with_a_registered_devices_token_are_a_problem(alone: Relay) -> None:
    def problems() -> list[str]:
        found = requests.get(f"{alone.url}/health", timeout=10).json()["problems"]
        return [one for one in found if "refused" in one]

    register(alone, "ZHM1100001", secrets.token_hex(16))
    refuse(alone, "ZHM1100001", secrets.token_hex(16))  # anybody can send this
    assert problems() == [] and line_of(alone, "ZHM1100001").startswith("! ")
    token = secrets.token_hex(16)
    register(alone, "ZHM1100003", token)
    refuse(alone, "ZHM1100004", token)
    assert len(problems()) == 1
    assert line_of(alone, "ZHM1100004").startswith("✗ ")
    alone.call("PATCH", "/v1/devices/ZHM1100003", json={"auth_token": secrets.token_hex(16)})
    assert problems() == []


def test_for_an_unknown_device_the_advice_is_to_register_it(alone: Relay) -> None:
    row = refuse(alone, "ZHM1100003", secrets.token_hex(16))
    expected = (
        "No device has this AuthToken. Register the device. The gateway then sends the callbacks again."
    )
    assert row["message"] == expected
    assert expected in line_of(alone, "ZHM1100003")


def test_the_last_line_of_doctor_counts_the_warnings(alone: Relay) -> None:
    alone.device()
    refuse(alone, "ZHM1100003", secrets.token_hex(16))
    lines = doctor(alone)
    problems, warnings = (sum(line.startswith(f"{mark} ") for line in lines[:-1]) for mark in "✗!")
    assert problems == 1 and warnings > 1  # no worker runs
    assert lines[-1] == f"✗ 1 problem, {warnings} warnings"
    alone.start("worker")
    wait_for(lambda: requests.get(f"{alone.url}/health", timeout=10).json()["problems"] == [], 60, every=0.5)
    wait_for(lambda: doctor(alone)[-1] == f"! no problems found, but {warnings} warnings", 60, every=1.0)
