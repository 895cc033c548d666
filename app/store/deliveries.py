"""Deliveries as the API and the jobs see them: the log, the counts, replays, test sends, retries that are due.

A delivery is named by the entry of its event (`ms-seq`), or of its first event and a suffix: `ms-seq:bXXXXXX` a
batch, `ms-seq:tXXXXXX` a test send. How the dispatcher writes them is in `workers/settling.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from app import ids
from app.store.connection import Connection
from app.store.keys import SUBSCRIPTIONS, Shard
from app.store.subscriptions import Subscription

_SCAN = 500
_SAMPLED = 40


def public_id(shard: int, delivery: str) -> str:
    """What `webhook-id` says: the event's id, or `bat_…` for a batch."""
    entry, _, suffix = delivery.partition(":")
    event_id = ids.event_id(shard, entry)
    if not suffix:
        return event_id
    kind = "bat" if suffix[0] == "b" else "evt"
    return f"{kind}_{event_id.removeprefix('evt_')}{suffix[1:]}"


def order(delivery: str) -> int:
    """Where a delivery stands among others: by the receipt of its first event."""
    ms, _, sequence = delivery.partition(":")[0].partition("-")
    return int(ms) * 1000 + min(int(sequence), 999)


def new_suffix(kind: str) -> str:
    """A suffix for a batch (`b`) or a test send (`t`)."""
    return f":{kind}{ids.encode(secrets.randbits(30), 6)}"


