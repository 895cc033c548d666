"""The store refuses a write in the middle of a callback. The next attempt stores the whole callback once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from app.events.flatten import Receipt
from app.gateway import callbacks
from app.settings.table import load
from app.store import Store
from app.store.commands.keys import CommandKeys
from tests.harness import SAMPLES, debian_redis, wait_for
from tests.stores import PASSWORD, Server

TOKENS = {"DEV1": "1" * 32, "DEV2": "2" * 32}
KEYS = ("{s0}:events", "{s0}:events:type:%s", "{s0}:events:device:DEV1", "{s0}:events:user:%s")
USER = "made-up-77"


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    server = Server(folder, "store", 'save ""', password=PASSWORD)
    yield server.url
    server.kill()


def answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(params=[valkey, debian_redis], ids=["valkey", "redis"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    with request.param(tmp_path) as url:
        wait_for(lambda: answers(url), 30)
        made = Store(
            load(
                {
                    "REDIS_URL": url,
                    "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
                    "RELAY_DATA_DIR": str(tmp_path / "data"),
                    "RELAY_DURABILITY": "os",
                }
            )
        )
        for device_id, token in TOKENS.items():
            record = {"device_id": device_id, "label": None, "serial_number": None, "timezone": "UTC"}
            record |= {"mode": "native", "gateway_url": None}
            credentials = {"auth_token": token, "security_key": None, "previous_security_key": None}
            made.devices.register(record, credentials)
        made.devices.keep_up()
        yield made


def sample(number: int) -> dict[str, Any]:
    """Return a documented callback for a separate user."""
    (path,) = SAMPLES.glob(f"{number:02d}-*.request.json")
    text = path.read_text()
    document: dict[str, Any] = json.loads(text)
    for section in document["RealTime"].values():
        for name in ("UserID", "UserId"):
            if isinstance(section, dict) and name in section:
                section[name] = USER
    return document


def keep(store: Store, device_id: str, document: dict[str, Any]) -> None:
    store.devices.keep_up()
    (device,) = store.devices.by_token(TOKENS[device_id], anew=True)
    receipt = Receipt(device_id, None, None, datetime.now(UTC), store.ingest.retention, "http://relay")
    body = json.dumps(document).encode()
    store.ingest.store(device, callbacks.read(document, UTC), document, body, receipt)


def events(store: Store, device_id: str) -> list[dict[str, Any]]:
    """Return a device's events without values that differ between devices, and check that its index matches."""
    client = store.connection.redis
    rows = [(entry, json.loads(fields[b"b"])) for entry, fields in client.xrange("{s0}:events")]
    own = [(entry, body) for entry, body in rows if body["device_id"] == device_id]
    assert [entry for entry, _ in client.xrange("{s0}:events:device:" + device_id)] == [one for one, _ in own]
    for entry, body in own:
        for index in ("type:" + body["type"], "user:" + (body.get("user_id") or "")):
            assert index == "user:" or client.xrange(f"{{s0}}:events:{index}", entry, entry)
    return [
        {name: body.get(name) for name in ("type", "user_id", "credential_type", "is_new", "revision")}
        for _, body in own
    ]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 10, 11])
def test_a_partly_failed_callback_is_stored_completely_by_the_next_attempt(store: Store, number: int) -> None:
    """84 of 150 acknowledged punches counted as duplicates when they were sent again, and were never published."""
    document, client = sample(number), store.connection.redis
    keep(store, "DEV2", document)
    expected = events(store, "DEV2")
    damaged = [key for key in KEYS if "%s" not in key]
    damaged += [KEYS[1] % one for one in {str(event["type"]) for event in expected}]
    damaged += [KEYS[3] % one for one in {str(event["user_id"]) for event in expected if event["user_id"]}]
    for key in damaged:
        aside = client.rename(key, "{s0}:aside") if client.exists(key) else False
        client.set(key, "damaged")
        for _ in range(2):
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                keep(store, "DEV1", document)
        client.delete(key)
        if aside:
            client.rename("{s0}:aside", key)
        assert events(store, "DEV1") == [], key
    keep(store, "DEV1", document)
    assert events(store, "DEV1") == expected
    keep(store, "DEV1", document)
    assert events(store, "DEV1") == expected, "the same again is a duplicate"


@pytest.mark.parametrize("command", ["xadd", "set", "hset", "expire", "zadd", "hincrby"])
@pytest.mark.parametrize("number", [4, 11])
def test_a_callback_that_failed_at_a_forbidden_store_command_is_stored_completely_later(
    store: Store, number: int, command: str
) -> None:
    document, client = sample(number), store.connection.redis
    keep(store, "DEV2", document)
    expected = events(store, "DEV2")
    client.execute_command("ACL", "SETUSER", "default", f"-{command}")
    was_refused = False
    try:
        keep(store, "DEV1", document)
    except redis.ResponseError:
        was_refused = True
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+@all")
    assert events(store, "DEV1") == ([] if was_refused else expected)
    keep(store, "DEV1", document)
    found = events(store, "DEV1")
    if command == "zadd":  # the relay already knows that the user has the card
        expected = [{**event, "is_new": found[at]["is_new"]} for at, event in enumerate(expected)]
    assert found == expected


