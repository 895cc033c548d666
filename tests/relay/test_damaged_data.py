"""A damaged value or key in the store doesn't hide other data, and doesn't cause errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from app.settings.table import load
from app.store import Store
from app.store.attendance.index import WEEK
from app.store.commands.keys import CommandKeys
from app.store.server.keys import (
    API_KEYS,
    AUDIT,
    COUNTERS,
    DEVICES_REMOVED,
    EMPLOYEES,
    FORMER_DEVICES,
    HISTORY,
    LOOPS,
)
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import done, events, key_with, now, only, problem, replaced

VALUES = [b"{not json", b"null", b"{}", b"\xff"]


@pytest.fixture
def store(relay: Relay) -> Store:
    return Store(load(relay.environment))


def user_of(device: Device, user_id: str, name: str) -> dict[str, Any]:
    when = f"{now():%Y-%m-%d %H:%M:%S GMT +0000}"
    return device.envelope(
        UserUpdated={
            "UserID": user_id,
            "FirstName": name,
            "LastName": "B",
            "UserType": "User",
            "OperationTime": when,
            "Template": [],
        }
    )


@pytest.mark.parametrize("value", VALUES)
def test_a_damaged_api_key_is_refused_and_does_not_affect_others(
    relay: Relay, store: Store, value: bytes, receiver: Receiver
) -> None:
    key, other = key_with(relay, "events:read"), key_with(relay, "events:read")
    own = key_with(relay, "subscriptions:write")
    body = {"target_url": receiver.url, "event_types": ["*"], "filters": {"user_ids": ["nobody"]}}
    made = relay.call("POST", "/v1/subscriptions", own, json=body).json()
    with replaced(store, API_KEYS, store.api_keys.digest(own), value):
        path = f"/v1/subscriptions/{made['id']}"
        assert relay.get(path)["orphan_reason"] is None, "it isn't known that its key was deleted"
        assert relay.call("PATCH", path, json={}).json()["created_by"] == made["created_by"]
    relay.call("DELETE", path)
    with replaced(store, API_KEYS, store.api_keys.digest(key), value):
        problem(relay.call("GET", "/v1/me", key), 401)
        assert relay.call("GET", "/v1/me", other).status_code == 200
        hints = [row["key_hint"] for row in relay.get("/v1/api-keys", params={"limit": 200})["data"]]
        assert other[-4:] in hints
        assert relay.call("DELETE", "/v1/api-keys/key_nobody").status_code == 404
        assert store.api_keys.unreadable() == 1
    assert relay.call("GET", "/v1/me", key).status_code == 200


@pytest.mark.parametrize("value", VALUES)
def test_a_damaged_device_is_left_out_of_lists_and_reported_by_its_own_url(
    relay: Relay, store: Store, device: Device, value: bytes
) -> None:
    other = relay.device()
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    for field in ("record", "secrets"):
        with replaced(store, shard.device(device.id), field, value):
            rows = _all(relay, "/v1/devices")
            assert other.id in {row["device_id"] for row in rows}
            if value != b"{}" or field == "record":
                found = problem(relay.call("GET", f"/v1/devices/{device.id}"), 409)
                assert "Remove the device" in found["detail"]
            assert relay.call("GET", "/v1/users").status_code == 200
            done(other.send(other.punch()))
            assert device.send(device.punch()).status_code in (200, 503), "must be parked, or refused for now"
    assert device.id in {row["device_id"] for row in _all(relay, "/v1/devices")}


def test_a_damaged_user_does_not_hide_others(relay: Relay, store: Store, device: Device) -> None:
    for user_id in ("71", "72"):
        done(device.send(user_of(device, user_id, f"N{user_id}")))
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    where = {"device_id": device.id}

    def shown() -> set[str]:
        return {row["user_id"] for row in relay.get("/v1/users", params=where)["data"]}

    assert shown() == {"71", "72"}
    for value in VALUES:
        with replaced(store, shard.user(device.id, "71"), "profile", value):
            assert shown() == {"72"}
            problem(relay.call("GET", "/v1/users/71", params=where), 404)
    with replaced(store, shard.user(device.id, "71")):
        assert shown() == {"72"}
    with replaced(store, shard.users(device.id)):
        assert relay.call("GET", "/v1/users").status_code == 200


@pytest.fixture(scope="module")
def commands(relay: Relay) -> tuple[str, list[str]]:
    """A device and two of its commands, which have ended because nothing listens at the gateway's address."""
    device = relay.device(gateway_url="http://127.0.0.1:9/")
    made = []
    for user_id in ("1", "2"):
        body = {"device_id": device.id, "user_id": user_id, "first_name": "A"}
        answer = relay.call("POST", "/v1/actions/add-user-without-template", json=body)
        made.append(answer.json()["command_id"])
    wait_for(lambda: all(relay.get(f"/v1/commands/{name}")["ended_at"] for name in made), 20)
    return device.id, made