def _iso(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Step(NamedTuple):
    """Attempts of a span of time, or a sample of them."""

    at: int  # seconds since 1970
    attempts: int
    delivered: int
    median_ms: int | None
    p95_ms: int | None


def _at(times: Sequence[int], percent: int) -> int | None:
    return times[min(len(times) - 1, len(times) * percent // 100)] if times else None


class Deliveries:
    """What is kept of deliveries to subscriptions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._replay = connection.script("replay")
        self._release = connection.script("release")

    def health(self, subscription_id: str) -> dict[str, Any]:
        """Counts of deliveries over all shards, and since when the target has been failing."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.xlen(shard.subscription(subscription_id, "queue"))
            pipeline.zcard(shard.subscription(subscription_id, "due"))
            pipeline.zcard(shard.subscription(subscription_id, "retry"))
            pipeline.zcard(shard.subscription(subscription_id, "dead"))
            pipeline.hgetall(shard.subscription(subscription_id, "health"))
        answers = pipeline.execute()
        totals = {"pending": 0, "retrying": 0, "dead": 0, "delivered": 0}
        failing: list[float] = []
        for queued, due, retrying, dead, health in zip(*(answers[part::5] for part in range(5)), strict=True):
            totals["pending"] += queued + due
            totals["retrying"] += retrying
            totals["dead"] += dead
            totals["delivered"] += int(health.get(b"delivered", 0))
            if health.get(b"failing_since"):
                failing.append(float(health[b"failing_since"]))
        return {**totals, "failing_since": _iso(min(failing) * 1000) if failing else None}

    def trouble(self, subscription_id: str, now: float, most: int) -> dict[str, float]:
        """Attempts that `failed`, and `oldest_seconds`, the age of the oldest event that is not delivered.

        Of those that wait for a retry, the `most` that are next are looked at.
        """
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hmget(shard.subscription(subscription_id, "health"), "retry", "dead")
            pipeline.xrange(shard.subscription(subscription_id, "queue"), count=1)
            pipeline.zrange(shard.subscription(subscription_id, "due"), 0, 0)
            pipeline.zrange(shard.subscription(subscription_id, "retry"), 0, most - 1)
        answers = pipeline.execute()
        failed, oldest = 0, now * 1000
        for counts, queued, due, retrying in zip(*(answers[part::4] for part in range(4)), strict=True):
            failed += sum(int(count or 0) for count in counts)
            for name in (*(entry for entry, _ in queued), *due, *retrying):
                oldest = min(oldest, int(name.partition(b"-")[0]))
        return {"failed": failed, "oldest_seconds": max(0.0, now - oldest / 1000)}

    def log(
        self, subscription_id: str, limit: int, cursor: str | None, status: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Deliveries with their attempts, latest activity first. The cursor is `shard:entry` of the log.

        Raises ValueError for a cursor that isn't one.
        """
        shards = self._connection.shards
        number, _, before = (cursor or "0:+").partition(":")
        if (
            not (number.isascii() and number.isdecimal())
            or int(number) >= len(shards)
            or not _is_entry(before)
        ):
            raise ValueError("cursor")
        rows: list[dict[str, Any]] = []
        place = before
        for shard in shards[int(number) :]:
            while True:
                found = self._log_rows(shard, subscription_id, before)
                for entry, row in found:
                    if row is not None and status in (None, row["status"]):
                        if len(rows) == limit:
                            return rows, place
                        rows.append(row)
                        place = f"{shard.number}:{entry}"
                if len(found) < _SCAN:
                    break
                before = found[-1][0]
            before = "+"
        return rows, None

    def _log_rows(
        self, shard: Shard, subscription_id: str, before: str
    ) -> list[tuple[str, dict[str, Any] | None]]:
        """Log entries as rows; None for an attempt that a later one of its delivery supersedes."""
        client = self._connection.redis
        newest = before if before == "+" else f"({before}"
        entries = client.xrevrange(shard.subscription(subscription_id, "log"), newest, "-", count=_SCAN)
        open_ones = [fields[b"d"] for _, fields in entries if fields[b"x"] in (b"retry", b"dead")]
        state_key = shard.subscription(subscription_id, "state")
        states = dict(zip(open_ones, client.hmget(state_key, open_ones), strict=True)) if open_ones else {}
        rows: list[tuple[str, dict[str, Any] | None]] = []
        for entry, fields in entries:
            superseded = fields[b"x"] in (b"retry", b"dead") and states[fields[b"d"]] != fields[b"h"]
            rows.append((entry.decode(), None if superseded else self._row(shard, entry.decode(), fields)))
        return rows

    def _row(self, shard: Shard, entry: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
        delivery, what = fields[b"d"].decode(), fields[b"x"].decode()
        at = _iso(int(entry.partition("-")[0]))
        earlier = orjson.loads(fields[b"h"])["log"] if fields.get(b"h") else []
        if not earlier:  # it worked at once
            earlier = [[at, int(fields[b"s"]), int(fields[b"t"]), fields[b"e"].decode() or None]]
        attempts = [
            {"at": moment, "response_status": status or None, "duration_ms": duration, "error": error}
            for moment, status, duration, error in earlier
        ]
        return {
            "id": public_id(shard.number, delivery),
            "event_id": None if ":b" in delivery else public_id(shard.number, delivery),
            "event_count": int(fields[b"c"]),
            "status": {"retry": "retrying"}.get(what, what),
            "attempt_count": int(fields[b"n"]),
            "response_status": attempts[-1]["response_status"],
            "duration_ms": attempts[-1]["duration_ms"],
            "error": attempts[-1]["error"],
            "last_attempt_at": at,
            "next_attempt_at": _iso(int(fields[b"w"])) if what == "retry" else None,
            "attempts": attempts,
        }

    def of_event(self, subscription: Subscription, event_id: str) -> dict[str, Any] | None:
        """How the delivery of an event stands, as a row of `log`; None where no attempt at it is found.

        Looked for among the attempts that followed its receipt; after a replay, or behind a long queue, it may be
        further on in the log.
        """
        place = ids.event_place(event_id)
        if place is None or place.shard >= len(self._connection.shards):
            return None
        shard = self._connection.shards[place.shard]
        log = shard.subscription(subscription.id, "log")
        found: tuple[str, dict[bytes, bytes]] | None = None
        for entry, fields in self._connection.redis.xrange(log, place.entry.partition("-")[0], count=_SCAN):
            delivery = fields[b"d"].decode()
            known = found[1][b"d"].decode() if found else ""
            # Batches follow each other: the one that an event is in begins last before it.
            begins = ":b" in delivery and (order(known) if known else 0) <= order(delivery) <= order(
                place.entry
            )
            if delivery in (place.entry, known) or begins:
                found = entry.decode(), fields
        return self._row(shard, *found) if found else None

    def series(self, subscription_ids: Sequence[str], since_ms: int, until_ms: int, steps: int) -> list[Step]:
        """Attempts over time, in equal steps: of each step, subscription and shard no more than 40 are looked at."""
        width = (until_ms - since_ms) // steps
        pipeline = self._connection.redis.pipeline(transaction=False)
        logs = [
            shard.subscription(name, "log") for name in subscription_ids for shard in self._connection.shards
        ]
        for step in range(steps):
            start = since_ms + step * width
            for log in logs:
                pipeline.xrange(log, start, start + width - 1, count=_SAMPLED)
        answers = iter(pipeline.execute())
        found = []
        for step in range(steps):
            rows = [fields for _ in logs for _, fields in next(answers)]
            times = sorted(int(fields[b"t"]) for fields in rows if fields[b"x"] != b"dropped")
            good = sum(fields[b"x"] == b"delivered" for fields in rows)
            found.append(
                Step((since_ms + step * width) // 1000, len(times), good, _at(times, 50), _at(times, 95))
            )
        return found

    def replay(self, subscription_id: str, shard: Shard, deliveries: Sequence[str]) -> int:
        """Lets deliveries (or events, by their entries) be attempted anew; how many."""
        if not deliveries:
            return 0
        names = [shard.subscription(subscription_id, part) for part in ("due", "retry", "dead", "state")]
        return int(self._replay(keys=[*names, shard.wake], args=[subscription_id, *deliveries]))

    def replay_ids(self, subscription_id: str, public_ids: Sequence[str]) -> int:
        """Lets events, and batches that `has_batch`, be delivered again; how many."""
        by_shard: dict[int, list[str]] = {}
        for public in dict.fromkeys(public_ids):
            place = _place(public)
            if place is not None:
                by_shard.setdefault(place.shard, []).append(place.entry)
        return sum(self.replay(subscription_id, Shard(shard), names) for shard, names in by_shard.items())

    def has_batch(self, subscription_id: str, public: str) -> bool:
        """Whether a batch with this id is kept: one that waits for a retry, or a dead letter."""
        place = _place(public)
        if place is None or ":b" not in place.entry or place.shard >= len(self._connection.shards):
            return False
        batches = Shard(place.shard).subscription(subscription_id, "batches")
        return bool(self._connection.redis.hexists(batches, place.entry))

    def replay_range(self, subscription: Subscription, since_ms: int | None, until_ms: int | None) -> int:
        """Lets the events of a time of receipt that a subscription takes be delivered again, oldest first; how many."""
        client, count = self._connection.redis, 0
        for shard in self._connection.shards:
            start = str(since_ms or 0)
            until = "+" if until_ms is None else str(until_ms)
            while rows := client.xrange(shard.events, start, until, count=_SCAN):
                if not client.hexists(SUBSCRIPTIONS, subscription.id):
                    return count
                entries = [
                    entry.decode() for entry, fields in rows if subscription.takes(orjson.loads(fields[b"b"]))
                ]
                count += self.replay(subscription.id, shard, entries)
                start = f"({rows[-1][0].decode()}"
        return count

    def send_test(self, subscription: Subscription, event: dict[str, Any]) -> None:
        """Queues a made-up event for one subscription, in a batch where it gets batches. Sets the event's `id`."""
        shard = self._connection.shards[0]
        seconds, micros = self._connection.redis.time()
        entry, suffix = f"{seconds * 1000 + micros // 1000}-0", new_suffix("t")
        event["id"] = public_id(shard.number, entry + suffix)
        delivery = entry + (suffix.replace(":t", ":b") if subscription.batch_max > 1 else suffix)
        tests = shard.subscription(subscription.id, "tests")
        self._connection.redis.hset(tests, delivery, orjson.dumps(event))
        self.replay(subscription.id, shard, [delivery])

    def release(self, subscription_id: str, shard: Shard, upto_ms: float) -> tuple[int, int]:
        """Makes due what waits for a retry until then.

        Answers when (ms) to come again, 0 for never, and when that was to be so far.
        """
        keys = [shard.subscription(subscription_id, part) for part in ("retry", "due", "health")]
        following, before = self._release(keys=[*keys, shard.wake], args=[upto_ms, subscription_id])
        return following, before

    def forgive(self, subscription_id: str) -> None:
        """Forgets how the target has failed so far."""
        for shard in self._connection.shards:
            health = shard.subscription(subscription_id, "health")
            self._connection.redis.hdel(health, "failures", "failing_since", "paused_until")

    def late_retry_jobs(self, subscription_ids: Sequence[str], before_ms: int) -> list[tuple[str, Shard]]:
        """Subscriptions whose retries are overdue: their job was lost."""
        late = []
        for shard in self._connection.shards:
            pipeline = self._connection.redis.pipeline(transaction=False)
            for subscription_id in subscription_ids:
                pipeline.zrange(shard.subscription(subscription_id, "retry"), 0, 0, withscores=True)
            for subscription_id, first in zip(subscription_ids, pipeline.execute(), strict=True):
                if first and first[0][1] < before_ms:
                    late.append((subscription_id, shard))
        return late

    def retries_after(self, subscription_ids: Sequence[str], latest_ms: int) -> list[tuple[str, Shard]]:
        """Subscriptions with a retry that is to come later than that."""
        far = []
        for shard in self._connection.shards:
            pipeline = self._connection.redis.pipeline(transaction=False)
            for subscription_id in subscription_ids:
                pipeline.zcount(shard.subscription(subscription_id, "retry"), latest_ms, "+inf")
            for subscription_id, count in zip(subscription_ids, pipeline.execute(), strict=True):
                if count:
                    far.append((subscription_id, shard))
        return far


def _place(public: str) -> ids.Place | None:
    """The shard and the name of the delivery with this public id; None if it isn't one."""
    if not public.startswith("bat_"):
        return ids.event_place(public)
    place = ids.event_place(f"evt_{public[4:-6]}")
    return place and ids.Place(place.shard, f"{place.entry}:b{public[-6:]}")


def _is_entry(text: str) -> bool:
    return text == "+" or ids.is_entry(text)
