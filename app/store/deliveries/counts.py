"""Counts of deliveries, for one subscription or for many at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from app.store.deliveries.rows import iso
from app.store.server.connection import Connection
from app.store.server.damage import number, readable
from app.store.server.keys import Shard
from app.store.server.pipelines import asked

_RETRIES_LOOKED_AT = 200
_NOTHING: tuple[Any, ...] = (0, 0, 0, 0, {}, [], [], [])  # instead of the answers to `_ask`


def _ask(pipeline: Any, shard: Shard, subscription_id: str) -> None:
    key = {
        part: shard.subscription(subscription_id, part)
        for part in ("queue", "due", "retry", "dead", "health")
    }
    pipeline.xlen(key["queue"])
    for part in ("due", "retry", "dead"):
        pipeline.zcard(key[part])
    pipeline.hgetall(key["health"])
    pipeline.xrange(key["queue"], count=1)
    pipeline.zrange(key["due"], 0, 0)
    pipeline.zrange(key["retry"], 0, _RETRIES_LOOKED_AT - 1)


def _overview(answers: Sequence[Any], now: float) -> dict[str, Any]:
    totals: dict[str, Any] = dict.fromkeys(("pending", "retrying", "dead", "delivered", "failed"), 0)
    failing: list[float] = []
    oldest = now * 1000
    for start in range(0, len(answers), len(_NOTHING)):
        queued, due, retrying, dead, health, first, next_due, next_retries = answers[
            start : start + len(_NOTHING)
        ]
        totals["pending"] += queued + due
        totals["retrying"] += retrying
        totals["dead"] += dead
        totals["delivered"] += int(number(health.get(b"delivered")))
        totals["failed"] += sum(int(number(health.get(what))) for what in (b"retry", b"dead"))
        if number(health.get(b"failing_since")) > 0:
            failing.append(min(number(health[b"failing_since"]), now))
        for name in (*(entry for entry, _ in first), *next_due, *next_retries):
            oldest = min(oldest, number(name.partition(b"-")[0]) or oldest)  # 0 if it is damaged
    since = iso(min(failing) * 1000) if failing else None
    return {**totals, "failing_since": since, "oldest_seconds": max(0.0, now - oldest / 1000)}


class DeliveryCounts:
    """Counts deliveries in all shards."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def health(self, subscription_id: str) -> dict[str, Any]:
        """Return the counts of deliveries in all shards, and since when the target has been failing."""
        told = self.overview([subscription_id], time.time())[subscription_id]
        return {name: told[name] for name in ("pending", "retrying", "dead", "delivered", "failing_since")}

    def overview(self, subscription_ids: Sequence[str], now: float) -> dict[str, dict[str, Any]]:
        """Return the same for several subscriptions, and `failed` and `oldest_seconds`.

        `failed` counts failed attempts, and `oldest_seconds` is the age of the oldest event that isn't delivered. Among
        those that wait for a retry, only the next few are examined.
        """
        shards = self._connection.shards

        def call(pipeline: Any, name: str) -> None:
            for shard in shards:
                _ask(pipeline, shard, name)

        width = len(_NOTHING) * len(shards)
        answers = asked(self._connection.redis, subscription_ids, call, calls=width, raise_on_error=False)
        return {name: _overview(readable(found, _NOTHING), now) for name, found in answers}
