"""Replays as resources: their progress and their end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from app.events.samples import sample
from app.settings.table import load
from app.store import Store
from app.store.deliveries import replays
from app.store.deliveries.replays import Advance
from app.web.application import create_app
from tests.delivery.tools import act, plan, punch
from tests.harness import API_KEY, Device, Receiver, Relay, wait_for
from tests.stores import PASSWORD, Server

HEADERS = {"X-API-Key": API_KEY}
EVENTS = 12


def one(relay: Relay, replay_id: str) -> dict[str, Any]:
    """Return a replay by its ID."""
    found: dict[str, Any] = relay.get(f"/v1/replays/{replay_id}")
    return found


def test_the_progress_of_a_replay_of_a_time_range_can_be_read(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    punch(device, 3)
    receiver.wait(3)
    path = f"/v1/subscriptions/{subscription['id']}"
    body = {"since": "2020-01-01T00:00:00Z"}
    answer = relay.call("POST", f"{path}/replay", json=body)
    assert answer.status_code == 202, answer.text
    begun = answer.json()
    assert answer.headers["Location"].endswith(f"/v1/replays/{begun['id']}")
    assert begun["subscription_id"] == subscription["id"]
    assert begun["since"] == "2020-01-01T00:00:00.000Z" and begun["until"].endswith("Z")
    wait_for(lambda: one(relay, begun["id"])["status"] == "completed")
    ended = one(relay, begun["id"])
    assert (ended["event_count"], ended["progress"]) == (3, 3)
    assert ended["created_at"] <= ended["ended_at"]
    receiver.wait(6)
    some = [got.headers["webhook-id"] for got in receiver.received[:2]]
    later = act(relay, subscription, "replay", event_ids=some)
    assert (later["status"], later["event_count"], later["since"]) == ("completed", 2, None)
    listed = relay.get(f"{path}/replays")
    assert listed == {"data": [one(relay, later["id"]), ended], "next_cursor": None}
    first = relay.get(f"{path}/replays", params={"limit": 1})
    rest = relay.get(f"{path}/replays", params={"limit": 1, "cursor": first["next_cursor"]})
    assert [*first["data"], *rest["data"]] == listed["data"]
    cancelled = relay.call("POST", f"/v1/replays/{ended['id']}/cancel")
    assert cancelled.status_code == 200 and cancelled.json() == ended, "it has ended"


def test_unknown_replays_and_cursors_are_refused(relay: Relay, receiver: Receiver) -> None:
    receiver.answer = plan()
    subscription = relay.subscribe(receiver)
    path = f"/v1/subscriptions/{subscription['id']}/replays"
    begun = act(relay, subscription, "replay", since="2020-01-01T00:00:00Z")
    for name in ("rpl_", f"rpl_{'0' * 40}", begun["id"][:-1] + "z0", subscription["id"]):
        assert relay.call("GET", f"/v1/replays/{name}").status_code == 404
        assert relay.call("POST", f"/v1/replays/{name}/cancel").status_code == 404
    for cursor in ("x", "1~x", f"-1~{begun['id']}", "~"):
        assert relay.call("GET", path, params={"cursor": cursor}).status_code == 422
    assert relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}").status_code == 204
    assert relay.call("GET", f"/v1/replays/{begun['id']}").status_code == 404


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The API with a separate store that contains some events, without a worker."""
    folder: Path = tmp_path_factory.mktemp("replays")
    server = Server(folder, "store", 'save ""', password=PASSWORD)
    environment = {
        "REDIS_URL": server.url,
        "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
        "RELAY_API_KEY": API_KEY,
        "RELAY_DATA_DIR": str(folder / "data"),
        "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
    }
    made = create_app(load(environment)).test_client()
    store: Store = made.application.extensions["store"]
    event = {name: value for name, value in sample("user.deleted").items() if name != "id"}
    for _ in range(EVENTS):
        store.connection.redis.xadd(store.connection.shards[0].events, {"b": orjson.dumps(event), "r": b""})
    yield made
    server.kill()


@pytest.fixture
def begun(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, str, str]:
    """The store, a subscription, and a replay of all events, of which 4 may be due at a time."""
    monkeypatch.setattr(replays, "_SCAN", 2)
    monkeypatch.setattr(replays, "_MOST_DUE", 4)
    monkeypatch.setattr(replays, "_PATIENCE", 0.1)
    store: Store = client.application.extensions["store"]
    body = {"target_url": "http://127.0.0.1:9/hook", "event_types": ["*"]}
    subscription = client.post("/v1/subscriptions", headers=HEADERS, json=body).json["id"]
    replay_id = store.replays.begin(subscription, 0, int(time.time() * 1000))
    return store, subscription, replay_id


