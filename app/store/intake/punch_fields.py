"""The name of a punch among those of its user: its instant, and its place if it is the second at that instant."""

from __future__ import annotations


def punch_field(instant: int, place: int) -> str:
    """Return a punch's field: `1764000000`, or `1764000000/2` for the second one at that instant."""
    return str(instant) if place == 1 else f"{instant}/{place}"


def split_punch_field(field: str) -> tuple[int, int]:
    """Return the instant and place in a field. Raises ValueError."""
    instant, _, place = field.partition("/")
    return int(instant), int(place or 1)
