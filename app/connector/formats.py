"""A line of text to fields: CSV, TSV, fixed width, and ZKTeco's attlog.dat."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from app.connector.errors import RowError, Stop
from app.connector.rows import place_in_line, read_map

ATTLOG_MAP: Final = "user=1,time=2,type=4,input=5"
"""attlog.dat: user, time, machine number, state, way to verify, work code; tabs between, blanks before."""


class Format(Protocol):
    """How the lines of a file are written. `has_header`: the first line names the columns."""

    has_header: bool

    def fields(self, line: str, header: Sequence[str] | None) -> Mapping[str, object]:
        """The mapped fields of a line. Raises RowError."""

    def header(self, line: str) -> list[str]:
        """The columns that the first line names. Raises Stop where a mapped one is missing."""


class Columns:
    """Fields between delimiters; a column is a name in the header, or a number from 1."""

    def __init__(self, mapping: Mapping[str, str], delimiter: str, *, has_header: bool | None = None) -> None:
        self._mapping = mapping
        self._delimiter = delimiter
        self._by_name = not all(column.isdecimal() for column in mapping.values())
        self.has_header = self._by_name if has_header is None else has_header
        if self._by_name and not self.has_header:
            raise Stop(
                "--map names columns, so the first line must name them: map numbers, or leave --no-header out"
            )

    def header(self, line: str) -> list[str]:
        try:
            names = [name.strip() for name in self._split(line)]
        except RowError as error:
            raise Stop(f"the first line, which should name the columns, can't be read: {error}") from None
        for field, column in self._mapping.items():
            if self._by_name and column not in names:
                raise Stop(
                    f"--map: the first line names no column {column!r} for {field}; it names {', '.join(names)[:300]}"
                )
        return names

    def fields(self, line: str, header: Sequence[str] | None) -> Mapping[str, object]:
        parts = self._split(line)
        found = {}
        for field, column in self._mapping.items():
            index = header.index(column) if self._by_name and header else int(column) - 1
            if not 0 <= index < len(parts):
                raise RowError(f"{field} should be column {index + 1}, but there are {len(parts)}")
            found[field] = parts[index]
        return found

    def _split(self, line: str) -> list[str]:
        try:
            rows = list(csv.reader([line], delimiter=self._delimiter, strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise RowError(f"its quotes don't match ({error})") from None
        return rows[0] if rows else []


class FixedWidth:
    """Fields at places in the line."""

    has_header = False

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._places = {field: place_in_line(column) for field, column in mapping.items()}

    def header(self, line: str) -> list[str]:
        return []

    def fields(self, line: str, header: Sequence[str] | None) -> Mapping[str, object]:
        needed = max(place.start for field, place in self._places.items() if field in ("user", "time"))
        if len(line) <= needed:
            raise RowError(f"it is {len(line)} characters long, shorter than --map says")
        return {field: line[place].strip() for field, place in self._places.items()}


def make(name: str, mapping: str | None, delimiter: str | None, has_header: bool | None) -> Format:
    """The format of that name. Raises Stop where its options don't fit."""
    if mapping is None:
        if name != "attlog":
            raise Stop(f"--format {name} needs --map, e.g. --map user=EmpCode,time=LogDate,type=Direction")
        mapping = ATTLOG_MAP
    if name == "fixed":
        return FixedWidth(read_map(mapping, ranges=True))
    makers: dict[str, Callable[[], Format]] = {
        "csv": lambda: Columns(read_map(mapping), delimiter or ",", has_header=has_header),
        "tsv": lambda: Columns(read_map(mapping), "\t", has_header=has_header),
        "attlog": lambda: Columns(read_map(mapping), "\t", has_header=has_header),
    }
    if delimiter is not None and (name != "csv" or len(delimiter) != 1):
        raise Stop("--delimiter is one character, of --format csv, e.g. --delimiter ';'")
    return makers[name]()
