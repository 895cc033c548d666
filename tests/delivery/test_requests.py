"""What a delivery is: its headers, signature, formats, filters and batches. Contract §4."""

from __future__ import annotations

import base64
import json
import secrets
import time
from contextlib import closing
from typing import Any

import pytest
from standardwebhooks import Webhook

from app import __version__
from tests.delivery.tools import act, change, ids_of, punch, wait_rows
from tests.harness import API_KEY, Device, Receiver, Relay, verify, wait_for
from tests.relay.tools import key_with, problem


def test_a_delivery_has_the_headers_of_the_contract(relay: Relay, device: Device, receiver: Receiver) -> None:
    subscription = relay.subscribe(
        receiver, device, headers={"Authorization": "Bearer made-up", "X-Empty": ""}
    )
    punch(device)
    (got,) = receiver.wait(1)
    event = verify(subscription["secret"], got)
    assert got.headers["webhook-id"] == event["id"]
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
    assert got.headers["webhook-signature"].startswith("v1,")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"] == f"cams-relay/{__version__}"
    assert got.headers["authorization"] == "Bearer made-up"
    assert got.headers["x-empty"] == ""
    assert "…" not in subscription["headers"].get("user-agent", "")
    assert "made-up" not in json.dumps(subscription)


def test_a_header_beyond_ascii_is_sent(relay: Relay, device: Device, receiver: Receiver) -> None:
    relay.subscribe(receiver, device, headers={"X-Site": "Zürich"})
    punch(device)
    (got,) = receiver.wait(1)
    assert got.headers["x-site"] == "Zürich"


