"""Decodes CSV files as spreadsheet programs in different countries write them.

Pure, except that other tasks may run meanwhile.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from app.base.yielding import in_turns

_UTF_16: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NUMBER_OF_BYTES = 2_000  # enough to see whether every second byte is zero
# What text in other encodings, such as Cyrillic, Arabic, Polish, Turkish, Japanese or that of a Mac, looks like when
# read as Windows-1252: several accented letters in a row, signs within words, or letters that only Icelandic uses.
_NOT_WESTERN = re.compile(
    r"[^\W\d_a-zA-Z]{3}|[¢-·¹-¿]\w|\w[¢-·¹-¿×÷]|[ÐÝÞðýþƒˆ˜†‡‰]|[a-z]Ÿ|\w[‘“‚„]|\w[–—…•]\w"
)
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


class UnknownEncoding(ValueError):
    """The message is the end of a sentence about the file."""


def decoded(data: bytes) -> str:
    """Return the text of a CSV file in UTF-8, UTF-16 or Windows-1252. Raises UnknownEncoding for any other.

    Windows-1252 accepts nearly any bytes, so text with unlikely letters is refused. It can't be distinguished from
    Windows-1250 in every case: a Czech "Dvořák" becomes "Dvoøák".
    """
    sixteen = _utf_16(data)
    if sixteen is not None:
        try:
            return data.decode(sixteen).removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise UnknownEncoding("is incomplete UTF-16. Save it as CSV UTF-8") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text or not _is_western(text):
        raise UnknownEncoding("is neither UTF-8, UTF-16 nor Windows-1252. Save it as CSV UTF-8")
    return text


def _is_western(text: str) -> bool:
    lines = in_turns(text.splitlines())
    return not any(_NOT_WESTERN.search(line) for line in lines if not line.isascii())


def without_separator_line(text: str) -> tuple[str, str | None]:
    """Return the text, and the delimiter that Excel's first line `sep=;` names, which is replaced by an empty line."""
    found = _SEPARATOR_LINE.match(text)
    return (text, None) if found is None else ("\n" + text[found.end() :], found[1])


def _utf_16(data: bytes) -> str | None:
    """Return the form of UTF-16, by the byte order mark or because every second byte of Latin letters is zero."""
    for mark, name in _UTF_16:
        if data.startswith(mark):
            return name
    start = data[:_NUMBER_OF_BYTES]
    pairs = len(start) // 2
    high, low = start[: pairs * 2 : 2].count(0), start[1 : pairs * 2 : 2].count(0)
    if pairs < 4 or max(high, low) < pairs * 0.6 or min(high, low) > pairs * 0.1:
        return None
    return "utf-16-be" if high > low else "utf-16-le"
