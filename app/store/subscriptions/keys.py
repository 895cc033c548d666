"""Announces changes of subscriptions, and removes the keys of a subscription from every shard.

A subscription's record is in `{g}`, its deliveries are on the shards, and no script can access both. The dispatcher's
scripts check the version of the subscriptions. All other code that writes to the shards must therefore check
afterwards whether the record still exists. A deletion first removes the record and then the keys, so one of the two
removes what was written.
"""

from __future__ import annotations

import secrets

import orjson
import redis

from app.store.server.connection import Connection, is_away
from app.store.server.keys import SUBSCRIPTION_PARTS, SUBSCRIPTIONS, Shard
from app.store.server.shard_repairs import repair_shard


def owners(connection: Connection) -> set[str]:
    """Return all owners of keys on the shards: subscriptions, and deleted ones that are kept or taken over."""
    found: set[str] = set()
    for name, stored in connection.redis.hgetall(SUBSCRIPTIONS).items():
        found.add(name.decode(errors="replace"))
        try:
            found.update(former for former, _ in orjson.loads(stored).get("takes_over", ()))
        except (ValueError, TypeError, AttributeError):
            continue  # it can't be read
    return found


def entry_order(entry: str) -> tuple[int, int]:
    """Return the sort key of a stream's entry."""
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence)


def announce(connection: Connection, subscription_id: str) -> None:
    """Make all dispatchers read the subscriptions and the signing keys again; `subscription_id` is what changed."""
    for shard in connection.shards:
        try:
            _announce(connection, shard, subscription_id)
        except redis.ResponseError as error:
            if is_away(error) or not repair_shard(connection, shard):
                raise
            _announce(connection, shard, subscription_id)


def _announce(connection: Connection, shard: Shard, subscription_id: str) -> None:
    pipeline = connection.redis.pipeline(transaction=True)
    # Not by one: a store that has lost data would reach a version that a dispatcher already knows.
    pipeline.incrby(shard.subscriptions_version, 1 + secrets.randbits(32))
    pipeline.xadd(shard.wake, {"subscription": subscription_id}, maxlen=1_000)
    pipeline.execute()


def remove_keys(connection: Connection, subscription_id: str) -> None:
    """Remove the deliveries, counters and notes of a subscription whose record is gone."""
    for shard in connection.shards:
        parts = (shard.subscription(subscription_id, part) for part in SUBSCRIPTION_PARTS)
        connection.redis.delete(*parts)
        names = (subscription_id, f"{subscription_id}:from", f"{subscription_id}:to")
        connection.redis.hdel(shard.parked, *names)


def remove_keys_if_deleted(connection: Connection, subscription_id: str) -> bool:
    """Call this after a write to a subscription's keys. If it was deleted meanwhile, remove them and return True.

    While another subscription takes them over, they stay: on some shards, they may not be moved yet.
    """
    if connection.redis.hexists(SUBSCRIPTIONS, subscription_id) or subscription_id in owners(connection):
        return False
    remove_keys(connection, subscription_id)
    return True
