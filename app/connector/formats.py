"""Splits lines of text into fields: CSV, TSV, fixed width, and ZKTeco's attlog.dat."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from app.connector import cells, delimiters
from app.connector.errors import Away, RowError, Stop
from app.connector.rows import NEEDED, place_in_line, read_map
from app.gateway import values

log = logging.getLogger("connector")

ATTLOG_MAP: Final = "user=1,time=2,type=4,input=5"
"""For attlog.dat: user, time, device number, state, verification type and work code, separated by tabs."""


_DEVICE_COLUMNS: Final = frozenset(
    (
        *("sn", "serial", "serialno", "serialnumber", "device", "deviceid", "devicesn", "deviceserial"),
        *("deviceserialno", "deviceserialnumber", "machine", "machineid", "machinesn", "terminal"),
        *("terminalid", "terminalsn", "stgid"),
    )
)


class Format(Protocol):
    """The format of a file's lines. If `has_header` is set, the first line contains the column names."""

    has_header: bool

    @property
    def delimiter(self) -> str:
        """The detected delimiter, to be stored with the place; empty if it isn't detected or was given."""

    def use_delimiter(self, delimiter: str) -> None:
        """Use a delimiter that was detected earlier. An option takes precedence."""

    def fields(self, line: str, header: Sequence[str] | None) -> Mapping[str, object]:
        """Return the mapped fields of a line. Raises RowError."""

    def header(self, line: str) -> list[str] | None:
        """Return the column names in a line; None if it isn't the header."""

    def device_column(self, header: Sequence[str], lines: Iterable[str], ours: frozenset[str]) -> str | None:
        """Return the column that contains one of `ours`, the device's names; None if there is none or one is mapped."""

    def map_device(self, column: str) -> None:
        """Read the device of each row from this column."""

    def no_heading(self, where: str) -> Stop | Away:
        """Return the error to raise if no line so far was the header: Stop if a line nearly was, otherwise Away."""


class Columns:
    """Delimited fields. A column is a name in the header, names with | between them, or a number from 1.

    Without a delimiter, it is detected: by the line `sep=;`, by the header, or without a header by the first row.
    """

    def __init__(
        self, mapping: Mapping[str, str], delimiter: str | None, *, has_header: bool | None = None
    ) -> None:
        self._mapping = mapping
        self._given = delimiter
        self._detected = ""
        self._nearest: tuple[list[str], bool] | None = None
        self._by_name = not all(column.isdecimal() for column in mapping.values())
        self.has_header = self._by_name if has_header is None else has_header
        if self._by_name and not self.has_header:
            raise Stop(
                "--map uses column names, so the first line must contain them. Use column numbers in --map, "
                "or leave out --no-header"
            )

    @property
    def delimiter(self) -> str:
        return self._detected

    def use_delimiter(self, delimiter: str) -> None:
        if self._given is None:
            self._detected = delimiter

    def header(self, line: str) -> list[str] | None:
        if named := delimiters.named(line):
            self.use_delimiter(named)
            return None
        if self._given is None:
            self._detect(line)
        try:
            names = [cells.text(name) for name in self._split(line)]
        except RowError:
            return None
        if not self._by_name:
            return names
        missing = {field: column for field, column in self._mapping.items() if _index(column, names) is None}
        needed = {field for field in self._mapping if field in NEEDED}
        if missing.keys() & needed:
            if len(missing.keys() & needed) < len(needed) or not self._nearest:
                self._nearest = (names, missing.keys() & needed < needed)
            return None
        for field, column in missing.items():
            log.warning(
                "--map: the header row has no column %r for %s, so %s is omitted. Its columns are %s",
                column,
                field,
                field,
                ", ".join(names)[:300],
            )
        return names

    def _detect(self, line: str) -> None:
        """Choose the delimiter that gives a line every required column, otherwise the one that gives most cells."""
        found = list(delimiters.splits(line, self._detected))
        needed = [column for field, column in self._mapping.items() if field in NEEDED]
        for delimiter, parts in found if self._by_name else ():
            names = [cells.text(part) for part in parts]
            if all(_index(column, names) is not None for column in needed):
                self._detected = delimiter
                return
        if found:
            self._detected = found[0][0]

    def no_heading(self, where: str) -> Stop | Away:
        names, is_near = self._nearest or ([], False)
        columns = ", ".join(
            f"{' or '.join(map(repr, column.split('|')))} for {field}"
            for field, column in self._mapping.items()
            if field in NEEDED and _index(column, names) is None
        )
        problem = f"--map: {where} has no column {columns}. It has {', '.join(names)[:300]}"
        return Stop(problem) if is_near else Away(problem)

    def fields(self, line: str, header: Sequence[str] | None) -> Mapping[str, object]:
        if delimiters.named(line):
            self.use_delimiter(delimiters.named(line) or "")
            return {}
        if not self._given and not self._detected and not self._by_name:
            self._detected = delimiters.detected(line, max(map(int, self._mapping.values()))) or ""
        parts = self._split(line, len(header or ()))
        if header and len(parts) < len(header):
            named = [name for name in header if name]
            # Some headers have more delimiters than their rows.
            header = named if len(named) == len(parts) else header
        found: dict[str, object] = {}
        for field, column in self._mapping.items():
            index = _index(column, header) if self._by_name and header else int(column) - 1
            if index is not None and 0 <= index < len(parts):
                found[field] = parts[index]
            elif field in NEEDED:
                wanted = column if index is None else index + 1
                raise RowError(f"{field} should be column {wanted}, but there are {len(parts)}")
        return {} if header and self._is_heading(found) else found

    def _is_heading(self, found: Mapping[str, object]) -> bool:
        """Return whether a row repeats the header, as in concatenated files."""
        return self._by_name and all(
            _folded(cells.text(found[field])) in map(_folded, (column, *column.split("|")))
            for field, column in self._mapping.items()
            if field in NEEDED
        )

    def device_column(self, header: Sequence[str], lines: Iterable[str], ours: frozenset[str]) -> str | None:
        """Find the device column if --map doesn't name it, so that rows from other devices can be skipped.

        Its name is typical of a device column, and it contains one of `ours` (stgid or serial number in lower case) in
        at least one line.
        """
        if not self._by_name or "device" in self._mapping:
            return None
        named = [name for name in header if values.squeeze(name) in _DEVICE_COLUMNS]
        for line in lines if named else ():
            with suppress(RowError):
                parts = self._split(line, len(header))
                for name in named:
                    index = header.index(name)
                    if index < len(parts) and cells.text(parts[index]).lower() in ours:
                        return name
        return None

    def map_device(self, column: str) -> None:
        """Read the device of each row from this column."""
        self._mapping = {**self._mapping, "device": column}

    def _split(self, line: str, expected: int = 0) -> list[str]:
        """Return the cells. If quotes don't match, ignore quotes if this gives the expected number of cells."""
        delimiter = self._given or self._detected or ","
        try:
            return delimiters.cells(line, delimiter)
        except csv.Error as error:
            plain = line.split(delimiter)
            if len(plain) == expected:
                return plain
            raise RowError(f"the quotes in the line don't match ({error})") from None


