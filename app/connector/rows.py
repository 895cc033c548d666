"""A row of the machine's software to a punch: which column is what, how times are written, what its codes mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from typing import Final, TypeVar

from app.connector.errors import RowError, Stop
from app.gateway import clock, values

FIELDS: Final = ("user", "time", "date", "type", "input", "temperature", "mask")
T = TypeVar("T")

MAP_EXAMPLE: Final = "user=EmpCode,time=LogDate,type=Direction"

PUNCH_TYPES: Final = (
    "CheckIn",
    "CheckOut",
    "BreakOut",
    "BreakIn",
    "OverTimeIn",
    "OverTimeOut",
    "MealIn",
    "MealOut",
)
INPUT_TYPES: Final = ("Fingerprint", "Face", "Palm", "Card", "Password")

# What software writes, squeezed (small letters and digits only). The numbers are ZKTeco's states.
_TYPE_WORDS: Final[Mapping[str, str]] = {
    **{values.squeeze(name): name for name in PUNCH_TYPES},
    **dict.fromkeys(("0", "in", "i", "cin", "entry"), "CheckIn"),
    **dict.fromkeys(("1", "out", "o", "cout", "exit"), "CheckOut"),
    "2": "BreakOut",
    "3": "BreakIn",
    "4": "OverTimeIn",
    "5": "OverTimeOut",
    "otin": "OverTimeIn",
    "otout": "OverTimeOut",
}
# The numbers are ZKTeco's ways to verify, of older machines (0 to 2) and of newer ones.
_INPUT_WORDS: Final[Mapping[str, str]] = {
    **{values.squeeze(name): name for name in INPUT_TYPES},
    **dict.fromkeys(("1", "fp", "finger"), "Fingerprint"),
    **dict.fromkeys(("0", "3", "pw", "pin", "pwd"), "Password"),
    **dict.fromkeys(("2", "4", "rf", "rfid"), "Card"),
    "15": "Face",
    "25": "Palm",
}
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Punch:
    """One punch, in the gateway's words. `at` has an offset; what isn't known is None."""

    user: str
    at: datetime
    type: str | None
    input: str | None
    temperature: str | None = None
    mask: bool | None = None


def read_map(text: str, *, ranges: bool = False) -> dict[str, str]:
    """`user=EmpCode,time=2` as field → column. Raises Stop; with `ranges`, columns are places in a line."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise Stop(f"--map: {part.strip()!r} is not FIELD=COLUMN; a right one is {MAP_EXAMPLE}")
        if name not in FIELDS:
            raise Stop(f"--map: there is no field {name!r}; there are {', '.join(FIELDS)}")
        if name in found:
            raise Stop(f"--map: {name} is there twice")
        if ranges and not _RANGE.fullmatch(column):
            raise Stop(f"--map: {column!r} is no place in a line; a right map is user=1-9,time=10-28,type=30")
        found[name] = column
    for name in ("user", "time"):
        if name not in found:
            raise Stop(f"--map says not which column is the {name}; a right one is {MAP_EXAMPLE}")
    return found


def read_words(text: str, known: Sequence[str], option: str) -> dict[str, str]:
    """`100=CheckIn,200=CheckOut` as what the software writes → the gateway's word. Raises Stop."""
    found = {}
    for part in text.split(","):
        written, equals, word = (piece.strip() for piece in part.partition("="))
        right = {values.squeeze(name): name for name in known}.get(values.squeeze(word))
        if not equals or right is None:
            example = f"100={known[0]},200={known[1]}"
            raise Stop(
                f"{option}: {part.strip()!r} names none of {', '.join(known)}; a right one is {example}"
            )
        found[values.squeeze(written) or written.lower()] = right
    return found


def place_in_line(column: str) -> slice:
    """`10-28`, counted from 1, both ends included."""
    first, last = (int(part) if part else 0 for part in _RANGE.fullmatch(column).groups())  # type: ignore[union-attr]
    if first < 1 or (last and last < first):
        raise Stop(f"--map: {column} is no place in a line; places are counted from 1, such as 10-28")
    return slice(first - 1, last or first)


