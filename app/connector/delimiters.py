"""Detects the delimiter of a CSV file, which depends on the region settings of the computer that wrote it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Final

CANDIDATES: Final = (",", ";", "\t", "|")
_NAMED = re.compile(r'"?sep=(.)"?', re.IGNORECASE)


def named(line: str) -> str | None:
    """Return the delimiter that Excel's first line `sep=;` names; None for any other line."""
    found = _NAMED.fullmatch(line.strip("\r\n "))
    return found[1] if found else None


def cells(line: str, delimiter: str) -> list[str]:
    """Split a line into cells. Raises csv.Error if its quotes don't match."""
    rows = list(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True))
    return rows[0] if rows else []


def splits(line: str, current: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each delimiter with the cells that it makes of a line, the one that makes the most cells first.

    `current` is a delimiter that isn't among the usual ones.
    """
    found = []
    for delimiter in dict.fromkeys((*current, *CANDIDATES)):
        try:
            found.append((delimiter, cells(line, delimiter)))
        except csv.Error:
            continue
    yield from sorted(found, key=lambda pair: -len(pair[1]))


def detected(line: str, columns: int) -> str | None:
    """Return the delimiter that makes the most cells of a line; None if it makes fewer than `columns`."""
    for delimiter, parts in splits(line):
        return delimiter if len(parts) >= columns else None
    return None
