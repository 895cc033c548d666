"""Devices are validated when registered, never return their secrets, have counters and are listed. Contract §5."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from app.settings.table import load
from app.store import Store
from app.store.devices.registry import Device as Known
from app.store.server.keys import DEVICE_CHANGES
from tests.harness import Device, Relay
from tests.relay.tools import (
    KEY,
    OTHER_KEY,
    counters,
    cursor_at,
    done,
    only,
    patch,
    post,
    problem,
    sealed,
)


def body(**fields: Any) -> dict[str, Any]:
    return {"device_id": f"DEV{secrets.token_hex(4)}", "auth_token": secrets.token_hex(16), **fields}


# Registration


def test_a_device_is_registered_and_its_secrets_are_never_returned(relay: Relay) -> None:
    wanted = body(
        security_key=KEY,
        label="Front Door",
        serial_number="SN-1",
        mode="hybrid_sdk",
        timezone="Asia/Kolkata",
        gateway_url="http://127.0.0.1:9/external/api3.0/biometric?stgid=ZHM1&a=b",
    )
    answer = relay.call("POST", "/v1/devices", json=wanted)
    assert answer.status_code == 201
    path = f"/v1/devices/{wanted['device_id']}"
    assert answer.headers["location"] == relay.url + path
    shown = answer.json()
    public = {name: wanted[name] for name in ("device_id", "label", "serial_number", "mode", "timezone")}
    assert public.items() <= shown.items()
    assert shown["has_security_key"] is True
    assert shown["auth_token_hint"] == wanted["auth_token"][-4:]
    assert shown["callback_url"] == f"{relay.url}/callback/{wanted['device_id']}"
    assert shown["gateway_url"] == "http://127.0.0.1:9/external/api3.0/biometric?a=b"
    assert shown["last_seen_at"] is None
    before = cursor_at(relay, "/v1/devices", wanted["device_id"][:-1])
    listed = relay.get("/v1/devices", params={"limit": 200, "cursor": before})
    texts = [answer.text, json.dumps(listed), json.dumps(relay.get(path))]
    texts.append(relay.call("PATCH", path, json={"label": "Back Door"}).text)
    for text in texts:
        assert wanted["auth_token"] not in text and KEY not in text
    assert shown in listed["data"]


def test_only_id_and_token_are_required(relay: Relay) -> None:
    shown = post(relay, "/v1/devices", body())
    assert (shown["mode"], shown["timezone"], shown["has_security_key"]) == ("native", "UTC", False)
    assert shown["label"] is shown["serial_number"] is shown["gateway_url"] is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"device_id": ""}, "device_id"),
    ({"device_id": "a b"}, "device_id"),
    ({"device_id": "a/b"}, "device_id"),
    ({"device_id": ".."}, "device_id"),
    ({"device_id": "x" * 65}, "device_id"),
    ({"device_id": 7}, "device_id"),
    ({"device_id": None}, "device_id"),
    ({"auth_token": "short"}, "auth_token"),
    ({"auth_token": "x" * 33}, "auth_token"),
    ({"auth_token": "é" * 32}, "auth_token"),
    ({"auth_token": "x" * 31 + "\n"}, "auth_token"),
    ({"auth_token": None}, "auth_token"),
    ({"security_key": "x" * 31}, "security_key"),
    ({"security_key": "é" * 32}, "security_key"),
    ({"security_key": ""}, "security_key"),
    ({"security_key": 7}, "security_key"),
    ({"gateway_url": "ftp://gateway.example.com/"}, "gateway_url"),
    ({"gateway_url": "http://10.0.0.1/"}, "gateway_url"),
    ({"gateway_url": "http://169.254.169.254/latest"}, "gateway_url"),
    ({"gateway_url": "not a url"}, "gateway_url"),
    ({"gateway_url": "http://user:pass@127.0.0.1/"}, "gateway_url"),
    ({"mode": "wild"}, "mode"),
    ({"mode": None}, "mode"),
    ({"timezone": "Mars/Olympus"}, "timezone"),
    ({"timezone": "../../etc/passwd"}, "timezone"),
    ({"timezone": ""}, "timezone"),
    ({"label": 7}, "label"),
    ({"label": "x" * 201}, "label"),
    ({"serial_number": []}, "serial_number"),
    ({"unknown": 1}, "unknown"),
]


@pytest.mark.parametrize("fields, at_fault", WRONG, ids=lambda value: str(value)[:40])
def test_an_invalid_field_is_422_and_named(relay: Relay, fields: dict[str, Any], at_fault: str) -> None:
    wanted = body(**fields)
    problem(relay.call("POST", "/v1/devices", json=wanted), 422, at_fault)
    if at_fault not in ("device_id",):
        problem(relay.call("GET", f"/v1/devices/{wanted['device_id']}"), 404)


@pytest.mark.parametrize("missing", ["device_id", "auth_token"])
def test_a_missing_field_is_named(relay: Relay, missing: str) -> None:
    wanted = body()
    del wanted[missing]
    problem(relay.call("POST", "/v1/devices", json=wanted), 422, missing)


def test_a_key_of_32_bytes_in_fewer_characters_is_accepted(relay: Relay) -> None:
    device = relay.device(security_key="é" * 16)
    done(device.send(sealed(device.punch(), "é" * 16)))


def test_registering_a_device_twice_is_409(relay: Relay, device: Device) -> None:
    problem(relay.call("POST", "/v1/devices", json=body(device_id=device.id)), 409, "device_id")
    done(device.send(device.punch()))


@pytest.mark.parametrize(
    "fields, at_fault",
    [
        *(
            (fields, name)
            for fields, name in WRONG
            if name not in ("device_id", "unknown") and fields != {"mode": None}
        ),
        ({"device_id": "other"}, "device_id"),
        ({"unknown": 1}, "unknown"),
        ({"has_security_key": False}, "has_security_key"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_invalid_change_is_422_and_changes_nothing(
    relay: Relay, device: Device, fields: dict[str, Any], at_fault: str
) -> None:
    before = counters(device)
    problem(relay.call("PATCH", f"/v1/devices/{device.id}", json={"label": "New", **fields}), 422, at_fault)
    assert counters(device) == before


# Counters and lists


def test_the_counters_show_the_received_callbacks(device: Device) -> None:
    punch = device.punch()
    for document in (punch, punch, device.sample(9), device.envelope(New={})):
        device.send_done(document)
    shown = counters(device)
    counted = {name: shown[name] for name in ("callbacks", "events", "duplicates", "unrecognised")}
    assert counted == {"callbacks": 4, "events": 4, "duplicates": 1, "unrecognised": 1}
    assert shown["last_seen_at"].endswith("Z")
    line = f'cams_relay_device_events_total{{device_id="{device.id}"}} 4.0'
    assert line in device.relay.call("GET", "/metrics").text


def test_devices_page_without_gaps(relay: Relay) -> None:
    mine = sorted(relay.device().id for _ in range(5))
    found: list[str] = []
    cursor = None
    while True:
        page = relay.get("/v1/devices", params={"limit": 2, "cursor": cursor})
        assert len(page["data"]) <= 2
        found += [row["device_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [device_id for device_id in found if device_id in mine] == mine
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "", "9" * 30, "00000001000", "٣"])
def test_an_invalid_limit_is_422(relay: Relay, limit: str) -> None:
    for path in ("/v1/devices", "/v1/events", "/v1/users", "/v1/api-keys", "/v1/subscriptions"):
        problem(relay.call("GET", path, params={"limit": limit}), 422, "limit")


def test_a_device_that_only_sends_duplicates_is_seen(device: Device) -> None:
    device.send_done(device.sample(11))
    first = counters(device)["last_seen_at"]
    assert first is not None and only(device, "attendance.punch")["received_at"][:16] == first[:16]


def test_a_process_only_reads_devices_changed_by_other_processes(relay: Relay) -> None:
    here = Store(load(relay.environment)).devices
    elsewhere = Store(load(relay.environment))

    def known(device: Device) -> Known | None:
        """Return the device that this process has in memory."""
        return next((one for one in here.known_with_keys() if one.id == device.id), None)

    before = relay.device(security_key=KEY)
    here.keep_up()
    cached = known(before)
    made = relay.device(security_key=KEY)
    here.keep_up()
    assert cached is not None and known(before) is cached, "an unchanged device must not be read again"
    assert known(made) is not None
    patch(made, security_key=OTHER_KEY, auth_token=made.token)
    here.keep_up()
    changed = known(made)
    assert changed is not None and len(changed.keys) == 2
    for _ in range(1_001):  # more changes than are stored
        elsewhere.devices.change(before.id, {}, {})
    assert elsewhere.connection.redis.xlen(DEVICE_CHANGES) <= 1_000
    relay.call("DELETE", f"/v1/devices/{made.id}").raise_for_status()
    here.keep_up()
    assert known(made) is None and known(before) is not None
    elsewhere.connection.redis.delete(DEVICE_CHANGES)  # as after the store was replaced
    late = relay.device(security_key=KEY)
    here.keep_up()
    assert known(late) is not None
