"""Corrections of punches: added, changed and excluded ones. Pure; what the device reported is never rewritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from app.attendance.rules import Mark

# `restored`: the punch counts again as the device reported it.
KINDS = ("added", "changed", "excluded", "restored")


@dataclass(frozen=True, slots=True)
class Reported:
    """A punch as its device reported it. `at` is in seconds since 1970, and `offset` its offset from UTC in seconds."""

    at: int
    offset: int
    direction: str | None


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction as stored.

    `at`, `offset` and `direction` are the punch's new values; `at` is None if it doesn't count. `created_at` is in ms
    since 1970. `reported` is None for an added punch.
    """

    id: str
    kind: str
    user_id: str
    device_id: str
    punch_id: str
    at: int | None
    offset: int
    direction: str | None
    reported: Reported | None
    reason: str
    author: str
    created_at: int

    def latest_at(self) -> int:
        """Return the later of the corrected and the reported time of the punch (s)."""
        return max(self.at or 0, self.reported.at if self.reported else 0)

    def repeats(self, other: Correction) -> bool:
        """Return whether the other one is the same correction. An added punch is the same whatever the reason is."""
        names = ["kind", "user_id", "device_id", "at", "direction"]
        if self.kind != "added":
            names += ("punch_id", "reason")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Correction:
        """Return a stored correction. Raises TypeError and LookupError for values that can't be used."""
        reported = stored["reported"]
        return cls(**{**stored, "reported": None if reported is None else Reported(**reported)})


def latest(corrections: Iterable[Correction]) -> dict[str, Correction]:
    """Return the latest correction of each punch, by punch ID. Earlier ones have no effect."""
    ordered = sorted(corrections, key=lambda one: (one.created_at, one.id))
    return {one.punch_id: one for one in ordered}


def apply(
    marks: Iterable[tuple[str, Mark]], corrections: Iterable[Correction], begin: int, end: int
) -> tuple[list[Mark], list[Mark]]:
    """Return a person's marks from `begin` to before `end` as corrected, and as they were reported.

    `marks` are the reported ones with their punch IDs. In both lists, marks that were corrected have their punch ID.
    The second list is empty if no correction has an effect.
    """
    effective = {name: one for name, one in latest(corrections).items() if one.kind != "restored"}
    corrected: list[Mark] = []
    reported: list[Mark] = []
    for punch_id, mark in marks:
        if punch_id not in effective:
            corrected.append(mark)
            reported.append(mark)
        else:
            reported.append(mark._replace(punch_id=punch_id))
    corrected += [
        Mark(one.at, one.offset, one.device_id, one.direction, one.punch_id)
        for one in effective.values()
        if one.at is not None and begin <= one.at < end
    ]
    return corrected, reported if effective else []


def local(at: int | None, offset: int) -> str | None:
    """Return a time as ISO 8601 with its offset."""
    return None if at is None else datetime.fromtimestamp(at, timezone(timedelta(seconds=offset))).isoformat()