def _get(client: FlaskClient, replay_id: str) -> Any:
    return client.get(f"/v1/replays/{replay_id}", headers=HEADERS).json


def _advance(store: Store, subscription_id: str, replay_id: str) -> Advance:
    subscription = store.subscriptions.get(subscription_id)
    assert subscription is not None
    return store.replays.advance(subscription, replay_id, 60.0)


def test_a_replay_queues_only_as_fast_as_its_target_accepts_and_can_be_cancelled(
    client: FlaskClient, begun: tuple[Store, str, str]
) -> None:
    store, subscription, replay_id = begun
    assert _get(client, replay_id)["status"] == "queued"
    for expected in (Advance.WAITS, Advance.STUCK):
        assert _advance(store, subscription, replay_id) is expected
        now = _get(client, replay_id)
        assert (now["status"], now["progress"], now["event_count"]) == ("running", 4, None)
    due = store.connection.shards[0].subscription(subscription, "due")
    store.connection.redis.delete(due)
    assert _advance(store, subscription, replay_id) is Advance.WAITS
    assert _get(client, replay_id)["progress"] == 8
    for _ in range(2):
        answer = client.post(f"/v1/replays/{replay_id}/cancel", headers=HEADERS)
        assert answer.status_code == 200
        assert (answer.json["status"], answer.json["progress"]) == ("cancelled", 8)
    store.connection.redis.delete(due)
    assert _advance(store, subscription, replay_id) is Advance.DONE
    assert store.connection.redis.zcard(due) == 0
    assert list(store.replays.stalled([subscription], 0)) == []


def test_a_waiting_replay_does_not_block_other_jobs(
    client: FlaskClient, begun: tuple[Store, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, subscription, replay_id = begun
    pauses: list[float] = []
    _advance(store, subscription, replay_id)
    monkeypatch.setattr(replays.time, "sleep", pauses.append)
    assert _advance(store, subscription, replay_id) is Advance.STUCK
    due = store.connection.shards[0].subscription(subscription, "due")
    member = store.connection.redis.zrange(due, 0, 0)[0]
    store.connection.redis.zadd(due, {"1-0": 1})
    assert _advance(store, subscription, replay_id) is Advance.WAITS
    store.connection.redis.zrem(due, member)
    assert _advance(store, subscription, replay_id) is Advance.WAITS
    path = f"/v1/subscriptions/{subscription}/disable"
    assert client.post(path, headers=HEADERS).status_code == 200
    assert _advance(store, subscription, replay_id) is Advance.SLEEPS
    assert pauses == []
    assert list(store.replays.stalled([subscription], 4)) == []
    later = time.time() + 100
    monkeypatch.setattr(replays.time, "time", lambda: later)
    assert list(store.replays.stalled([subscription], 4)) == [], "the next look is after a minute"


@pytest.mark.parametrize("position", [None, b"no JSON", b"[]", b'{"from": 1, "until": "2", "at": 0}'])
def test_a_replay_whose_position_is_lost_fails(
    client: FlaskClient, begun: tuple[Store, str, str], position: bytes | None
) -> None:
    store, subscription, replay_id = begun
    key = store.connection.shards[0].subscription(subscription, "replays")
    if position is None:
        store.connection.redis.delete(key)
    else:
        store.connection.redis.hset(key, replay_id, position)
        assert list(store.replays.stalled([subscription], 5)) == [(subscription, replay_id)]
    assert _advance(store, subscription, replay_id) is Advance.DONE
    assert _get(client, replay_id)["status"] == "failed"


def test_only_the_latest_and_running_replays_are_kept(
    client: FlaskClient, begun: tuple[Store, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, subscription, replay_id = begun
    monkeypatch.setattr("app.store.deliveries.replay_records.MOST", 10)
    for _ in range(15):
        last = store.replays.replay_ids(subscription, [])
    listed = client.get(f"/v1/subscriptions/{subscription}/replays", headers=HEADERS).json["data"]
    assert {last, replay_id} <= {row["id"] for row in listed}
    assert len(listed) <= 10 + 1, "one more is under way"
    store.replay_records.remove_older(subscription, int(time.time() * 1000) + 1)
    listed = client.get(f"/v1/subscriptions/{subscription}/replays", headers=HEADERS).json["data"]
    assert [row["id"] for row in listed] == [replay_id]
