"""Whether a server confirms at once that its append-only file is on disk.

With `appendfsync everysec`, WAITAOF takes up to a second. A device whose callbacks come one after the other, or a spool
that is drained, would store one a second.
"""

from __future__ import annotations

from typing import Any

import redis

from app.store.server.connection import is_away

CONFIGURED_SYNC = ("CONFIG", "GET", "appendfsync")


def confirms_sync(client: Any) -> bool:
    """Return whether a server has WAITAOF (Redis 7.2, Valkey) and syncs each write. Raises redis errors."""
    try:
        client.execute_command("WAITAOF", 1, 0, 1)
        return is_synced_each_write(client.config_get("appendfsync"))
    except redis.ResponseError as error:  # an older server, no file, or one that doesn't show its settings
        if is_away(error):
            raise
        return False


def is_synced_each_write(setting: Any) -> bool:
    """Return whether the answer to CONFIGURED_SYNC is `always`. An error isn't."""
    if isinstance(setting, Exception):
        return False
    values = setting.values() if isinstance(setting, dict) else setting
    return any(value in (b"always", "always") for value in values)
