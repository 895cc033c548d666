"""Which events to read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.events.types import matches


@dataclass(frozen=True, slots=True)
class Query:
    """Selects events. Times are in ms since 1970 and inclusive: `since` and `until` of receipt, the others of events.

    An event that the relay made has no time of its own. Its time of receipt counts instead.
    """

    types: tuple[str, ...] = ()
    device_ids: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    occurred_since: int | None = None
    occurred_until: int | None = None

    def takes(self, event: dict[str, Any]) -> bool:
        """Return whether an event matches the query, apart from its time of receipt."""
        return (
            (not self.types or any(matches(pattern, event["type"]) for pattern in self.types))
            and (not self.device_ids or event["device_id"] in self.device_ids)
            and (not self.user_ids or event.get("user_id") in self.user_ids)
            and self._occurred(event)
        )

    def _occurred(self, event: dict[str, Any]) -> bool:
        if self.occurred_since is None and self.occurred_until is None:
            return True
        at = datetime.fromisoformat(event["occurred_at_utc"] or event["received_at"]).timestamp() * 1_000
        return (self.occurred_since is None or at >= self.occurred_since) and (
            self.occurred_until is None or at <= self.occurred_until
        )
