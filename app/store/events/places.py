"""The order of stream entries, whose IDs are `ms-seq`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

CHUNK = 200
_LAST = 2**64 - 1


def is_after(entry: str, other: str) -> bool:
    """Return whether a stream entry came after another one."""
    return order_of(entry) > order_of(other)


def order_of(entry: str) -> tuple[int, int]:
    """Return what entries are sorted by."""
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence or 0)


def following(entry: str) -> str:
    """Return the first possible entry after another one."""
    ms, sequence = order_of(entry)
    return f"{ms}-{sequence + 1}"


def preceding(entry: str) -> str:
    """Return the last possible entry before another one; `0-0`, which is never an entry, at the beginning."""
    ms, sequence = order_of(entry)
    if sequence:
        return f"{ms}-{sequence - 1}"
    return f"{ms - 1}-{_LAST}" if ms else "0-0"


def in_chunks(entries: Iterator[str]) -> Iterator[list[str]]:
    """Yield the entries in lists. The first is small, because most pages are short."""
    size = CHUNK // 4
    while chunk := list(islice(entries, size)):
        yield chunk
        size = CHUNK
