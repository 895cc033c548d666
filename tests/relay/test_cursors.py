"""Cursors are opaque, and only valid for the list and filters for which they were made."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.harness import Device, Receiver, Relay
from tests.relay.tools import cursor_at, problem

LISTS = (
    *("/v1/events", "/v1/events.csv", "/v1/commands", "/v1/devices", "/v1/subscriptions", "/v1/users"),
    *(
        "/v1/employees",
        "/v1/attendance?date=2026-11-24",
        "/v1/api-keys",
        "/v1/refused",
        "/v1/audit",
        "deliveries",
    ),
)


@pytest.fixture(params=LISTS)
def path(request: pytest.FixtureRequest, relay: Relay, receiver: Receiver) -> str:
    if request.param != "deliveries":
        return str(request.param)
    return f"/v1/subscriptions/{relay.subscribe(receiver)['id']}/deliveries"


def good_at(relay: Relay, path: str) -> str:
    """Return a valid cursor of a list."""
    path, _, filters = path.partition("?")
    return cursor_at(relay, path.replace(".csv", ""), "1", **dict(parse_qsl(filters)))


def refused(relay: Relay, path: str, message: str, **query: Any) -> None:
    (error,) = problem(relay.call("GET", path, params=query), 422)["errors"]
    assert error["parameter"] == "cursor" and message in error["message"]


@pytest.mark.parametrize(
    "cursor", ["x", "nonsense", "evt_0000000000000000", "0:1-1", "1", "٣", "A" * 60, "=", "\x00", "i:0:1:1-0"]
)
def test_a_cursor_that_the_relay_did_not_create_is_422(relay: Relay, path: str, cursor: str) -> None:
    refused(relay, path, "is not a valid cursor", cursor=cursor)


def test_an_altered_cursor_is_422(relay: Relay, path: str) -> None:
    given = good_at(relay, path)
    data = bytearray(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    data[-1] ^= 3
    refused(relay, path, "is not a valid cursor", cursor=base64.urlsafe_b64encode(data).decode().rstrip("="))


def test_a_cursor_of_another_list_is_422_with_a_message(relay: Relay, path: str) -> None:
    refused(relay, path, "another list", cursor=cursor_at(relay, "/v1/me", "1"))


def test_a_cursor_is_only_valid_for_its_filters(relay: Relay, device: Device) -> None:
    for _ in range(3):
        device.send_done(device.punch())
    query = {"device_id": device.id, "type": "attendance.punch", "user_id": ""}
    first = relay.get("/v1/events", params={**query, "limit": 1})
    cursor = first["next_cursor"]
    # The limit, the order of parameters and empty parameters aren't filters.
    again = {"limit": 2, "type": "attendance.punch", "device_id": device.id, "cursor": cursor}
    assert len(relay.get("/v1/events", params=again)["data"]) == 2
    for other in ({"device_id": device.id}, {**query, "type": "*"}, {**query, "since": "2020-01-01"}):
        refused(relay, "/v1/events", "other filters", cursor=cursor, **other)


def test_a_cursor_does_not_reveal_its_place(relay: Relay) -> None:
    relay.device(), relay.device()
    cursor = relay.get("/v1/devices?limit=1")["next_cursor"]
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
