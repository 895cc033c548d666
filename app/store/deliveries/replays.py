"""Replays. The position of each is saved together with the queued events, so a killed one continues.

A replay of a time range has a position in each shard, which is removed when that shard's events are queued. A step
only replaces the position that it has read. So if two workers take the same step, only one of them succeeds. A step
queues no more than the target accepts, so that the replay can be cancelled.
"""

from __future__ import annotations

import enum
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import orjson

from app.base import ids
from app.base.yielding import let_others_run
from app.store.deliveries.records import Deliveries
from app.store.deliveries.replay_records import ReplayRecords
from app.store.server.connection import Connection
from app.store.server.damage import readable
from app.store.server.keys import Shard
from app.store.subscriptions.keys import remove_keys_if_deleted
from app.store.subscriptions.records import Subscription

_SCAN = 500  # events per step
_COUNTED = 20_000  # events that are examined before a replay
_MOST_DUE = 1_000  # due deliveries of a target up to which a replay queues more
_PATIENCE = 0.25  # seconds in which a target may accept some of them
_PAUSE = 0.05


class Advance(enum.IntEnum):
    """How a replay continues."""

    DONE = 0
    MORE = 1
    WAITS = 2  # until its target, which accepts deliveries, has accepted some more of the due ones
    STUCK = 3  # the same, but the target has accepted none since the last look
    SLEEPS = 4  # its subscription is disabled


# Seconds from a look to the next: at least these, at most twice as long
LOOKS = {Advance.WAITS: 1, Advance.STUCK: 5, Advance.SLEEPS: 60}


