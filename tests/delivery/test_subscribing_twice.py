"""A repeated request for a subscription doesn't create another one, and a token header has a generated value."""

from __future__ import annotations

import base64
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.delivery.tools import act, change, punch, shown
from tests.harness import Device, Receiver, Relay, verify
from tests.relay.tools import problem

TOKEN_HEADER = "X-Token"


def subscribe(relay: Relay, receiver: Receiver, device: Device, **fields: Any) -> requests.Response:
    filters = {"device_ids": [device.id]}
    body = {"target_url": receiver.url, "event_types": ["attendance.punch"], "filters": filters, **fields}
    return relay.call("POST", "/v1/subscriptions", json=body)


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def targets(relay: Relay, receiver: Receiver) -> list[str]:
    rows = relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    return [row["id"] for row in rows if row["target_url"] == receiver.url]


def test_subscribing_twice_makes_one_subscription(relay: Relay, device: Device, receiver: Receiver) -> None:
    first = subscribe(relay, receiver, device)
    again = subscribe(relay, receiver, device, description="pressed again")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Location"] == first.headers["Location"]
    made = first.json()
    assert again.json() == {**made, "secret": None}
    assert targets(relay, receiver) == [made["id"]]
    punch(device)
    (got,) = receiver.wait(1)
    assert verify(made["secret"], got)["device_id"] == device.id
    assert len(got.headers["webhook-signature"].split()) == 1


def test_simultaneous_requests_make_one_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    together = threading.Barrier(8)

    def press(_: int) -> int:
        together.wait()
        return subscribe(relay, receiver, device).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(press, range(8))) == [200] * 7 + [201]
    assert len(targets(relay, receiver)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"event_types": ["attendance.punch", "user.updated"]},
        {"filters": {}},
        {"format": "cloudevents"},
        {"field_mapping": {"emp": "user_id"}},
        {"format": "text", "template": "{{user_id}}"},
        {"headers": {"X-Team": "payroll"}},
        {"max_in_flight": 1},
        {"batch_max": 5},
        {"batch_wait_ms": 9},
        {"include_card_numbers": True},
        {"token_header": TOKEN_HEADER},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_subscription_with_other_fields_is_another_one(
    other: dict[str, Any], relay: Relay, device: Device, receiver: Receiver
) -> None:
    first = subscribe(relay, receiver, device).json()
    second = subscribe(relay, receiver, device, **other)
    assert second.status_code == 201 and second.json()["id"] != first["id"]
    assert subscribe(relay, receiver, device, **other).json()["id"] == second.json()["id"]


