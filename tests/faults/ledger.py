"""The results of each fault: attempts, and the events acknowledged, lost and delivered twice.

The tests enter the numbers that they counted at the receiver. `conftest` prints the table at the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """The counts of one kind of fault, of all tests that tried it."""

    tried: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0  # deliveries beyond the first of an event


_entries: dict[str, Entry] = {}
_notes: list[str] = []


def enter(fault: str, *, tried: int, acknowledged: int, lost: int, twice: int) -> None:
    """Adds what one test has counted; where a loss is allowed, the name of the fault says so."""
    entry = _entries.setdefault(fault, Entry())
    entry.tried += tried
    entry.acknowledged += acknowledged
    entry.lost += lost
    entry.twice += twice


def note(line: str) -> None:
    """Another figure to be printed below the table."""
    _notes.append(line)


def lines() -> Iterator[str]:
    """The table in Markdown, then the notes; nothing if nothing was tried."""
    if _entries:
        yield "| fault | number of tests | acknowledged | lost | delivered twice |"
        yield "|---|---:|---:|---:|---:|"
    for fault, entry in _entries.items():
        counts = " | ".join(
            f"{count:,}" for count in (entry.tried, entry.acknowledged, entry.lost, entry.twice)
        )
        yield f"| {fault} | {counts} |"
    yield from _notes
