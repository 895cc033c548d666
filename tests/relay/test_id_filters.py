"""The filters `device_id` and `user_id` take one or several IDs, separated by commas. Contract §8."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.harness import Device, Relay, wait_for
from tests.relay.tools import events, problem


@pytest.fixture(scope="module")
def devices(relay: Relay) -> list[Device]:
    """Three devices, each with a punch of users 1, 2 and 3, a report of user 1, and the two events of unknown users."""
    made = [relay.device() for _ in range(3)]
    for device in made:
        for user in ("1", "2", "3"):
            device.send_done(device.punch(user=user))
        device.send_done(device.sample(3))
    for device in made:  # a worker adds the last ones a moment later
        wait_for(lambda device=device: len(events(device, type="user.unknown")) == 2)
    return made


def joined(devices: list[Device]) -> str:
    return ",".join(device.id for device in devices)


def pages(relay: Relay, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = relay.get(path, params={"cursor": cursor, **query})
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_events_of_several_devices_come_newest_first(relay: Relay, devices: list[Device]) -> None:
    first, second, _ = devices
    expected = sorted((event["id"] for event in events(first) + events(second)), reverse=True)
    assert len(expected) == 12
    for text in (f"{first.id},{second.id}", f" {second.id} ,,{first.id},{second.id},"):
        found = pages(relay, "/v1/events", device_id=text, limit=3)
        assert [event["id"] for event in found] == expected


def test_events_of_several_users(relay: Relay, devices: list[Device]) -> None:
    query = {"type": "attendance.punch", "device_id": joined(devices)}
    found = pages(relay, "/v1/events", user_id="1,3", limit=2, **query)
    assert sorted(event["user_id"] for event in found) == ["1"] * 3 + ["3"] * 3
    text = relay.call("GET", "/v1/events.csv", params={"user_id": "1,3", **query}).text
    assert len(text.splitlines()) == 7


def test_a_comma_in_a_users_id_is_written_with_a_backslash(relay: Relay) -> None:
    device = relay.device()
    for user in ("a,b", "a", "b", "c\\"):
        device.send_done(device.punch(user=user))
    for text, users in (
        ("a\\,b", {"a,b"}),
        ("a,b", {"a", "b"}),
        ("a\\,b,a", {"a,b", "a"}),
        ("c\\", {"c\\"}),
    ):
        assert {event["user_id"] for event in events(device, user_id=text)} == users


def test_spaces_at_the_ends_of_a_single_id_belong_to_it(relay: Relay) -> None:
    device = relay.device()
    for user in (" 7", "7"):
        device.send_done(device.punch(user=user))
    assert [event["user_id"] for event in events(device, user_id=" 7")] == [" 7"]
    assert [event["user_id"] for event in events(device, user_id="8, 7")] == ["7"]


def test_users_of_several_devices(relay: Relay, devices: list[Device]) -> None:
    chosen = {device.id for device in devices[:2]}
    rows = pages(relay, "/v1/users", device_id=f"{','.join(chosen)},NOT-REGISTERED", limit=1)
    assert rows and {row["device_id"] for row in rows} == chosen
    user_id = rows[0]["user_id"]
    shown = relay.get(f"/v1/users/{user_id}", params={"device_id": ",".join(chosen)})
    assert {row["device_id"] for row in shown["devices"]} == chosen


def test_commands_for_several_devices(relay: Relay) -> None:
    devices = [relay.device(gateway_url="http://127.0.0.1:9/nowhere") for _ in range(3)]
    for number in range(9):
        body = {"device_id": devices[number % 3].id, "user_id": str(number)}
        sent = relay.call("POST", "/v1/actions/delete-user", json=body, headers={"Prefer": "respond-async"})
        assert sent.status_code == 202, sent.text
    rows = pages(relay, "/v1/commands", device_id=joined(devices[1:]), limit=2)
    assert [row["user_id"] for row in rows] == ["8", "7", "5", "4", "2", "1"]
    assert pages(relay, "/v1/commands", device_id=joined(devices[1:]), status="completed") == []


def test_attendance_of_several_users_on_several_devices(relay: Relay) -> None:
    devices = [relay.device(timezone="UTC") for _ in range(3)]
    users = [secrets.token_hex(4) + str(number) for number in range(3)]
    day = datetime.now(UTC).replace(microsecond=0)
    for user, device in zip(users, devices, strict=True):
        device.send_done(device.punch(user, day))
    query = {"date": f"{day:%Y-%m-%d}", "timezone": "UTC"}
    asked = {"user_id": f"{users[2]},{users[0]}", **query}
    expected = sorted([users[0], users[2]])
    assert sorted(row["user_id"] for row in relay.get("/v1/attendance", params=asked)["data"]) == expected
    text = relay.call("GET", "/v1/attendance.csv", params=asked).text
    assert users[0] in text and users[2] in text and users[1] not in text
    rows = pages(relay, "/v1/attendance", device_id=joined(devices[:2]), limit=1, **query)
    assert sorted(row["user_id"] for row in rows) == sorted(users[:2])


@pytest.mark.parametrize("path", ["/v1/events", "/v1/users", "/v1/commands", "/v1/attendance"])
@pytest.mark.parametrize("text", ["DEV/1", "DEV1,a b", ",", "x" * 65, ",".join(f"D{n}" for n in range(101))])
def test_a_device_id_that_no_device_can_have_is_422(relay: Relay, path: str, text: str) -> None:
    query = {"date": "2026-11-24"} if path == "/v1/attendance" else {}
    problem(relay.call("GET", path, params={"device_id": text, **query}), 422, "device_id")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events.csv", "/v1/attendance", "/v1/attendance.csv"])
@pytest.mark.parametrize("text", ["x" * 129, f"1,{'x' * 129}", ", ,", ",".join(map(str, range(101)))])
def test_a_user_id_that_no_user_can_have_is_422(relay: Relay, path: str, text: str) -> None:
    query = {"date": "2026-11-24"} if "attendance" in path else {}
    problem(relay.call("GET", path, params={"user_id": text, **query}), 422, "user_id")


def test_a_credential_is_read_from_one_device(relay: Relay, devices: list[Device]) -> None:
    path = "/v1/users/1/credentials/card/0"
    problem(relay.call("GET", path, params={"device_id": joined(devices)}), 422, "device_id")
