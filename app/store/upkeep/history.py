"""The history of the relay: a sample of its counters each minute, for the console's plots."""

from __future__ import annotations

from typing import Any

import orjson

from app.store.server.claims import claim
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number, readable
from app.store.server.keys import COUNTERS, HISTORY, SAMPLED, SUBSCRIPTIONS
from app.store.server.pipelines import asked

CALLBACKS_REFUSED = b"callbacks_"
_KEPT = 1_500  # samples: a little more than a day
_EVERY_SECONDS = 58
_OF_A_DEVICE = ("callbacks", "events", "duplicates", "unrecognised")
_NO_COUNTS = (None,) * len(_OF_A_DEVICE)


class History:
    """The stored samples. Any worker may take a sample: the first one in a minute does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sample(self) -> None:
        """Take a sample if the last one is a minute old."""
        if claim(self._connection, SAMPLED, "", seconds=_EVERY_SECONDS):
            self._connection.redis.xadd(
                HISTORY, {"j": orjson.dumps(self.totals())}, maxlen=_KEPT, approximate=True
            )

    def totals(self) -> dict[str, int]:
        """Return the counters of all devices and subscriptions since the beginning, and how much is waiting."""
        client = self._connection.redis
        found = dict.fromkeys((*_OF_A_DEVICE, "refused", "delivered", "failed"), 0)
        found |= dict.fromkeys(("pending", "retrying", "dead"), 0)
        with left_out("the counters"):
            counted = client.hgetall(COUNTERS).items()
            found["refused"] = int(
                sum(number(value) for name, value in counted if name.startswith(CALLBACKS_REFUSED))
            )
        with left_out("the list of devices"):
            keys = [shard.device(name) for name, shard in self._connection.shards_of_devices().items()]
            answers = asked(
                client, keys, lambda pipeline, key: pipeline.hmget(key, _OF_A_DEVICE), raise_on_error=False
            )
            for _, answer in answers:
                for name, value in zip(_OF_A_DEVICE, readable([answer], (_NO_COUNTS,))[0], strict=True):
                    found[name] += int(number(value))
        with left_out("the list of subscriptions"):
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
        answers = readable(pipeline.execute(raise_on_error=False), ((), 0, 0, 0, 0))
        for counts, queued, due, retrying, dead in zip(*(answers[part::5] for part in range(5)), strict=True):
            delivered, retried, died = (int(number(value)) for value in counts or (None, None, None))
            found["delivered"] += delivered
            found["failed"] += retried + died
            found["pending"] += queued + due
            found["retrying"] += retrying
            found["dead"] += dead

    def samples(self) -> list[dict[str, Any]]:
        """Return the samples, oldest first, each with `at` (seconds since 1970)."""
        samples = []
        with left_out("the samples of counters"):
            for entry, fields in self._connection.redis.xrange(HISTORY):
                with left_out("a sample of counters"):
                    sample = orjson.loads(fields[b"j"])
                    samples.append({"at": int(entry.partition(b"-")[0]) // 1000, **sample})
        return samples
