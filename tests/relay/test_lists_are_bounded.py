"""A page of a list reads a bounded amount of data, and its cursor stays valid when rows are deleted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from app.settings.table import load
from app.store import Store
from app.store.commands.keys import CommandKeys
from app.web.application import create_app
from tests.harness import API_KEY
from tests.stores import PASSWORD, Server

HEADERS = {"X-API-Key": API_KEY}
BODY = {"target_url": "http://127.0.0.1:9/hook", "events": ["*"]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A client of the API with its own store, without a worker."""
    folder = tmp_path_factory.mktemp("lists")
    server = Server(folder, "store", 'save ""', password=PASSWORD)
    settings = load(
        {
            "REDIS_URL": server.url,
            "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
            "RELAY_API_KEY": API_KEY,
            "RELAY_DATA_DIR": str(folder / "data"),
            "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
        }
    )
    yield create_app(settings).test_client()
    server.kill()


def _store(client: FlaskClient) -> Store:
    store: Store = client.application.extensions["store"]
    return store


def _get(client: FlaskClient, path: str, **query: Any) -> Any:
    answer = client.get(path, headers=HEADERS, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def _subscribe(client: FlaskClient) -> str:
    body = {
        **BODY,
        "target_url": f"http://127.0.0.1:9/{secrets.token_hex(4)}",
    }  # the same one would be returned
    answer = client.post("/v1/subscriptions", headers=HEADERS, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json["id"])


def _calls(client: FlaskClient, command: str) -> int:
    found = _store(client).connection.redis.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
    return int(found["calls"])


def test_paging_continues_after_a_deleted_subscription(client: FlaskClient) -> None:
    made = {_subscribe(client) for _ in range(4)}
    listed = [one["id"] for one in _get(client, "/v1/subscriptions")["data"]]
    assert made <= set(listed)
    first = _get(client, "/v1/subscriptions", limit=2)
    assert [one["id"] for one in first["data"]] == listed[:2]
    assert client.delete(f"/v1/subscriptions/{listed[1]}", headers=HEADERS).status_code == 204
    rest = _get(client, "/v1/subscriptions", limit=200, cursor=first["next_cursor"])
    assert [one["id"] for one in rest["data"]] == listed[2:]


def _fill_log(client: FlaskClient, name: str, count: int) -> None:
    """Add this many deliveries, the oldest one dropped, and three dead letters and three retries."""
    connection = _store(client).connection
    shard, pipeline = connection.shards[0], connection.redis.pipeline(transaction=False)
    log, now = shard.subscription(name, "log"), int(time.time() * 1000)
    for number in range(count):
        what = "delivered" if number else "dropped"
        fields = {"d": f"{1000 + number}-0", "x": what, "n": 1, "s": 200, "t": 5, "e": "", "c": 1}
        pipeline.xadd(log, fields, id=f"{now - count + number}-0")
    for part in ("dead", "retry"):
        for number in range(3):
            delivery = f"{9000 + number}-0" if part == "dead" else f"{9500 + number}-0:babcdef"
            known = {
                "n": 2,
                "step": 1,
                "first_at": 1.0,
                "log": [["2026-11-28T00:00:00.000Z", 500, 7, "http_500"]],
            }
            pipeline.zadd(shard.subscription(name, part), {delivery: now})  # all with the same time
            pipeline.hset(shard.subscription(name, "state"), delivery, orjson.dumps(known))
            pipeline.hset(shard.subscription(name, "batches"), delivery, "1-0 2-0")
    pipeline.execute()


def test_filtering_deliveries_by_status_does_not_read_the_whole_log(client: FlaskClient) -> None:
    name = _subscribe(client)
    _fill_log(client, name, 6_000)
    path = f"/v1/subscriptions/{name}/deliveries"
    before = _calls(client, "xrevrange")
    for status, deliveries in (("dead", 3), ("retrying", 3)):
        found, cursor = [], None
        while True:
            page = _get(client, path, status=status, limit=2, cursor=cursor)
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len({row["id"] for row in found}) == len(found) == deliveries
        assert {(row["status"], row["attempt_count"], row["response_status"]) for row in found} == {
            (status, 2, 500)
        }
        assert {row["event_count"] for row in found} == {2}
        assert all((row["next_attempt_at"] is None) == (status == "dead") for row in found)
    assert _calls(client, "xrevrange") == before
    page = _get(client, path, status="dropped")
    assert page["data"] == [] and page["next_cursor"]
    assert _calls(client, "xrevrange") - before <= 11  # 500 per call
    assert len(_get(client, path, status="dropped", cursor=page["next_cursor"])["data"]) == 1
    assert len(_get(client, path, limit=200)["data"]) == 200


def test_filtering_commands_by_status_does_not_read_all_commands(client: FlaskClient) -> None:
    store = _store(client)
    record = {
        "device_id": "D1",
        "gateway_url": "http://127.0.0.1:9/api",
        "label": None,
        "serial_number": None,
        "mode": "native",
        "timezone": "UTC",
    }
    store.devices.register(record, {"auth_token": "made-up-token-of-32-characters-1", "security_key": None})
    device = store.devices.refresh("D1")
    assert device is not None
    made = [store.commands.create(device, "load-device-information", {}, "test") for _ in range(2_010)]
    store.connection.redis.hset(CommandKeys(device.shard).command(made[0]), "status", "completed")
    before = _calls(client, "hmget")
    page = _get(client, "/v1/commands", status="completed")
    assert page["data"] == [] and page["next_cursor"]
    assert _calls(client, "hmget") - before <= 2_100
    (found,) = _get(client, "/v1/commands", status="completed", cursor=page["next_cursor"])["data"]
    assert found["command_id"] == made[0]


def test_metrics_read_many_devices_at_once(client: FlaskClient) -> None:
    """Two round trips per device once made a scrape of a thousand devices take a thousand times the store's latency."""
    store = _store(client)

    def reads() -> int:
        before = store.connection.redis.info("stats")["total_reads_processed"]
        assert client.get("/metrics", headers=HEADERS).status_code == 200
        return int(store.connection.redis.info("stats")["total_reads_processed"] - before)

    few = reads()
    for number in range(200):
        record = {
            "device_id": f"M{number}",
            "label": None,
            "serial_number": None,
            "mode": "native",
            "timezone": "UTC",
        }
        token = f"made-up-token-of-32-characters-{number}"
        store.devices.register(record, {"auth_token": token, "security_key": None})
    for _ in range(50):
        _subscribe(client)
    assert reads() - few < 60
    assert (
        'cams_relay_device_callbacks_total{device_id="M199"} 0.0'
        in client.get("/metrics", headers=HEADERS).text
    )
