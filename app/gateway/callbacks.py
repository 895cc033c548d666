"""Reads the gateway's callbacks as facts, tolerantly.

Never raises for a JSON object: an authentic callback is kept, whether it was understood or not, because a refused one
holds up the device's whole queue. Spec: Callback APIs; contract §2 and §3; and real callbacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from typing import Final

from app.gateway import values
from app.gateway.callback_sections import MOST_UNUSED, SECTIONS, Scope, shown_name
from app.gateway.callback_types import (
    AttendancePhoto,
    Callback,
    CredentialUpdated,
    Fact,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
)
from app.gateway.envelope import Envelope, envelope_of
from app.gateway.legacy_callbacks import old_version
from app.gateway.redaction import content_digest, redact, redact_unknown
from app.gateway.rows import Room, Row

__all__ = [
    "AttendancePhoto",
    "Callback",
    "CredentialUpdated",
    "Envelope",
    "Fact",
    "Punch",
    "TimeChanged",
    "UserDeleted",
    "UserUpdated",
    "content_digest",
    "envelope_of",
    "old_version",
    "read",
    "read_enveloped",
    "redact",
    "redact_unknown",
]

_MOST_PROBLEMS = 50
# Limits for one callback. The documented ones have one row, and at most ten templates. Punches cost the store least.
_MOST_PUNCHES = 10_000
_MOST_ROWS = 2_000
_ENVELOPE_FIELDS: Final = frozenset(("operationid", "authtoken", "time", "labelname", "serialnumber"))


def read(document: object, default_tz: tzinfo | None = None) -> Callback:
    """Read the facts in a callback's JSON. A time without an offset is in `default_tz`.

    Never raises for a dict, whatever is in it; TypeError for anything else.
    """
    return read_enveloped(envelope_of(document), default_tz)


def read_enveloped(envelope: Envelope, default_tz: tzinfo | None) -> Callback:
    """Read the facts of a callback whose envelope was already read."""
    problems: list[str] = []
    facts: list[Fact] = []
    unused: set[str] = set()
    operation: str | None = None
    room, room_for_punches = Room(_MOST_ROWS), Room(_MOST_PUNCHES)
    sections = [
        (level, section, fields[section])
        for level, fields in envelope.levels
        for section in fields
        if section in SECTIONS and fields[section] is not None
    ]
    for level, name, section in sections:
        sole = len(sections) == 1
        scope = Scope(
            envelope.document, level, sole, facts, problems, default_tz, room, room_for_punches, unused
        )
        default_operation, read_section = SECTIONS[name]
        operation = operation or default_operation
        read_section(section, scope)
    if not sections:
        problems.append(_unknown(envelope.fields))
    # According to the specification, the envelope's Time is in UTC, whatever the device's time zone.
    outer = Row(envelope.fields, "", problems, UTC)
    callback = Callback(
        facts[0].operation if facts else operation,
        outer.take("OperationID", values.identifier),
        envelope.auth_token,
        outer.time("Time"),
        outer.take("LabelName", values.name),
        outer.take("SerialNumber", values.name),
        facts,
        problems,
    )
    if sections and not problems:
        callback.unused = sorted(unused | set(_unused_in(envelope)))[:MOST_UNUSED]
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"And {len(problems) - _MOST_PROBLEMS} more."]
    return callback


def _unused_in(envelope: Envelope) -> Iterator[str]:
    """Yield the names of fields that belong neither to a section nor to the envelope."""
    for level, (_, fields) in enumerate(envelope.levels):
        is_inner = level == 0 and len(envelope.levels) > 1
        for name in fields.keys() - _ENVELOPE_FIELDS - SECTIONS.keys():
            if name == "realtime" and isinstance(fields[name], dict):
                continue
            if fields[name] not in (None, "", [], {}):
                yield f"RealTime.{shown_name(name)}" if is_inner else shown_name(name)


def _unknown(envelope: Mapping[str, object]) -> str:
    # Only short names of letters are reported: a longer one might be a token or data, and one with digits a PIN.
    names = sorted(
        key
        for key, value in envelope.items()
        if isinstance(value, dict | list) and key != "realtime" and re.fullmatch(r"[a-z]{1,30}", key)
    )
    found = f" (found: {', '.join(names[:5])})" if names else ""
    return f"It contains no known section{found}."
