"""Keys that are set for a while, so that only one process does something, or does it only now and then.

Every such key has an expiry. One without it is damaged: it would stop that work for ever, and nothing would show it.
"""

from __future__ import annotations

from app.store.server.connection import Connection
from app.store.server.repairs import note_repair

_REPLACED = 2


def claim(
    connection: Connection, key: str, value: str | bytes, *, seconds: int, longest: int | None = None
) -> bool:
    """Set a key unless it is set; return whether it was set now. Raises redis errors.

    It expires after `seconds`. `longest` is the longest expiry that other code gives it, by default the same. A key of
    another type or without an expiry is replaced, and this is noted. One with a longer expiry is replaced, too: the
    store's clock was set back.
    """
    expiries = (seconds * 1000, max(seconds, longest or 0) * 1000)
    found = int(connection.script("claim")(keys=[key], args=[value, *expiries]))
    if found == _REPLACED:
        note_repair(connection, key)
    return found > 0
