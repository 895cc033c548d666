"""The gateway's responses become the contract's HTTP statuses, with the gateway's message and the relay's advice."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from simulator.faults import Fault
from tests.actions.tools import KEY, Machine, Maker, problem
from tests.documented import STATUS_NAMES
from tests.harness import Receiver

HTTP = {1: 422, 2: 404, 3: 422, 4: 422, 7: 422, 8: 409, 9: 404, 10: 422, 11: 422, 13: 422, 15: 422}
HTTP |= dict.fromkeys((12, 14, 19, 29, 33, 35, 38, 77, 999, 123456), 422)
CODES = {
    4: "invalid_encryption",
    8: "user_already_exists",
    11: "device_memory_full",
    77: "unrecognised_status",
}
ADVICE = {
    3: "API Monitor",
    4: "Security Key",
    7: "AuthToken",
    9: "Add the user",
    11: "full",
    19: "Set its Security Key",
}


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("code", HTTP)
def test_each_status_code_has_its_http_status(code: int, key: str | None, make: Maker) -> None:
    one = make(security_key=key)
    one.fault(Fault(status_code=code, status=f"API_RESPONSE_MADE_UP_{code}"))
    found = problem(one.act("enable-user", user_id="1"), HTTP[code])
    assert found["status_code"] == code
    assert found["gateway_status"] == f"API_RESPONSE_MADE_UP_{code}"
    assert found["status_name"] == STATUS_NAMES.get(code, found["status_name"]) and found["status_name"]
    assert ADVICE.get(code, "") in found["detail"]
    assert found["code"] == CODES.get(code, found["code"])
    assert ("errors" in found) == (code in (1, 3, 10)), "a value is at fault"
    shown = one.command(found["command_id"])
    assert (shown["status"], shown["status_code"], shown["message"]) == ("failed", code, found["detail"])
    assert shown["code"] == found["code"]
    assert len(one.bodies) == 1


GARBAGE = {
    "nothing": Fault(body=""),
    "html": Fault(body="<html><body>502 Bad Gateway</body></html>", http_status=502),
    "http-500": Fault(http_status=500),
    "list": Fault(body="[1,2,3]"),
    "number": Fault(body="5"),
    "not-a-code": Fault(body='{"Status":"done!","StatusCode":"zero"}'),
    "negative": Fault(body='{"Status":"x","StatusCode":-1}'),
    "no-code": Fault(body='{"Status":"hello"}'),
    "base64-of-noise": Fault(body="QUJDREVGR0hJSktMTU5PUA=="),
    "cut": Fault(body='{"Status":"done","StatusCode":0'),
}


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_a_response_outside_the_protocol_is_502(kind: str, key: str | None, make: Maker) -> None:
    one = make(security_key=key)
    one.fault(GARBAGE[kind])
    found = problem(one.act("load-device-information"), 502)
    assert {"status_code", "status_name", "gateway_status", "command_id"} <= found.keys()
    assert found["status_code"] is None and one.command(found["command_id"])["status"] == "failed"


ELSEWHERE = {
    "a page": (200, "text/html; charset=utf-8", b"<html>Welcome</html>"),
    "not found": (404, "text/html", b"<html>no such page</html>"),
    "an API of somebody else": (200, "application/json", b'{"statusCode":0,"message":"ok"}'),
    "a code without a status": (200, "application/json", b'{"StatusCode":0}'),
    "an error's body": (500, "application/json", b'{"Status":"done","StatusCode":0}'),
    "created": (201, "application/json", b'{"Status":"done","StatusCode":0}'),
    "another command's": (200, "application/json", b'{"Status":"done","StatusCode":0,"OperationID":"1"}'),
    "nothing": (204, "", b""),
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_only_a_response_from_the_gateway_completes_a_command(
    where: str, make: Maker, receiver: Receiver
) -> None:
    status, kind, content = ELSEWHERE[where]
    receiver.answer = lambda _: (status, {"content-type": kind} if kind else {}, content)
    found = problem(make(gateway_url=receiver.url).act("load-device-information"), 502)
    assert "does not look like the Cams gateway: check gateway_url" in found["detail"]
    assert f"HTTP {status} with {kind.partition(';')[0] or 'no content type'}" in found["detail"]
    assert found["status_code"] is None


def test_an_invalid_content_type_is_not_shown(make: Maker, receiver: Receiver) -> None:
    receiver.answer = lambda _: (200, {"content-type": "<script>alert(1)</script>"}, b"{}")
    found = problem(make(gateway_url=receiver.url).act("load-device-information"), 502)
    assert "no content type" in found["detail"] and "script" not in found["detail"]


@pytest.mark.parametrize("kind", ["html", "http-500", "no-code"])
@pytest.mark.parametrize("action", ["delete-all-user", "enroll-fingerprint"])
def test_a_destructive_command_with_a_meaningless_response_is_unknown(
    kind: str, action: str, one: Machine
) -> None:
    """It may have been carried out, so "failed" would be a guess."""
    one.fault(GARBAGE[kind])
    fields: dict[str, Any] = {"user_id": "1"} if action == "enroll-fingerprint" else {"confirm": True}
    found = problem(one.act(action, **fields), 422)
    assert (found["command_status"], found["code"]) == (
        "unknown",
        "outcome_unknown",
    ) and "Check the device" in found["detail"]
    assert len(one.bodies) == 1


@pytest.mark.parametrize("code", [4, 13, 19])
def test_an_unencrypted_response_for_a_device_with_a_key_is_read(code: int, make: Maker) -> None:
    one = make(security_key=KEY)
    text = json.dumps({"Status": "API_RESPONSE_X", "OperationID": "1", "StatusCode": code})
    one.fault(Fault(body=text), Fault(body=f"\ufeff {text}\r\n"))
    for _ in range(2):
        found = problem(one.act("load-device-information"), 422)
        assert (found["status_code"], found["gateway_status"]) == (code, "API_RESPONSE_X")


def test_a_missing_security_key_is_reported_with_advice_to_set_it(make: Maker) -> None:
    one = make()
    one.device.spec.security_key = KEY
    found = problem(one.act("load-device-information"), 422)
    assert found["status_code"] == 19 and "Security Key" in found["detail"]
    one.relay.call("PATCH", f"/v1/devices/{one.id}", json={"security_key": KEY})
    one.done("load-device-information")


def test_a_wrong_security_key_is_status_code_13(make: Maker) -> None:
    one = make(security_key=KEY)
    one.device.spec.security_key = KEY[::-1]
    found = problem(one.act("load-device-information"), 422)
    assert (found["status_code"], found["status_name"]) == (13, "Invalid Security Key")


def test_an_endless_response_is_cut_off_and_502(one: Machine) -> None:
    one.fault(Fault(body='{"Status":"done","StatusCode":0,"x":"' + "x" * 9_000_000 + '"}'))
    found = problem(one.act("load-device-information"), 502)
    assert "larger than" in found["detail"]


def test_a_redirect_is_not_followed(make: Maker, receiver: Receiver) -> None:
    receiver.answer = lambda _: (302, {"Location": receiver.url}, b"")
    found = problem(make(gateway_url=receiver.url).act("load-device-information"), 502)
    assert "redirect" in found["detail"] and len(receiver.received) == 1


def test_success_without_a_status_code_is_success(one: Machine) -> None:
    one.fault(Fault(body='{"Status":"done"}'))
    assert one.done("resend-all-user")["gateway_status"] == "done"


def test_a_command_waits_for_another_call_in_progress(one: Machine) -> None:
    one.fault(Fault(status_code=37), Fault(status_code=37))
    one.done("delete-all-user", confirm=True)
    assert len(one.bodies) == 3
    assert len({body["OperationID"] for body in one.bodies}) == 1


def test_another_call_that_never_ends_is_503_after_the_timeout(quick: Maker) -> None:
    one = quick()
    one.fault(*[Fault(status_code=37)] * 20)
    began = time.monotonic()
    answer = one.act("delete-all-user", confirm=True)
    found = problem(answer, 503)
    assert (found["status_code"], found["command_status"]) == (37, "failed")
    assert answer.headers["Retry-After"], "the gateway did not take it, so it may be repeated"
    assert time.monotonic() - began < 4


def test_the_gateways_message_is_shown_without_values_that_it_repeats(one: Machine) -> None:
    secret = one.registered.token
    one.fault(Fault(status_code=1, status=f"bad token {secret} or PIN 918273645"))
    answer = one.act("add-user", user_id="1", password="918273645")
    assert answer.status_code == 422 and "bad token" in answer.json()["gateway_status"]
    assert secret not in answer.text and "918273645" not in answer.text


def test_the_gateways_message_is_shown_without_parts_of_templates(one: Machine) -> None:
    template = "".join(f"{number:03d}/" for number in range(400))
    quoted = template[100:140].replace("/", "\\/")
    one.fault(Fault(status_code=1, status=f"can't read {quoted} of it"))
    answer = one.act("add-user", user_id="1", face_data=template)
    assert (answer.status_code, answer.json()["gateway_status"]) == (422, "can't read … of it")


def test_device_information_is_flat_with_numbers_and_dates(one: Machine) -> None:
    information = {
        "DeviceModel": "Hawking Plus (f38+)",
        "Manufacturer": "Dheeram Innovations",
        "MacAddress": "00-01-A9-16-27-AB",
        "StartDate": "03/04/2024",
        "EndDate": "23/04/2025",
        "LastConnectedTime": "13-11-2025 18:03:48 GMT +0530",
        "RegisteredUsers": "12",
        "RegisteredFaces": "0",
        "RegisteredFingerprints": "7",
        "MaximumFacesSupported": "5000",
        "MaximumFingerprintsSupported": "10000",
        "MaximumAttendanceLogsSupported": "500000",
        "Status": "Online",
        "Password": "4711",
    }
    one.fault(Fault(body=json.dumps({"Status": "done", "StatusCode": 0, "DeviceInformation": information})))
    answer = one.done("load-device-information")
    shown = {
        name: value for name, value in answer.items() if not name.startswith(("id", "command", "operation"))
    }
    assert shown == {
        "action": "load-device-information",
        "device_id": one.id,
        "user_id": None,
        "status": "completed",
        "status_code": 0,
        "status_name": "Success",
        "message": shown["message"],
        "gateway_status": "done",
        "device_model": "Hawking Plus (f38+)",
        "manufacturer": "Dheeram Innovations",
        "mac_address": "00-01-A9-16-27-AB",
        "start_date": "03/04/2024",  # the third of April, or the fourth of March
        "end_date": "2025-04-23",
        "last_connected_time": "2025-11-13T18:03:48+05:30",
        "registered_users": 12,
        "registered_faces": 0,
        "registered_fingerprints": 7,
        "maximum_faces_supported": 5000,
        "maximum_fingerprints_supported": 10000,
        "maximum_attendance_logs_supported": 500000,
        "device_status": "Online",  # the command's own status isn't changed
    }