@pytest.mark.parametrize(
    "field", ["record", "status_code", "attempts", "sent_at", "http_status", "result", None]
)
def test_a_damaged_command_does_not_hide_others(
    relay: Relay, store: Store, commands: tuple[str, list[str]], field: str | None
) -> None:
    device_id, (damaged, other) = commands
    shard = store.connection.shard_of(device_id)
    assert shard is not None
    for value in VALUES[:2]:
        with replaced(store, CommandKeys(shard).command(damaged), field, value):
            for where in ({"device_id": device_id}, {}):
                shown = {row["command_id"] for row in relay.get("/v1/commands", params=where)["data"]}
                assert other in shown
            assert relay.call("GET", f"/v1/commands/{damaged}").status_code == 404
    assert relay.call("GET", f"/v1/commands/{damaged}").status_code == 200


@pytest.mark.parametrize("key", [COUNTERS, LOOPS, HISTORY])
def test_damaged_counters_do_not_affect_health_metrics_and_callbacks(
    relay: Relay, store: Store, device: Device, key: str
) -> None:
    with replaced(store, key):
        assert relay.call("GET", "/health").status_code == 200
        answer = relay.call("GET", "/metrics")
        assert answer.status_code == 200 and "cams_relay_store_up 1.0" in answer.text
        assert f'cams_relay_device_callbacks_total{{device_id="{device.id}"}}' in answer.text
        assert relay.call("GET", "/console/health", headers={"Accept": "text/html"}).status_code == 200
        done(device.send(device.punch()))
    with replaced(store, COUNTERS, "callbacks_malformed", b"many"):
        assert relay.call("GET", "/metrics").status_code == 200


def test_a_damaged_log_entry_does_not_hide_others(
    relay: Relay, store: Store, device: Device, receiver: Receiver
) -> None:
    made = relay.subscribe(receiver, device)
    done(device.send(device.punch()))
    event = only(device, "attendance.punch")["id"]
    path = f"/v1/subscriptions/{made['id']}/deliveries"
    wait_for(lambda: relay.get(path)["data"])
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    store.connection.redis.xadd(shard.subscription(made["id"], "log"), {"odd": "x"})
    assert [row["event_id"] for row in relay.get(path)["data"]] == [event]
    assert relay.call("GET", f"/console/subscriptions/{made['id']}").status_code == 200
    damaged_entry = store.connection.redis.xadd(AUDIT, {"b": "{not json"})
    assert len(relay.get("/v1/audit", params={"limit": 5})["data"]) == 4
    store.connection.redis.xdel(AUDIT, damaged_entry)


def test_damaged_attendance_data_of_a_device_does_not_stop_others(
    relay: Relay, store: Store, device: Device
) -> None:
    other = relay.device()
    done(device.send(user_of(device, "71", "A")))
    shard, client = store.connection.shard_of(device.id), store.connection.redis
    assert shard is not None
    client.hset(shard.attendance_latest, device.id, "{not json")
    client.set(shard.strangers(device.id), "x")
    done(device.send(device.punch("99")))
    done(other.send(other.punch("98")))
    days = {"month": f"{now():%Y-%m}"}
    wait_for(lambda: relay.get("/v1/attendance/98", params=days)["data"])
    assert relay.get("/v1/attendance/99", params=days)["data"]
    client.delete(shard.strangers(device.id))


@pytest.mark.parametrize("value", VALUES)
def test_a_damaged_employee_does_not_hide_others_or_punches(
    relay: Relay, store: Store, device: Device, value: bytes
) -> None:
    for user_id in ("61", "62"):
        relay.call("PUT", f"/v1/employees/{user_id}", json={"employee_id": f"E{user_id}", "name": "A"})
    done(device.send(user_of(device, "60", "B")))
    days = {"month": f"{now():%Y-%m}"}
    with replaced(store, EMPLOYEES, "61", value):
        for user_id in ("61", "62"):
            done(device.send(device.punch(user_id, now() - timedelta(minutes=1))))
        assert [event["user_id"] for event in events(device, type="attendance.punch")] == ["61", "62"]
        assert not events(device, type="callback.unrecognised")
        wait_for(lambda: relay.get("/v1/attendance/62", params=days)["data"])
        assert relay.get("/v1/attendance/61", params=days)["data"]
        shown = {row["user_id"] for row in _all(relay, "/v1/employees")}
        assert "62" in shown and "61" not in shown
        assert relay.call("GET", "/v1/employees/61").status_code == 404
        assert relay.call("GET", "/console/attendance/employees").status_code == 200
        again = {"employee_id": "E61", "name": "again"}
        assert relay.call("PUT", "/v1/employees/61", json=again).status_code == 200
        assert relay.get("/v1/employees/61")["name"] == "again"