def test_a_hidden_header_that_is_sent_back_keeps_its_value(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    made = relay.subscribe(receiver, device, headers={"Authorization": "Bearer made-up", "X-Old": "1"})
    path = f"/v1/subscriptions/{made['id']}"
    shown = relay.get(path)["headers"]
    shown.pop("X-Old")
    changed = relay.call("PATCH", path, json={"headers": {**shown, "X-Old": None, "X-New": "2"}})
    assert changed.json()["headers"] == {"Authorization": "…", "X-New": "…"}
    device.send_done(device.punch())
    (got,) = receiver.wait(1)
    assert (got.headers["authorization"], got.headers["x-new"]) == ("Bearer made-up", "2")
    assert "x-old" not in got.headers
    problem(relay.call("PATCH", path, json={"headers": {"X-Unknown": "…"}}), 422, "headers")
    body = {"target_url": receiver.url, "events": ["*"], "headers": {"X-Unknown": "…"}}
    problem(relay.call("POST", "/v1/subscriptions", json=body), 422, "headers")


def test_a_change_merges_and_null_sets_the_default(relay: Relay, device: Device, receiver: Receiver) -> None:
    filters = {"user_ids": ["7"], "punch_types": ["check_in"]}
    made = relay.subscribe(
        receiver,
        device,
        **{"headers": {"X-A": "1", "X-B": "2", "X-C": "3"}, "filters": filters, "batch_max": 5},
        **{"max_in_flight": 2, "format": "raw", "description": "x", "expires_in": 600},
    )
    path, merge = f"/v1/subscriptions/{made['id']}", {"Content-Type": "application/merge-patch+json"}
    body = {
        "headers": {"X-A": None, "x-c": "4"},
        "filters": {"user_ids": None},
        "batch_max": None,
        "format": None,
    }
    answer = relay.call("PATCH", path, data=json.dumps(body), headers=merge)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["headers"] == {"X-B": "…", "x-c": "…"}
    assert changed["filters"]["user_ids"] == [] and changed["filters"]["punch_types"] == ["check_in"]
    assert (changed["batch_max"], changed["format"], changed["max_in_flight"]) == (1, "flat", 2)
    assert change(relay, made, headers={}, filters={})["headers"] == {"X-B": "…", "x-c": "…"}
    device.send_done(device.punch())
    (got,) = receiver.wait(1)
    assert (got.headers.get("x-a"), got.headers["x-b"], got.headers["x-c"]) == (None, "2", "4")
    changed = change(
        relay,
        made,
        **{"headers": None, "filters": None, "description": None, "max_in_flight": None, "expires_in": None},
        **{"include_card_numbers": None, "batch_wait_ms": None},
    )
    assert changed["headers"] == {} and not any(changed["filters"].values())
    assert (changed["description"], changed["max_in_flight"], changed["expires_at"]) == (None, 16, None)
    for name in ("target_url", "event_types"):
        problem(relay.call("PATCH", path, json={name: None}), 422, name)
    full = {f"X-{number}": "1" for number in range(20)}
    change(relay, made, headers=full)
    problem(relay.call("PATCH", path, json={"headers": {"X-More": "1"}}), 422, "headers")


def test_a_hidden_header_goes_to_no_other_target(relay: Relay, device: Device, receiver: Receiver) -> None:
    made = relay.subscribe(receiver, device, headers={"Authorization": "Bearer made-up", "X-Team": "payroll"})
    path = f"/v1/subscriptions/{made['id']}"
    beside = f"{receiver.url}/other?path=1"
    changed = relay.call("PATCH", path, json={"target_url": beside})
    assert (changed.status_code, changed.json()["headers"]) == (200, made["headers"]), "the same server"
    with closing(Receiver()) as other:
        for elsewhere in (other.url, receiver.url.replace("127.0.0.1", "127.0.0.2")):
            for headers in ({}, {"headers": made["headers"]}, {"headers": {"Authorization": "…"}}):
                found = problem(
                    relay.call("PATCH", path, json={"target_url": elsewhere, **headers}), 422, "headers"
                )
                assert "Authorization" in found["detail"] and "null for no headers" in found["detail"]
        assert relay.get(path)["target_url"] == beside
        kept = {"target_url": other.url, "headers": {"x-team": "2"}}
        found = problem(relay.call("PATCH", path, json=kept), 422, "headers")
        assert "the values of Authorization are" in found["detail"], "the other one is replaced"
        moved = {"target_url": other.url, "headers": {"Authorization": None, "X-Team": "2"}}
        assert relay.call("PATCH", path, json=moved).json()["headers"] == {"X-Team": "…"}
        punch(device)
        (got,) = other.wait(1)
        assert got.headers["x-team"] == "2" and "authorization" not in got.headers
        none = {"target_url": receiver.url, "headers": None}
        assert relay.call("PATCH", path, json=none).json()["headers"] == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.com"},
        {"Content-Length": "3"},
        {"content-type": "text/plain"},
        {"Webhook-Id": "evt_1"},
        {"webhook-signature": "v1,made-up"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "close"},
        {"Upgrade": "h2c"},
        {"X-A": "one\r\nX-B: two"},
        {"X-A: 1\r\nX-B": "two"},
        {"": "x"},
        {"X-Snow": "☃"},
        {"X-List": ["a"]},
        {f"X-{number}": "x" for number in range(30)},
    ],
)
def test_headers_that_would_break_a_request_are_refused(
    relay: Relay, receiver: Receiver, headers: dict[str, Any]
) -> None:
    body = {"target_url": receiver.url, "events": ["*"], "headers": headers}
    problem(relay.call("POST", "/v1/subscriptions", json=body), 422)


def test_an_own_secret_signs(relay: Relay, device: Device, receiver: Receiver) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    subscription = relay.subscribe(receiver, device, secret=secret)
    assert subscription["secret"] == secret
    punch(device)
    verify(secret, receiver.wait(1)[0])


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "c2hvcnQ=", "whsec_$$$", 5])
def test_a_weak_secret_is_refused(relay: Relay, receiver: Receiver, secret: Any) -> None:
    body = {"target_url": receiver.url, "events": ["*"], "secret": secret}
    problem(relay.call("POST", "/v1/subscriptions", json=body), 422, "secret")


