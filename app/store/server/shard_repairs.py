"""Repairs of a shard's keys without which nothing is delivered, and whose content can be made again."""

from __future__ import annotations

import secrets

from app.store.server.connection import Connection
from app.store.server.keys import Shard
from app.store.server.repairs import note_repair

_WRITES_DIGITS = 15  # scripts return this number, and Lua has larger ones only approximately
_VERSION_DIGITS = 18  # it grows by up to 2^32 with each change, and is compared as text


def repair_shard(connection: Connection, shard: Shard) -> bool:
    """Replace the shard's counters and its stream of notifications if they are damaged; return whether one
    was. Raises redis errors.

    The worker then reads its subscriptions again, and takes its state of deliveries from the store again.
    """
    repair, found = connection.script("repair"), False
    for key, kind, new, digits in (
        (shard.writes, "string", "", _WRITES_DIGITS),
        (shard.subscriptions_version, "string", str(1 + secrets.randbits(32)), _VERSION_DIGITS),
        (shard.wake, "stream", "", 0),
    ):
        if repair(keys=[key], args=[kind, new, digits]):
            note_repair(connection, key)
            found = True
    return found
