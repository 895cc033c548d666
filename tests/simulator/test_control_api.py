"""Devices are created, changed and inspected over HTTP. Invalid requests are refused with a sentence."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from sim_tools import KEY, TOKEN, Caller, RecordingRelay, add_user
from sim_tools import command as make_command

from simulator.device import Device
from simulator.gateway import Gateway
from simulator.serving import SimulatorServer


def test_a_device_is_created_used_and_removed(caller: Caller, relay: RecordingRelay) -> None:
    body = {
        "stgid": "A1",
        "auth_token": TOKEN,
        "serial": "S1",
        "label": "Back Door",
        "mode": "hybrid_sdk",
        "callback_url": f"{relay.url}/mine",
        "delay_seconds": 0,
        "timezone": "-0300",
        "max_users": 2,
        "max_templates": 3,
        "max_logs": 4,
    }
    shown = caller.control("POST", "", body, expect=201)
    assert (shown["serial"], shown["label"], shown["mode"], shown["max_logs"]) == (
        "S1",
        "Back Door",
        "hybrid_sdk",
        4,
    )
    punched = caller.control("POST", "/A1/punch", {"user_id": 7, "type": "meal_in"}, expect=201)
    assert punched["log_time"].endswith("GMT -0300")
    (callback,) = relay.wait_for(1)
    assert callback["RealTime"]["PunchLog"]["Type"] == "MealIn"
    assert callback["RealTime"]["SerialNumber"] == "S1"
    caller.control("DELETE", "/A1", expect=204)
    caller.control("GET", "/A1", expect=404)
    assert caller.control("GET", "") == []


def test_a_device_shows_its_state_without_secrets(
    make_device: Any, relay: RecordingRelay, caller: Caller
) -> None:
    device: Device = make_device(security_key=KEY)
    caller.control("POST", "/D1/user", {"user_id": "1", "credentials": ["fingerprint", "card"]}, expect=201)
    caller.control("POST", "/D1/punch", {"user_id": "1", "photo": True}, expect=201)
    assert device.outbox.wait_empty(5)
    shown = caller.control("GET", "/D1", expect=200)
    assert shown["users"][0]["templates"] == [
        {"type": "Fingerprint", "index": 0},
        {"type": "Card", "index": 0},
    ]
    assert (shown["template_count"], shown["log_count"], shown["photo_count"]) == (2, 1, 1)
    assert shown["logs"][0]["UserID"] == "1"
    assert (shown["pushed"], shown["acknowledged"], shown["refused"], shown["queue_length"]) == (4, 4, 0, 0)
    assert shown["has_security_key"] and shown["auth_token_hint"] == TOKEN[-4:]
    assert TOKEN not in str(shown) and KEY not in str(shown)


def test_refused_callbacks_are_shown_in_the_device(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    relay.answers.append((401, b"no such device"))
    device.punch("1")
    assert device.outbox.wait_empty(5)
    shown = caller.control("GET", "/D1")
    assert shown["refused"] == 1
    assert "401" in shown["last_refusal"] and "no such device" in shown["last_refusal"]


def test_clock_skew_changes_log_times_without_a_callback(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    caller.control("PATCH", "/D1", {"clock_skew_seconds": 13 * 86400}, expect=200)
    row = device.punch("1")
    ahead = row.at - datetime.now(device.clock.zone)
    assert timedelta(days=12, hours=23) < ahead < timedelta(days=13, hours=1)
    (callback,) = relay.wait_for(1)
    assert "PunchLog" in callback["RealTime"]


def test_setting_the_clock_sends_both_times(device: Device, relay: RecordingRelay, caller: Caller) -> None:
    caller.control("POST", "/D1/time", {"shift_seconds": 3600}, expect=201)
    (callback,) = relay.wait_for(1)
    modified = callback["RealTime"]["DateModified"]
    to, was = (
        datetime.strptime(modified[name], "%Y-%m-%d %H:%M:%S GMT %z")
        for name in ("ModifiedTo", "OperationTime")
    )
    assert to - was == timedelta(hours=1)
    assert abs((device.clock.now() - to).total_seconds()) < 2


def test_a_punch_can_have_its_own_time(device: Device, caller: Caller) -> None:
    for at, shown in (
        ("2026-01-02T03:04:05", "2026-01-02 03:04:05 GMT +0530"),
        ("2026-01-02T03:04:05Z", "2026-01-02 08:34:05 GMT +0530"),
        ("2026-01-02 03:04:05 GMT +0530", "2026-01-02 03:04:05 GMT +0530"),
    ):
        done = caller.control("POST", "/D1/punch", {"user_id": "1", "at": at}, expect=201)
        assert done["log_time"] == shown


def test_changed_settings_apply_from_the_next_command_on(device: Device, caller: Caller) -> None:
    caller.control("PATCH", "/D1", {"mode": "hybrid_db"}, expect=200)
    assert caller.code(add_user("1")) == 15
    caller.control("PATCH", "/D1", {"mode": "native", "security_key": KEY}, expect=200)
    assert caller.code(add_user("1")) == 19


def test_commands_are_listed_with_their_errors(device: Device, caller: Caller) -> None:
    body = make_command({"Load": "All"})
    caller.send({"Load": "All"})
    caller.post("D1", b"garbage")
    first, second = caller.control("GET", "/D1/commands")
    assert (first["operation"], first["status_code"], first["body"]) == (None, 3, body)
    assert (second["status_code"], second["body"], bool(second["why"])) == (1, "garbage", True)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "", {}, 400),
        ("POST", "", {"stgid": "D1"}, 400),
        ("POST", "", {"stgid": "D2", "colour": "red"}, 400),
        ("POST", "", {"stgid": "D2", "auth_token": "short"}, 400),
        ("POST", "", {"stgid": "D2", "security_key": "short"}, 400),
        ("POST", "", {"stgid": "D2", "mode": "carrier pigeon"}, 400),
        ("POST", "", {"stgid": "D2", "timezone": "Asia/Kolkata"}, 400),
        ("POST", "", {"stgid": "D2", "delay_seconds": "slow"}, 400),
        ("POST", "", ["D2"], 400),
        ("PATCH", "/D1", {"stgid": "D2"}, 400),
        ("PATCH", "/D1", {"online": "yes"}, 400),
        ("PATCH", "/D1", {"mode": "native", "delay_seconds": -1}, 400),
        ("PATCH", "/D9", {"online": True}, 404),
        ("POST", "/D9/punch", {"user_id": "1"}, 404),
        ("POST", "/D1/dance", {}, 404),
        ("POST", "/D1/punch", {}, 400),
        ("POST", "/D1/punch", {"user_id": "1", "at": "yesterday"}, 400),
        ("POST", "/D1/punch", {"user_id": "1", "mood": "good"}, 400),
        ("POST", "/D1/user", {"user_id": "1", "credentials": ["tail"]}, 400),
        ("POST", "/D1/delete-user", {"user_id": "nobody"}, 404),
        ("POST", "/D1/flood", {"rate": 5}, 400),
        ("POST", "/D1/flood", {"count": 0}, 400),
        ("GET", "/D9/commands", None, 404),
    ],
)
def test_invalid_requests_are_refused_with_a_sentence(
    method: str, path: str, body: object, status: int, device: Device, caller: Caller
) -> None:
    shown = caller.control(method, path, body, expect=status)
    assert shown["status"] == status and len(shown["detail"]) > 5
    assert caller.control("GET", "/D1")["mode"] == "native"


def test_an_invalid_change_changes_nothing(device: Device, caller: Caller) -> None:
    caller.control("PATCH", "/D1", {"label": "New", "mode": "none", "online": False}, expect=400)
    shown = caller.control("GET", "/D1")
    assert (shown["label"], shown["online"]) == ("Device D1", True)


def test_a_full_device_reports_it(make_device: Any, caller: Caller) -> None:
    make_device(max_users=1)
    caller.control("POST", "/D1/user", {"user_id": "1"}, expect=201)
    caller.control("POST", "/D1/user", {"user_id": "2"}, expect=409)


def test_forms_are_not_accepted_as_json(device: Device, server: SimulatorServer) -> None:
    # A web page can send forms, but no JSON, to a port of this machine without permission.
    url = f"{server.url}/control/devices/D1/punch"
    assert requests.post(url, data={"user_id": "1"}, timeout=5).status_code == 415


# Allowed callers


@pytest.mark.parametrize("path", ["/devices", "/devices/D1", "/devices/D1/commands", "/devices/D1/resend"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "x"]
)
def test_a_host_name_used_for_dns_rebinding_is_403(
    server: SimulatorServer, device: Device, path: str, host: str
) -> None:
    method = "POST" if path.endswith("resend") else "GET"
    answer = requests.request(method, f"{server.url}/control{path}", headers={"Host": host}, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert "--control-host" in answer.json()["detail"] and TOKEN[-4:] not in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_a_page_of_another_site_cannot_use_it_through_a_browser(
    server: SimulatorServer, device: Device, origin: str
) -> None:
    url = f"{server.url}/control/devices/D1/resend"
    assert requests.post(url, headers={"Origin": origin}, timeout=10).status_code == 403
    assert requests.post(url, headers={"Origin": server.url}, timeout=10).status_code == 201


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "127.9.9.9", "[::1]:80", "sim.localhost"]
)
def test_loopback_names_are_accepted(server: SimulatorServer, host: str) -> None:
    answer = requests.get(f"{server.url}/control/devices", headers={"Host": host}, timeout=10)
    assert answer.status_code == 200


def test_configured_names_are_accepted_and_commands_need_none(gateway: Gateway, device: Device) -> None:
    with SimulatorServer(gateway, control_hosts=["Simulator.lan"]) as server:
        for host, status in (("simulator.lan:8090", 200), ("other.lan", 403)):
            answer = requests.get(f"{server.url}/control/devices", headers={"Host": host}, timeout=10)
            assert answer.status_code == status
        command = make_command({"Load": {"DeviceInformation": {}}})
        answer = requests.post(
            server.command_url("D1"), json=command, headers={"Host": "gateway.lan"}, timeout=10
        )
        assert answer.status_code == 200
