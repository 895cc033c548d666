"""The relay reads callbacks from simulated devices of versions 2.0 and 1.0."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from simulator.gateway import Gateway
from simulator.spec import DeviceSpec
from tests.harness import Device, Relay
from tests.relay.tools import KEY, events, post

NOON = datetime.now(timezone(timedelta(hours=5, minutes=30))).replace(
    hour=12, minute=0, second=0, microsecond=0
) - timedelta(days=1)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.close()


@pytest.mark.parametrize("key", [None, KEY])
def test_version_2_devices_are_read(relay: Relay, gateway: Gateway, key: str | None) -> None:
    made = relay.device(legacy_callbacks="2.0", timezone="Asia/Kolkata", security_key=key)
    spec = DeviceSpec(
        made.id, made.token, api_version="2.0", security_key=key, callback_url=f"{relay.url}/callback"
    )
    device = gateway.add_device(spec)
    device.edit_user("7", "Asha", "Rao", "User")
    device.punch("7", "MealOut", "Card", at=NOON, photo=b"\xff\xd8\xff\xe0 a picture")
    device.remove_user("7")
    device.set_clock(device.clock.now() + timedelta(hours=1))
    assert device.outbox.wait_empty(15), device.outbox.last_refusal
    by_type = {event["type"]: event for event in events(made)}
    assert set(by_type) == {
        "attendance.punch",
        "attendance.photo",
        "user.updated",
        "user.deleted",
        "device.time_changed",
    }
    punch = by_type["attendance.punch"]
    assert (punch["occurred_at"], punch["punch_type"]) == (NOON.isoformat(), "meal_out")
    assert by_type["user.updated"]["full_name"] == "Asha Rao"


def test_version_1_devices_are_read(relay: Relay, gateway: Gateway) -> None:
    token, device_id = secrets.token_hex(16), f"OLD{secrets.token_hex(4)}"
    wanted = {"device_id": device_id, "auth_token": token, "timezone": "Asia/Kolkata"}
    made = post(relay, "/v1/devices", {**wanted, "legacy_callbacks": "1.0"})
    spec = DeviceSpec(device_id, token, api_version="1.0", callback_url=made["callback_url"])
    device = gateway.add_device(spec)
    device.punch("7", "CheckOut", at=NOON)
    assert device.outbox.wait_empty(15), device.outbox.last_refusal
    (punch,) = events(Device(relay, device_id, token))
    assert (punch["type"], punch["user_id"], punch["punch_type"]) == ("attendance.punch", "7", "check_out")
    assert punch["occurred_at"] == NOON.isoformat()
