"""Reads the gateway's answers to commands as flat results.

Spec: the responses in RESTful APIs. Real gateways also send LoadLog in pages, and no StatusCode if Status is "done".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, tzinfo

from app.gateway import clock, values
from app.gateway.callback_types import Punch
from app.gateway.redaction import is_secret, leaf
from app.gateway.rows import Row, read_punches

_DEEPEST = 4
_DAY_FIRST = re.compile(r"(\d{1,2})([-/])(\d{1,2})\2(\d{4})(\s+\S.*)?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", re.ASCII)
_COUNTS = ("registered_", "maximum_")
_MOMENTS = ("date", "time")


@dataclass(slots=True)
class Answer:
    """An answer of the gateway.

    `status_code`: None if this isn't an answer of the protocol. `status_text`: the gateway's text. `result`: flat; for
    LoadLog `row_count`, `reported_row_count`, `offset` (of the next page) and `actual_row_count`, for
    LoadDeviceInformation its fields in snake_case. `logs`: LoadLog's punches. `problems`: a sentence for everything
    that wasn't understood.
    """

    status_code: int | None
    status_text: str
    operation_id: str | None
    result: dict[str, object] = field(default_factory=dict)
    logs: list[Punch] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def parse_answer(document: object, default_tz: tzinfo | None = None) -> Answer:
    """Read the answer in a decoded JSON body. A LogTime without an offset is in `default_tz`. Never raises."""
    if not isinstance(document, dict):
        return Answer(None, "", None)
    problems: list[str] = []
    outer = Row(values.fold(document), "", problems, default_tz)
    status = outer.take("Status", values.name) or ""
    answer = Answer(
        _status_code(outer.fields.get("statuscode"), status),
        status,
        outer.take("OperationID", values.identifier),
        problems=problems,
    )
    punch_log = outer.fields.get("punchlog")
    if punch_log is not None:
        answer.logs = read_punches(
            punch_log,
            "LoadLog",
            lambda row: {**_bare(document), "PunchLog": row},
            problems=problems,
            default_tz=default_tz,
        )
        page = Row(values.fold(punch_log) if isinstance(punch_log, dict) else {}, "PunchLog.", problems, None)
        answer.result |= {
            "row_count": len(answer.logs),
            "reported_row_count": page.take("ReturnRowCount", values.whole),
            "offset": page.take("OffSet", values.text) or None,
            "actual_row_count": page.take("ActualRowCount", values.whole),
        }
    information = outer.fields.get("deviceinformation")
    if isinstance(information, dict):
        for name, value in _flat(information, "", _DEEPEST):
            answer.result.setdefault(name, value)
    return answer


def _bare(document: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in document.items() if key.lower() != "punchlog"}


def _status_code(value: object, status: str) -> int | None:
    if value is None or value == "":
        return 0 if status.lower() == "done" else None
    try:
        return values.whole(value)
    except ValueError:
        return None


def _flat(fields: Mapping[str, object], prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    """Return all fields by their names in snake_case, nested ones with their parent's name, and lists as text."""
    for key, value in fields.items():
        name = "_".join(part for part in (prefix, values.snake(key)) if part)
        if not name or is_secret(key):
            continue
        if isinstance(value, dict):
            if depth:
                yield from _flat(value, name, depth - 1)
        elif isinstance(value, list):
            yield name, ", ".join(_words(value))
        else:
            yield name, _scalar(name, value)


def _words(items: list[object]) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield values.clean(item)
        elif not isinstance(item, dict | list):
            yield json.dumps(leaf(item))


def _scalar(name: str, value: object) -> object:
    """Return a count as a number, an unambiguous time as ISO 8601, and anything else as it is."""
    if not isinstance(value, str):
        return leaf(value)
    text = values.clean(value)
    if name.startswith(_COUNTS):
        try:
            return values.whole(text)
        except ValueError:
            return text
    return (_moment(text) if name.endswith(_MOMENTS) else None) or text


def _moment(text: str) -> str | None:
    """Convert `13-11-2025 18:03:48 GMT +0530` or `13/04/2024` to ISO 8601; None if day and month may be swapped."""
    try:
        if match := _YEAR_FIRST.fullmatch(text):
            return date(int(match[1]), int(match[2]), int(match[3])).isoformat()
        match = _DAY_FIRST.fullmatch(text)
        if match is None:
            return clock.iso(clock.parse(text))
        first, _, second, year, rest = match.groups()
        day, month = (first, second) if int(first) > 12 else (second, first)
        if int(day) <= 12 and day != month:
            return None
        if rest is None:
            return date(int(year), int(month), int(day)).isoformat()
        return clock.iso(clock.parse(f"{year}-{month}-{day}{rest}"))
    except ValueError:
        return None
