"""Builds commands from flat fields, and splits a long period into windows.

Spec: RESTful APIs; contract §6. `command_answers` reads the answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from app.gateway import clock
from app.gateway.command_answers import Answer, parse_answer
from app.gateway.command_bodies import Body, Field, Form, fields_in
from app.gateway.operations import Operation
from app.gateway.values import LONGEST_NAME, LONGEST_WORD, base64_bytes, identifier, text, whole

__all__ = ["RELAY_FIELDS", "Answer", "FieldError", "build", "parse_answer", "windows"]

RELAY_FIELDS = frozenset({"device_id", "publish", "confirm"})
"""Flat fields that are the relay's own: no part of any body."""

_PERIODS = (("start_time", "end_time"), ("start", "end"))
_LONGEST_PIN = 32
_HIGHEST_FINGER = 9
_HIGHEST_INDEX = 99
_DATA_URL = re.compile(r"\s*data:[^,;]{0,99}(?:;[^,;]{0,99}){0,4};base64,", re.IGNORECASE)
_SECOND = timedelta(seconds=1)


class FieldError(ValueError):
    """A flat field is wrong. `field` is its name; the message is a sentence for the caller."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}.")
        self.field = field


def build(
    operation: Operation,
    values: Mapping[str, object],
    *,
    auth_token: str,
    operation_id: str,
    now: datetime,
    timezone: tzinfo,
) -> dict[str, object]:
    """Build the documented body of a command, key by key, from flat fields.

    Times without an offset are in the device's `timezone`, and all times are sent in it. An optional field that is
    missing, null or "" is sent as documented for an empty one: "", index "0", user type "USER". `offset` requests
    another page of LoadLog. Raises FieldError for a field that is missing, wrong, or not one of this operation.
    """
    given = {name: value for name, value in values.items() if value not in (None, "")}
    taken = RELAY_FIELDS.union(place.name for place in fields_in(operation.body))
    for name in given:
        if name not in taken:
            raise FieldError(name, f"is not a field of {operation.action or operation.name}")
    _check_periods(operation, given, timezone)
    return {
        **_fill(operation.body, lambda place: _write(place, given.get(place.name), timezone)),
        "OperationID": operation_id,
        "AuthToken": auth_token,
        "Time": clock.format_gateway(now.astimezone(timezone)),
    }


def _fill(body: Mapping[str, Body], write: Callable[[Field], str | None]) -> dict[str, object]:
    def filled(part: Body) -> object:
        if isinstance(part, Field):
            return write(part)
        if isinstance(part, Mapping):
            return _fill(part, write)
        return part if isinstance(part, str) else [filled(item) for item in part]

    parts = {key: filled(part) for key, part in body.items()}
    return {key: part for key, part in parts.items() if part is not None}


def _write(place: Field, value: object, zone: tzinfo) -> str | None:
    """Return a value as it is sent; None if its key must be left out."""
    if value is None:
        if place.required:
            raise FieldError(place.name, "is required")
        return None if place.internal else _ABSENT.get(place.form, "")
    try:
        return _WRITERS[place.form](place.name, value, zone)
    except (ValueError, OverflowError) as error:
        raise FieldError(place.name, str(error)) from None


def _check_periods(operation: Operation, given: Mapping[str, object], zone: tzinfo) -> None:
    for start, end in _PERIODS:
        if start in given and end in given and start in operation.fields:
            times = []
            for name in (start, end):
                try:
                    times.append(_in_zone(given[name], zone))
                except (ValueError, OverflowError) as error:
                    raise FieldError(name, str(error)) from None
            if times[1] < times[0]:
                raise FieldError(end, f"must not be before {start}")


def _in_zone(value: object, zone: tzinfo) -> datetime:
    moment = value if isinstance(value, datetime) else clock.parse(value, default_tz=zone)
    return clock.in_zone(moment, zone)


def _text(name: str, value: object, zone: tzinfo) -> str:
    found = text(value)
    if len(found) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_NAME} characters")
    return found


def _user_type(value: object) -> str:
    found = text(value).lower()
    if found not in ("user", "admin"):
        raise ValueError("must be user or admin")
    return found


def _card(name: str, value: object, zone: tzinfo) -> str:
    found = identifier(value)
    if len(found) > LONGEST_WORD:
        raise ValueError(f"is longer than {LONGEST_WORD} characters")
    return found


def _digits(name: str, value: object, zone: tzinfo) -> str:
    found = text(value)
    if not (found.isascii() and found.isdigit() and len(found) <= _LONGEST_PIN):
        raise ValueError(f"must be 1 to {_LONGEST_PIN} digits")
    return found


def _base64(value: object) -> tuple[str, bytes]:
    """Return the Base64 to send, padded and on one line, and the decoded data. A data: URL's head is removed."""
    data = "".join(_DATA_URL.sub("", value, count=1).split()) if isinstance(value, str) else ""
    held = base64_bytes(data)
    if held is None:
        raise ValueError("is not Base64")
    return data + "=" * (-len(data) % 4), held


def _index(name: str, value: object, zone: tzinfo) -> str:
    return str(whole(value, _HIGHEST_FINGER if name == "fingerprint_index" else _HIGHEST_INDEX))


_ABSENT: Final[Mapping[Form, str]] = {"upper": "USER", "title": "User", "index": "0"}
_WRITERS: Final[Mapping[Form, Callable[[str, object, tzinfo], str]]] = {
    "user_id": lambda name, value, zone: identifier(value),
    "text": _text,
    "upper": lambda name, value, zone: _user_type(value).upper(),
    "title": lambda name, value, zone: _user_type(value).title(),
    "card": _card,
    "digits": _digits,
    "base64": lambda name, value, zone: _base64(value)[0],
    "size": lambda name, value, zone: str(len(_base64(value)[1])),
    "index": _index,
    "moment": lambda name, value, zone: clock.format_gateway(_in_zone(value, zone)),
    "local": lambda name, value, zone: clock.format_local(_in_zone(value, zone)),
}


def windows(start: datetime, end: datetime, days: int = 30) -> list[tuple[datetime, datetime]]:
    """Split the time from `start` to `end` into consecutive windows of at most `days`, with both ends included.

    There are no gaps or overlaps: each window begins one second after the end of the previous one. The offsets are
    those of the time zone of `start`. Raises ValueError if `end` is before `start`, a time is naive, or `days` is
    below 1.
    """
    zone = start.tzinfo
    if zone is None or end.tzinfo is None:
        raise ValueError("the times of a window must have an offset")
    if end < start or days < 1:
        raise ValueError("the period ends before it starts, or its windows have no length")
    # In UTC, because a local day may have 23 or 25 hours.
    first, last = (moment.astimezone(UTC).replace(microsecond=0) for moment in (start, end))
    length = timedelta(days=days) - _SECOND
    found = []
    while last - first > length:
        found.append((clock.in_zone(first, zone), clock.in_zone(first + length, zone)))
        first += length + _SECOND
    found.append((clock.in_zone(first, zone), clock.in_zone(last, zone)))
    return found
