"""How the relay has been doing: a sample of its counters each minute, for the console's plots."""

from __future__ import annotations

from typing import Any

import orjson

from app.store.connection import Connection
from app.store.keys import COUNTERS, DEVICES, HISTORY, SAMPLED, SUBSCRIPTIONS, Shard

_KEPT = 1_500  # a day and a bit
_EVERY_SECONDS = 58
_OF_A_DEVICE = ("callbacks", "events", "duplicates", "unrecognised")


class History:
    """What is kept of counters over time. Any worker may take the sample: the first in a minute does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sample(self) -> None:
        """Takes a sample where the last is a minute old."""
        client = self._connection.redis
        if client.set(SAMPLED, "", nx=True, ex=_EVERY_SECONDS):
            client.xadd(HISTORY, {"j": orjson.dumps(self.totals())}, maxlen=_KEPT, approximate=True)

    def totals(self) -> dict[str, int]:
        """Counters over all devices and subscriptions since the beginning, and what waits now."""
        client = self._connection.redis
        found = dict.fromkeys((*_OF_A_DEVICE, "refused", "delivered", "failed"), 0)
        found |= dict.fromkeys(("pending", "retrying", "dead"), 0)
        found["refused"] = sum(int(value) for value in client.hvals(COUNTERS))
        pipeline = client.pipeline(transaction=False)
        devices = client.hgetall(DEVICES)
        for device_id, number in devices.items():
            pipeline.hmget(Shard(int(number)).device(device_id.decode()), _OF_A_DEVICE)
        for values in pipeline.execute():
            for name, value in zip(_OF_A_DEVICE, values, strict=True):
                found[name] += int(value or 0)
        for subscription_id in client.hkeys(SUBSCRIPTIONS):
            self._add_deliveries(found, subscription_id.decode())
        return found

    def _add_deliveries(self, found: dict[str, int], subscription_id: str) -> None:
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hmget(shard.subscription(subscription_id, "health"), "delivered", "retry", "dead")
            pipeline.xlen(shard.subscription(subscription_id, "queue"))
            for part in ("due", "retry", "dead"):
                pipeline.zcard(shard.subscription(subscription_id, part))
        answers = pipeline.execute()
        for counts, queued, due, retrying, dead in zip(*(answers[part::5] for part in range(5)), strict=True):
            delivered, retried, died = (int(value or 0) for value in counts)
            found["delivered"] += delivered
            found["failed"] += retried + died
            found["pending"] += queued + due
            found["retrying"] += retrying
            found["dead"] += dead

    def samples(self) -> list[dict[str, Any]]:
        """The samples, oldest first, each with `at` (seconds since 1970)."""
        rows = self._connection.redis.xrange(HISTORY)
        return [
            {"at": int(entry.partition(b"-")[0]) // 1000, **orjson.loads(fields[b"j"])}
            for entry, fields in rows
        ]
