"""The audit log: who read a template, made a key, removed a device. Kept for RELAY_AUDIT_DAYS, readable by admins.

What is written here is written before the answer is given, or the request fails: nothing that matters goes unnoted.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from app import ids
from app.events.flatten import received_iso
from app.store.connection import Connection
from app.store.keys import AUDIT

log = logging.getLogger("relay.audit")

COMMAND_LINE = "command line"
ABOUT = ("device_id", "user_id", "subject", "detail")
_LONGEST = 200


class Audit:
    """What is kept of who did what."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, actor: str, action: str, **about: str | None) -> None:
        """Notes that `actor` (an API key's id, or COMMAND_LINE) did `action`; `about` is of ABOUT."""
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
        log.warning("%s: key=%s%s", action.replace(".", " "), actor, shown)

    def page(self, limit: int, cursor: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
        """Entries, newest first, each with its `id`. Raises ValueError for a cursor that isn't one."""
        if cursor and not ids.is_entry(cursor):
            raise ValueError("cursor")
        found = self._connection.redis.xrevrange(AUDIT, f"({cursor}" if cursor else "+", "-", count=limit + 1)
        rows = [{"id": entry.decode(), **orjson.loads(fields[b"b"])} for entry, fields in found[:limit]]
        return rows, rows[-1]["id"] if len(found) > limit else None

    def trim(self, oldest_ms: int) -> int:
        """Removes what is older; how many."""
        return int(self._connection.redis.xtrim(AUDIT, minid=oldest_ms, approximate=False))
