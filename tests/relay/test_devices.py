"""Devices: checked when registered, secrets never come back, and changes take effect at once. Contract §5."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
import requests

from app.settings.table import load
from app.store import Store
from app.store.devices.registry import Device as Known
from app.store.devices.registry import Devices
from app.store.server.keys import DEVICE_CHANGES
from tests.harness import Device, Relay
from tests.relay.tools import (
    KEY,
    OTHER_KEY,
    counters,
    cursor_at,
    done,
    events,
    only,
    post,
    problem,
    sealed,
    store,
)

ATTEMPTS = 12  # over new connections: with two web processes, one that is left out shows up soon


def body(**fields: Any) -> dict[str, Any]:
    return {"device_id": f"DEV{secrets.token_hex(4)}", "auth_token": secrets.token_hex(16), **fields}


def send(device: Device, document: Any, path: str = "/callback") -> requests.Response:
    """POSTs a callback over a connection of its own, so to any of the web processes."""
    data = document if isinstance(document, bytes) else json.dumps(document)
    return requests.post(device.relay.url + path, data=data, timeout=15)


def patch(device: Device, **fields: Any) -> dict[str, Any]:
    answer = device.relay.call("PATCH", f"/v1/devices/{device.id}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def seen_by_all(device: Device, key: str | None = None) -> None:
    """Lets every web process know the device by its present secrets."""
    for _ in range(ATTEMPTS):
        done(send(device, sealed(device.punch(), key) if key else device.punch()))


# Registering


def test_a_device_is_registered_and_its_secrets_never_come_back(relay: Relay) -> None:
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


def test_only_id_and_token_are_needed(relay: Relay) -> None:
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
def test_a_wrong_field_is_422_and_named(relay: Relay, fields: dict[str, Any], at_fault: str) -> None:
    wanted = body(**fields)
    problem(relay.call("POST", "/v1/devices", json=wanted), 422, at_fault)
    if at_fault not in ("device_id",):
        problem(relay.call("GET", f"/v1/devices/{wanted['device_id']}"), 404)


@pytest.mark.parametrize("missing", ["device_id", "auth_token"])
def test_a_missing_field_is_named(relay: Relay, missing: str) -> None:
    wanted = body()
    del wanted[missing]
    problem(relay.call("POST", "/v1/devices", json=wanted), 422, missing)


def test_a_key_of_32_bytes_in_fewer_characters_is_fine(relay: Relay) -> None:
    device = relay.device(security_key="é" * 16)
    done(device.send(sealed(device.punch(), "é" * 16)))


def test_the_same_device_again_is_409(relay: Relay, device: Device) -> None:
    problem(relay.call("POST", "/v1/devices", json=body(device_id=device.id)), 409, "device_id")
    done(device.send(device.punch()))


# Changing


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
def test_a_wrong_change_is_422_and_changes_nothing(
    relay: Relay, device: Device, fields: dict[str, Any], at_fault: str
) -> None:
    before = counters(device)
    problem(relay.call("PATCH", f"/v1/devices/{device.id}", json={"label": "New", **fields}), 422, at_fault)
    assert counters(device) == before


def test_what_is_not_sent_stays(relay: Relay) -> None:
    device = relay.device(label="A", serial_number="S", timezone="Asia/Dubai", security_key=KEY)
    changed = patch(device, label="B")
    assert (changed["label"], changed["serial_number"], changed["timezone"]) == ("B", "S", "Asia/Dubai")
    assert changed["has_security_key"] is True
    assert patch(device, label=None)["label"] is None
    assert patch(device) == counters(device)


def test_a_new_label_and_time_zone_hold_for_the_next_callback(device: Device) -> None:
    seen_by_all(device)
    for turn in range(ATTEMPTS):
        zone = ("Asia/Kolkata", "+05:30") if turn % 2 else ("Asia/Dubai", "+04:00")
        patch(device, label=f"Gate {turn}", timezone=zone[0])
        done(send(device, device.punch(LogTime=f"2026-03-01 09:00:{turn:02}")))
        latest = events(device)[-1]
        assert latest["device_label"] == f"Gate {turn}"
        assert latest["occurred_at"].endswith(zone[1])


def test_a_new_token_holds_at_once_and_the_old_one_no_more(device: Device) -> None:
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


def test_with_a_new_security_key_plain_text_is_refused_at_once(device: Device) -> None:
    seen_by_all(device)
    assert patch(device, security_key=KEY)["has_security_key"] is True
    for _ in range(ATTEMPTS):
        problem(send(device, device.punch()), 401)
    seen_by_all(device, KEY)
    assert len(events(device)) == 2 * ATTEMPTS


def test_a_changed_security_key_is_read_at_once_by_all(relay: Relay) -> None:
    device, beside = relay.device(security_key=KEY), relay.device(security_key=OTHER_KEY)
    seen_by_all(device, KEY)
    seen_by_all(beside, OTHER_KEY)
    patch(device, security_key=OTHER_KEY, auth_token=device.token)
    seen_by_all(device, OTHER_KEY)
    seen_by_all(device, KEY)  # until the gateway has the new one, too
    for _ in range(ATTEMPTS):
        problem(send(device, device.punch()), 401)


def test_with_the_security_key_removed_plain_text_is_read_again(relay: Relay) -> None:
    key = secrets.token_hex(16)  # that no other device has
    device = relay.device(security_key=key)
    seen_by_all(device, key)
    assert patch(device, security_key=None, auth_token=device.token)["has_security_key"] is False
    seen_by_all(device)
    for _ in range(ATTEMPTS):
        problem(send(device, sealed(device.punch(), key)), 400)


def test_a_device_that_comes_to_share_a_token_is_told_apart_at_once(relay: Relay) -> None:
    first = relay.device(serial_number="SN1")
    seen_by_all(first)
    second = relay.device(auth_token=first.token, serial_number="SN2")
    for _ in range(ATTEMPTS):
        done(send(second, second.punch(), f"/callback?stgid={second.id}"))
    # By then every process has heard of it; without an id in the URL that would take up to half a second.
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


# Removing


def test_a_removed_device_is_unknown_at_once_and_its_templates_are_gone(relay: Relay, device: Device) -> None:
    seen_by_all(device)
    template = {"Type": "Password", "UserID": "2", "Data": "998877"}
    device.send_done(
        device.envelope(UserUpdated={"UserID": "2", "FirstName": "Asha", "Template": [template]})
    )
    assert any(f":user:{device.id}:2" in key for key in store(relay))
    assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    for _ in range(ATTEMPTS):
        problem(send(device, device.punch()), 401)
    problem(relay.call("GET", f"/v1/devices/{device.id}"), 404)
    problem(relay.call("DELETE", f"/v1/devices/{device.id}"), 404)
    assert device.id not in [row["device_id"] for row in relay.get("/v1/devices?limit=200")["data"]]
    left = [
        key for key in store(relay) if f":user:{device.id}:" in key or f"{{s0}}:device:{device.id}" in key
    ]
    assert left == []
    assert len(events(device)) == ATTEMPTS + 2, "its events stay"


def test_a_device_registered_anew_has_nothing_of_the_one_before(relay: Relay, device: Device) -> None:
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
    """Stands for the end of the process."""


def broken_off(*_: Any, **__: Any) -> Any:
    raise BrokenOff


@pytest.mark.parametrize("method", ["_write", "_add_token"])
def test_a_registration_that_was_broken_off_does_not_take_the_id(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    kept, registered = Store(load(relay.environment)), relay.device()
    record, token = kept.devices.get(registered.id).record, registered.token  # type: ignore[union-attr]
    record, secret = (
        {**record, "device_id": f"{registered.id}-2"},
        {"auth_token": token, "security_key": None},
    )
    with monkeypatch.context() as patched, pytest.raises(BrokenOff):
        patched.setattr(kept.devices, method, broken_off)
        kept.devices.register(record, secret)
    path = f"/v1/devices/{record['device_id']}"
    if method == "_add_token":
        assert relay.call("DELETE", path).status_code == 204
    problem(relay.call("GET", path), 404)
    seen_by_all(relay.device(device_id=record["device_id"]))


def test_a_removal_that_was_broken_off_can_be_finished(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = {"Type": "Password", "UserID": "2", "Data": "998877"}
    device.send_done(device.envelope(UserUpdated={"UserID": "2", "Template": [template]}))
    kept = Store(load(relay.environment))
    with monkeypatch.context() as patched, pytest.raises(BrokenOff):
        patched.setattr(kept.connection.redis, "scan_iter", broken_off)
        kept.devices.remove(device.id)
    problem(relay.call("GET", f"/v1/devices/{device.id}"), 404)
    assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    assert not [key for key in store(relay) if f":user:{device.id}:" in key]
    problem(relay.call("DELETE", f"/v1/devices/{device.id}"), 404)


# Two changes at once


def devices_with_a_change_before(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, another: Callable[[], Any]
) -> Devices:
    """A view of the store in which another change comes between the first one's reading and writing."""
    devices = Store(load(relay.environment)).devices
    write = devices._write

    def write_after_another(*arguments: Any, **named: Any) -> bool:
        monkeypatch.setattr(devices, "_write", write)
        another()
        return write(*arguments, **named)

    monkeypatch.setattr(devices, "_write", write_after_another)
    return devices


