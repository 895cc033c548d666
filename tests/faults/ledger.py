"""The results of each fault: attempts, and the events acknowledged, lost and delivered twice.

The tests enter the numbers that they counted at the receiver. `conftest` prints the table at the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """The counts of one kind of fault, from all tests that tried it."""

    tried: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0  # deliveries beyond the first of an event


_entries: dict[str, Entry] = {}
_notes: list[str] = []


def enter(fault: str, *, tried: int, acknowledged: int, lost: int, twice: int) -> None:
    """Add the counts of one test. If a loss is allowed, the name of the fault says so."""
    entry = _entries.setdefault(fault, Entry())
    entry.tried += tried
    entry.acknowledged += acknowledged
    entry.lost += lost
    entry.twice += twice


def note(line: str) -> None:
    """Print another number below the table."""
    _notes.append(line)


def lines() -> Iterator[str]:
    """Return the table in Markdown and then the notes, or nothing if nothing was tried."""
    if _entries:
        yield "| fault | number of tests | acknowledged | lost | delivered twice |"
        yield "|---|---:|---:|---:|---:|"
    for fault, entry in _entries.items():
        counts = " | ".join(
            f"{count:,}" for count in (entry.tried, entry.acknowledged, entry.lost, entry.twice)
        )
        yield f"| {fault} | {counts} |"
    yield from _notes
