"""Finding the batches of an event without reading all stored batches."""

from __future__ import annotations

from app.base import ids
from app.store import Store
from app.store.deliveries.lists import DeliveryQuery
from tests.delivery.tools import create

BATCHES = 400
EVENTS = 300  # per batch
MOST_BYTES = 1_500_000  # of more than 2 MB


def test_an_events_batch_is_found_without_reading_all_batches(store: Store) -> None:
    subscription, shard, redis = create(store), store.connection.shards[0], store.connection.redis
    key, dead, state = (shard.subscription(subscription.id, part) for part in ("batches", "dead", "state"))
    for number in range(BATCHES):
        at = 1700000000000 + number * 1000
        name = f"{at}-0:b{number:06}"
        redis.hset(key, name, " ".join(f"{at + event}-0" for event in range(EVENTS)))
        redis.hset(state, name, '{"log": [], "n": 1}')
        redis.zadd(dead, {name: at})
    sent = redis.info("stats")["total_net_output_bytes"]
    wanted = ids.event_id(0, f"{1700000000000 + 350 * 1000 + 77}-0")
    rows, _ = store.delivery_lists.page(subscription, 10, None, DeliveryQuery(event_id=wanted))
    assert [row["status"] for row in rows] == ["dead"]
    assert wanted in rows[0]["event_ids"]
    assert redis.info("stats")["total_net_output_bytes"] - sent < MOST_BYTES