def test_a_change_of_a_device_that_another_came_before_keeps_both(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = secrets.token_hex(16)
    devices = devices_with_a_change_before(relay, monkeypatch, lambda: patch(device, auth_token=token))
    changed = devices.change(device.id, {"label": "Gate"}, {})
    assert changed is not None and (changed.record["label"], changed.auth_token) == ("Gate", token)
    problem(send(device, device.punch()), 401)
    device.token = token
    seen_by_all(device)


def test_a_change_of_a_device_does_not_bring_back_what_was_removed(
    relay: Relay, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = secrets.token_hex(16)
    devices = devices_with_a_change_before(
        relay, monkeypatch, lambda: relay.call("DELETE", f"/v1/devices/{device.id}")
    )
    assert devices.change(device.id, {}, {"auth_token": token}) is None
    problem(relay.call("GET", f"/v1/devices/{device.id}"), 404)
    assert not [key for key in store(relay) if f"{{s0}}:device:{device.id}" in key]
    assert devices.by_token(token, anew=True) == []


# Counting and listing


def test_the_counters_say_what_came(device: Device) -> None:
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
def test_a_wrong_limit_is_422(relay: Relay, limit: str) -> None:
    for path in ("/v1/devices", "/v1/events", "/v1/users", "/v1/api-keys", "/v1/subscriptions"):
        problem(relay.call("GET", path, params={"limit": limit}), 422, "limit")


def test_a_device_that_sends_in_its_sleep_is_seen(device: Device) -> None:
    device.send_done(device.sample(11))
    first = counters(device)["last_seen_at"]
    assert first is not None and only(device, "attendance.punch")["received_at"][:16] == first[:16]


def test_a_process_reads_what_changed_elsewhere_and_nothing_else(relay: Relay) -> None:
    here = Store(load(relay.environment)).devices
    elsewhere = Store(load(relay.environment))

    def known(device: Device) -> Known | None:
        """As this process knows it without asking the store."""
        return next((one for one in here.known_with_keys() if one.id == device.id), None)

    before = relay.device(security_key=KEY)
    here.keep_up()
    kept = known(before)
    made = relay.device(security_key=KEY)
    here.keep_up()
    assert kept is not None and known(before) is kept, "what did not change is not read again"
    assert known(made) is not None
    patch(made, security_key=OTHER_KEY, auth_token=made.token)
    here.keep_up()
    changed = known(made)
    assert changed is not None and len(changed.keys) == 2
    for _ in range(1_001):  # more than is kept of changes
        elsewhere.devices.change(before.id, {}, {})
    assert elsewhere.connection.redis.xlen(DEVICE_CHANGES) <= 1_000
    relay.call("DELETE", f"/v1/devices/{made.id}").raise_for_status()
    here.keep_up()
    assert known(made) is None and known(before) is not None
    elsewhere.connection.redis.delete(DEVICE_CHANGES)  # as in a store that was put in its place
    late = relay.device(security_key=KEY)
    here.keep_up()
    assert known(late) is not None