class Replays:
    """The stored replays under way."""

    def __init__(self, connection: Connection, deliveries: Deliveries, records: ReplayRecords) -> None:
        self._connection = connection
        self._deliveries = deliveries
        self._records = records

    def count(self, subscription: Subscription, since_ms: int, until_ms: int) -> tuple[int, bool]:
        """Return how many events a replay would queue, and whether that is all: only a limited number is examined."""
        count = looked_at = 0
        for shard in self._connection.shards:
            start = str(since_ms)
            while rows := self._connection.redis.xrange(shard.events, start, str(until_ms), count=_SCAN):
                if looked_at >= _COUNTED:
                    return count, False
                count += len(self._deliveries.taken(subscription, shard, rows))
                looked_at += len(rows)
                start = f"({rows[-1][0].decode()}"
                let_others_run()
        return count, True

    def begin(self, subscription_id: str, since_ms: int, until_ms: int) -> str:
        """Save a replay of the events received from `since_ms` to `until_ms`; return its ID."""
        replay_id = _new_id(subscription_id)
        self._records.create(subscription_id, replay_id, since_ms=since_ms, until_ms=until_ms)
        for shard in self._connection.shards:
            position = _position(str(since_ms), str(until_ms))
            self._connection.redis.hset(shard.subscription(subscription_id, "replays"), replay_id, position)
        remove_keys_if_deleted(self._connection, subscription_id)
        return replay_id

    def replay_ids(self, subscription_id: str, public_ids: Sequence[str]) -> str:
        """Have events, and stored batches, delivered again at once; return the replay's ID."""
        replay_id = _new_id(subscription_id)
        count = self._deliveries.replay_ids(subscription_id, public_ids)
        self._records.create(subscription_id, replay_id, event_count=count)
        remove_keys_if_deleted(self._connection, subscription_id)
        return replay_id

    def cancel(self, subscription_id: str, replay_id: str) -> None:
        """Stop a replay from queueing more events. One that has ended isn't changed."""
        self._records.cancel(subscription_id, replay_id)

    def advance(self, subscription: Subscription, replay_id: str, seconds: float) -> Advance:
        """Queue a replay's next events, oldest first, for about that long.

        It waits a moment for a fast target, but only once, because other jobs wait meanwhile.
        """
        until, following = time.monotonic() + seconds, Advance.DONE
        may_wait = False
        for shard in self._connection.shards:
            while self._position_of(subscription, shard, replay_id) is not None:
                if not self._has_room(subscription, shard, _PATIENCE if may_wait else 0.0):
                    waits = self._stay(subscription, shard, replay_id)
                    following = min(following, waits) if following else waits
                    may_wait = False
                    break
                if not self._step(subscription, shard, replay_id):
                    break
                may_wait = subscription.status == "active" and not following
                if time.monotonic() > until:
                    return Advance.MORE
        return following

    def _has_room(self, subscription: Subscription, shard: Shard, patience: float) -> bool:
        """Return whether more may be queued. With a fast target, this is soon the case."""
        due, until = shard.subscription(subscription.id, "due"), time.monotonic() + patience
        while self._connection.redis.zcard(due) >= _MOST_DUE:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)
        return True

    def _position_of(self, subscription: Subscription, shard: Shard, replay_id: str) -> bytes | None:
        found: bytes | None = self._connection.redis.hget(
            shard.subscription(subscription.id, "replays"), replay_id
        )
        return found

    def _stay(self, subscription: Subscription, shard: Shard, replay_id: str) -> Advance:
        """Note that the replay isn't stalled, but waits for its target; return how it continues."""
        position = self._position_of(subscription, shard, replay_id)
        if position is None or (known := _read(position)) is None:
            return Advance.WAITS
        due = self._connection.redis.zcard(shard.subscription(subscription.id, "due"))
        following = Advance.STUCK if _due(position) == due else Advance.WAITS
        if subscription.status != "active":
            following = Advance.SLEEPS
        self._deliveries.replay(
            subscription.id,
            shard,
            [],
            replay_id=replay_id,
            record=position,
            following=_position(*known, due=due, waits=2 * LOOKS[following]),
        )
        return following

    def _step(self, subscription: Subscription, shard: Shard, replay_id: str) -> bool:
        """Queue some of a shard's events; False if none are left."""
        client = self._connection.redis
        position = self._position_of(subscription, shard, replay_id)
        if position is None:
            return False
        known = _read(position)
        if known is None:  # the replay shows as failed
            client.hdel(shard.subscription(subscription.id, "replays"), replay_id)
            return False
        start, until = known
        rows = client.xrange(shard.events, start, until, count=_SCAN)
        entries = self._deliveries.taken(subscription, shard, rows)
        following = _position(f"({rows[-1][0].decode()}", until) if len(rows) == _SCAN else b""
        self._deliveries.replay(
            subscription.id, shard, entries, replay_id=replay_id, record=position, following=following
        )
        return bool(following)

    def stalled(self, subscription_ids: Sequence[str], seconds: float) -> Iterator[tuple[str, str]]:
        """Return replays that no worker has continued for that long: the subscription and the replay of each."""
        now, found = time.time(), set()
        for shard in self._connection.shards:
            pipeline = self._connection.redis.pipeline(transaction=False)
            for subscription_id in subscription_ids:
                pipeline.hgetall(shard.subscription(subscription_id, "replays"))
            answers = readable(pipeline.execute(raise_on_error=False), ({},))
            for subscription_id, positions in zip(subscription_ids, answers, strict=True):
                for replay_id, position in positions.items():
                    at = waits = 0.0  # if it can't be read, the replay ends at its next step
                    with suppress(ValueError, LookupError, TypeError, AttributeError):
                        known = orjson.loads(position)
                        waits = float(known.get("waits", 0))
                        at = float(known["at"]) / 1000
                    # The clock may have been set back in the meantime.
                    if abs(now - at) > seconds + waits:
                        found.add((subscription_id, replay_id.decode()))
        yield from sorted(found)


def _new_id(subscription_id: str) -> str:
    return f"rpl_{subscription_id.removeprefix('sub_')}{ids.encode(secrets.randbits(80), 16)}"


def _position(start: str, until: str, **waiting: int) -> bytes:
    """Return a record. `at` (ms) is when it was last continued.

    While it waits, `due` is how many deliveries were due, and `waits` the most seconds until the next look.
    """
    return orjson.dumps({"from": start, "until": until, "at": int(time.time() * 1000), **waiting})


def _due(position: bytes) -> object:
    """Return how many deliveries were due at the last look; None if that isn't known."""
    return orjson.loads(position).get("due")


def _read(position: bytes) -> tuple[str, str] | None:
    """Read a replay's position and end; None if they can't be read."""
    try:
        known = orjson.loads(position)
        start, until = known["from"], known["until"]
    except (ValueError, LookupError, TypeError):
        return None
    is_place = isinstance(start, str) and isinstance(until, str)
    return (start, until) if is_place else None
