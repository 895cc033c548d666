"""Which events to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.events.types import matches


@dataclass(frozen=True, slots=True)
class Query:
    """Selects events. Times are times of receipt in ms since 1970, both inclusive."""

    types: tuple[str, ...] = ()
    device_ids: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def takes(self, event: dict[str, Any]) -> bool:
        """Return whether an event matches the query, apart from its time."""
        return (
            (not self.types or any(matches(pattern, event["type"]) for pattern in self.types))
            and (not self.device_ids or event["device_id"] in self.device_ids)
            and (not self.user_ids or event.get("user_id") in self.user_ids)
        )
