"""Reads an object of the gateway field by field, and the punch rows of callbacks and LoadLog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal, TypeVar

from app.gateway import clock, values
from app.gateway.callback_types import Punch

T = TypeVar("T")

PUNCH_TYPES: Final[Mapping[str, str]] = {
    "checkin": "check_in",
    "checkout": "check_out",
    "breakout": "break_out",
    "breakin": "break_in",
    "overtimein": "overtime_in",
    "overtimeout": "overtime_out",
    "mealin": "meal_in",
    "mealout": "meal_out",
}
INPUT_TYPES: Final[Mapping[str, str]] = {
    "fingerprint": "fingerprint",
    "face": "face",
    "palm": "palm",
    "card": "card",
    "password": "password",
    "fingervein": "finger_vein",
    "iris": "iris",
    "retina": "retina",
}
# Going on a break (BreakOut) is going out, and the same for meals.
_DIRECTIONS: Final[Mapping[str, Literal["in", "out"]]] = {
    name: "in" if name.endswith("_in") else "out" for name in PUNCH_TYPES.values()
}


class Row:
    """An object of the gateway. Fields are found in any letter case. Values that can't be read become problems.

    `where` is the beginning of the problems' sentences: "PunchLog." or "PunchLog row 3: ". Missing, null and "" are
    None. Each field that is read is marked as used, so that `unused` finds the others.
    """

    __slots__ = ("_problems", "_tz", "_used", "_where", "fields")

    def __init__(
        self, fields: dict[str, object], where: str, problems: list[str], default_tz: tzinfo | None
    ) -> None:
        self.fields = fields
        self._where = where
        self._problems = problems
        self._tz = default_tz
        self._used: set[str] = set()

    @property
    def timezone(self) -> tzinfo | None:
        """The time zone of times without an offset."""
        return self._tz

    def get(self, name: str) -> object:
        """Return the field as it is."""
        folded = name.lower()
        self._used.add(folded)
        return self.fields.get(folded)

    def ignore(self, *names: str) -> None:
        """Mark fields as known, although they aren't read."""
        self._used.update(name.lower() for name in names)

    def unused(self) -> list[str]:
        """Return the names of fields that aren't empty and that weren't read."""
        rest = self.fields.keys() - self._used
        return [name for name in rest if self.fields[name] not in (None, "", [], {})] if rest else []

    def problem(self, name: str, what: str) -> None:
        """Note what is wrong with a field."""
        self._problems.append(f"{self._where}{name} {what}.")

    def take(self, name: str, read: Callable[[object], T]) -> T | None:
        """Return the field as `read` reads it."""
        value = self.get(name)
        if value is None or value == "":
            return None
        try:
            return read(value)
        except ValueError as error:
            self.problem(name, str(error))
            return None

    def word(self, name: str, known: Mapping[str, str]) -> str | None:
        """Return the field as one of the gateway's words, in snake_case."""
        value = self.get(name)
        if value is None or value == "":
            return None
        try:
            return values.word(value, known)
        except ValueError as error:
            self.problem(name, str(error))
            return None

    def time(self, name: str) -> datetime | None:
        """Return the field as a time; one without an offset is in the default time zone."""
        value = self.get(name)
        if value is None or value == "":
            return None
        try:
            return clock.parse(value, default_tz=self._tz)
        except ValueError:
            # Not the clock's own message, because that one quotes the value.
            self.problem(name, f"is not a time such as {clock.EXAMPLE}")
            return None

    def required(self, name: str, value: T | None) -> T | None:
        """Return `value`, and note a problem if it is None because the field is missing."""
        if value is None and self.fields.get(name.lower()) in (None, ""):
            self.problem(name, "is missing")
        return value


def read_punch(row: Row, operation: str, raw: dict[str, object]) -> Punch | None:
    """Return the punch in a row; None, with a problem noted, if its user or time is missing or can't be read."""
    user_id = row.required("UserID", row.take("UserID", values.identifier))
    at = row.required("LogTime", row.time("LogTime"))
    row.ignore("AttendanceType", "OperationTime")
    if user_id is None or at is None:
        return None
    punch_type = row.word("Type", PUNCH_TYPES) or row.word("AttendanceType", PUNCH_TYPES)
    return Punch(
        operation,
        user_id,
        at,
        punch_type,
        _DIRECTIONS.get(punch_type) if punch_type else None,
        row.word("InputType", INPUT_TYPES),
        row.take("Temperature", values.number),
        row.take("FaceMask", values.flag),
        raw,
        _operation_time(row),
    )


def _operation_time(row: Row) -> datetime | None:
    """Return a punch's OperationTime. It isn't documented, so one that can't be read isn't a problem."""
    value = row.get("OperationTime")
    if not value:
        return None
    try:
        return clock.parse(value, default_tz=row.timezone)
    except ValueError:
        return None


@dataclass(slots=True)
class Room:
    """How many more rows may be read. A body with millions would hold up all others."""

    left: int

    def take(self) -> bool:
        """Count one more; return whether there was room for it."""
        self.left -= 1
        return self.left >= 0


def objects(
    section: object, name: str, problems: list[str], room: Room | None = None
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the objects of a section (one or a list), each with the beginning of its problems' sentences."""
    if isinstance(section, dict):
        yield f"{name}.", section
    elif isinstance(section, list):
        for number, item in enumerate(section, 1):
            if room is not None and not room.take():
                problems.append(f"{name} has too many rows. Row {number} and later rows were not read.")
                return
            if isinstance(item, dict):
                yield f"{name} row {number}: ", item
            else:
                problems.append(f"{name} row {number} is not an object.")
    else:
        problems.append(f"{name} is not an object.")


def read_punches(
    section: object,
    operation: str,
    alone: Callable[[dict[str, object]], dict[str, object]],
    *,
    problems: list[str],
    default_tz: tzinfo | None,
    room: Room | None = None,
    sole: dict[str, object] | None = None,
    unused: set[str] | None = None,
) -> list[Punch]:
    """Read the punches of a PunchLog: one, a list, or `{"ReturnRowCount", "Log": […]}`.

    `alone` makes the gateway's JSON for a single row; `sole` is that JSON if the section is a single punch. Values
    that can't be read are added to `problems`, and the names of fields that no reader uses to `unused`.
    """
    unused = set() if unused is None else unused
    if isinstance(section, dict):
        fields = values.fold(section)
        if "logtime" in fields or not ("log" in fields or "returnrowcount" in fields):
            row = Row(fields, "PunchLog.", problems, default_tz)
            punch = read_punch(row, operation, alone(section) if sole is None else sole)
            unused.update(row.unused())
            return [] if punch is None else [punch]
        unused.update(fields.keys() - {"log", "returnrowcount"})
        section = fields.get("log")
        if section is None:
            if str(fields.get("returnrowcount")) not in ("0", "None", ""):
                problems.append("PunchLog.Log is missing.")
            return []
    punches = []
    for where, item in objects(section, "PunchLog", problems, room):
        row = Row(values.fold(item), where, problems, default_tz)
        punch = read_punch(row, operation, alone(item))
        unused.update(row.unused())
        if punch is not None:
            punches.append(punch)
    return punches