def test_event_types_and_names_of_headers_are_compared_as_sets(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    types = ["user.*", "attendance.punch"]
    first = subscribe(relay, receiver, device, event_types=types, headers={"X-Team": "payroll"})
    again = subscribe(relay, receiver, device, event_types=types[::-1], headers={"x-team": "payroll"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


def test_subscriptions_that_are_disabled_or_deleted_are_not_returned(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    first = subscribe(relay, receiver, device).json()
    act(relay, first, "disable")
    second = subscribe(relay, receiver, device)
    assert second.status_code == 201 and second.json()["secret"]
    relay.call("DELETE", f"/v1/subscriptions/{second.json()['id']}")
    assert subscribe(relay, receiver, device).status_code == 201


def test_a_subscription_of_another_api_key_is_not_returned(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    first = subscribe(relay, receiver, device).json()
    wanted = {"name": "another", "scopes": ["subscriptions:write"]}
    key = relay.call("POST", "/v1/api-keys", json=wanted).json()["key"]
    body = {"target_url": receiver.url, "event_types": ["attendance.punch"], "filters": first["filters"]}
    other = relay.call("POST", "/v1/subscriptions", key=key, json=body)
    assert other.status_code == 201 and other.json()["secret"] != first["secret"]


def test_another_secret_replaces_the_present_one(relay: Relay, device: Device, receiver: Receiver) -> None:
    first, second = new_secret(), new_secret()
    made = subscribe(relay, receiver, device, secret=first).json()
    assert made["secret"] == first
    assert subscribe(relay, receiver, device, secret=first).json()["secret"] is None
    again = subscribe(relay, receiver, device, secret=second)
    assert (again.status_code, again.json()["id"], again.json()["secret"]) == (200, made["id"], None)
    punch(device)
    (got,) = receiver.wait(1)
    assert verify(second, got) == verify(first, got)  # the former secret also signs for a day
    assert len(got.headers["webhook-signature"].split()) == 2


def test_the_expiry_is_that_of_the_last_request(relay: Relay, device: Device, receiver: Receiver) -> None:
    made = subscribe(relay, receiver, device, expires_in=600).json()
    later = subscribe(relay, receiver, device, expires_in=6_000).json()
    assert later["id"] == made["id"] and later["expires_at"] > made["expires_at"]
    assert subscribe(relay, receiver, device).json()["expires_at"] is None
    assert subscribe(relay, receiver, device, expires_in=600).json()["expires_at"] is None


def test_the_audit_log_names_what_was_created_or_changed(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    made = subscribe(relay, receiver, device).json()
    subscribe(relay, receiver, device)
    subscribe(relay, receiver, device, secret=new_secret())
    rows = relay.get("/v1/audit", params={"limit": 200})["data"]
    actions = [row["action"] for row in rows if row["subject"] == made["id"]]
    assert sorted(actions) == ["subscription.changed", "subscription.created"]


# Token headers


def test_a_token_header_has_a_generated_value(relay: Relay, device: Device, receiver: Receiver) -> None:
    made = subscribe(relay, receiver, device, token_header=TOKEN_HEADER, headers={"X-Team": "payroll"}).json()
    assert len(made["token"]) >= 32
    assert made["headers"] == {TOKEN_HEADER: "…", "X-Team": "…"}
    assert "token" not in shown(relay, made) and made["token"] not in str(shown(relay, made))
    punch(device)
    (got,) = receiver.wait(1)
    assert (got.headers["x-token"], got.headers["x-team"]) == (made["token"], "payroll")
    other = subscribe(relay, receiver, device, token_header="X-Other").json()
    assert other["token"] not in (made["token"], None)


def test_a_repeated_request_for_a_token_header_replaces_the_token(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    made = subscribe(relay, receiver, device, token_header=TOKEN_HEADER).json()
    again = subscribe(relay, receiver, device, token_header="x-token")
    assert (again.status_code, again.json()["id"]) == (200, made["id"])
    punch(device)
    (got,) = receiver.wait(1)
    assert got.headers["x-token"] == again.json()["token"] != made["token"]


def test_a_change_keeps_the_token(relay: Relay, device: Device, receiver: Receiver) -> None:
    made = subscribe(relay, receiver, device, token_header=TOKEN_HEADER).json()
    change(relay, made, event_types=["attendance.*"])
    punch(device)
    (got,) = receiver.wait(1)
    assert got.headers["x-token"] == made["token"]
    body = {"token_header": TOKEN_HEADER}
    problem(relay.call("PATCH", f"/v1/subscriptions/{made['id']}", json=body), 422, "token_header")


@pytest.mark.parametrize(
    "fields",
    [
        {"token_header": "Content-Type"},
        {"token_header": "webhook-id"},
        {"token_header": "two words"},
        {"token_header": "x-team", "headers": {"X-Team": "payroll"}},
        {"token_header": TOKEN_HEADER, "headers": {f"X-{number}": "1" for number in range(20)}},
    ],
)
def test_an_impossible_token_header_is_refused(
    fields: dict[str, Any], relay: Relay, device: Device, receiver: Receiver
) -> None:
    problem(subscribe(relay, receiver, device, **fields), 422, "token_header")
