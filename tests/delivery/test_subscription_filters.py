"""The filters of a subscription, and the errors of an invalid subscription. Contract §4."""

from __future__ import annotations

from typing import Any

import pytest

from tests.delivery.tools import punch
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import problem


def test_only_events_that_match_the_filters_are_sent(relay: Relay) -> None:
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


def test_patterns_select_event_types(relay: Relay, device: Device) -> None:
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


def test_field_names_of_platforms_are_accepted(relay: Relay, device: Device, receiver: Receiver) -> None:
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


def test_filters_that_may_match_nothing_have_warnings(relay: Relay, device: Device) -> None:
    filters = {"device_ids": [device.id, "NOT-THERE"], "punch_types": ["check_in", "chek_in"]}
    body = {"target_url": "http://127.0.0.1:9/warnings", "event_types": ["*"], "filters": filters}
    made = relay.call("POST", "/v1/subscriptions", json=body).json()
    found = [(item["code"], item["pointer"]) for item in made["warnings"]]
    assert found == [
        ("unknown_device", "/filters/device_ids"),
        ("unknown_punch_type", "/filters/punch_types"),
    ]
    for item, name in zip(made["warnings"], ("'NOT-THERE'", "'chek_in'"), strict=True):
        assert name in item["message"]
    path = f"/v1/subscriptions/{made['id']}"
    assert relay.get(path)["warnings"] == made["warnings"]
    changed = relay.call("PATCH", path, json={"filters": {"device_ids": [device.id], "punch_types": []}})
    assert changed.json()["warnings"] == []


@pytest.mark.parametrize("path", ["/v1/events", "/v1/users", "/v1/commands"])
def test_a_list_names_unregistered_devices_in_its_filter(relay: Relay, device: Device, path: str) -> None:
    page = relay.get(path, params={"device_id": f"{device.id},NOT-THERE"})
    (warning,) = page["warnings"]
    assert warning["code"] == "unknown_device" and warning["parameter"] == "device_id"
    assert "'NOT-THERE'" in warning["message"]
    assert "warnings" not in relay.get(path, params={"device_id": device.id})


def test_unregistered_devices_in_a_filter_are_listed(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    missing = f"{device.id}-not-yet"
    body = {"target_url": receiver.url, "event_types": ["*"], "filters": {"device_ids": [missing, device.id]}}
    made = relay.call("POST", "/v1/subscriptions", json=body)
    assert made.status_code == 201 and made.json()["unknown_device_ids"] == [missing]
    path = f"/v1/subscriptions/{made.json()['id']}"
    assert relay.get(path)["unknown_device_ids"] == [missing]
    listed: list[dict[str, Any]] = []
    cursor = None
    while not listed or cursor:
        page = relay.get("/v1/subscriptions", params={"limit": 200, "cursor": cursor})
        listed, cursor = listed + page["data"], page["next_cursor"]
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
def test_the_invalid_field_of_a_body_is_named(
    relay: Relay, receiver: Receiver, fields: dict[str, Any], fault: str
) -> None:
    named = fields.keys() & {"event_types", "events", "event"}
    base = {"target_url": receiver.url, **({} if named else {"event_types": ["*"]})}
    problem(relay.call("POST", "/v1/subscriptions", json={**base, **fields}), 422, fault)
