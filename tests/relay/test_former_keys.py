"""A replaced Security Key is accepted for a limited time, which is shown with the device."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import requests

from app.settings.table import load
from app.store import Store
from app.store.server.keys import UPKEEP
from tests.harness import Device, Relay, wait_for
from tests.relay.tools import done, problem, sealed

KEY = OTHER_KEY = ""
DAY = timedelta(days=1)
ATTEMPTS = 8  # over new connections, so that both web processes get some


@pytest.fixture(autouse=True)
def fresh_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use keys that no other test's device has, because a body can be decrypted with any device's key."""
    for name in ("KEY", "OTHER_KEY"):
        monkeypatch.setitem(globals(), name, secrets.token_hex(16))


def patch(device: Device, status: int = 200, **fields: Any) -> dict[str, Any]:
    answer = device.relay.call("PATCH", f"/v1/devices/{device.id}", json=fields)
    assert answer.status_code == status, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def rekeyed(relay: Relay, **fields: Any) -> tuple[Device, dict[str, Any]]:
    """Return a device whose Security Key was replaced by OTHER_KEY, and its JSON."""
    device = relay.device(security_key=KEY)
    return device, patch(device, security_key=OTHER_KEY, auth_token=device.token, **fields)


def sent_with(device: Device, key: str) -> requests.Response:
    return requests.post(f"{device.relay.url}/callback", data=sealed(device.punch(), key), timeout=15)


def until(shown: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(shown["security_key_old_until"])


def in_time(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


def test_a_former_key_is_accepted_for_a_day_by_default(relay: Relay) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    device, shown = rekeyed(relay)
    assert before + DAY <= until(shown) <= datetime.now(UTC) + DAY
    assert relay.get(f"/v1/devices/{device.id}")["security_key_old_until"] == shown["security_key_old_until"]
    for _ in range(ATTEMPTS):
        for key in (KEY, OTHER_KEY):
            done(sent_with(device, key))


def test_after_its_expiry_no_process_tries_or_accepts_the_former_key(relay: Relay) -> None:
    device, shown = rekeyed(relay, security_key_old_until=in_time(seconds=2))
    wait_for(lambda: relay.get(f"/v1/devices/{device.id}")["security_key_old_until"] is None)
    assert datetime.now(UTC) >= until(shown)
    for _ in range(ATTEMPTS):
        problem(sent_with(device, KEY), 400)  # it isn't even decrypted
        done(sent_with(device, OTHER_KEY))


def test_the_expiry_can_be_set_with_the_change_or_later_or_immediately(relay: Relay) -> None:
    week = in_time(days=7)
    device, shown = rekeyed(relay, security_key_old_until=week)
    assert abs(until(shown) - datetime.fromisoformat(week)) <= timedelta(seconds=1)
    later = patch(device, security_key_old_until=in_time(hours=1))
    assert until(later) < datetime.now(UTC) + timedelta(hours=2)
    assert patch(device, security_key_old_until=None)["security_key_old_until"] is None
    for _ in range(ATTEMPTS):
        problem(sent_with(device, KEY), 400)
        done(sent_with(device, OTHER_KEY))
    device, shown = rekeyed(relay, security_key_old_until=None)
    assert shown["security_key_old_until"] is None
    problem(sent_with(device, KEY), 400)


@pytest.mark.parametrize("when", [in_time(days=31), in_time(seconds=-5), "tomorrow", 7, ""])
def test_an_expiry_in_the_past_or_too_far_ahead_is_422(relay: Relay, when: Any) -> None:
    device, shown = rekeyed(relay)
    patch(device, 422, security_key_old_until=when)
    assert relay.get(f"/v1/devices/{device.id}")["security_key_old_until"] == shown["security_key_old_until"]


def test_an_expiry_without_a_former_key_is_422(relay: Relay, device: Device) -> None:
    patch(device, 422, security_key_old_until=in_time(hours=1))
    patch(device, 422, security_key=KEY, security_key_old_until=in_time(hours=1))
    assert patch(device, security_key=KEY)["security_key_old_until"] is None
    removed = patch(device, security_key=None, auth_token=device.token)
    assert (removed["has_security_key"], removed["security_key_old_until"]) == (False, None)


def test_a_former_key_stored_without_an_expiry_gets_one_at_the_upgrade(relay: Relay) -> None:
    device, _ = rekeyed(relay)
    store = Store(load(relay.environment))
    client, found = store.connection.redis, store.devices.get(device.id)
    assert found is not None
    name = found.shard.device(device.id)
    sealed_ones = orjson.loads(store.vault.open("device", client.hget(name, "secrets"), device.id))
    old = {name: sealed_ones[name] for name in ("auth_token", "security_key", "previous_security_key")}
    client.hset(name, "secrets", store.vault.seal("device", orjson.dumps(old), device.id))
    client.hincrby(name, "v", 1)
    assert relay.get(f"/v1/devices/{device.id}")["security_key_old_until"] is None
    done(sent_with(device, KEY))
    began = time.time()
    client.delete(UPKEEP)  # so that the worker runs the upkeep
    shown = wait_for(
        lambda: (now := relay.get(f"/v1/devices/{device.id}"))["security_key_old_until"] and now, 40
    )
    assert until(shown) >= datetime.fromtimestamp(began, UTC) + DAY - timedelta(seconds=2)
    assert store.devices.date_former_keys() == 0
    done(sent_with(device, KEY))
