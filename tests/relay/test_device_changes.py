"""Changing or removing a device takes effect immediately, in every process. Contract §5."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
import requests

from app.settings.table import load
from app.store import Store
from app.store.devices.registry import Devices
from tests.harness import Device, Relay
from tests.relay.tools import (
    KEY,
    OTHER_KEY,
    counters,
    done,
    events,
    patch,
    problem,
    sealed,
    stored_values,
)

ATTEMPTS = 12  # over new connections: with two web processes, one that missed a change shows up soon


def send(device: Device, document: Any, path: str = "/callback") -> requests.Response:
    """POST a callback over a new connection, so that any web process may get it."""
    data = document if isinstance(document, bytes) else json.dumps(document)
    return requests.post(device.relay.url + path, data=data, timeout=15)


def seen_by_all(device: Device, key: str | None = None) -> None:
    """Check that every web process knows the device by its current secrets."""
    for _ in range(ATTEMPTS):
        done(send(device, sealed(device.punch(), key) if key else device.punch()))


# Changes


def test_fields_that_are_not_sent_do_not_change(relay: Relay) -> None:
    device = relay.device(label="A", serial_number="S", timezone="Asia/Dubai", security_key=KEY)
    changed = patch(device, label="B")
    assert (changed["label"], changed["serial_number"], changed["timezone"]) == ("B", "S", "Asia/Dubai")
    assert changed["has_security_key"] is True
    assert patch(device, label=None)["label"] is None
    assert patch(device) == counters(device)


def test_a_new_label_and_time_zone_apply_to_the_next_callback(device: Device) -> None:
    seen_by_all(device)
    for turn in range(ATTEMPTS):
        zone = ("Asia/Kolkata", "+05:30") if turn % 2 else ("Asia/Dubai", "+04:00")
        patch(device, label=f"Gate {turn}", timezone=zone[0])
        done(send(device, device.punch(LogTime=f"2026-03-01 09:00:{turn:02}")))
        latest = events(device)[-1]
        assert latest["device_label"] == f"Gate {turn}"
        assert latest["occurred_at"].endswith(zone[1])


def test_a_new_token_replaces_the_old_one_immediately(device: Device) -> None:
    old = device.token
    seen_by_all(device)
    device.token = secrets.token_hex(16)
    assert patch(device, auth_token=device.token)["auth_token_hint"] == device.token[-4:]
    for _ in range(ATTEMPTS):
        done(send(device, device.punch()))
        stale = device.punch()
        stale["RealTime"]["AuthToken"] = old
        problem(send(device, stale), 401)
    patch(device, auth_token=old)
    device.token = old
    seen_by_all(device)
    assert len(events(device)) == 3 * ATTEMPTS


def test_with_a_new_security_key_plain_text_is_refused_immediately(device: Device) -> None:
    seen_by_all(device)
    assert patch(device, security_key=KEY)["has_security_key"] is True
    for _ in range(ATTEMPTS):
        problem(send(device, device.punch()), 401)
    seen_by_all(device, KEY)
    assert len(events(device)) == 2 * ATTEMPTS


def test_a_changed_security_key_is_used_by_all_processes_immediately(relay: Relay) -> None:
    device, other = relay.device(security_key=KEY), relay.device(security_key=OTHER_KEY)
    seen_by_all(device, KEY)
    seen_by_all(other, OTHER_KEY)
    patch(device, security_key=OTHER_KEY, auth_token=device.token)
    seen_by_all(device, OTHER_KEY)
    seen_by_all(device, KEY)  # until the gateway has the new key, too
    for _ in range(ATTEMPTS):
        problem(send(device, device.punch()), 401)


def test_without_the_security_key_plain_text_is_accepted_again(relay: Relay) -> None:
    key = secrets.token_hex(16)  # no other device has this key
    device = relay.device(security_key=key)
    seen_by_all(device, key)
    assert patch(device, security_key=None, auth_token=device.token)["has_security_key"] is False
    seen_by_all(device)
    for _ in range(ATTEMPTS):
        problem(send(device, sealed(device.punch(), key)), 400)


def test_devices_that_now_share_a_token_are_distinguished_immediately(relay: Relay) -> None:
    first = relay.device(serial_number="SN1")
    seen_by_all(first)
    second = relay.device(auth_token=first.token, serial_number="SN2")
    for _ in range(ATTEMPTS):
        done(send(second, second.punch(), f"/callback?stgid={second.id}"))
    # By now every process knows of it. Without an ID in the URL, that would take up to half a second.
    for _ in range(ATTEMPTS):
        document = second.punch(user="3")
        document["RealTime"]["SerialNumber"] = "SN2"
        done(send(second, document))
    assert len(events(first)) == ATTEMPTS
    assert len(events(second)) == 2 * ATTEMPTS
    third = relay.device(serial_number="SN3")
    seen_by_all(third)
    patch(third, auth_token=first.token)
    document = third.punch(user="4")
    document["RealTime"] |= {"SerialNumber": "SN3", "AuthToken": first.token}
    for turn in range(ATTEMPTS):
        document["RealTime"]["PunchLog"]["UserId"] = str(turn)
        done(send(third, document))
    assert len(events(third)) == 2 * ATTEMPTS


# Removal


def test_a_removed_device_is_unknown_immediately_and_its_templates_are_removed(
    relay: Relay, device: Device
) -> None:
    seen_by_all(device)
    template = {"Type": "Password", "UserID": "2", "Data": "998877"}
    device.send_done(
        device.envelope(UserUpdated={"UserID": "2", "FirstName": "Asha", "Template": [template]})
    )
    assert any(f":user:{device.id}:2" in key for key in stored_values(relay))
    assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    for _ in range(ATTEMPTS):
        problem(send(device, device.punch()), 401)
    problem(relay.call("GET", f"/v1/devices/{device.id}"), 404)
    problem(relay.call("DELETE", f"/v1/devices/{device.id}"), 404)
    assert device.id not in [row["device_id"] for row in relay.get("/v1/devices?limit=200")["data"]]
    left = [
        key
        for key in stored_values(relay)
        if f":user:{device.id}:" in key or f"{{s0}}:device:{device.id}" in key
    ]
    assert left == []
    assert len(events(device)) == ATTEMPTS + 2, "the device's events must stay"


def test_a_device_registered_again_has_no_data_of_the_former_one(relay: Relay, device: Device) -> None:
    seen_by_all(device)
    old = device.token
    assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    again = relay.device(device_id=device.id)
    for _ in range(ATTEMPTS):
        stale = device.punch()
        stale["RealTime"]["AuthToken"] = old
        problem(send(device, stale), 401)
    assert counters(again)["events"] == 0
    seen_by_all(again)


class BrokenOff(Exception):
    """Simulates the end of the process."""


def broken_off(*_: Any, **__: Any) -> Any:
    raise BrokenOff


@pytest.mark.parametrize("method", ["_write", "_add_token"])
def test_an_interrupted_registration_does_not_block_the_id(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    store, registered = Store(load(relay.environment)), relay.device()
    record, token = store.devices.get(registered.id).record, registered.token  # type: ignore[union-attr]
    record, secret = (
        {**record, "device_id": f"{registered.id}-2"},
        {"auth_token": token, "security_key": None},
    )
    with monkeypatch.context() as patched, pytest.raises(BrokenOff):
        patched.setattr(store.devices, method, broken_off)
        store.devices.register(record, secret)
    path = f"/v1/devices/{record['device_id']}"
    if method == "_add_token":
        assert relay.call("DELETE", path).status_code == 204
    problem(relay.call("GET", path), 404)
    seen_by_all(relay.device(device_id=record["device_id"]))


def test_an_interrupted_removal_can_be_finished(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = {"Type": "Password", "UserID": "2", "Data": "998877"}
    device.send_done(device.envelope(UserUpdated={"UserID": "2", "Template": [template]}))
    store = Store(load(relay.environment))
    with monkeypatch.context() as patched, pytest.raises(BrokenOff):
        patched.setattr(store.connection.redis, "scan_iter", broken_off)
        store.devices.remove(device.id)
    problem(relay.call("GET", f"/v1/devices/{device.id}"), 404)
    assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    assert not [key for key in stored_values(relay) if f":user:{device.id}:" in key]
    problem(relay.call("DELETE", f"/v1/devices/{device.id}"), 404)


# Concurrent changes


def devices_with_a_change_before(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, another: Callable[[], Any]
) -> Devices:
    """Return devices with another change between the reading and the writing of the first one."""
    devices = Store(load(relay.environment)).devices
    write = devices._write

    def write_after_another(*arguments: Any, **named: Any) -> bool:
        monkeypatch.setattr(devices, "_write", write)
        another()
        return write(*arguments, **named)

    monkeypatch.setattr(devices, "_write", write_after_another)
    return devices


def test_concurrent_changes_of_a_device_are_both_kept(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = secrets.token_hex(16)
    devices = devices_with_a_change_before(relay, monkeypatch, lambda: patch(device, auth_token=token))
    changed = devices.change(device.id, {"label": "Gate"}, {})
    assert changed is not None and (changed.record["label"], changed.auth_token) == ("Gate", token)
    problem(send(device, device.punch()), 401)
    device.token = token
    seen_by_all(device)


def test_a_change_does_not_restore_a_removed_device(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = secrets.token_hex(16)
    devices = devices_with_a_change_before(
        relay, monkeypatch, lambda: relay.call("DELETE", f"/v1/devices/{device.id}")
    )
    assert devices.change(device.id, {}, {"auth_token": token}) is None
    problem(relay.call("GET", f"/v1/devices/{device.id}"), 404)
    assert not [key for key in stored_values(relay) if f"{{s0}}:device:{device.id}" in key]
    assert devices.by_token(token, anew=True) == []
