"""Reads cell values, without the formatting that spreadsheets and databases add.

A spreadsheet marks digits as text with an apostrophe (`'00042`), a formula (`="00042"`) or curly quotes, and writes a
number as `42.0`. A database may return an ID as Decimal, UUID or bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from app.gateway import values

_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "”": "”", "„": "“", "‘": "’", "’": "’", "«": "»"}
_MARKS: Final = "'‘’`´"
_INVISIBLE: Final = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00a0"
_NUMBER_TEXT = re.compile(r"(\d+)(?:\.0+|,00?)", re.ASCII)
_ROUNDED = re.compile(r"\d[.,]\d+E\+\d+", re.ASCII | re.IGNORECASE)


def text(value: object) -> str:
    """Return the text of a cell; an empty string for None."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "surrogateescape")
    found = _bare(str(value))
    while (inner := _unquoted(found)) != found:
        found = inner
    return found[1:].lstrip() if len(found) > 1 and found[0] in _MARKS else found


def identifier(value: object) -> str:
    """Return a user or device ID. Raises ValueError with the end of a sentence, such as "is too long"."""
    if isinstance(value, bool):
        raise ValueError("is not an ID")
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, int | float):
        return values.identifier(value)
    found = text(value)
    if _ROUNDED.fullmatch(found):
        raise ValueError(
            "was rounded by a spreadsheet. Format the column as text there and export the file again"
        )
    number = _NUMBER_TEXT.fullmatch(found)
    return values.identifier(number.group(1) if number else found)


def number(value: object) -> float:
    """Return a finite number. Raises ValueError with the end of a sentence."""
    return values.number(float(value) if isinstance(value, Decimal) else text(value))


def flag(value: object) -> bool:
    """Return a boolean. Raises ValueError with the end of a sentence."""
    return values.flag(value if isinstance(value, bool | int) else text(value))


def _bare(found: str) -> str:
    return values.clean(found).strip(_INVISIBLE).strip()


def _unquoted(found: str) -> str:
    """Remove one pair of quotes, and the `=` of a formula before it."""
    quoted = found.removeprefix("=").lstrip()
    if len(quoted) > 1 and _QUOTES.get(quoted[0]) == quoted[-1]:
        return _bare(quoted[1:-1])
    return found
