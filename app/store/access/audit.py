"""The audit log: who read a template, created a key, removed a device. It is kept for RELAY_AUDIT_DAYS, for admins.

An entry is written before the request is answered, or the request fails. So every important action is recorded.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from app.base import ids
from app.events.flatten import received_iso
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import AUDIT

log = logging.getLogger("relay.audit")

COMMAND_LINE = "command line"
RELAY = "relay"  # what it did by itself
ABOUT = ("device_id", "user_id", "subject", "detail")
_LONGEST = 200


class Audit:
    """The stored entries."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, actor: str, action: str, **about: str | None) -> None:
        """Record that `actor` (an API key's ID, COMMAND_LINE or RELAY) did `action`; `about` has fields from ABOUT."""
        told = {name: value[:_LONGEST] for name, value in about.items() if value is not None}
        entry = {
            "at": received_iso(datetime.now(UTC)),
            "actor": actor,
            "action": action,
            **dict.fromkeys(ABOUT),
            **told,
        }
        self._connection.redis.xadd(AUDIT, {"b": orjson.dumps(entry)})
        shown = "".join(f" {name.removesuffix('_id')}={value!r}" for name, value in told.items())
        log.info("%s: key=%s%s", action.replace(".", " "), actor, shown)

    def page(self, limit: int, cursor: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
        """Return entries, newest first, each with its `id`. Raises ValueError for an invalid cursor."""
        if cursor and not ids.is_entry(cursor):
            raise ValueError("cursor")
        found = self._connection.redis.xrevrange(AUDIT, f"({cursor}" if cursor else "+", "-", count=limit + 1)
        rows = []
        for entry, fields in found[:limit]:
            with left_out("an entry of the audit log"):
                rows.append({"id": entry.decode(), **orjson.loads(fields[b"b"])})
        return rows, found[limit - 1][0].decode() if len(found) > limit else None

    def trim(self, oldest_ms: int) -> int:
        """Remove older entries; return how many."""
        return int(self._connection.redis.xtrim(AUDIT, minid=oldest_ms, approximate=False))
