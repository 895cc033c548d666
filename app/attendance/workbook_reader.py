"""Reads the cells of the first sheet of an XLSX workbook, as text. Pure, except that other tasks may run meanwhile.

A workbook is a ZIP archive of XML parts. It may come from anybody, so what is unpacked is counted and limited, and
entities, which could multiply it, are refused.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from app.base.yielding import let_others_run

MARK: Final = b"PK\x03\x04"
"""The first bytes of a workbook."""
LARGEST_PART: Final = 64 * 1024 * 1024
"""The most bytes that are unpacked of a part."""
MOST_COLUMNS: Final = 200
_MOST_STRINGS: Final = 500_000
_LONGEST_TEXT: Final = 1_000
_CHUNK: Final = 64 * 1024
_MOST_PARTS: Final = 5_000
_PART_HEADER: Final = b"PK\x01\x02"
# Other methods unpack without a limit, and workbooks don't use them (ECMA-376 part 2).
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DEEPEST: Final = 64
_MOST_NAMES: Final = 10_000
_LONGEST_TAG: Final = 1024 * 1024  # the parser reads an unfinished tag again with each piece
_PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})", re.ASCII)
_ZEROS = re.compile(r"0{2,20}", re.ASCII)
_WHOLE = re.compile(r"(\d{1,15})(?:\.0+)?", re.ASCII)

# What unpacking and parsing raise for archives and parts that are damaged, encrypted or made up.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    expat.ExpatError,
    struct.error,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
)

Row = tuple[int, list[str]]


class UnreadableWorkbook(ValueError):
    """The message is the end of a sentence about the file."""


def rows_of(data: bytes, most_rows: int) -> Iterator[Row]:
    """Yield each row that isn't empty: its number, as in a spreadsheet program, and its cells.

    A number that is shown with leading zeros has them. Raises UnreadableWorkbook, also after `most_rows` rows.
    """
    if data.count(_PART_HEADER) > _MOST_PARTS:
        raise UnreadableWorkbook(f"is not an Excel workbook: it has more than {_MOST_PARTS:,} parts")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from _Workbook(archive).rows(most_rows)
    except UnreadableWorkbook:
        raise
    except _DAMAGE as error:
        raise UnreadableWorkbook(f"is not an Excel workbook that can be read ({error})") from None


class _Workbook:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(archive.namelist())

    def rows(self, most_rows: int) -> Iterator[Row]:
        sheet = self._first_sheet()
        strings, paddings = _Strings(), _Styles()
        for name, reader in (("xl/sharedStrings.xml", strings), ("xl/styles.xml", paddings)):
            if name in self._names:
                for _ in self._parse(name, reader):
                    pass
        cells = _Sheet(strings.found, paddings.paddings())
        count = 0
        for _ in self._parse(sheet, cells):
            for row in cells.take():
                count += 1
                if count > most_rows:
                    raise UnreadableWorkbook(f"has more than {most_rows:,} rows")
                yield row

    def _first_sheet(self) -> str:
        book, links = _Elements("sheet", "id"), _Elements("Relationship", "Id", "Target")
        for name, reader in (("xl/workbook.xml", book), ("xl/_rels/workbook.xml.rels", links)):
            if name not in self._names:
                raise UnreadableWorkbook("is not an Excel workbook (.xlsx)")
            for _ in self._parse(name, reader):
                pass
        targets = {found["Id"]: found["Target"] for found in links.found if len(found) == 2}
        for found in book.found:
            path = posixpath.normpath(posixpath.join("/xl", targets.get(found.get("id", ""), ""))).lstrip("/")
            if path in self._names:
                return path
        raise UnreadableWorkbook("has no sheet")

    def _parse(self, name: str, reader: _Reader) -> Iterator[None]:
        """Parse a part. Yields after each piece, so that rows can be taken before the next one."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        depth = 0

        def start(tag: str, values: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > _DEEPEST or len(parser.intern) > _MOST_NAMES:  # the parser keeps open tags and names
                raise UnreadableWorkbook(
                    f"is not an Excel workbook: {name} has too many levels or names of tags"
                )
            reader.start(_local(tag), _locals(values))

        def end(tag: str) -> None:
            nonlocal depth
            depth -= 1
            reader.end(_local(tag))

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = reader.text
        parser.StartDoctypeDeclHandler = _refuse
        unpacked = 0
        if self._archive.getinfo(name).compress_type not in _METHODS:
            raise UnreadableWorkbook(
                "is not an Excel workbook: it is compressed with another method than Deflate"
            )
        with self._archive.open(name) as part:
            while piece := part.read(_CHUNK):
                unpacked += len(piece)
                if unpacked > LARGEST_PART:
                    raise UnreadableWorkbook(
                        f"is too large: {name} has more than {LARGEST_PART // 1024 // 1024} MiB when unpacked"
                    )
                parser.Parse(piece, False)
                if unpacked - parser.CurrentByteIndex > _LONGEST_TAG:
                    raise UnreadableWorkbook(f"is not an Excel workbook: {name} has a tag of more than 1 MiB")
                let_others_run()
                yield
        parser.Parse(b"", True)
        yield


def _refuse(*_: object) -> None:
    raise UnreadableWorkbook("is not an Excel workbook: its XML contains a DTD, which isn't allowed")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _locals(values: dict[str, str]) -> dict[str, str]:
    return {_local(name): value for name, value in values.items()}


class _Reader:
    """The base class of readers of a part. Names of elements have no namespaces."""

    def start(self, tag: str, values: dict[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def text(self, text: str) -> None:
        """Text of the element."""


class _Elements(_Reader):
    """Reads attributes of all elements with one name."""

    def __init__(self, tag: str, *names: str) -> None:
        self._tag, self._names = tag, names
        self.found: list[dict[str, str]] = []

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == self._tag and len(self.found) < _CHUNK:
            self.found.append({name: values[name] for name in self._names if name in values})


class _Strings(_Reader):
    """Reads the texts that cells refer to by number. Phonetic readings (rPh) are left out."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._text: list[str] | None = None
        self._is_reading = False
        self._in_text = False

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == "si":
            self._text = []
        elif tag == "rPh":
            self._is_reading = True
        elif tag == "t":
            self._in_text = not self._is_reading

    def end(self, tag: str) -> None:
        if tag == "si":
            if len(self.found) == _MOST_STRINGS:
                raise UnreadableWorkbook(f"is too large: it has more than {_MOST_STRINGS:,} different texts")
            self.found.append("".join(self._text or ())[:_LONGEST_TEXT])
            self._text = None
        elif tag == "rPh":
            self._is_reading = False
        elif tag == "t":
            self._in_text = False

    def text(self, text: str) -> None:
        if self._in_text and self._text is not None:
            self._text.append(text)


class _Styles(_Reader):
    """Reads the number formats of styles."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._formats: list[str] = []
        self._in_cells = False

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == "numFmt" and len(self._codes) < _CHUNK:
            self._codes[values.get("numFmtId", "")] = values.get("formatCode", "")
        elif tag == "cellXfs":
            self._in_cells = True
        elif tag == "xf" and self._in_cells and len(self._formats) < _CHUNK:
            self._formats.append(values.get("numFmtId", ""))

    def end(self, tag: str) -> None:
        if tag == "cellXfs":
            self._in_cells = False

    def paddings(self) -> list[int]:
        """Return the least number of digits of each style, such as 5 for the format 00000."""
        codes = (self._codes.get(number, "") for number in self._formats)
        return [len(code) if _ZEROS.fullmatch(code) else 0 for code in codes]


class _Sheet(_Reader):
    """Reads the rows of a sheet."""

    def __init__(self, strings: list[str], paddings: list[int]) -> None:
        self._strings, self._paddings = strings, paddings
        self._rows: list[Row] = []
        self._number = 0
        self._cells: dict[int, str] = {}
        self._column = -1
        self._kind = self._style = ""
        self._text: list[str] | None = None
        self._has_text = False

    def take(self) -> list[Row]:
        """Return the rows that were completed since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, tag: str, values: dict[str, str]) -> None:
        if tag == "row":
            given = values.get("r", "")
            self._number = int(given) if given.isdecimal() and len(given) < 8 else self._number + 1
            self._cells, self._column = {}, -1
        elif tag == "c":
            self._column = _column(values.get("r", ""), self._column + 1)
            self._kind, self._style = values.get("t", "n"), values.get("s", "")
            self._text, self._has_text = [], False
        elif tag in ("v", "t"):
            self._has_text = True

    def end(self, tag: str) -> None:
        if tag in ("v", "t"):
            self._has_text = False
        elif tag == "c" and self._text is not None:
            if self._column < MOST_COLUMNS:
                self._cells[self._column] = self._value("".join(self._text))
            self._text = None
        elif tag == "row" and any(self._cells.values()):
            width = max(self._cells) + 1
            self._rows.append((self._number, [self._cells.get(column, "") for column in range(width)]))

    def text(self, text: str) -> None:
        if self._has_text and self._text is not None:
            self._text.append(text)

    def _value(self, text: str) -> str:
        if self._kind == "s":
            number = int(text) if text.isdecimal() and len(text) < 10 else -1
            return self._strings[number] if 0 <= number < len(self._strings) else ""
        if self._kind == "e":  # an error such as #N/A is no value
            return ""
        if self._kind != "n":
            return text[:_LONGEST_TEXT]
        whole = _WHOLE.fullmatch(text)
        if whole is None:
            return _plain_number(text)
        style = int(self._style) if self._style.isdecimal() and len(self._style) < 6 else -1
        padding = self._paddings[style] if 0 <= style < len(self._paddings) else 0
        return whole.group(1).zfill(padding)


def _plain_number(text: str) -> str:
    """Return `1.2E+5` as 120000, and other numbers as they are."""
    try:
        number = float(text)
    except ValueError:
        return text[:_LONGEST_TEXT]
    return str(int(number)) if number.is_integer() and abs(number) < 10**15 else text[:_LONGEST_TEXT]


def _column(place: str, following: int) -> int:
    """Return the index of the column in `AB12`, or `following` if the cell has no place."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return following
    number = 0
    for letter in found.group(1):
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