def test_a_changed_punch_keeps_its_former_values_until_it_is_published(store: Store) -> None:
    document, client = sample(11), store.connection.redis
    keep(store, "DEV1", document)
    document["RealTime"]["PunchLog"]["Type"] = "BreakOut"
    document["RealTime"]["Time"] = "2021-09-17 04:19:03 GMT +0000"
    client.rename("{s0}:events:user:" + USER, "{s0}:aside")
    client.set("{s0}:events:user:" + USER, "damaged")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        keep(store, "DEV1", document)
    client.rename("{s0}:aside", "{s0}:events:user:" + USER)
    keep(store, "DEV1", document)
    assert [event["revision"] for event in events(store, "DEV1")] == [1, 2]


@pytest.mark.parametrize("damaged", ["{s0}:events", "{s0}:events:type:user.unknown", "{s0}:events:user:7"])
def test_a_relay_event_is_recorded_as_published_only_if_it_was(store: Store, damaged: str) -> None:
    client, events_of_its_own = store.connection.redis, store.connection.shards[0].events
    note = ("{s0}:strangers:DEV1", "7", b"", "now")
    client.set(damaged, "damaged")
    for _ in range(2):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            store.relay_events.publish_once("user.unknown", {"user_id": "7"}, note)
    client.delete(damaged)
    assert client.xlen(events_of_its_own) == 0
    assert store.relay_events.publish_once("user.unknown", {"user_id": "7"}, note)
    assert store.relay_events.publish_once("user.unknown", {"user_id": "7"}, note) is None
    assert client.xlen(events_of_its_own) == client.xlen("{s0}:events:user:7") == 1


def _a_command(store: Store) -> str:
    (device,) = store.devices.by_token(TOKENS["DEV1"], anew=True)
    return store.commands.create(device, "load-device-information", {}, "test")


def _damaged(store: Store, key: str) -> Callable[[], None]:
    """Replace a key by one of another type, and return a function that undoes this."""
    client = store.connection.redis
    aside = client.exists(key) and client.rename(key, "{s0}:aside")
    client.set(key, "damaged")

    def mend() -> None:
        client.delete(key)
        if aside:
            client.rename("{s0}:aside", key)

    return mend


@pytest.mark.parametrize("part", ["queue", "busy", "waiting", "event", "by type", "by device"])
def test_a_command_ends_with_its_event_or_not_at_all(store: Store, part: str) -> None:
    """A command had ended, but the event about it was never published."""
    keys, client = CommandKeys(store.connection.shards[0]), store.connection.redis
    command = store.commands.get(_a_command(store))
    assert command is not None
    damaged = {
        "queue": keys.queue("DEV1"),
        "busy": keys.busy,
        "waiting": keys.waiting,
        "event": "{s0}:events",
        "by type": "{s0}:events:type:command.cancelled",
        "by device": "{s0}:events:device:DEV1",
    }[part]
    mend = _damaged(store, damaged)
    for _ in range(2):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            store.commands.cancel(command)
    mend()
    found = store.commands.get(command.id)
    assert found is not None and not found.ended
    assert store.commands.cancel(command)
    assert [body["command_id"] for body in _bodies(store)] == [command.id]
    assert not client.llen(keys.queue("DEV1"))


def _bodies(store: Store) -> list[dict[str, Any]]:
    return [json.loads(fields[b"b"]) for _, fields in store.connection.redis.xrange("{s0}:events")]


@pytest.mark.parametrize("part", ["queue", "busy", "wake", "all", "of_device"])
def test_a_command_is_either_queued_or_not_stored(store: Store, part: str) -> None:
    """A command that was stored, but not in a queue, never ended."""
    keys, client = CommandKeys(store.connection.shards[0]), store.connection.redis
    key = getattr(keys, part)
    mend = _damaged(store, key if isinstance(key, str) else key("DEV1"))
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        _a_command(store)
    mend()
    assert not client.keys("{s0}:command:*")
    assert not client.llen(keys.queue("DEV1")) and not client.xlen(keys.all)
    command_id = _a_command(store)
    assert client.lrange(keys.queue("DEV1"), 0, -1) == [command_id.encode()]


@pytest.mark.parametrize("part", ["queue", "busy"])
def test_a_held_command_is_either_queued_for_its_result_or_stays_held(store: Store, part: str) -> None:
    keys, client = CommandKeys(store.connection.shards[0]), store.connection.redis
    command_id = _a_command(store)
    client.delete(keys.queue("DEV1"))
    client.hset(keys.command(command_id), "status", "waiting")
    client.zadd(keys.waiting, {f"DEV1 {command_id}": 1})
    mend = _damaged(store, keys.queue("DEV1") if part == "queue" else keys.busy)
    for _ in range(2):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            store.commands.ask_again(command_id, "DEV1")
    mend()
    assert client.zcard(keys.waiting) == 1
    assert store.commands.ask_again(command_id, "DEV1")
    assert client.lrange(keys.queue("DEV1"), 0, -1) == [command_id.encode()]
    assert not client.zcard(keys.waiting)


@pytest.mark.parametrize("damaged", ["{s0}:events", "{s0}:events:type:subscription.disabled"])
def test_a_relay_event_is_either_in_all_indexes_or_not_stored(store: Store, damaged: str) -> None:
    mend = _damaged(store, damaged)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.relay_events.publish("subscription.disabled", {"subscription_id": "sub_1"})
    mend()
    assert _bodies(store) == []
