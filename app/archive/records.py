"""What the archive takes and returns."""

from __future__ import annotations

from typing import NamedTuple


class Archived(NamedTuple):
    """An event: its place in the store, the fields that it is found by, and the flat event without its ID as JSON."""

    shard: int
    ms: int
    sequence: int
    type: str
    device_id: str | None
    user_id: str | None
    body: bytes

    @property
    def entry(self) -> str:
        return f"{self.ms}-{self.sequence}"


class ArchivedPunch(NamedTuple):
    """A punch for attendance. `at` is in seconds since 1970, `utc_offset` in seconds, `ms` its time of receipt."""

    user_id: str
    at: int
    device_id: str
    place: int
    ms: int
    sequence: int
    utc_offset: int
    direction: str | None


class Position(NamedTuple):
    """How far a shard is archived, and the number of erasures up to then."""

    entry: str
    erasures: int
