"""Notes about keys whose damaged value was replaced, for `/health` and `doctor`: `{g}:repaired`."""

from __future__ import annotations

import logging
import time

from app.store.server.connection import Connection
from app.store.server.damage import left_out, number
from app.store.server.keys import REPAIRED

log = logging.getLogger("relay.store")

_SHOWN_SECONDS = 86_400


def note_repair(connection: Connection, key: str) -> None:
    """Log and note that the damaged value of a key was replaced just now. Raises redis errors if the store is away."""
    log.error("the value of %s in the store was damaged and has been replaced", key)
    with left_out("the notes about repaired keys"):
        connection.redis.hset(REPAIRED, key, int(time.time() * 1000))
        connection.redis.expire(REPAIRED, _SHOWN_SECONDS)


def repairs(connection: Connection) -> dict[str, float]:
    """Return the keys repaired within a day, and when (seconds since 1970)."""
    found: dict[str, float] = {}
    with left_out("the notes about repaired keys"):
        for key, at in connection.redis.hgetall(REPAIRED).items():
            seconds = number(at) / 1000
            if abs(time.time() - seconds) < _SHOWN_SECONDS:
                found[key.decode(errors="replace")] = seconds
    return found
