"""The position up to which a shard's events are in the subscriptions' queues: `{s0}:fanout`.

If it is damaged, the worker that delivers repairs it. A running worker still knows it. Otherwise, the newest entry that
any queue has ever had shows how far an earlier worker came. A stream remembers this entry even after it was removed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import redis

from app.base.store_errors import is_wrong_type
from app.store.server.connection import Connection, is_away
from app.store.server.keys import SUBSCRIPTIONS, Shard

_ENTRY = re.compile(rb"\d{1,19}-\d{1,19}")
_AT_ONCE = 500  # events that a worker queues in several steps; see workers.delivery.fanout
_AHEAD_MS = 60_000  # by which a position may be later than the store's clock

BEGINNING = "0-0"


class Found(NamedTuple):
    """Where queueing continues. If the position was damaged, later events up to `queued` may have been queued, too."""

    position: str
    queued: str
    was_damaged: bool = False


def stored_position(connection: Connection, shard: Shard) -> str | None:
    """Return the stored position; None if it is damaged. Raises redis errors."""
    try:
        stored = connection.redis.get(shard.fanout)
    except redis.ResponseError as error:
        if is_away(error) or not is_wrong_type(error):
            raise
        return None
    if stored is None:
        return BEGINNING
    if not _ENTRY.fullmatch(stored) or _is_ahead(connection, shard, stored):
        return None
    return str(stored.decode())


def find_position(connection: Connection, shard: Shard) -> Found:
    """Return the stored position or, if it is damaged, one from which no event is missed. Raises redis errors."""
    stored = stored_position(connection, shard)
    if stored is not None:
        return Found(stored, stored)
    queued = _newest_queued(connection, shard)
    if queued == BEGINNING:
        return Found(BEGINNING, queued, was_damaged=True)
    # A worker that was killed may have added some of these events to some of their queues only.
    before = connection.redis.xrevrange(shard.events, f"({queued}", count=_AT_ONCE)
    position = before[-1][0].decode() if len(before) == _AT_ONCE else BEGINNING
    return Found(position, queued, was_damaged=True)


def _newest_queued(connection: Connection, shard: Shard) -> str:
    """Return the newest event that was ever added to the queue of a present subscription."""
    newest = BEGINNING
    for name in connection.redis.hkeys(SUBSCRIPTIONS):
        try:
            told = connection.redis.xinfo_stream(shard.subscription(name.decode(errors="replace"), "queue"))
        except redis.ResponseError as error:
            if is_away(error):
                raise
            continue  # it doesn't exist or is damaged
        newest = max(newest, told["last-generated-id"].decode(), key=_order)
    return newest


def _is_ahead(connection: Connection, shard: Shard, stored: bytes) -> bool:
    """Return whether a position is later than every event, and also in the future."""
    seconds, _ = connection.redis.time()
    if _order(stored.decode())[0] <= seconds * 1000 + _AHEAD_MS:
        return False
    newest = connection.redis.xrevrange(shard.events, count=1)
    return not newest or _order(stored.decode()) > _order(newest[0][0].decode())


def _order(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence)
