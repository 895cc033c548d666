"""The natural order of IDs: 2 before 10, A2 before A10."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"([0-9]+)")

NaturalKey = tuple[tuple[str | tuple[int, str], ...], str]


def natural_key(text: str) -> NaturalKey:
    """Return the sort key of an ID. Two IDs only have the same key if they are equal."""
    # Texts and runs of digits alternate, so that only values of one kind are compared.
    parts = _DIGITS.split(text)
    return tuple(_number(part) if place % 2 else part for place, part in enumerate(parts)), text


def _number(digits: str) -> tuple[int, str]:
    """Return a key that compares like the number, however long it is."""
    significant = digits.lstrip("0")
    return len(significant), significant