class FixedWidth:
    """Fields at fixed positions in the line."""

    has_header = False
    delimiter = ""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._places = {field: place_in_line(column) for field, column in mapping.items()}

    def header(self, line: str) -> list[str] | None:
        return []

    def use_delimiter(self, delimiter: str) -> None:
        pass

    def device_column(self, header: Sequence[str], lines: Iterable[str], ours: frozenset[str]) -> str | None:
        return None

    def map_device(self, column: str) -> None:
        self._places["device"] = place_in_line(column)

    def no_heading(self, where: str) -> Stop | Away:
        return Away(f"{where} has no header row")

    def fields(self, line: str, header: Sequence[str] | None) -> Mapping[str, object]:
        needed = max(place.start for field, place in self._places.items() if field in NEEDED)
        if len(line) <= needed:
            raise RowError(f"the line has {len(line)} characters, fewer than --map requires")
        return {field: line[place].strip() for field, place in self._places.items()}


def _index(column: str, header: Sequence[str]) -> int | None:
    """Return the index of a column. An exact name takes precedence over one that differs in case.

    Of the names in `Time|Punch Time`, the first one that exists counts.
    """
    for name in dict.fromkeys((column, *column.split("|"))):
        if name in header:
            return header.index(name)
        folded = _folded(name)
        for index, other in enumerate(header):
            if _folded(other) == folded:
                return index
    return None


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def make(name: str, mapping: str | None, delimiter: str | None, has_header: bool | None) -> Format:
    """Return the format with this name. Raises Stop if the options don't fit it."""
    if mapping is None:
        if name != "attlog":
            raise Stop(
                f"--format {name} requires --map or --preset, e.g. --map user=EmpCode,time=LogDate,type=Direction"
            )
        mapping = ATTLOG_MAP
    if name == "fixed":
        return FixedWidth(read_map(mapping, ranges=True))
    makers: dict[str, Callable[[], Format]] = {
        "csv": lambda: Columns(read_map(mapping), delimiter, has_header=has_header),
        "tsv": lambda: Columns(read_map(mapping), "\t", has_header=has_header),
        "attlog": lambda: Columns(read_map(mapping), "\t", has_header=has_header),
    }
    if delimiter is not None and (name != "csv" or len(delimiter) != 1):
        raise Stop("--delimiter must be one character and requires --format csv, e.g. --delimiter ';'")
    return makers[name]()
