"""One object of the gateway read field by field, and the punch rows that callbacks and LoadLog share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal, TypeVar

from app.gateway import clock, values
from app.gateway.facts import Punch

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
# Going on a break is going out (BreakOut), and so for meals.
_DIRECTIONS: Final[Mapping[str, Literal["in", "out"]]] = {
    name: "in" if name.endswith("_in") else "out" for name in PUNCH_TYPES.values()
}


class Row:
    """An object of the gateway, its fields found whatever their case; what can't be read becomes a problem.

    `where` begins the problem's sentence: "PunchLog." or "PunchLog row 3: ". Missing, null and "" are None.
    """

    __slots__ = ("_problems", "_tz", "_where", "fields")

    def __init__(
        self, fields: dict[str, object], where: str, problems: list[str], default_tz: tzinfo | None
    ) -> None:
        self.fields = fields
        self._where = where
        self._problems = problems
        self._tz = default_tz

    def problem(self, name: str, what: str) -> None:
        """Note what is wrong with a field."""
        self._problems.append(f"{self._where}{name} {what}.")

    def take(self, name: str, read: Callable[[object], T]) -> T | None:
        """The field as `read` reads it."""
        value = self.fields.get(name.lower())
        if value is None or value == "":
            return None
        try:
            return read(value)
        except ValueError as error:
            self.problem(name, str(error))
            return None

    def word(self, name: str, known: Mapping[str, str]) -> str | None:
        """The field as one of the gateway's words, in snake_case."""
        value = self.fields.get(name.lower())
        if value is None or value == "":
            return None
        try:
            return values.word(value, known)
        except ValueError as error:
            self.problem(name, str(error))
            return None

    def time(self, name: str) -> datetime | None:
        """The field as a time; one without an offset is in the default time zone."""
        value = self.fields.get(name.lower())
        if value is None or value == "":
            return None
        try:
            return clock.parse(value, default_tz=self._tz)
        except ValueError:
            # Not the clock's own sentence: that one repeats what it was given.
            self.problem(name, f"can't be read as a time such as {clock.EXAMPLE}")
            return None

    def required(self, name: str, value: T | None) -> T | None:
        """`value`, with a problem if it is None only because the field isn't there."""
        if value is None and self.fields.get(name.lower()) in (None, ""):
            self.problem(name, "is missing")
        return value


def read_punch(row: Row, operation: str, raw: dict[str, object]) -> Punch | None:
    """The punch in a row; None, with a problem noted, without a user or a time that can be read."""
    user_id = row.required("UserID", row.take("UserID", values.identifier))
    at = row.required("LogTime", row.time("LogTime"))
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
    )


@dataclass(slots=True)
class Room:
    """How many more rows are read: a body of millions would hold up everybody else's."""

    left: int

    def take(self) -> bool:
        """Whether there was room for one."""
        self.left -= 1
        return self.left >= 0


def objects(
    section: object, name: str, problems: list[str], room: Room | None = None
) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects of a section that is one or a list of them, each with how a problem's sentence begins."""
    if isinstance(section, dict):
        yield f"{name}.", section
    elif isinstance(section, list):
        for number, item in enumerate(section, 1):
            if room is not None and not room.take():
                problems.append(
                    f"{name} has more rows than are read of a callback: row {number} and those after it."
                )
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
) -> list[Punch]:
    """The punches of a PunchLog: one, a list, or `{"ReturnRowCount", "Log": […]}`.

    `alone` makes the gateway's JSON of a row alone; `sole` is it already, if the section is a single punch.
    What can't be read is added to `problems`.
    """
    if isinstance(section, dict):
        fields = values.fold(section)
        if "logtime" in fields or not ("log" in fields or "returnrowcount" in fields):
            row = Row(fields, "PunchLog.", problems, default_tz)
            punch = read_punch(row, operation, alone(section) if sole is None else sole)
            return [] if punch is None else [punch]
        section = fields.get("log")
        if section is None:
            if str(fields.get("returnrowcount")) not in ("0", "None", ""):
                problems.append("PunchLog.Log is missing.")
            return []
    punches = []
    for where, item in objects(section, "PunchLog", problems, room):
        punch = read_punch(Row(values.fold(item), where, problems, default_tz), operation, alone(item))
        if punch is not None:
            punches.append(punch)
    return punches
