"""A damaged number or ID in the store doesn't stop other devices, targets or background work."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import pytest

from app.settings.table import load
from app.store import Store
from app.store.server.admission import Admission, StoreRefused
from app.store.server.connection import source
from app.store.server.keys import DEVICES, EMPLOYEES, SHARDS, Shard
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import done, events, now, problem, replaced


@pytest.fixture
def store(relay: Relay) -> Store:
    return Store(load(relay.environment))


def page(relay: Relay, path: str) -> int:
    """Return the status of a page of the console or the API."""
    accept = "text/html" if path.startswith("/console") else "application/json"
    return relay.call("GET", path, headers={"Accept": accept}).status_code


def shard_of(store: Store, device: Device) -> Shard:
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    return shard


@pytest.mark.parametrize("value", [b"9" * 23, b"1e999", b"nan", b"9007199254740991"])
@pytest.mark.parametrize("field", ["callbacks", "clock_suspect", "last_seen"])
def test_a_damaged_counter_of_a_device_hides_no_other_data(
    relay: Relay, store: Store, device: Device, field: str, value: bytes
) -> None:
    with replaced(store, shard_of(store, device).device(device.id), field, value):
        assert relay.call("GET", "/v1/devices", params={"limit": 200}).status_code == 200
        assert relay.call("GET", f"/v1/devices/{device.id}").status_code == 200
        assert relay.call("GET", "/metrics").status_code == 200
        for path in ("/console/health", "/console/devices", f"/console/devices/{device.id}"):
            assert page(relay, path) == 200
        done(device.send(device.punch()))


@pytest.mark.parametrize("value", [b"{not json", b"1e999", b"\xff", b"99999", b""])
def test_a_damaged_shard_number_of_a_device_stops_no_device(
    relay: Relay, store: Store, device: Device, value: bytes
) -> None:
    other = relay.device()
    with replaced(store, DEVICES, device.id, value):
        fresh = Store(load(relay.environment))
        fresh.devices.load_all()  # the process can then authenticate all devices without the store
        assert fresh.devices.known(other.id) and fresh.devices.known(device.id), (
            "both devices are found by their data"
        )
        fresh.devices.forget_people()
        fresh.alerts.check()
        Admission(fresh.connection)._shards_in_use()
        for path in ("/v1/devices", "/console/health", "/v1/users"):
            assert page(relay, path) == 200
        assert page(relay, f"/v1/devices/{device.id}") == 200
        done(other.send(other.punch()))


@pytest.mark.parametrize("field", ["record", "secrets"])
def test_a_damaged_device_is_named_wherever_it_is_asked_for(
    relay: Relay, store: Store, device: Device, field: str
) -> None:
    body = {"device_id": device.id, "user_id": "1", "first_name": "A"}
    with replaced(store, shard_of(store, device).device(device.id), field):
        for answer in (
            relay.call("GET", "/v1/users/7", params={"device_id": device.id}),
            relay.call("GET", "/v1/users", params={"device_id": device.id}),
            relay.call("POST", "/v1/actions/add-user-without-template", json=body),
            relay.call("GET", "/console/confirm/remove-device", params={"device_id": device.id}),
        ):
            assert device.id in problem(answer, 409)["detail"]


def test_a_damaged_delivery_id_does_not_hide_the_subscriptions(
    relay: Relay, store: Store, device: Device, receiver: Receiver
) -> None:
    made = relay.subscribe(receiver, device)
    shard, client = shard_of(store, device), store.connection.redis
    for part in ("due", "retry"):
        key = shard.subscription(made["id"], part)
        client.zadd(key, {"{not json": time.time() * 1000 + 10**7})
        for path in ("/v1/subscriptions", f"/v1/subscriptions/{made['id']}", "/console/subscriptions"):
            assert page(relay, path) == 200
        client.zrem(key, "{not json")


@pytest.mark.parametrize("value", [b"{not json", b"9" * 23, b"\xff"])
def test_a_damaged_position_of_the_attendance_index_is_replaced(
    relay: Relay, store: Store, device: Device, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = f"position-{value[:1].hex()}"
    store.connection.redis.hset(shard_of(store, device).attendance, "at", value)
    done(device.send(device.punch(user_id, now() - timedelta(minutes=1))))
    with caplog.at_level(logging.ERROR):
        month = {"month": f"{now():%Y-%m}"}
        wait_for(lambda: relay.get(f"/v1/attendance/{user_id}", params=month)["data"])
    position = store.connection.redis.hget(shard_of(store, device).attendance, "at")
    assert position is not None and position != value


def test_a_damaged_list_of_employees_does_not_block_punches(
    relay: Relay, store: Store, device: Device
) -> None:
    done(device.send(device.punch("31")))
    with replaced(store, EMPLOYEES):
        done(device.send(device.punch("32")))
        assert [event["user_id"] for event in events(device, type="attendance.punch")] == ["31", "32"]


def test_a_lease_of_another_type_does_not_stop_deliveries(store: Store) -> None:
    client = store.connection.redis
    lease = client.register_script(source("lease"))
    keys = ["{s9}:lease", "{s9}:writes"]
    client.rpush(keys[0], "damaged")
    assert lease(keys=keys, args=["worker", 4000]) == 1
    assert client.get(keys[0]) == b"worker"
    assert lease(keys=keys, args=["another", 4000]) == 0
    client.delete(*keys)


@pytest.mark.parametrize("value", ["{not json", ""])
def test_a_damaged_number_of_shards_is_replaced_by_those_in_use(
    relay: Relay, store: Store, device: Device, value: str
) -> None:
    with replaced(store, SHARDS, value=value.encode()):
        Admission(store.connection).check()
        assert store.connection.redis.get(SHARDS) == b"1"
        store.connection.redis.set(SHARDS, value)
        with replaced(store, DEVICES, device.id, b"5"), pytest.raises(StoreRefused, match="RELAY_SHARDS=6"):
            Admission(store.connection).check()