@pytest.mark.parametrize("damaged", ["week", "profile", "device"])
def test_damaged_data_of_a_user_does_not_hide_others_attendance(
    relay: Relay, store: Store, device: Device, receiver: Receiver, damaged: str
) -> None:
    other = relay.device()
    made = relay.subscribe(receiver, events=["attendance.day_changed"])
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    at, user_ids = now() - timedelta(minutes=1), [f"{damaged}-{number}" for number in range(2)]
    for one, user_id in zip((device, other), user_ids, strict=True):
        done(one.send(user_of(one, user_id, "A")))
    key, field = {
        "week": (shard.attendance_week(user_ids[0], int(at.timestamp()) // WEEK), None),
        "profile": (shard.user(device.id, user_ids[0]), "profile"),
        "device": (shard.device(device.id), "secrets"),
    }[damaged]
    with replaced(store, key, field):
        for one, user_id in zip((device, other), user_ids, strict=True):
            done(one.send(one.punch(user_id, at)))
            if damaged == "profile":  # the device knows the user
                done(one.send(user_of(one, user_id, "Z")))
                assert relay.get(f"/v1/users/{user_id}", params={"device_id": one.id})
        assert not events(device, type="callback.unrecognised")
        day = {"date": f"{at:%Y-%m-%d}", "limit": 200}
        wait_for(
            lambda: user_ids[1] in {row["user_id"] for row in relay.get("/v1/attendance", params=day)["data"]}
        )
        wait_for(lambda: user_ids[1] in {event["user_id"] for event in receiver.events()}, 30)
        relay.call("PUT", f"/v1/employees/{user_ids[1]}", json={"employee_id": "E", "name": "A"})
        done(other.send(other.punch(user_ids[1], at + timedelta(seconds=1))))
        assert events(other, type="attendance.punch")[-1]["employee_id"] == "E"
    relay.call("DELETE", f"/v1/subscriptions/{made['id']}")


def test_a_damaged_device_does_not_stop_maintenance(store: Store, device: Device) -> None:
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    for field, value in (("record", b"[]"), ("secrets", b"x"), (None, b"x")):
        with replaced(store, shard.device(device.id), field, value):
            store.devices.date_former_keys()


def test_a_damaged_record_of_a_removed_device_is_safe_and_stops_nothing(
    relay: Relay, store: Store, device: Device
) -> None:
    body = {"device_id": "GONE-damaged", "auth_token": "t" * 32, "gateway_url": "http://127.0.0.1:9/"}
    with (
        replaced(store, DEVICES_REMOVED, body["device_id"]),
        replaced(store, FORMER_DEVICES, body["device_id"]),
    ):
        assert store.devices.removed_at(body["device_id"]) is None
        assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
        key = key_with(relay, "devices:write")
        assert relay.call("POST", "/v1/devices", key, json=body).status_code == 403
        assert relay.call("POST", "/v1/devices", json=body).status_code == 201


def test_a_damaged_replay_does_not_stop_others(store: Store) -> None:
    shard = store.connection.shards[0]
    key, other = shard.subscription("sub_damaged", "replays"), shard.subscription("sub_other", "replays")
    store.connection.redis.hset(other, "rpl_1", orjson.dumps({"from": "0", "until": "1", "at": 1}))
    for value in VALUES:
        store.connection.redis.hset(key, "rpl_0", value)
        stalled = list(store.replays.stalled(["sub_damaged", "sub_other"], 1.0))
        assert stalled == [("sub_damaged", "rpl_0"), ("sub_other", "rpl_1")], (
            "the damaged replay must end as failed"
        )
    store.connection.redis.delete(key, other)


def _all(relay: Relay, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = relay.get(path, params={"limit": 200, **({"cursor": cursor} if cursor else {})})
        rows += page["data"]
        cursor = page["next_cursor"]
    return rows
