"""Changes of deliveries by the API and the jobs: replays, tests, due retries.

`delivery_ids` has their names, `lists` and `log` read them, and the dispatcher saves them in
`workers/delivery/results.py`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from app.base import ids
from app.store.deliveries.delivery_ids import public_id
from app.store.events.unreadable import EventReader
from app.store.server.connection import Connection
from app.store.server.damage import number, readable
from app.store.server.keys import FAILURES, Shard
from app.store.server.pipelines import MOST_CALLS, asked
from app.store.subscriptions.keys import remove_keys_if_deleted
from app.store.subscriptions.records import Subscription

_SAMPLED = 40
_LATEST = 100
_LATEST_FAILURES = 20


def new_suffix(kind: str) -> str:
    """Return a suffix for a batch (`b`) or a test (`t`)."""
    return f":{kind}{ids.encode(secrets.randbits(30), 6)}"


class Step(NamedTuple):
    """The attempts within a period, or a sample of them."""

    at: int  # seconds since 1970
    attempts: int
    delivered: int
    median_ms: int | None
    p95_ms: int | None


def _at(times: Sequence[int], percent: int) -> int | None:
    return times[min(len(times) - 1, len(times) * percent // 100)] if times else None


class Deliveries:
    """The stored deliveries."""

    def __init__(self, connection: Connection, reader: EventReader) -> None:
        self._connection = connection
        self._reader = reader
        self._replay = connection.script("replay")
        self._release = connection.script("release")

    def series(self, subscription_ids: Sequence[str], since_ms: int, until_ms: int, steps: int) -> list[Step]:
        """Return attempts over time, in equal steps. Of each step, subscription and shard, the last 40 are read."""
        width = (until_ms - since_ms) // steps
        logs = [
            shard.subscription(name, "log") for name in subscription_ids for shard in self._connection.shards
        ]
        found = []
        for step in range(steps):
            start = since_ms + step * width

            def call(pipeline: Any, log: str, start: int = start) -> None:
                pipeline.xrevrange(log, start + width - 1, start, count=_SAMPLED)

            answers = asked(self._connection.redis, logs, call, raise_on_error=False)
            found_rows = (fields for _, answer in answers for _, fields in readable([answer], ([],))[0])
            rows = [fields for fields in found_rows if fields.keys() >= {b"t", b"x"}]
            times = sorted(int(fields[b"t"]) for fields in rows if fields[b"x"] != b"dropped")
            good = sum(fields[b"x"] == b"delivered" for fields in rows)
            found.append(
                Step((since_ms + step * width) // 1000, len(times), good, _at(times, 50), _at(times, 95))
            )
        return found

    def last_failure(self, subscription_id: str) -> tuple[int, str] | None:
        """Return HTTP status (0 without a response) and error of a subscription's last failed attempt, if known."""
        logs = [shard.subscription(subscription_id, "log") for shard in self._connection.shards]
        answers = asked(
            self._connection.redis,
            logs,
            lambda pipeline, log: pipeline.xrevrange(log, count=_LATEST_FAILURES),
            raise_on_error=False,
        )
        entries = [entry for _, answer in answers for entry in readable([answer], ([],))[0]]
        failed = [(entry, fields) for entry, fields in entries if fields.get(b"x") in (b"retry", b"dead")]
        if not failed:
            return None
        _, fields = max(failed, key=lambda found: int(found[0].partition(b"-")[0]))
        return int(number(fields.get(b"s"))), fields.get(b"e", b"").decode(errors="replace")

    def success(self, subscription_id: str, since_ms: int) -> float | None:
        """Return which part of a subscription's last 100 attempts since a time succeeded; None if there were none."""
        logs = [shard.subscription(subscription_id, "log") for shard in self._connection.shards]
        answers = asked(
            self._connection.redis,
            logs,
            lambda pipeline, log: pipeline.xrevrange(log, "+", since_ms, count=_LATEST),
            raise_on_error=False,
        )
        entries = [entry for _, answer in answers for entry in readable([answer], ([],))[0]]
        entries.sort(key=lambda entry: int(entry[0].partition(b"-")[0]), reverse=True)
        results = [fields[b"x"] for _, fields in entries if fields.get(b"x", b"dropped") != b"dropped"][
            :_LATEST
        ]
        return results.count(b"delivered") / len(results) if results else None

    def replay(
        self,
        subscription_id: str,
        shard: Shard,
        deliveries: Sequence[str],
        *,
        replay_id: str = "",
        record: bytes = b"",
        following: bytes = b"",
        why: str = "replay",
    ) -> int:
        """Have deliveries (or events, by their entries) attempted again; return how many. `why` is `replay` or
        `retry`.

        With `replay_id`, the record of that replay is replaced with `following` in the same step (removed if empty).
        If it isn't `record` any more, nothing is done, and the result is -1.
        """
        if not deliveries and not replay_id:
            return 0
        parts = ("due", "retry", "dead", "state")
        names = [shard.subscription(subscription_id, part) for part in parts]
        of_replays = [shard.subscription(subscription_id, part) for part in ("replays", "replayed")]
        now = int(time.time() * 1000)
        count = int(
            self._replay(
                keys=[*names, shard.wake, *of_replays],
                args=[subscription_id, replay_id, record, following, why, now, *deliveries],
            )
        )
        # The record of a replay is removed with its subscription. Then nothing was queued.
        if not replay_id and remove_keys_if_deleted(self._connection, subscription_id):
            return 0
        return count

    def replay_ids(self, subscription_id: str, public_ids: Sequence[str]) -> int:
        """Have events, and batches that `has_batch` finds, delivered again; return how many."""
        by_shard: dict[int, list[str]] = {}
        for public in dict.fromkeys(public_ids):
            place = _place(public)
            if place is not None:
                by_shard.setdefault(place.shard, []).append(place.entry)
        return sum(
            self.replay(subscription_id, Shard(shard), names[start : start + MOST_CALLS])
            for shard, names in by_shard.items()
            for start in range(0, len(names), MOST_CALLS)
        )

    def has_batch(self, subscription_id: str, public: str) -> bool:
        """Return whether a batch with this ID is stored: it waits for a retry, or is a dead letter."""
        place = _place(public)
        if place is None or ":b" not in place.entry or place.shard >= len(self._connection.shards):
            return False
        batches = Shard(place.shard).subscription(subscription_id, "batches")
        return bool(self._connection.redis.hexists(batches, place.entry))

    def taken(
        self, subscription: Subscription, shard: Shard, rows: list[tuple[bytes, dict[bytes, bytes]]]
    ) -> list[str]:
        """Return the entries of the stored events that match a subscription."""
        events = (
            (name.decode(), self._reader.read(shard, name.decode(), fields.get(b"b")))
            for name, fields in rows
        )
        return [entry for entry, event in events if event is not None and subscription.takes(event)]

    def is_waiting(self, subscription_id: str, public: str) -> bool:
        """Return whether an event's delivery is due, waits for a retry, or is a dead letter."""
        place = _place(public)
        if place is None or place.shard >= len(self._connection.shards):
            return False
        shard, pipeline = Shard(place.shard), self._connection.redis.pipeline(transaction=False)
        for part in ("due", "retry", "dead"):
            pipeline.zscore(shard.subscription(subscription_id, part), place.entry)
        return any(score is not None for score in pipeline.execute())

    def send_test(self, subscription: Subscription, event: dict[str, Any]) -> str:
        """Queue a test event for one subscription, in a batch if it gets batches; return the delivery.

        Sets the event's `id`.
        """
        delivery = self.plan_test(subscription, event, 0)
        self.replay(subscription.id, self._connection.shards[0], [delivery])
        return delivery

    def plan_test(self, subscription: Subscription, event: dict[str, Any], delay_seconds: int) -> str:
        """Save a test event that `release_test` will queue later; return the delivery. Sets the event's `id`.

        The delivery's name contains the time, because the job that should release it may be lost.
        """
        shard = self._connection.shards[0]
        seconds, micros = self._connection.redis.time()
        entry, suffix = f"{(seconds + delay_seconds) * 1000 + micros // 1000}-0", new_suffix("t")
        event["id"] = public_id(shard.number, entry + suffix)
        delivery = entry + (suffix.replace(":t", ":b") if subscription.batch_max > 1 else suffix)
        tests = shard.subscription(subscription.id, "tests")
        self._connection.redis.hset(tests, delivery, orjson.dumps(event))
        remove_keys_if_deleted(self._connection, subscription.id)
        return delivery

    def release_test(self, subscription: Subscription, delivery: str) -> None:
        """Queue a planned test, or drop it if the subscription has been disabled."""
        shard = self._connection.shards[0]
        if subscription.status == "active":
            self.replay(subscription.id, shard, [delivery])
        else:
            self._connection.redis.hdel(shard.subscription(subscription.id, "tests"), delivery)

    def late_tests(self, subscription_ids: Sequence[str], before_ms: int) -> list[tuple[str, str]]:
        """Return planned tests that should have been queued by then: the subscription and the delivery of each."""
        shard, late = self._connection.shards[0], []

        def call(pipeline: Any, subscription_id: str) -> None:
            pipeline.hkeys(shard.subscription(subscription_id, "tests"))

        answers = asked(self._connection.redis, subscription_ids, call, raise_on_error=False)
        for subscription_id, names in answers:
            for name in readable([names], ([],))[0]:
                if int(name.partition(b"-")[0]) < before_ms and self._is_planned(
                    shard, subscription_id, name
                ):
                    late.append((subscription_id, name.decode()))
        return late

    def _is_planned(self, shard: Shard, subscription_id: str, name: bytes) -> bool:
        """Return whether a test is saved and neither queued nor waiting nor dead, checked at one moment."""
        pipeline = self._connection.at(shard.events).pipeline(transaction=True)
        pipeline.hexists(shard.subscription(subscription_id, "tests"), name)
        for part in ("due", "retry", "dead"):
            pipeline.zscore(shard.subscription(subscription_id, part), name)
        kept, *places = pipeline.execute()
        return bool(kept) and places == [None, None, None]

    def release(self, subscription_id: str, shard: Shard, upto_ms: float) -> tuple[int, int]:
        """Make the retries due whose time has come by then.

        Returns when (ms) the next job is needed, 0 for never, and for when it was planned until now.
        """
        keys = [shard.subscription(subscription_id, part) for part in ("retry", "due", "health")]
        following, before = self._release(keys=[*keys, shard.wake], args=[upto_ms, subscription_id])
        return following, before

    def forgive(self, subscription_id: str) -> None:
        """Forget the target's failures."""
        for shard in self._connection.shards:
            health = shard.subscription(subscription_id, "health")
            self._connection.redis.hdel(health, *FAILURES)

    def late_retry_jobs(self, subscription_ids: Sequence[str], before_ms: int) -> list[tuple[str, Shard]]:
        """Return subscriptions whose retries are overdue, because their job was lost."""
        late = []
        for shard in self._connection.shards:
            pipeline = self._connection.redis.pipeline(transaction=False)
            for subscription_id in subscription_ids:
                pipeline.zrange(shard.subscription(subscription_id, "retry"), 0, 0, withscores=True)
            answers = readable(pipeline.execute(raise_on_error=False), ([],))
            for subscription_id, first in zip(subscription_ids, answers, strict=True):
                if first and first[0][1] < before_ms:
                    late.append((subscription_id, shard))
        return late

    def retries_after(self, subscription_ids: Sequence[str], latest_ms: int) -> list[tuple[str, Shard]]:
        """Return subscriptions with a retry later than that."""
        far = []
        for shard in self._connection.shards:
            pipeline = self._connection.redis.pipeline(transaction=False)
            for subscription_id in subscription_ids:
                pipeline.zcount(shard.subscription(subscription_id, "retry"), latest_ms, "+inf")
            answers = readable(pipeline.execute(raise_on_error=False), (0,))
            for subscription_id, count in zip(subscription_ids, answers, strict=True):
                if count:
                    far.append((subscription_id, shard))
        return far


def _place(public: str) -> ids.Place | None:
    """Return the shard and the name of the delivery with this public ID; None if the ID is invalid."""
    if not public.startswith("bat_"):
        return ids.event_place(public)
    place = ids.event_place(f"evt_{public[4:-6]}")
    return place and ids.Place(place.shard, f"{place.entry}:b{public[-6:]}")
