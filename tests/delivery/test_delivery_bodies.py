"""The body of a delivery: its format, what it may contain, and batches. Contract §4."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.delivery.tools import change, ids_of, punch, wait_rows
from tests.harness import API_KEY, Device, Receiver, Relay, verify, wait_for
from tests.relay.tools import key_with, problem


@pytest.mark.parametrize("batch_max", [1, 4])
def test_cloudevents_are_delivered(relay: Relay, device: Device, receiver: Receiver, batch_max: int) -> None:
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
def test_the_raw_format_is_the_gateways_json_without_secrets(
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
def test_no_delivery_contains_a_credential(
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


def test_card_numbers_are_only_sent_if_a_key_with_the_scope_requested_them(
    relay: Relay, device: Device
) -> None:
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


def test_batches_are_arrays_and_identical_on_every_attempt(
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


def test_an_incomplete_batch_is_sent_after_batch_wait_ms(
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


def test_a_batch_of_a_new_subscription_waits_as_well(relay: Relay, device: Device) -> None:
    """Its first event may be loaded from the queue or handed over directly, depending on microseconds."""
    made = [Receiver() for _ in range(12)]
    for receiver in made:
        relay.subscribe(receiver, device, batch_max=100, batch_wait_ms=1_000)
        punch(device)
    punch(device)
    for receiver in made:
        receiver.wait(1)
        assert len(receiver.received[0].json) >= 2
        receiver.close()


def test_many_events_are_sent_in_full_batches(relay: Relay, device: Device, receiver: Receiver) -> None:
    relay.subscribe(receiver, device, batch_max=50, batch_wait_ms=400, max_in_flight=2)
    punch(device, 230)
    wait_for(lambda: len(receiver.events()) >= 230, 20)
    assert len(receiver.received) <= 30
    assert len(set(ids_of(receiver))) == 230
    assert max(len(got.json) for got in receiver.received) <= 50


def test_a_change_of_format_takes_effect(relay: Relay, device: Device, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, device)
    change(relay, subscription, format="cloudevents")
    punch(device)
    assert receiver.wait(1)[0].json["specversion"] == "1.0"