def test_the_secret_is_shown_once(relay: Relay, receiver: Receiver) -> None:
    answer = relay.call("POST", "/v1/subscriptions", json={"target_url": receiver.url, "events": ["user.*"]})
    made = answer.json()
    assert answer.headers["location"].endswith(f"/v1/subscriptions/{made['id']}")
    secret = made["secret"].removeprefix("whsec_")
    assert secret not in relay.call("GET", f"/v1/subscriptions/{made['id']}").text
    assert secret not in relay.call("GET", "/v1/subscriptions?limit=200").text


def test_both_secrets_verify_after_a_rotation(relay: Relay, device: Device, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, device)
    rotated = act(relay, subscription, "rotate-secret")
    assert rotated["secret"] != subscription["secret"]
    punch(device)
    (got,) = receiver.wait(1)
    assert verify(subscription["secret"], got) == verify(rotated["secret"], got)
    with pytest.raises(Exception, match="signature"):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(got.body, got.headers)


def test_filters_let_only_their_own_through(relay: Relay) -> None:
    first, second = relay.device(), relay.device()
    wanted: dict[str, dict[str, Any]] = {
        "device": {"device_ids": [first.id]},
        "user": {"device_ids": [first.id, second.id], "user_ids": ["7"]},
        "type": {"device_ids": [first.id, second.id], "punch_types": ["check_out"]},
        "all": {"device_ids": [first.id], "user_ids": ["7", "8"], "punch_types": ["check_in"]},
    }
    receivers = {name: Receiver() for name in wanted}
    for name, filters in wanted.items():
        relay.subscribe(receivers[name], filters=filters)
    for device in (first, second):
        for user in ("7", "8"):
            for kind in ("CheckIn", "CheckOut"):
                device.send_done(device.punch(user, Type=kind))
    expected = {"device": 4, "user": 4, "type": 4, "all": 2}
    for name, count in expected.items():
        receivers[name].wait(count)
    first.send_done(first.sample(1))  # a user's deletion passes punch_types, but not user_ids
    receivers["type"].wait(5)
    for name, count in {**expected, "device": 5, "type": 5}.items():
        wait_for(lambda name=name, count=count: len(receivers[name].received) == count)
    assert {event["device_id"] for event in receivers["device"].events()} == {first.id}
    assert {event["user_id"] for event in receivers["user"].events()} == {"7"}
    kinds = {event.get("punch_type") for event in receivers["type"].events()}
    assert kinds == {"check_out", None}
    for receiver in receivers.values():
        receiver.close()


def test_patterns_choose_types(relay: Relay, device: Device) -> None:
    receivers = [Receiver() for _ in range(3)]
    relay.subscribe(receivers[0], device, events=["user.*"])
    relay.subscribe(receivers[1], device, events=["user.deleted", "attendance.punch", "user.deleted"])
    relay.subscribe(receivers[2], device, events=["*"])
    for number in (1, 2, 3, 11):
        device.send_done(device.sample(number))
    receivers[2].wait(4)
    receivers[0].wait(2)
    receivers[1].wait(2)
    types = [{event["type"] for event in receiver.events()} for receiver in receivers]
    assert types[0] == {"user.updated", "user.deleted"}
    assert types[1] == {"user.deleted", "attendance.punch"}
    assert types[2] == {"user.updated", "user.deleted", "attendance.punch", "device.time_changed"}
    for receiver in receivers:
        receiver.close()


