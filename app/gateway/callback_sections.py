"""Reads the sections of a callback (PunchLog, Log, UserUpdated, UserDeleted, DateModified) as facts.

A value that can't be read is noted as a problem and doesn't affect the others. Spec: Callback APIs; contract §3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from app.gateway import values
from app.gateway.callback_types import (
    AttendancePhoto,
    CredentialUpdated,
    Fact,
    TimeChanged,
    UserDeleted,
    UserUpdated,
)
from app.gateway.rows import Room, Row, objects, read_punches

MOST_UNUSED = 30
_HIGHEST_INDEX = 99
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})

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
class Scope:
    """The context of a section: its level, whether it is the only one, and the lists for facts and problems."""

    document: dict[str, object]
    level: dict[str, object]
    is_sole: bool
    facts: list[Fact]
    problems: list[str]
    default_tz: tzinfo | None
    room: Room
    room_for_punches: Room
    unused: set[str]
    _base: dict[str, object] | None = None

    def row(self, fields: dict[str, object], where: str) -> Row:
        return Row(values.fold(fields), where, self.problems, self.default_tz)

    def note_unused(self, section: str, names: Iterable[str]) -> None:
        """Note fields of a section that no reader uses, by names that can't be a secret."""
        for name in names:
            if len(self.unused) < MOST_UNUSED:
                self.unused.add(f"{section}.{shown_name(name)}")

    def alone(self, row: dict[str, object]) -> dict[str, object]:
        """Return the document with this punch as its only content."""
        if self._base is None:
            self._base = _bare(self.level)
        punch = {**self._base, "PunchLog": row}
        return punch if self.level is self.document else {**_bare(self.document), "RealTime": punch}


def _bare(level: dict[str, object]) -> dict[str, object]:
    return {
        key: value
        for key, value in level.items()
        if key.lower() not in SECTIONS and key.lower() != "realtime"
    }


def shown_name(name: str) -> str:
    """Return a field's name if it can be shown: a long one might be a token or data, and one with digits a PIN."""
    return name if re.fullmatch(r"[a-z][a-z_ -]{0,29}", name) else "…"


def _read_punch_log(section: object, scope: Scope) -> None:
    names: set[str] = set()
    scope.facts += read_punches(
        section,
        "RealTimePunchLog",
        scope.alone,
        problems=scope.problems,
        default_tz=scope.default_tz,
        room=scope.room_for_punches,
        sole=scope.document if scope.is_sole else None,
        unused=names,
    )
    scope.note_unused("PunchLog", names)


def _read_photos(section: object, scope: Scope) -> None:
    for where, fields in objects(section, "Log", scope.problems, scope.room):
        row = scope.row(fields, where)
        data = row.required("LogPhoto", row.take("LogPhoto", _photo))
        user_id = row.take("UserID", values.identifier)
        at = row.required("LogTime", row.time("LogTime"))
        scope.note_unused("Log", row.unused())
        if data is not None:
            scope.facts.append(AttendancePhoto("RealTimeAttendancePhoto", user_id, at, data, _mime(data)))


def _photo(value: object) -> bytes:
    # Photos in the documentation are cut short with "…". The rest is Base64.
    data = values.base64_bytes(value.rstrip(".…")) if isinstance(value, str) else None
    if data is None:
        raise ValueError("is not Base64")
    return data


def _mime(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/png" if data.startswith(b"\x89PNG\r\n\x1a\n") else "application/octet-stream"


def _read_deletions(section: object, scope: Scope) -> None:
    for where, fields in objects(section, "UserDeleted", scope.problems, scope.room):
        row = scope.row(fields, where)
        user_id = row.required("UserID", row.take("UserID", values.identifier))
        at = row.time("OperationTime")
        scope.note_unused("UserDeleted", row.unused())
        if user_id is not None:
            scope.facts.append(UserDeleted("ManuallyUserDeleted", user_id, at))


def _read_time_changes(section: object, scope: Scope) -> None:
    for where, fields in objects(section, "DateModified", scope.problems, scope.room):
        row = scope.row(fields, where)
        changed_to = row.required("ModifiedTo", row.time("ModifiedTo"))
        at = row.time("OperationTime")
        scope.note_unused("DateModified", row.unused())
        if changed_to is not None:
            scope.facts.append(TimeChanged("ManuallyDateModified", changed_to, at))


def _read_updates(section: object, scope: Scope) -> None:
    for where, fields in objects(section, "UserUpdated", scope.problems, scope.room):
        row = scope.row(fields, where)
        user_id = row.take("UserID", values.identifier)
        at = row.time("OperationTime")
        credentials = _credentials(scope, row, where, user_id, at)
        if user_id is None and row.get("Template") in _NOTHING and credentials:
            user_id = credentials[0].user_id  # a Photo names the user if nothing else does
        elif user_id is None and row.get("Template") in _NOTHING and row.get("Photo") in _NOTHING:
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
        scope.note_unused("UserUpdated", row.unused())
        scope.facts += credentials


def _credentials(
    scope: Scope, row: Row, where: str, user_id: str | None, at: datetime | None
) -> list[CredentialUpdated]:
    """Read the items of Template, and of Photo, which two gateways send instead of a Template of type UserPhoto."""
    credentials: list[CredentialUpdated] = []
    for name, kind in (("Template", None), ("Photo", "user_photo")):
        section = row.get(name)
        if section in _NOTHING:
            continue
        if kind is not None and isinstance(section, str):
            section = {"Data": section}
        label = where.rstrip(": .") + (f" {name}" if ":" in where else f".{name}")
        for place, item in objects(section, label, scope.problems, scope.room):
            template = scope.row(item, place)
            credential = _credential(template, user_id, kind)
            scope.note_unused(f"UserUpdated.{name}", template.unused())
            if credential is not None:
                credential.at = at
                credentials.append(credential)
    return credentials


def _credential(row: Row, owner: str | None, kind: str | None = None) -> CredentialUpdated | None:
    """Read the credential in a Template item, of its own user or else of `owner`. With `kind`, it needs no Type."""
    row.ignore("Type", "Size")
    kind = kind or row.required("Type", row.word("Type", _CREDENTIAL_TYPES))
    user_id = row.take("UserID", values.identifier)
    if user_id is None and row.fields.get("userid") in (None, ""):
        user_id = row.required("UserID", None) if owner is None else owner
    index = row.take("Index", _index)
    if index is None and row.fields.get("index") in (None, ""):
        index = 0
    data = row.required("Data", row.take("Data", _picture if kind == "user_photo" else _data))
    # Without its index, a template might replace another one.
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


def _picture(value: object) -> str:
    """Read the Data of a user's photo, which must be a picture that can be shown."""
    data = _data(value)
    _photo(data)
    return data


def _data(value: object) -> str:
    data = values.text(value)
    if not data:
        raise ValueError("is empty")
    return data


def _user_type(value: object) -> str | None:
    return values.text(value)[: values.LONGEST_WORD].lower() or None


SECTIONS: Final[Mapping[str, tuple[str, Callable[[object, Scope], None]]]] = {
    "punchlog": ("RealTimePunchLog", _read_punch_log),
    "log": ("RealTimeAttendancePhoto", _read_photos),
    "userupdated": ("ManuallyUserUpdatedWithoutTemplate", _read_updates),
    "userdeleted": ("ManuallyUserDeleted", _read_deletions),
    "datemodified": ("ManuallyDateModified", _read_time_changes),
}