@dataclass(frozen=True, slots=True)
class Reader:
    """How rows become punches.

    `time_formats`: strptime's, tried in order; none: ISO 8601 and the gateway's own form. `zone`: of times
    without an offset. `type_words` and `input_words` go before the words that are known anyway.
    """

    zone: tzinfo | None
    time_formats: Sequence[str] = ()
    type_words: Mapping[str, str] = field(default_factory=dict)
    input_words: Mapping[str, str] = field(default_factory=dict)
    default_type: str | None = None
    default_input: str | None = None

    def punch(self, row: Mapping[str, object]) -> Punch:
        """A punch of the fields by FIELDS' names. Raises RowError."""
        return Punch(
            user=_take(row, "user", values.identifier),
            at=self._at(row),
            type=_word(row, "type", {**_TYPE_WORDS, **self.type_words}, PUNCH_TYPES) or self.default_type,
            input=_word(row, "input", {**_INPUT_WORDS, **self.input_words}, INPUT_TYPES)
            or self.default_input,
            temperature=_optional(row, "temperature", lambda value: f"{values.number(value):.1f}"),
            mask=_optional(row, "mask", values.flag),
        )

    def _at(self, row: Mapping[str, object]) -> datetime:
        moment = _joined(row.get("date"), row["time"])
        if isinstance(moment, datetime):
            return self._placed(moment.replace(microsecond=0))
        text = values.clean(str(moment if moment is not None else ""))
        if not text:
            raise RowError("time is empty")
        for form in self.time_formats:
            try:
                return self._placed(datetime.strptime(text, form).replace(microsecond=0))
            except ValueError:
                continue
        if self.time_formats:
            raise RowError(f"time {text[:40]!r} is not written as --time-format says: {self.time_formats[0]}")
        try:
            return clock.parse(text, default_tz=self.zone)
        except ValueError:
            if self.zone is None and _parses(text):
                raise RowError(f"time {text[:40]!r} has no offset: say --timezone") from None
            raise RowError(
                f"time {text[:40]!r} is not written like 2026-11-24 08:36:08: say how with --time-format, "
                "e.g. '%d/%m/%Y %H:%M:%S'"
            ) from None

    def _placed(self, moment: datetime) -> datetime:
        if moment.year < 1970:
            raise RowError(f"time {moment:%Y-%m-%d} is before 1970")
        if moment.tzinfo is not None:
            return moment
        if self.zone is None:
            raise RowError("time has no offset: say --timezone, e.g. Asia/Kolkata")
        return clock.in_zone(moment, self.zone)


def _parses(text: str) -> bool:
    try:
        clock.parse(text + "Z")
    except ValueError:
        return False
    return True


def _joined(day: object, moment: object) -> object:
    """Date and time of two columns as one; of one column as it is."""
    if day is None:
        return moment
    if isinstance(day, date) and isinstance(moment, time):
        return datetime.combine(day, moment)
    if isinstance(day, datetime):
        day = day.date()
    return f"{day} {moment}"


def _take(row: Mapping[str, object], name: str, read: Callable[[object], T]) -> T:
    value = row.get(name)
    try:
        return read("" if value is None else value)
    except ValueError as error:
        raise RowError(f"{name} {error}") from None


def _optional(row: Mapping[str, object], name: str, read: Callable[[object], T]) -> T | None:
    value = row.get(name)
    return None if value is None or str(value).strip() == "" else _take(row, name, read)


def _word(row: Mapping[str, object], name: str, words: Mapping[str, str], known: Sequence[str]) -> str | None:
    """One of the gateway's words; None where the column is empty or not mapped."""
    value = row.get(name)
    text = "" if value is None else values.clean(str(value))
    if not text:
        return None
    found = words.get(values.squeeze(text)) or words.get(text.lower())
    if found is None:
        raise RowError(
            f"{name} {text[:40]!r} is unknown: say what it means with --{name}-words {text[:20]}={known[0]}"
        )
    return found
