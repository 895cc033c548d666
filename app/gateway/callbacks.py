"""Callbacks (#1 to #11): the gateway's JSON to facts, as a tolerant reader.

Never raises for a JSON object: what is authentic is kept, understood or not, since a refused callback holds
up the device's whole queue. Spec: Callback APIs; contract §2 and §3; what was seen in the wild.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from app.gateway import values
from app.gateway.facts import (
    AttendancePhoto,
    Callback,
    CredentialUpdated,
    Fact,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
)
from app.gateway.redaction import content_digest, redact, redact_unknown
from app.gateway.rows import Room, Row, objects, read_punches

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
# Of a callback; the documented ones have one, and ten templates at most. Punches cost the store least.
_MOST_PUNCHES = 10_000
_MOST_ROWS = 2_000
_HIGHEST_INDEX = 99

_CREDENTIAL_TYPES: Final[Mapping[str, str]] = {
    "card": "card",
    "password": "password",
    "fingerprint": "fingerprint",
    "face": "face",
    "palm": "palm",
    "userphoto": "user_photo",
}
_UPDATED_WITH: Final[Mapping[str, str]] = {
    "card": "ManuallyUserUpdatedWithCard",
    "password": "ManuallyUserUpdatedWithPassword",
    "fingerprint": "ManuallyUserUpdatedWithFingerPrint",
    "face": "ManuallyUserUpdatedWithFace",
    "palm": "ManuallyUserUpdatedWithPalm",
    "user_photo": "ManuallyUserUpdatedWithUserPhoto",
}
_PLAIN_TEXT = ("card", "password")


@dataclass(slots=True)
class _Scope:
    """A section's surroundings: its level, whether it is the only one, and where facts and problems go."""

    document: dict[str, object]
    level: dict[str, object]
    is_sole: bool
    facts: list[Fact]
    problems: list[str]
    default_tz: tzinfo | None
    room: Room
    room_for_punches: Room
    _base: dict[str, object] | None = None

    def row(self, fields: dict[str, object], where: str) -> Row:
        return Row(values.fold(fields), where, self.problems, self.default_tz)

    def alone(self, row: dict[str, object]) -> dict[str, object]:
        """The document with this punch as its only content."""
        if self._base is None:
            self._base = _bare(self.level)
        punch = {**self._base, "PunchLog": row}
        return punch if self.level is self.document else {**_bare(self.document), "RealTime": punch}


def _bare(level: dict[str, object]) -> dict[str, object]:
    return {
        key: value
        for key, value in level.items()
        if key.lower() not in _SECTIONS and key.lower() != "realtime"
    }


@dataclass(frozen=True, slots=True)
class Envelope:
    """A callback's JSON with its keys folded, and of what is in it only whose it is."""

    document: dict[str, object]
    levels: list[
        tuple[dict[str, object], dict[str, object]]
    ]  # that hold sections, inner first; each with it folded
    fields: dict[str, object]  # the envelope's, of both levels

    @property
    def auth_token(self) -> str | None:
        return _token(self.fields.get("authtoken"))

    @property
    def serial(self) -> str | None:
        return Row(self.fields, "", [], None).take("SerialNumber", values.name)


def envelope_of(document: object) -> Envelope:
    """Never raises for a dict, whatever is in it; TypeError for anything else."""
    if not isinstance(document, dict):
        raise TypeError("a callback is a JSON object")
    top = values.fold(document)
    inner = top.get("realtime")
    if not isinstance(inner, dict):
        return Envelope(document, [(document, top)], top)
    folded = values.fold(inner)
    fields = {**top, **_held(folded)} if len(top) > 1 else folded
    return Envelope(document, [(inner, folded), (document, top)], fields)


def read(document: object, default_tz: tzinfo | None = None) -> Callback:
    """The facts in a callback's JSON; a time without an offset is one in `default_tz`.

    Never raises for a dict, whatever is in it; TypeError for anything else.
    """
    return read_enveloped(envelope_of(document), default_tz)


def read_enveloped(envelope: Envelope, default_tz: tzinfo | None) -> Callback:
    """The same of a callback whose envelope was looked at."""
    problems: list[str] = []
    facts: list[Fact] = []
    operation: str | None = None
    room, room_for_punches = Room(_MOST_ROWS), Room(_MOST_PUNCHES)
    sections = [
        (level, section, fields[section])
        for level, fields in envelope.levels
        for section in fields
        if section in _SECTIONS and fields[section] is not None
    ]
    for level, name, section in sections:
        sole = len(sections) == 1
        scope = _Scope(envelope.document, level, sole, facts, problems, default_tz, room, room_for_punches)
        default_operation, read_section = _SECTIONS[name]
        operation = operation or default_operation
        read_section(section, scope)
    if not sections:
        problems.append(_unknown(envelope.fields))
    # The envelope's Time is UTC by the specification, whatever the device's own zone.
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
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"And {len(problems) - _MOST_PROBLEMS} more."]
    return callback