def test_platforms_names_are_taken(relay: Relay, device: Device, receiver: Receiver) -> None:
    body = {
        "hookUrl": receiver.url,
        "event": "attendance.punch",
        "filters": {"device_ids": [device.id], "user_ids": None},
    }
    answer = relay.call("POST", "/v1/subscriptions", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["target_url"] == receiver.url
    assert made["event_types"] == ["attendance.punch"]
    assert not made.keys() & {"events", "event"}
    punch(device)
    receiver.wait(1)


def test_devices_in_a_filter_that_are_not_registered_are_named(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    missing = f"{device.id}-not-yet"
    body = {"target_url": receiver.url, "event_types": ["*"], "filters": {"device_ids": [missing, device.id]}}
    made = relay.call("POST", "/v1/subscriptions", json=body)
    assert made.status_code == 201 and made.json()["unknown_device_ids"] == [missing]
    path = f"/v1/subscriptions/{made.json()['id']}"
    assert relay.get(path)["unknown_device_ids"] == [missing]
    listed = relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    assert [one["unknown_device_ids"] for one in listed if one["id"] == made.json()["id"]] == [[missing]]
    relay.device(device_id=missing)
    assert relay.get(path)["unknown_device_ids"] == []
    for device_ids in (["VIRTUAL1"], []):
        changed = relay.call("PATCH", path, json={"filters": {"device_ids": device_ids}})
        assert changed.json()["unknown_device_ids"] == device_ids


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"event_types": []}, "event_types"),
        ({"events": []}, "event_types"),
        ({"event_types": ["attendance.punched"]}, "event_types.0"),
        ({"event_types": "*"}, "event_types"),
        ({"event": None}, "event_types.0"),
        ({"events": ["*"], "event_types": ["user.*"]}, "events"),
        ({"event": "*", "event_types": ["user.*"]}, "event"),
        ({"hookUrl": "http://127.0.0.1:9/other"}, "hookUrl"),
        ({"format": "xml"}, "format"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"max_in_flight": 101}, "max_in_flight"),
        ({"max_in_flight": "16"}, "max_in_flight"),
        ({"batch_max": 501}, "batch_max"),
        ({"batch_wait_ms": 60_001}, "batch_wait_ms"),
        ({"batch_wait_ms": -1}, "batch_wait_ms"),
        ({"filters": {"punch_types": ["Check In"]}}, "filters.punch_types"),
        ({"filters": {"devices": []}}, "filters.devices"),
        ({"target_url": "ftp://example.com/"}, "target_url"),
        ({"target_url": "https://user:secret@example.com/"}, "target_url"),
        ({"target_url": None}, "target_url"),
        ({"target_uri": "x"}, "target_uri"),
    ],
)
def test_a_wrong_body_names_its_field(
    relay: Relay, receiver: Receiver, fields: dict[str, Any], fault: str
) -> None:
    named = fields.keys() & {"event_types", "events", "event"}
    base = {"target_url": receiver.url, **({} if named else {"event_types": ["*"]})}
    problem(relay.call("POST", "/v1/subscriptions", json={**base, **fields}), 422, fault)


@pytest.mark.parametrize("batch_max", [1, 4])
def test_cloudevents(relay: Relay, device: Device, receiver: Receiver, batch_max: int) -> None:
    subscription = relay.subscribe(
        receiver, device, format="cloudevents", batch_max=batch_max, batch_wait_ms=0
    )
    punch(device)
    (got,) = receiver.wait(1)
    content = verify(subscription["secret"], got)
    kind = "application/cloudevents+json" if batch_max == 1 else "application/cloudevents-batch+json"
    assert got.headers["content-type"] == kind
    event = content if batch_max == 1 else content[0]
    assert event["specversion"] == "1.0"
    assert event["type"] == "attendance.punch"
    assert event["source"]
    assert event["id"] == event["data"]["id"]
    assert event["datacontenttype"] == "application/json"
    assert event["data"] == relay.get(f"/v1/events/{event['id']}")


@pytest.mark.parametrize("batch_max", [1, 4])
def test_raw_is_the_gateways_own_json_without_secrets(
    relay: Relay, device: Device, receiver: Receiver, batch_max: int
) -> None:
    subscription = relay.subscribe(receiver, device, format="raw", batch_max=batch_max, batch_wait_ms=0)
    document = device.punch()
    device.send_done(document)
    (got,) = receiver.wait(1)
    content = verify(subscription["secret"], got)
    raw = content if batch_max == 1 else content[0]
    assert raw["RealTime"]["PunchLog"] == document["RealTime"]["PunchLog"]
    assert raw["RealTime"]["OperationID"] == document["RealTime"]["OperationID"]
    assert device.token.encode() not in got.body


