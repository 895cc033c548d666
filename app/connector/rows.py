"""Converts a row from the device's software into a punch, using the column mapping, time format and codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from app.connector import cells
from app.connector.errors import RowError, Stop
from app.connector.times import Times
from app.connector.words import EMPTY, INPUT_WORDS, TYPE_WORDS, Unknown, Words

# The fields of a row that is a check-in and a check-out.
PAIR: Final = ("time_in", "date_in", "time_out", "date_out")
FIELDS: Final = ("user", "time", "date", "type", "input", "temperature", "mask", "device", *PAIR)
# A row without one of these is rejected, if the field is mapped.
NEEDED: Final = ("user", "time", "date", "device", *PAIR)
T = TypeVar("T")

MAP_EXAMPLE: Final = "user=EmpCode,time=LogDate,type=Direction"

_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Punch:
    """A punch with the gateway's terms. `at` has a UTC offset. Unknown values are None."""

    user: str
    at: datetime
    type: str | None
    input: str | None
    temperature: str | None = None
    mask: bool | None = None


def read_map(text: str, *, ranges: bool = False, pairs: bool = True) -> dict[str, str]:
    """Parse `user=EmpCode,time=2` to field → column. Raises Stop.

    With `ranges`, columns are ranges such as 10-28. Without `pairs`, a row must be a single punch.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise Stop(f"--map: {part.strip()!r} is not FIELD=COLUMN; use, for example, {MAP_EXAMPLE}")
        if name not in FIELDS:
            raise Stop(f"--map: there is no field {name!r}. The fields are: {', '.join(FIELDS)}")
        if name in found:
            raise Stop(f"--map: {name} appears twice")
        if ranges and not _RANGE.fullmatch(column):
            raise Stop(
                f"--map: {column!r} is not a range of positions; use, for example, "
                "user=1-9,time=10-28,type=30"
            )
        found[name] = column
    pair = [name for name in PAIR if name in found]
    if pair and not pairs:
        raise Stop(f"--map: {pair[0]} is only for files. Let the query return a row for each punch")
    needed = ("user", "time_in", "time_out") if pair else ("user", "time")
    for name in needed:
        if name not in found:
            raise Stop(f"--map: no column is given for {name}; use, for example, {MAP_EXAMPLE}")
    if pair and ("time" in found or "type" in found):
        raise Stop("--map: time_in and time_out can't be combined with time or type")
    return found


def punches_of(fields: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the punches of a row: one, or a check-in and a check-out, each only if the row has its time."""
    if not any(name in fields for name in PAIR):
        return [fields]
    shared = {name: value for name, value in fields.items() if name not in PAIR}
    found: list[Mapping[str, object]] = []
    for which, kind in (("in", "CheckIn"), ("out", "CheckOut")):
        moment = fields.get(f"time_{which}")
        if cells.text(moment).lower() not in EMPTY:
            day = fields.get(f"date_{which}", fields.get("date"))
            found.append({**shared, "date": day, "time": moment, "type": kind})
    return found


def place_in_line(column: str) -> slice:
    """Parse a range of characters such as `10-28`, counted from 1 and including both ends."""
    first, last = (int(part) if part else 0 for part in _RANGE.fullmatch(column).groups())  # type: ignore[union-attr]
    if first < 1 or (last and last < first):
        raise Stop(f"--map: {column} is not a range of positions. Positions start at 1, such as 10-28")
    return slice(first - 1, last or first)


@dataclass(frozen=True, slots=True)
class Reader:
    """Converts rows to punches.

    Only user and time must be readable. Unknown values in other columns are left out of the punch and counted in
    `unknown`.
    """

    times: Times
    types: Words = field(default_factory=lambda: Words("type", TYPE_WORDS))
    inputs: Words = field(default_factory=lambda: Words("input", INPUT_WORDS))
    default_type: str | None = None
    default_input: str | None = None
    unknown: Unknown = field(default_factory=Unknown)

    def punch(self, row: Mapping[str, object]) -> Punch:
        """Convert a row with the field names in FIELDS to a punch. Raises RowError."""
        return Punch(
            user=_user(row.get("user")),
            at=self.times.read(row.get("date"), row.get("time")),
            type=self._word(row, self.types, self.default_type),
            input=self._word(row, self.inputs, self.default_input),
            temperature=self._optional(row, "temperature", lambda value: f"{cells.number(value):.1f}"),
            mask=self._optional(row, "mask", cells.flag),
        )

    def _word(self, row: Mapping[str, object], words: Words, default: str | None) -> str | None:
        """Return the gateway's term; the default for an empty column, None for an unknown value."""
        written = cells.text(row.get(words.name))
        found = words.read(written, self.unknown)
        return default if found is None and words.is_empty(written) else found

    def _optional(self, row: Mapping[str, object], name: str, read: Callable[[object], T]) -> T | None:
        value = row.get(name)
        written = cells.text(value)
        if written.lower() in EMPTY:
            return None
        try:
            return read(value)
        except ValueError as error:
            self.unknown.note(name, written, f"It {error}.")
            return None


def _user(value: object) -> str:
    try:
        return cells.identifier("" if value is None else value)
    except ValueError as error:
        raise RowError(f"user {error}") from None
