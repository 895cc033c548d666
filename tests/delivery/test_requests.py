"""The request of a delivery: its headers, secrets and signature, and test events. Contract §4."""

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
from tests.delivery.tools import act, change, punch
from tests.harness import Device, Receiver, Relay, verify
from tests.relay.tools import problem


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


def test_a_header_with_non_ascii_characters_is_sent(relay: Relay, device: Device, receiver: Receiver) -> None:
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


def test_a_hidden_header_is_not_sent_to_another_target(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    made = relay.subscribe(receiver, device, headers={"Authorization": "Bearer made-up", "X-Team": "payroll"})
    path = f"/v1/subscriptions/{made['id']}"
    other_url = f"{receiver.url}/other?path=1"
    changed = relay.call("PATCH", path, json={"target_url": other_url})
    assert (changed.status_code, changed.json()["headers"]) == (200, made["headers"]), "the same server"
    with closing(Receiver()) as other:
        for elsewhere in (other.url, receiver.url.replace("127.0.0.1", "127.0.0.2")):
            for headers in ({}, {"headers": made["headers"]}, {"headers": {"Authorization": "…"}}):
                found = problem(
                    relay.call("PATCH", path, json={"target_url": elsewhere, **headers}), 422, "headers"
                )
                assert "Authorization" in found["detail"] and "null for no headers" in found["detail"]
        assert relay.get(path)["target_url"] == other_url
        moved_only = {"target_url": other.url, "headers": {"x-team": "2"}}
        found = problem(relay.call("PATCH", path, json=moved_only), 422, "headers")
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


def test_a_given_secret_is_used_for_signing(relay: Relay, device: Device, receiver: Receiver) -> None:
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


@pytest.mark.parametrize("batch_max", [1, 3])
def test_a_test_event_is_sent_like_a_delivery(
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


def test_a_test_event_can_have_a_type_and_a_delay(relay: Relay, device: Device, receiver: Receiver) -> None:
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


def test_a_delayed_test_event_is_dropped_with_its_subscription(
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
