"""Splits the bytes of a text file into lines, and detects its encoding and line breaks."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from app.connector.errors import Stop

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LINE_FEED_ALONE = re.compile(r"(?<!\r)\n")
_LOOKED_AT = 64 * 1024
_WORKBOOKS: Final = (
    (b"PK\x03\x04", "an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"<html", "a web page, though it may be named .xls"),
    (b"<table", "a web page, though it may be named .xls"),
    (b"<?xml", "XML, though it may be named .xls"),
)


def at(file: IO[bytes], offset: int, size: int) -> bytes:
    """Read up to `size` bytes at `offset`."""
    file.seek(offset)
    return file.read(size)


def refuse_workbook(path: Path, file: IO[bytes]) -> None:
    """Raise Stop for a workbook or a web page, which products export as .xls or .xlsx."""
    start = at(file, 0, 16).removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for mark, what in _WORKBOOKS:
        if start.startswith(mark.lower()):
            raise Stop(f"{path} is {what}. Open it in a spreadsheet program and save it as CSV UTF-8")


def encoding_of(file: IO[bytes]) -> str:
    """Detect the encoding: by a byte order mark, UTF-16 by the zero bytes of its Latin letters, otherwise UTF-8."""
    start = at(file, 0, 512)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is not None:
        return marked
    pairs = len(start) // 2
    zeros = start[: pairs * 2 : 2].count(0), start[1::2].count(0)
    if pairs > 4 and max(zeros) > pairs * 0.6 and min(zeros) < pairs * 0.1:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8"


def checked(encoding: str) -> str:
    """Return the encoding's name. UTF-16 becomes little-endian, as written by Windows. Raises Stop if it is unknown."""
    try:
        name = codecs.lookup(encoding).name
        "a\r\n".encode(name)
    except (LookupError, UnicodeError):
        raise Stop(
            f"--encoding: there is no {encoding!r}; use, for example, utf-8, utf-16-le or cp1252"
        ) from None
    return {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}.get(name, name)


def line_break_of(file: IO[bytes], encoding: str) -> bytes:
    """Return the line break: a line feed, or a carriage return if the first line ends with one and no line feed.

    If some lines end with a line feed alone and others with a carriage return alone, it is a line feed.
    """
    text = at(file, 0, _LOOKED_AT).decode(encoding, "replace")
    found = text.find("\r")
    alone = 0 <= found < len(text) - 1 and text[found + 1] != "\n" and not _LINE_FEED_ALONE.search(text)
    return ("\r" if alone else "\n").encode(encoding)


def lines(content: bytes, line_break: bytes) -> Iterator[bytes]:
    """Yield the complete lines with their line breaks. In UTF-16, only whole characters count as line breaks."""
    width, start = len(line_break), 0
    found = content.find(line_break)
    while found >= 0:
        if (found - start) % width:
            found = content.find(line_break, found + 1)
            continue
        yield content[start : found + width]
        start = found + width
        found = content.find(line_break, start)


def has_line_break(line: str) -> bool:
    """Return whether a line contains another kind of line break, outside quotes: it may be several rows."""
    return any("\r" in part or "\n" in part for part in line.split('"')[::2])


def count(file: IO[bytes], offset: int, line_break: bytes) -> int:
    """Count the lines from `offset` on, including a last line without a line break."""
    file.seek(offset)
    total, last = 0, b""
    while chunk := file.read(256 * 1024):
        total += chunk.count(line_break)
        last = chunk
    return total + bool(last.strip(b"\0\x1a \t\r\n") and not last.endswith(line_break))
