"""The steps of a takeover: the stored data between the new subscription's creation and the move on each shard."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest

from app.base import ids
from app.events.samples import sample
from app.store import Store
from app.store.server.connection import make_async_client
from app.store.server.keys import SUBSCRIPTIONS, Shard
from app.store.subscriptions.records import Subscription
from app.web.application import create_app
from tests.delivery.tools import create
from tests.harness import API_KEY
from workers.delivery.results import Settler
from workers.delivery.shard_context import Context
from workers.delivery.take_over import TakeOver

ENTRY = "1700000000000-0"
EVENT = ids.event_id(0, ENTRY)


def add_dead_letter(store: Store, subscription: Subscription, shard: Shard) -> None:
    store.connection.redis.zadd(shard.subscription(subscription.id, "dead"), {ENTRY: 1})


def dead_letters(store: Store, subscription_id: str, shard: Shard) -> int:
    count: int = store.connection.redis.zcard(shard.subscription(subscription_id, "dead"))
    return count


def move(store: Store, *shards: Shard) -> None:
    """Do what the dispatchers of these shards do when they see the new subscriptions."""

    async def schedule(*_: Any) -> None:
        """Do nothing, because no jobs are needed here."""

    async def run() -> None:
        for shard in shards:
            client = make_async_client(store.settings)
            context = Context(store, client, shard, "made-up")
            take_over = TakeOver(context, Settler(context, schedule))
            while True:
                version = (await context.redis.get(shard.subscriptions_version) or b"0").decode()
                stored = await context.redis.hgetall(SUBSCRIPTIONS)
                found = [store.subscriptions.unpack(name.decode(), value) for name, value in stored.items()]
                if not await take_over.run(found, version):
                    break
            await client.aclose()

    asyncio.run(run())


def record(store: Store, subscription: Subscription) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(store.connection.redis.hget(SUBSCRIPTIONS, subscription.id))
    return found


def replay_ids(store: Store, former: Subscription) -> None:
    store.deliveries.replay_ids(former.id, [EVENT])


def send_test(store: Store, former: Subscription) -> None:
    store.deliveries.send_test(former, sample("attendance.punch"))


def plan_test(store: Store, former: Subscription) -> None:
    store.deliveries.plan_test(former, sample("attendance.punch"), 600)


def begin_replay(store: Store, former: Subscription) -> None:
    store.replays.begin(former.id, 0, int(time.time() * 1000))


def note_parked(store: Store, former: Subscription) -> None:
    store.parked.note(store.connection.shards[0], former.id, "made up")


WRITERS = (replay_ids, send_test, plan_test, begin_replay, note_parked)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_late_write_for_the_deleted_subscription_removes_no_taken_over_data(
    store: Store, write: Any
) -> None:
    former, shards = create(store), store.connection.shards
    for shard in shards:
        add_dead_letter(store, former, shard)
    store.subscriptions.retire(former.id)
    new = create(store)
    write(store, former)
    assert dead_letters(store, former.id, shards[1]) == 1
    move(store, *shards)
    assert dead_letters(store, new.id, shards[1]) == 1


def test_a_record_lists_only_subscriptions_not_yet_taken_over_on_all_shards(store: Store) -> None:
    shards, made = store.connection.shards, [create(store)]
    add_dead_letter(store, made[0], shards[1])
    for _ in range(3):
        store.subscriptions.retire(made[-1].id)
        made.append(create(store))
    move(store, shards[0])
    store.subscriptions.forget_moved()
    assert [name for name, _ in record(store, made[-1])["takes_over"]] == [one.id for one in made[:3]]
    move(store, shards[1])
    store.subscriptions.retire(made[-1].id)
    made.append(create(store))
    assert [name for name, _ in record(store, made[-1])["takes_over"]] == [made[3].id]
    move(store, *shards)
    store.subscriptions.forget_moved()
    assert "takes_over" not in record(store, made[-1])
    move(store, *shards)
    assert dead_letters(store, made[-1].id, shards[1]) == 1


def test_a_damaged_key_leaves_the_record_unchanged(store: Store) -> None:
    former, shards = create(store), store.connection.shards
    store.subscriptions.retire(former.id)
    new = create(store)
    move(store, *shards)
    store.connection.redis.set(shards[1].subscription(new.id, "health"), "damaged")
    store.subscriptions.forget_moved()
    assert [name for name, _ in record(store, new)["takes_over"]] == [former.id]


def test_deleting_the_new_subscription_immediately_removes_the_taken_over_data(store: Store) -> None:
    former, shards = create(store), store.connection.shards
    add_dead_letter(store, former, shards[1])
    store.subscriptions.retire(former.id)
    store.subscriptions.delete(create(store).id)
    assert dead_letters(store, former.id, shards[1]) == 0


def test_a_new_record_has_no_fields_unknown_to_earlier_versions(store: Store) -> None:
    unknown = {
        "created_by",
        "expires_at",
        "deleted_at",
        "left",
        "takes_over",
        "taken_over_to",
        "field_mapping",
        "template",
    }
    assert record(store, create(store)).keys() & unknown == set()


def test_a_taken_over_replay_is_found_and_cancelled_under_the_new_subscription(store: Store) -> None:
    client = create_app(store.settings).test_client()
    headers, former = {"X-API-Key": API_KEY}, create(store)
    replay_id = store.replays.begin(former.id, 0, int(time.time() * 1000))
    store.subscriptions.retire(former.id)
    assert client.get(f"/v1/replays/{replay_id}", headers=headers).status_code == 404
    new = create(store)
    move(store, *store.connection.shards)
    found = client.get(f"/v1/replays/{replay_id}", headers=headers).json
    assert (found["status"], found["subscription_id"]) == ("queued", new.id)
    listed = client.get(f"/v1/subscriptions/{new.id}/replays", headers=headers).json["data"]
    assert listed == [found]
    cancelled = client.post(f"/v1/replays/{replay_id}/cancel", headers=headers)
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "cancelled")
    assert list(store.replays.stalled([new.id], 0)) == []
