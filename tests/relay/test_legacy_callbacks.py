"""Callbacks of versions 2.0 and 1.0 become ordinary events for devices with legacy_callbacks. Contract §8."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
import requests

from app.callbacks.token_search import tokens_in
from tests.harness import Device, Relay, wait_for
from tests.relay.legacy import (
    LOCAL,
    PUNCH,
    SECONDS,
    UNKNOWN,
    callback_url,
    form,
    kept_body,
    ok,
    version_1,
    version_2,
)
from tests.relay.tools import (
    KEY,
    counters,
    done,
    events,
    gateway_time,
    only,
    problem,
    sealed,
    types,
)

FORM = {"content-type": "application/x-www-form-urlencoded"}


def multipart(document: Any) -> bytes:
    head = 'Content-Disposition: form-data; name="request_data"\r\nContent-Type: text/plain'
    return f"--x7\r\n{head}\r\n\r\n{json.dumps(document)}\r\n--x7--\r\n".encode()


FORMS = {
    "form": form,
    "form with stgid": lambda document: form(document, stgid=document["ServiceTagId"]),
    "multipart": multipart,
    "JSON text in a key": lambda document: json.dumps({"request_data": json.dumps(document)}).encode(),
    "JSON in a key": lambda document: json.dumps({"request_data": document}).encode(),
    "JSON": lambda document: json.dumps(document).encode(),
    "upper case": lambda document: form({name.upper(): value for name, value in document.items()}),
}


@pytest.fixture
def second(relay: Relay) -> Device:
    """A device with version 2.0 turned on."""
    return relay.device(legacy_callbacks="2.0", timezone="Asia/Kolkata")


@pytest.mark.parametrize("name", FORMS)
def test_a_version_2_punch_is_an_ordinary_punch(second: Device, name: str) -> None:
    for _ in range(2):
        done(second.send(FORMS[name](version_2(second)), headers=FORM))
    punch = only(second, PUNCH)
    assert (punch["user_id"], punch["punch_type"], punch["direction"]) == ("7", "check_out", "out")
    assert punch["occurred_at"] == LOCAL.isoformat()
    assert f"{punch['local_date']} {punch['local_time']}" == f"{LOCAL:%Y-%m-%d %H:%M:%S}"
    assert (punch["operation"], punch["input_type"], punch["revision"]) == ("RealTimePunchLog", "card", 1)
    assert types(second) == [PUNCH]
    assert counters(second)["duplicates"] == 1


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("chosen", ["off", "1.0"])
def test_without_legacy_callbacks_it_is_stored_completely_with_a_hint(
    relay: Relay, name: str, chosen: str
) -> None:
    made = relay.device(legacy_callbacks=chosen)
    url = callback_url(made) if chosen == "1.0" else f"{relay.url}/callback"
    body = FORMS[name](version_2(made))
    done(relay.session.post(url, data=body, timeout=15))
    event = only(made, UNKNOWN)
    assert "version 2.0" in event["reason"]
    assert 'legacy_callbacks to "2.0"' in event["reason"]
    assert kept_body(made) == body.strip()


def test_the_same_punch_in_versions_2_and_3_is_one_and_a_changed_one_is_a_revision(second: Device) -> None:
    done(second.send(form(version_2(second))))
    log = {"Type": "CheckOut", "InputType": "Card", "LogTime": gateway_time(LOCAL)}
    done(second.send(second.punch(user="7", **log)))
    assert types(second) == [PUNCH]
    done(second.send(form(version_2(second, OperationData={"AttendanceType": "BreakOut"}))))
    assert [event["revision"] for event in events(second)] == [1, 2]


def test_users_are_updated_and_deleted(second: Device) -> None:
    data = {
        "Name": "Asha Rao",
        "FirstName": "Asha",
        "LastName": "Rao",
        "Priority": 16,
        "Signature": [{"Template": "0004829371", "Type": "Card", "AdditionalData1": ""}],
    }
    for _ in range(2):
        done(second.send(form(version_2(second, "ManuallyUserUpdated", OperationData=data))))
    updated = only(second, "user.updated")
    assert (updated["user_id"], updated["full_name"], updated["user_type"]) == ("7", "Asha Rao", "admin")
    assert only(second, "credential.updated")["card_last4"] == "9371"
    done(second.send(form(version_2(second, "ManuallyUserDeleted", OperationData=None))))
    assert only(second, "user.deleted")["user_id"] == "7"
    assert UNKNOWN not in types(second)


@pytest.mark.parametrize("name", FORMS)
def test_a_wrong_token_is_401_and_counted(second: Device, name: str) -> None:
    body = FORMS[name](version_2(second, AuthToken=secrets.token_hex(16)))
    problem(second.relay.session.post(f"{second.relay.url}/callback/{second.id}", data=body, timeout=15), 401)
    assert events(second) == []
    wait_for(lambda: counters(second)["refused_callbacks"] == 1)


@pytest.mark.parametrize("field", ["encrypted as a whole", "encrypted in the field"])
def test_an_encrypted_callback_is_accepted_and_an_unencrypted_one_is_refused(
    relay: Relay, field: str
) -> None:
    device = relay.device(legacy_callbacks="2.0", security_key=KEY)
    body = sealed(version_2(device))
    if field == "encrypted in the field":
        body = b"request_data=" + quote_plus(body).encode()
    done(device.send(body, headers=FORM))
    assert types(device) == [PUNCH]
    problem(device.send(form(version_2(device))), 401)


@pytest.mark.parametrize(
    "info",
    [
        {"OperationTime": 12},
        {"OperationTime": "soon"},
        {"OperationTime": 10**30},
        {"UserId": ""},
        {"UserId": "   "},
        {"UserId": None},
        {"Operation": "LoadPunchLog"},
        {"Operation": None},
        {"OperationData": "x"},
        {"OperationData": [1, None]},
        {"Operation": "UserUpdated", "OperationData": {"Signature": [1, {"Type": "Face"}]}, "UserId": None},
    ],
    ids=str,
)
def test_unreadable_callbacks_are_stored_completely(second: Device, info: dict[str, Any]) -> None:
    body = form(version_2(second, **info))
    done(second.send(body))
    assert types(second) == [UNKNOWN]
    assert "version 2.0" in only(second, UNKNOWN)["reason"]
    assert kept_body(second) == body


def test_unknown_fields_are_reported_without_their_values(second: Device) -> None:
    data = {"AttendanceType": "CheckIn", "Shift": "S-4829371"}
    done(second.send(form(version_2(second, OperationData=data, Zone="Z-4829371"), site="4829371")))
    assert types(second)[0] == PUNCH
    reason = only(second, UNKNOWN)["reason"]
    assert "PunchLog.shift, RealTime.zone, site" in reason
    assert "4829371" not in reason


def test_a_body_with_both_versions_is_read_as_3_and_the_rest_is_reported(second: Device) -> None:
    document = {**second.punch(user="3"), **version_2(second)}
    done(second.send(document))
    assert only(second, PUNCH)["user_id"] == "3"
    assert "apirequestinfo" in only(second, UNKNOWN)["reason"]
    done(second.send(form(second.punch(user="4"))))  # a 3.0 callback in a 2.0 form
    assert [event["user_id"] for event in events(second, type=PUNCH)] == ["3", "4"]


def test_a_huge_callback_is_read_or_refused_without_an_error(second: Device) -> None:
    rows = [{"UserID": str(n), "AttendanceTime": SECONDS + n} for n in range(300)]
    done(second.send(json.dumps(version_2(second, OperationData=rows)).encode()))
    assert len(events(second, type=PUNCH)) == 300
    padded = version_2(second, OperationTime=SECONDS + 999, OperationData={"Note": "x" * 300_000})
    done(second.send(form(padded)))
    assert len(events(second, type=PUNCH)) == 301
    assert second.send(form(version_2(second, Note="x" * 5_000_000))).status_code == 401
    problem(second.send(b"request_data=" + b"%7B" * 100_000), 401)


def test_a_raw_event_has_the_form_of_version_3_without_token(second: Device) -> None:
    done(second.send(form(version_2(second))))
    event = only(second, PUNCH)
    raw = second.relay.call("GET", f"/v1/events/{event['id']}").text
    assert second.token not in raw


# Turning it on and off


def test_legacy_callbacks_can_be_turned_on_and_off(relay: Relay, device: Device) -> None:
    path = f"/v1/devices/{device.id}"
    assert relay.get(path)["legacy_callbacks"] == "off"
    for value in ("3.0", 2, True, "2"):
        problem(relay.call("PATCH", path, json={"legacy_callbacks": value}), 422, "legacy_callbacks")
    on = relay.call("PATCH", path, json={"legacy_callbacks": "2.0"}).json()
    assert (on["legacy_callbacks"], on["require_callback_secret"]) == ("2.0", False)
    for number in range(8):  # over new connections, so that both web processes get some
        body = form(version_2(device, OperationTime=SECONDS + number))
        done(requests.post(f"{relay.url}/callback", data=body, timeout=15))
    assert len(events(device, type=PUNCH)) == 8

    older = relay.call("PATCH", path, json={"legacy_callbacks": "1.0"}).json()
    assert older["require_callback_secret"] is True and "?k=" in older["callback_url"]
    off = {"require_callback_secret": False, "auth_token": device.token}
    problem(relay.call("PATCH", path, json=off), 422, "require_callback_secret")
    both = {"legacy_callbacks": "1.0", **off}
    problem(relay.call("PATCH", path, json=both), 422, "require_callback_secret")
    for number in range(8):
        fields = version_1(device, att_time=str(SECONDS + 100 + number))
        ok(requests.post(older["callback_url"], data=fields, timeout=15))
    assert len(events(device, type=PUNCH)) == 16

    assert relay.call("PATCH", path, json={"legacy_callbacks": "off", **off}).status_code == 200
    for _ in range(8):
        problem(requests.post(older["callback_url"], data=version_1(device), timeout=15), 401)
    done(requests.post(f"{relay.url}/callback", data=form(version_2(device)), timeout=15))
    assert "version 2.0" in only(device, UNKNOWN)["reason"]


def test_callbacks_are_spooled_while_the_store_is_away(tmp_path: Path) -> None:
    with Relay(tmp_path, WEB_CONCURRENCY="1") as relay:
        newer, older = relay.device(legacy_callbacks="2.0"), relay.device(legacy_callbacks="1.0")
        switched_off = relay.device()
        url = callback_url(older)
        done(newer.send(form(version_2(newer))))
        ok(requests.post(url, data=version_1(older), timeout=15))
        done(switched_off.send(switched_off.punch()))
        relay.kill("store")
        done(newer.send(form(version_2(newer, OperationTime=SECONDS + 60))))
        ok(requests.post(url, data=version_1(older, att_time=str(SECONDS + 60)), timeout=15))
        ok(requests.post(f"{url}&{urlencode(version_1(older, att_time=str(SECONDS + 120)))}", timeout=15))
        done(switched_off.send(form(version_2(switched_off))))
        relay.start("store")
        wait_for(
            lambda: relay.get("/health")["spooled_bytes"] == 0 and relay.get("/health")["store"] == "ok", 30
        )
        assert types(newer) == [PUNCH] * 2
        assert types(older) == [PUNCH] * 3
        assert types(switched_off) == [PUNCH, UNKNOWN]


def test_the_token_of_a_doubly_quoted_body_is_found_before_parsing() -> None:
    token = "k3wgUszWcH4EjXM7sUWI38yJPkXhmvao"
    inner = json.dumps({"ApiRequestInfo": {"AuthToken": token}})
    assert list(tokens_in(json.dumps({"request_data": inner}).encode())) == [token]
    assert list(tokens_in(b"request_data=" + quote(inner).encode())) == [token]
