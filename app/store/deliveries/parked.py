"""Subscriptions that are parked on a shard because their stored data can't be used, such as a key of another type.

Only the deliveries of such a subscription wait; all others continue. While events can't be queued for it, their range
is noted, so that they are delivered once it is repaired.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import orjson

from app.store.deliveries.records import Deliveries
from app.store.server.connection import Connection
from app.store.server.keys import SUBSCRIPTION_PARTS, Shard
from app.store.subscriptions.keys import remove_keys_if_deleted
from app.store.subscriptions.records import Subscription

UNREADABLE = "Its stored data can't be read. Repair or delete the subscription."
_TYPES = {
    "queue": "stream",
    "log": "stream",
    "due": "zset",
    "retry": "zset",
    "dead": "zset",
    "settled": "zset",
}  # others: hash
_FROM, _TO = ":from", ":to"
_SCAN = 500
_LONGEST = 200


class Note(NamedTuple):
    """When a subscription was parked (s since 1970), and why."""

    at: float
    reason: str


class ParkedSubscriptions:
    """The stored notes: see `{s0}:parked` in `app.store.server.keys`."""

    def __init__(self, connection: Connection, deliveries: Deliveries) -> None:
        self._connection = connection
        self._deliveries = deliveries

    def all(self) -> dict[str, Note]:
        """Return subscription → why it is parked, on any shard."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hgetall(shard.parked)
        found: dict[str, Note] = {}
        for stored in pipeline.execute():
            for name, value in stored.items():
                if b":" not in name:
                    found.setdefault(name.decode(errors="replace"), _read_note(value))
        return found

    def on(self, shard: Shard) -> set[str]:
        """Return the subscriptions with notes on a shard."""
        return {name.decode().partition(":")[0] for name in self._connection.redis.hkeys(shard.parked)}

    def note(self, shard: Shard, subscription_id: str, error: str) -> str:
        """Note that a subscription is parked; return the reason (a sentence), with the damaged key, if any."""
        reason = self.damage(shard, subscription_id) or error[:_LONGEST]
        value = orjson.dumps(Note(time.time(), reason)._asdict())
        self._connection.redis.hsetnx(shard.parked, subscription_id, value)
        remove_keys_if_deleted(self._connection, subscription_id)
        return reason

    def note_unreadable(self, shard: Shard, subscription_id: str, position: str) -> None:
        """Note that a subscription's record can't be read, and the last event that was queued before."""
        self.note(shard, subscription_id, UNREADABLE)
        self._connection.redis.hsetnx(shard.parked, subscription_id + _FROM, f"({position}")
        remove_keys_if_deleted(self._connection, subscription_id)

    def clear(self, shard: Shard, subscription_id: str) -> None:
        """Remove the notes, because the subscription is used again."""
        names = (subscription_id, subscription_id + _FROM, subscription_id + _TO)
        self._connection.redis.hdel(shard.parked, *names)

    def damage(self, shard: Shard, subscription_id: str) -> str | None:
        """Return a sentence about a key that has the wrong type; None if all are right."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for part in SUBSCRIPTION_PARTS:
            pipeline.type(shard.subscription(subscription_id, part))
        for part, answer in zip(SUBSCRIPTION_PARTS, pipeline.execute(), strict=True):
            kind, wanted = answer.decode(), _TYPES.get(part, "hash")
            if kind not in ("none", wanted):
                key = shard.subscription(subscription_id, part)
                return f"The key {key} in the store is a {kind}, not a {wanted}. Repair or delete that key."
        return None

    def queue_missed(self, shard: Shard, subscription: Subscription) -> int:
        """Make the events due that couldn't be queued while it was parked; return how many."""
        client, after = self._connection.redis, subscription.after.get(str(shard.number), "0-0")
        first, last = client.hmget(shard.parked, subscription.id + _FROM, subscription.id + _TO)
        if first is None:
            return 0
        last = last or client.get(shard.fanout) or b"0-0"
        start, count = first.decode(), 0
        while rows := client.xrange(shard.events, start, last, count=_SCAN):
            later = [row for row in rows if _is_after(row[0], after)]
            entries = self._deliveries.taken(subscription, shard, later)
            count += self._deliveries.replay(subscription.id, shard, entries)
            start = f"({rows[-1][0].decode()}"
        client.hdel(shard.parked, subscription.id + _FROM, subscription.id + _TO)
        return count


def _read_note(stored: bytes) -> Note:
    try:
        note = orjson.loads(stored)
        return Note(float(note["at"]), str(note["reason"]))
    except (ValueError, LookupError, TypeError):
        return Note(0.0, "The reason can't be read.")


def _is_after(entry: bytes, other: str) -> bool:
    ms, _, sequence = entry.partition(b"-")
    other_ms, _, other_sequence = other.partition("-")
    return (int(ms), int(sequence)) > (int(other_ms), int(other_sequence))