def _held(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _token(value: object) -> str | None:
    """The token as it came, for it is compared; one with lone surrogates has no bytes, so it is none."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() or value.encode("utf-8", "replace").decode() == value else None


def _unknown(envelope: Mapping[str, object]) -> str:
    # Only short names of letters are told: a longer key might be a token or data, and one of digits a PIN.
    names = sorted(
        key
        for key, value in envelope.items()
        if isinstance(value, dict | list) and key != "realtime" and re.fullmatch(r"[a-z]{1,30}", key)
    )
    found = f" (found: {', '.join(names[:5])})" if names else ""
    return f"There is no section we know in it{found}."


def _read_punch_log(section: object, scope: _Scope) -> None:
    scope.facts += read_punches(
        section,
        "RealTimePunchLog",
        scope.alone,
        problems=scope.problems,
        default_tz=scope.default_tz,
        room=scope.room_for_punches,
        sole=scope.document if scope.is_sole else None,
    )


def _read_photos(section: object, scope: _Scope) -> None:
    for where, fields in objects(section, "Log", scope.problems, scope.room):
        row = scope.row(fields, where)
        data = row.required("LogPhoto", row.take("LogPhoto", _photo))
        user_id = row.take("UserID", values.identifier)
        at = row.required("LogTime", row.time("LogTime"))
        if data is not None:
            scope.facts.append(AttendancePhoto("RealTimeAttendancePhoto", user_id, at, data, _mime(data)))


def _photo(value: object) -> bytes:
    # The documentation cuts its photos short with "…"; what is there of them is Base64.
    data = values.base64_bytes(value.rstrip(".…")) if isinstance(value, str) else None
    if data is None:
        raise ValueError("is not Base64")
    return data


def _mime(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/png" if data.startswith(b"\x89PNG\r\n\x1a\n") else "application/octet-stream"


def _read_deletions(section: object, scope: _Scope) -> None:
    for where, fields in objects(section, "UserDeleted", scope.problems, scope.room):
        row = scope.row(fields, where)
        user_id = row.required("UserID", row.take("UserID", values.identifier))
        at = row.time("OperationTime")
        if user_id is not None:
            scope.facts.append(UserDeleted("ManuallyUserDeleted", user_id, at))


def _read_time_changes(section: object, scope: _Scope) -> None:
    for where, fields in objects(section, "DateModified", scope.problems, scope.room):
        row = scope.row(fields, where)
        changed_to = row.required("ModifiedTo", row.time("ModifiedTo"))
        at = row.time("OperationTime")
        if changed_to is not None:
            scope.facts.append(TimeChanged("ManuallyDateModified", changed_to, at))


def _read_updates(section: object, scope: _Scope) -> None:
    for where, fields in objects(section, "UserUpdated", scope.problems, scope.room):
        row = scope.row(fields, where)
        user_id = row.take("UserID", values.identifier)
        at = row.time("OperationTime")
        templates = row.fields.get("template")
        credentials: list[CredentialUpdated] = []
        if templates not in (None, "", [], {}):
            label = where.rstrip(": .") + (" Template" if ":" in where else ".Template")
            for place, item in objects(templates, label, scope.problems, scope.room):
                template = scope.row(item, place)
                credential = _credential(template, user_id)
                if credential is not None:
                    credential.at = at
                    credentials.append(credential)
        elif user_id is None:
            row.required("UserID", None)
        if user_id is not None:
            types = dict.fromkeys(item.type for item in credentials if item.user_id == user_id)
            scope.facts.append(
                UserUpdated(
                    credentials[0].operation if credentials else "ManuallyUserUpdatedWithoutTemplate",
                    user_id,
                    row.take("FirstName", values.name),
                    row.take("LastName", values.name),
                    row.take("UserType", _user_type),
                    at,
                    tuple(types),
                )
            )
        scope.facts += credentials


def _credential(row: Row, owner: str | None) -> CredentialUpdated | None:
    """The credential in a Template item, of its own user or else of `owner`."""
    kind = row.required("Type", row.word("Type", _CREDENTIAL_TYPES))
    user_id = row.take("UserID", values.identifier)
    if user_id is None and row.fields.get("userid") in (None, ""):
        user_id = row.required("UserID", None) if owner is None else owner
    index = row.take("Index", _index)
    if index is None and row.fields.get("index") in (None, ""):
        index = 0
    data = row.required("Data", row.take("Data", _data))
    # Without its index a template might take another's place.
    if kind is None or user_id is None or index is None or data is None:
        return None
    if kind in _PLAIN_TEXT:
        size: int | None = len(data.encode())
    else:
        held = values.base64_bytes(data)
        size = row.take("Size", values.whole) if held is None else len(held)
    return CredentialUpdated(_UPDATED_WITH.get(kind), user_id, kind, index, data, size, None)


def _index(value: object) -> int:
    return values.whole(value, _HIGHEST_INDEX)


def _data(value: object) -> str:
    data = values.text(value)
    if not data:
        raise ValueError("is empty")
    return data


def _user_type(value: object) -> str | None:
    return values.text(value)[: values.LONGEST_WORD].lower() or None


_SECTIONS: Final[Mapping[str, tuple[str, Callable[[object, _Scope], None]]]] = {
    "punchlog": ("RealTimePunchLog", _read_punch_log),
    "log": ("RealTimeAttendancePhoto", _read_photos),
    "userupdated": ("ManuallyUserUpdatedWithoutTemplate", _read_updates),
    "userdeleted": ("ManuallyUserDeleted", _read_deletions),
    "datemodified": ("ManuallyDateModified", _read_time_changes),
}

_FORM_FIELD = re.compile(
    rb"""(?:^|[&?\s]|name=["']?)(request_data|att_time|stgid|userid)(?:=|["'])""", re.IGNORECASE
)


def old_version(body: bytes) -> str | None:
    """Which older version of the protocol a body that isn't JSON speaks, as a sentence; None if none of them.

    2.0 sends a form with the field request_data, 1.0 one with stgid, userid, att_time and att_type.
    """
    if body.lstrip()[:1] in (b"{", b"[", b'"'):
        return None
    names = {name.lower() for name in _FORM_FIELD.findall(body[:65536])}
    if b"request_data" in names:
        version = "2.0"
    elif b"att_time" in names and len(names) > 1:
        version = "1.0"
    else:
        return None
    return f"The device speaks version {version} of the Web API; switch it to 3.0 in the API Monitor."
