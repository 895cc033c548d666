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


def add_dead_letter(kept: Store, subscription: Subscription, shard: Shard) -> None:
    kept.connection.redis.zadd(shard.subscription(subscription.id, "dead"), {ENTRY: 1})


def dead_letters(kept: Store, subscription_id: str, shard: Shard) -> int:
    count: int = kept.connection.redis.zcard(shard.subscription(subscription_id, "dead"))
    return count


def move(kept: Store, *shards: Shard) -> None:
    """Do what the dispatchers of these shards do when they see the new subscriptions."""

    async def schedule(*_: Any) -> None:
        """Do nothing, because no jobs are needed here."""

    async def run() -> None:
        for shard in shards:
            client = make_async_client(kept.settings)
            context = Context(kept, client, shard, "made-up")
            take_over = TakeOver(context, Settler(context, schedule))
            while True:
                version = (await context.redis.get(shard.subscriptions_version) or b"0").decode()
                stored = await context.redis.hgetall(SUBSCRIPTIONS)
                found = [kept.subscriptions.unpack(name.decode(), value) for name, value in stored.items()]
                if not await take_over.run(found, version):
                    break
            await client.aclose()

    asyncio.run(run())


def record(kept: Store, subscription: Subscription) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(kept.connection.redis.hget(SUBSCRIPTIONS, subscription.id))
    return found


def replay_ids(kept: Store, former: Subscription) -> None:
    kept.deliveries.replay_ids(former.id, [EVENT])


def send_test(kept: Store, former: Subscription) -> None:
    kept.deliveries.send_test(former, sample("attendance.punch"))


def plan_test(kept: Store, former: Subscription) -> None:
    kept.deliveries.plan_test(former, sample("attendance.punch"), 600)


def begin_replay(kept: Store, former: Subscription) -> None:
    kept.replays.begin(former.id, 0, int(time.time() * 1000))


def note_parked(kept: Store, former: Subscription) -> None:
    kept.parked.note(kept.connection.shards[0], former.id, "made up")


WRITERS = (replay_ids, send_test, plan_test, begin_replay, note_parked)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_late_write_for_the_deleted_subscription_removes_no_taken_over_data(
    kept: Store, write: Any
) -> None:
    former, shards = create(kept), kept.connection.shards
    for shard in shards:
        add_dead_letter(kept, former, shard)
    kept.subscriptions.retire(former.id)
    new = create(kept)
    write(kept, former)
    assert dead_letters(kept, former.id, shards[1]) == 1
    move(kept, *shards)
    assert dead_letters(kept, new.id, shards[1]) == 1


def test_a_record_lists_only_subscriptions_not_yet_taken_over_on_all_shards(kept: Store) -> None:
    shards, made = kept.connection.shards, [create(kept)]
    add_dead_letter(kept, made[0], shards[1])
    for _ in range(3):
        kept.subscriptions.retire(made[-1].id)
        made.append(create(kept))
    move(kept, shards[0])
    kept.subscriptions.forget_moved()
    assert [name for name, _ in record(kept, made[-1])["takes_over"]] == [one.id for one in made[:3]]
    move(kept, shards[1])
    kept.subscriptions.retire(made[-1].id)
    made.append(create(kept))
    assert [name for name, _ in record(kept, made[-1])["takes_over"]] == [made[3].id]
    move(kept, *shards)
    kept.subscriptions.forget_moved()
    assert "takes_over" not in record(kept, made[-1])
    move(kept, *shards)
    assert dead_letters(kept, made[-1].id, shards[1]) == 1


def test_a_damaged_key_leaves_the_record_unchanged(kept: Store) -> None:
    former, shards = create(kept), kept.connection.shards
    kept.subscriptions.retire(former.id)
    new = create(kept)
    move(kept, *shards)
    kept.connection.redis.set(shards[1].subscription(new.id, "health"), "damaged")
    kept.subscriptions.forget_moved()
    assert [name for name, _ in record(kept, new)["takes_over"]] == [former.id]


def test_deleting_the_new_subscription_immediately_removes_the_taken_over_data(kept: Store) -> None:
    former, shards = create(kept), kept.connection.shards
    add_dead_letter(kept, former, shards[1])
    kept.subscriptions.retire(former.id)
    kept.subscriptions.delete(create(kept).id)
    assert dead_letters(kept, former.id, shards[1]) == 0


def test_a_new_record_has_no_fields_unknown_to_earlier_versions(kept: Store) -> None:
    unknown = {
        "created_by",
        "expires_at",
        "deleted_at",
        "left",
        "takes_over",
        "taken_over_to",
        "field_mapping",
    }
    assert record(kept, create(kept)).keys() & unknown == set()


def test_a_taken_over_replay_is_found_and_cancelled_under_the_new_subscription(kept: Store) -> None:
    client = create_app(kept.settings).test_client()
    headers, former = {"X-API-Key": API_KEY}, create(kept)
    replay_id = kept.replays.begin(former.id, 0, int(time.time() * 1000))
    kept.subscriptions.retire(former.id)
    assert client.get(f"/v1/replays/{replay_id}", headers=headers).status_code == 404
    new = create(kept)
    move(kept, *kept.connection.shards)
    found = client.get(f"/v1/replays/{replay_id}", headers=headers).json
    assert (found["status"], found["subscription_id"]) == ("queued", new.id)
    listed = client.get(f"/v1/subscriptions/{new.id}/replays", headers=headers).json["data"]
    assert listed == [found]
    cancelled = client.post(f"/v1/replays/{replay_id}/cancel", headers=headers)
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "cancelled")
    assert list(kept.replays.stalled([new.id], 0)) == []