@pytest.mark.parametrize("format_", ["flat", "cloudevents", "raw"])
def test_no_delivery_holds_a_credential(
    relay: Relay, device: Device, receiver: Receiver, format_: str
) -> None:
    relay.subscribe(receiver, device, format=format_)
    hidden = []
    for number in range(3, 10):
        document = device.sample(number)
        hidden += _templates(document)
        device.send_done(document)
    expected = len(relay.events(device_id=device.id))
    for got in receiver.wait(expected):
        for secret in (*hidden, device.token):
            assert secret.encode() not in got.body
    assert hidden


def _templates(document: Any) -> list[str]:
    if isinstance(document, dict):
        own = [
            value
            for name, value in document.items()
            if name in ("Template", "Data", "Password") and isinstance(value, str) and len(value) > 12
        ]
        return own + [found for value in document.values() for found in _templates(value)]
    if isinstance(document, list):
        return [found for value in document for found in _templates(value)]
    return []


def _with_card(device: Device, number: str) -> dict[str, Any]:
    document = device.sample(4)
    text = json.dumps(document)
    (card,) = set(_cards(document))
    changed: dict[str, Any] = json.loads(text.replace(json.dumps(card), json.dumps(number)))
    return changed


def _cards(document: Any) -> list[str]:
    if isinstance(document, dict):
        own = [document["Data"]] if document.get("Type") == "Card" and "Data" in document else []
        return own + [found for value in document.values() for found in _cards(value)]
    if isinstance(document, list):
        return [found for value in document for found in _cards(value)]
    return []


def test_card_numbers_go_only_to_whom_a_key_with_the_scope_sends_them(relay: Relay, device: Device) -> None:
    plain, full = Receiver(), Receiver()
    relay.subscribe(plain, device, events=["credential.updated"])
    subscription = relay.subscribe(full, device, events=["credential.updated"], include_card_numbers=True)
    device.send_done(_with_card(device, "0012345678"))
    (without,), (with_it,) = plain.wait(1), full.wait(1)
    assert without.json["card_number"] is None
    assert with_it.json["card_number"] == "0012345678"
    assert b"0012345678" not in without.body
    key = key_with(relay, "subscriptions:write")
    body = {"target_url": full.url, "events": ["*"], "include_card_numbers": True}
    problem(relay.call("POST", "/v1/subscriptions", key, json=body), 403)
    path = f"/v1/subscriptions/{subscription['id']}"
    problem(relay.call("PATCH", path, key, json={"target_url": plain.url}), 403, "target_url")
    assert relay.call("PATCH", path, key, json={"description": "mine"}).status_code == 200
    problem(relay.call("PATCH", path, key, json={"include_card_numbers": True}), 403)
    assert relay.call("PATCH", path, API_KEY, json={"target_url": plain.url}).status_code == 200
    plain.close()
    full.close()


