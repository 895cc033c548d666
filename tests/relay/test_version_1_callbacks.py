"""Callbacks of version 1.0 become ordinary events for devices with legacy_callbacks. Contract §8."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

import pytest
import requests

from tests.harness import Device, Relay, wait_for
from tests.relay.legacy import LOCAL, PUNCH, SECONDS, UNKNOWN, callback_url, kept_body, ok, version_1
from tests.relay.tools import (
    counters,
    done,
    events,
    only,
    post,
    problem,
    types,
)


@pytest.fixture
def first(relay: Relay) -> tuple[Device, str]:
    """A device with version 1.0 turned on, and its Callback URL."""
    token = secrets.token_hex(16)
    wanted = {"device_id": f"OLD{secrets.token_hex(4)}", "auth_token": token, "timezone": "Asia/Kolkata"}
    made = post(relay, "/v1/devices", {**wanted, "legacy_callbacks": "1.0"})
    assert (made["legacy_callbacks"], made["require_callback_secret"]) == ("1.0", True)
    return Device(relay, wanted["device_id"], token), made["callback_url"]


@pytest.mark.parametrize(
    "time", [str(SECONDS), f"{SECONDS}000", f"{LOCAL:%Y-%m-%d %H:%M:%S}"], ids=["s", "ms", "text"]
)
def test_a_version_1_punch_is_an_ordinary_punch(first: tuple[Device, str], time: str) -> None:
    device, url = first
    for _ in range(2):
        ok(requests.post(url, data=version_1(device, att_time=time), timeout=15))
    punch = only(device, PUNCH)
    assert (punch["user_id"], punch["punch_type"], punch["direction"]) == ("7", "check_in", "in")
    assert punch["occurred_at"] == LOCAL.isoformat()
    assert types(device) == [PUNCH]
    assert counters(device)["duplicates"] == 1


@pytest.mark.parametrize("how", ["fields in the URL", "appended with ?", "no stgid", "multipart"])
def test_fields_can_be_sent_in_every_form(first: tuple[Device, str], how: str) -> None:
    device, url = first
    fields = version_1(device, att_type="o")
    if how == "fields in the URL":
        ok(requests.post(f"{url}&{urlencode(fields)}", timeout=15))
    elif how == "appended with ?":
        ok(requests.post(f"{url}?{urlencode(fields)}", timeout=15))
    elif how == "no stgid":
        del fields["stgid"]
        ok(requests.post(url, data=fields, timeout=15))
    else:
        ok(requests.post(url, files={name: (None, value) for name, value in fields.items()}, timeout=15))
    assert only(device, PUNCH)["punch_type"] == "check_out"
    assert types(device) == [PUNCH]


def test_a_missing_or_wrong_secret_is_401_and_counted(first: tuple[Device, str]) -> None:
    device, url = first
    plain = url.partition("?")[0]
    wrong = [plain, f"{plain}?k=", f"{url}x", f"{plain}?k={'x' * 32}", f"{device.relay.url}/callback"]
    for address in wrong:
        found = problem(requests.post(address, data=version_1(device), timeout=15), 401)
        assert "1.0" in found["detail"] and "?k=" in found["detail"]
    problem(requests.post(url, data=version_1(device, stgid="OTHER"), timeout=15), 401)
    problem(requests.post(f"{plain}?{urlencode(version_1(device))}", timeout=15), 401)
    assert events(device) == []
    wait_for(lambda: counters(device)["refused_callbacks"] >= len(wrong))


def test_the_secret_is_not_accepted_while_version_1_is_turned_off(relay: Relay) -> None:
    device = relay.device(require_callback_secret=True)
    url = callback_url(device)
    problem(requests.post(url, data=version_1(device), timeout=15), 401)
    done(requests.post(url, json=device.punch(), timeout=15))
    nobody = {"stgid": "NOBODY", "userid": "1", "att_time": "1", "att_type": "i"}
    problem(requests.post(f"{relay.url}/callback/NOBODY?k=x", data=nobody, timeout=15), 401)


def test_a_version_1_device_also_accepts_version_3_and_its_url_needs_the_secret(
    first: tuple[Device, str],
) -> None:
    device, url = first
    done(requests.post(url, json=device.punch(), timeout=15))
    problem(device.send(device.punch()), 401)


@pytest.mark.parametrize(
    "fields",
    [
        {"att_time": "12"},
        {"att_time": "soon"},
        {"att_time": ""},
        {"userid": ""},
        {"userid": "x" * 300},
        {f"field{number}": "1" for number in range(80)},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_unreadable_callbacks_of_version_1_are_stored_completely(
    first: tuple[Device, str], fields: dict[str, str]
) -> None:
    device, url = first
    body = urlencode(version_1(device, **fields)).encode()
    for _ in range(2):
        ok(requests.post(url, data=body, timeout=15))
    assert types(device) == [UNKNOWN]
    assert "version 1.0" in only(device, UNKNOWN)["reason"]
    assert kept_body(device) == body


def test_unknown_fields_of_version_1_are_reported(first: tuple[Device, str]) -> None:
    device, url = first
    ok(requests.post(url, data=version_1(device, shift="4829371"), timeout=15))
    assert "PunchLog.shift" in only(device, UNKNOWN)["reason"]
    assert PUNCH in types(device)
