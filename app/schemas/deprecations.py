"""The parts of the API that will be removed, and when (docs/versioning.md). At present, there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

SHORTEST = timedelta(days=182)
"""How long a deprecated part keeps working at least: six months."""


@dataclass(frozen=True, slots=True)
class Deprecation:
    """An operation that will be removed. `since` is the day of the release that deprecates it."""

    since: date
    removed_on: date

    def __post_init__(self) -> None:
        """Raises ValueError if the notice is shorter than promised."""
        if self.removed_on - self.since < SHORTEST:
            raise ValueError(f"a deprecated operation must work for at least {SHORTEST.days} days")

    def headers(self) -> dict[str, str]:
        """Return the response headers `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""
        since, end = (
            datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (self.since, self.removed_on)
        )
        return {
            "Deprecation": f"@{int(since.timestamp())}",
            "Sunset": format_datetime(end, usegmt=True),
        }


DEPRECATED: Mapping[str, Deprecation] = {}
"""By method and route, as in the description: `GET /v1/devices/{device_id}`."""
DEPRECATED_EVENT_TYPES: frozenset[str] = frozenset()