def test_batches_are_arrays_and_the_same_on_every_try(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = lambda got: (500, {}, b"") if len(receiver.received) == 1 else (200, {}, b"")
    subscription = relay.subscribe(receiver, device, batch_max=5, batch_wait_ms=60_000, max_in_flight=1)
    punch(device, 5)
    first, second = receiver.wait(2)
    verify(subscription["secret"], first)
    assert verify(subscription["secret"], second) == first.json
    assert first.headers["webhook-id"].startswith("bat_")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert [event["id"] for event in first.json] == [
        event["id"] for event in relay.events(device_id=device.id)
    ]
    assert all(event["id"].startswith("evt_") for event in first.json)
    (row,) = wait_rows(relay, subscription, 1, status="delivered")
    assert (row["batch_id"], row["event_count"], row["attempt_count"]) == (first.headers["webhook-id"], 5, 2)


def test_a_batch_that_is_not_full_goes_after_its_wait(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    relay.subscribe(receiver, device, batch_max=100, batch_wait_ms=700)
    began = time.time()
    punch(device, 3)
    (got,) = receiver.wait(1)
    assert got.at - began > 0.6
    assert len(got.json) == 3
    punch(device, 1)
    wait_for(lambda: len(receiver.received) == 2)
    assert isinstance(receiver.received[1].json, list)
    assert len(receiver.received[1].json) == 1


def test_a_batch_of_a_subscription_just_made_waits_too(relay: Relay, device: Device) -> None:
    """Whether its first event is loaded from the queue or handed over at once is a matter of microseconds."""
    made = [Receiver() for _ in range(12)]
    for receiver in made:
        relay.subscribe(receiver, device, batch_max=100, batch_wait_ms=1_000)
        punch(device)
    punch(device)
    for receiver in made:
        receiver.wait(1)
        assert len(receiver.received[0].json) >= 2
        receiver.close()


def test_a_flood_comes_in_full_batches(relay: Relay, device: Device, receiver: Receiver) -> None:
    relay.subscribe(receiver, device, batch_max=50, batch_wait_ms=400, max_in_flight=2)
    punch(device, 230)
    wait_for(lambda: len(receiver.events()) >= 230, 20)
    assert len(receiver.received) <= 30
    assert len(set(ids_of(receiver))) == 230
    assert max(len(got.json) for got in receiver.received) <= 50


@pytest.mark.parametrize("batch_max", [1, 3])
def test_a_test_send_looks_like_a_delivery(
    relay: Relay, device: Device, receiver: Receiver, batch_max: int
) -> None:
    subscription = relay.subscribe(receiver, device, events=["user.*"], batch_max=batch_max)
    answer = relay.call("POST", f"/v1/subscriptions/{subscription['id']}/test")
    assert answer.status_code in (200, 202), answer.text
    (got,) = receiver.wait(1)
    content = verify(subscription["secret"], got)
    event = content[0] if batch_max > 1 else content
    assert event["test"] is True
    assert event["type"].startswith("user.")
    assert got.headers["webhook-id"].startswith("bat_" if batch_max > 1 else "evt_")
    if batch_max == 1:
        assert got.headers["webhook-id"] == event["id"]
    assert relay.events(device_id=device.id) == []


def test_a_test_send_may_be_of_a_given_type_and_later(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device, events=["user.*"])
    path = f"/v1/subscriptions/{subscription['id']}/test"
    asked = time.time()
    answer = relay.call("POST", path, json={"event_type": "user.deleted", "delay_seconds": 2})
    assert answer.status_code == 202, answer.text
    assert answer.json()["event_id"] is None
    (got,) = receiver.wait(1)
    assert got.at - asked > 1  # a job's time is in whole seconds
    event = verify(subscription["secret"], got)
    assert (event["type"], event["test"]) == ("user.deleted", True)
    assert event["id"] == got.headers["webhook-id"]
    problem(relay.call("POST", path, json={"event_type": "attendance.punch"}), 422, "event_type")
    problem(relay.call("POST", path, json={"delay_seconds": -1}), 422, "delay_seconds")


def test_a_late_test_send_is_dropped_with_its_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    path = f"/v1/subscriptions/{subscription['id']}"
    relay.call("POST", f"{path}/test", json={"delay_seconds": 1})
    relay.call("DELETE", path)
    other = relay.subscribe(receiver, device)
    relay.call("POST", f"/v1/subscriptions/{other['id']}/test", json={"delay_seconds": 3})
    (got,) = receiver.wait(1)
    verify(other["secret"], got)


def test_a_change_of_format_takes_effect(relay: Relay, device: Device, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, device)
    change(relay, subscription, format="cloudevents")
    punch(device)
    assert receiver.wait(1)[0].json["specversion"] == "1.0"
