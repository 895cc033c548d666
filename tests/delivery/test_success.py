"""The success of a subscription: of its last 100 attempts within a day, whichever shards they belong to."""

from __future__ import annotations

import time

from app.settings.table import load
from app.store import Store
from tests.harness import Receiver, Relay


def test_success_counts_the_latest_attempts_of_all_shards(relay: Relay, receiver: Receiver) -> None:
    name = relay.subscribe(receiver)["id"]
    store = Store(load(relay.environment))
    deliveries, shards = store.deliveries, store.connection.shards
    now = int(time.time() * 1000)
    assert deliveries.success(name, now - 86_400_000) is None

    def attempts(shard: int, at: int, results: list[str]) -> None:
        for number, result in enumerate(results):
            log = shards[shard].subscription(name, "log")
            store.connection.redis.xadd(log, {"x": result}, id=f"{at + number}-0")

    attempts(0, now - 90_000_000, ["dead"])
    assert deliveries.success(name, now - 86_400_000) is None, "it was more than a day ago"
    attempts(0, now - 60_000, ["delivered"] * 300)
    assert deliveries.success(name, now - 86_400_000) == 1
    attempts(-1, now - 30_000, ["retry"] * 30)
    assert deliveries.success(name, now - 86_400_000) == 0.7
    attempts(-1, now - 10_000, ["retry"] * 80)
    attempts(0, now - 5_000, ["dropped"])
    assert deliveries.success(name, now - 86_400_000) == 0
