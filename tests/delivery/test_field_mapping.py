"""A field mapping selects and renames the fields that are sent, and is changed with a JSON Merge Patch."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from app.store.server.keys import SUBSCRIPTIONS
from tests.console.tools import Client
from tests.delivery.tools import change, client, punch, shown
from tests.harness import API_KEY, Device, Receiver, Relay, verify
from tests.relay.tools import key_with, problem

MAPPING = {
    "employee": "user_id",
    "when": "occurred_at_utc",
    "source": {"value": "cams"},
    "site number": {"value": 7},
    "late": "is_late_arrival",
    "command": "command_id",
}


@pytest.mark.parametrize("batch_max", [1, 2])
def test_only_the_mapped_fields_are_sent(
    relay: Relay, device: Device, receiver: Receiver, batch_max: int
) -> None:
    subscription = relay.subscribe(
        receiver,
        device,
        event_types=["attendance.punch"],
        field_mapping=MAPPING,
        batch_max=batch_max,
        batch_wait_ms=0,
    )
    assert subscription["field_mapping"] == MAPPING
    punch(device)
    (got,) = receiver.wait(1)
    content = verify(subscription["secret"], got)
    sent = content if batch_max == 1 else content[0]
    (event,) = relay.events(device_id=device.id)
    assert sent == {
        "employee": "2",
        "when": event["occurred_at_utc"],
        "source": "cams",
        "site number": 7,
        "late": event["is_late_arrival"],
        "command": None,  # a punch has none
    }
    assert list(sent) == list(MAPPING)


def test_a_form_has_only_the_mapped_fields(relay: Relay, device: Device, receiver: Receiver) -> None:
    relay.subscribe(receiver, device, event_types=["attendance.punch"], format="form", field_mapping=MAPPING)
    punch(device)
    (got,) = receiver.wait(1)
    sent = parse_qsl(got.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert [name for name, _ in sent] == list(MAPPING)
    assert dict(sent) | {"when": ""} == {
        "employee": "2", "when": "", "source": "cams", "site number": "7", "late": "true", "command": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"employee": "userid"}, "user_id"),
        ({"employee": "occured_at"}, "occurred_at"),
        ({"employee": "cams"}, '"value"'),
        ({"employee": "'cams'"}, '"value"'),
        ({"employee": 7}, '"value"'),
        ({"employee": {"value": None}}, "constant"),
        ({"employee": {"value": ["a"]}}, "constant"),
        ({"employee": {"value": "a", "type": "text"}}, "user_id"),
        ({"employee": {"value": "x" * 1_001}}, "1000"),
        ({"": "user_id"}, "name"),
        ({"x" * 129: "user_id"}, "name"),
        ({f"name {number}": "user_id" for number in range(51)}, "50"),
        ({}, "null"),
        ({"employee": None}, "null"),
        ("user_id", ""),
        (["user_id"], ""),
    ],
)
def test_an_invalid_mapping_is_refused(relay: Relay, receiver: Receiver, mapping: Any, message: str) -> None:
    body = {"target_url": receiver.url, "event_types": ["*"], "field_mapping": mapping}
    found = problem(relay.call("POST", "/v1/subscriptions", json=body), 422, "field_mapping")
    assert message in str(found["errors"])


@pytest.mark.parametrize(
    "format_", ["cloudevents", "raw", "slack", "teams", "google_chat", "discord", "text"]
)
def test_formats_for_chats_refuse_a_mapping(relay: Relay, receiver: Receiver, format_: str) -> None:
    body = {"target_url": receiver.url, "event_types": ["*"], "format": format_, "field_mapping": MAPPING}
    problem(relay.call("POST", "/v1/subscriptions", json=body), 422, "field_mapping")
    subscription = relay.subscribe(receiver, field_mapping=MAPPING)
    path = f"/v1/subscriptions/{subscription['id']}"
    problem(relay.call("PATCH", path, json={"format": format_}), 422, "field_mapping")
    assert change(relay, subscription, format=format_, field_mapping=None)["field_mapping"] is None


def test_a_change_is_a_json_merge_patch(relay: Relay, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, field_mapping={"a": "user_id", "b": "device_id"})
    path = f"/v1/subscriptions/{subscription['id']}"
    changed = change(relay, subscription, field_mapping={"a": None, "c": {"value": True}})
    assert changed["field_mapping"] == {"b": "device_id", "c": {"value": True}}
    assert change(relay, subscription, description="x")["field_mapping"] == changed["field_mapping"]
    assert change(relay, subscription, field_mapping={})["field_mapping"] == changed["field_mapping"]
    problem(relay.call("PATCH", path, json={"field_mapping": {"b": None, "c": None}}), 422, "field_mapping")
    many = {f"name {number}": "user_id" for number in range(49)}
    problem(relay.call("PATCH", path, json={"field_mapping": many}), 422, "field_mapping")
    assert shown(relay, subscription)["field_mapping"] == changed["field_mapping"]
    assert change(relay, subscription, field_mapping=None)["field_mapping"] is None
    assert change(relay, subscription, field_mapping={"a": "user_id"})["field_mapping"] == {"a": "user_id"}


def test_the_console_shows_the_mapped_names(relay: Relay, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, field_mapping=MAPPING)
    console = Client(relay)
    console.sign_in(API_KEY)
    assert ", ".join(MAPPING) in console.get(f"/console/subscriptions/{subscription['id']}").text


def test_a_subscription_of_an_earlier_version_has_no_mapping(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    store = client(relay)
    record = orjson.loads(store.hget(SUBSCRIPTIONS, subscription["id"]))
    record.pop("field_mapping", None)
    store.hset(SUBSCRIPTIONS, subscription["id"], orjson.dumps(record))
    assert shown(relay, subscription)["field_mapping"] is None
    change(relay, subscription, description="so that the worker reads it again")
    punch(device)
    (got,) = receiver.wait(1)
    assert verify(subscription["secret"], got)["type"] == "attendance.punch"


@pytest.mark.parametrize("changes", [{"format": "flat"}, {"format": "cloudevents"}])
def test_a_key_without_templates_read_cannot_have_card_numbers_sent_by_a_format(
    relay: Relay, receiver: Receiver, changes: dict[str, Any]
) -> None:
    key = key_with(relay, "subscriptions:write")
    subscription = relay.subscribe(receiver, format="text", include_card_numbers=True)
    path = f"/v1/subscriptions/{subscription['id']}"
    assert relay.call("PATCH", path, key=key, json=changes).status_code == 403
    assert relay.call("PATCH", path, key=key, json={"format": "text"}).status_code == 200
    mapped = relay.subscribe(receiver, field_mapping={"user": "user_id"}, include_card_numbers=True)
    path = f"/v1/subscriptions/{mapped['id']}"
    for mapping in ({"card": "card_number"}, None):
        assert relay.call("PATCH", path, key=key, json={"field_mapping": mapping}).status_code == 403
    assert relay.call("PATCH", path, json={"field_mapping": None}).status_code == 200
