"""Converts callbacks of versions 1.0 and 2.0 of the Web API to documents of version 3.0.

Version 2.0 sends `{"ServiceTagId", "ApiRequestInfo": {"AuthToken", "Operation", "UserId", "OperationTime",
"OperationData"}}` in the form field or JSON key `request_data`. Version 1.0 sends a form with `stgid`, `userid`,
`att_time` and `att_type`. Unknown fields are kept, so that the reader of 3.0 reports them. Nothing here raises,
whatever a document contains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final

from app.gateway import clock
from app.gateway.values import squeeze

OFF: Final = "off"
CHOICES: Final = (OFF, "2.0", "1.0")
"""What a device's `legacy_callbacks` may be: callbacks of this version become events, too."""

VERSION_1_REFUSED: Final = (
    'A callback of version 1.0 is only accepted from a device with legacy_callbacks "1.0". It must be sent to the '
    "device's Callback URL with the callback secret (?k=…)."
)

_FORM_FIELD = re.compile(
    rb"""(?:^|[&?\s]|name=["']?)(request_data|att_time|stgid|userid)(?:=|["'])""", re.IGNORECASE
)
_SEARCHED = 65_536  # bytes of a form that are searched for its fields' names
_LONGEST_WORD = 64
_MOST_ROWS = 10_001  # one more than any section may have

_EPOCH = re.compile(r"\s*(\d{9,13})(?:\.\d{1,9})?\s*", re.ASCII)
# From 2000 to 2100. In milliseconds, times between them are numbers a thousand times as large.
_EARLIEST, _LATEST = 946_684_800, 4_102_444_800

_PUNCH_TYPES: Final[Mapping[str, str | None]] = {
    "i": "CheckIn",
    "in": "CheckIn",
    "o": "CheckOut",
    "out": "CheckOut",
    "mealstart": "MealOut",  # going to a meal is going out
    "mealend": "MealIn",
    "none": None,
}
_USER_TYPES: Final[Mapping[str, str]] = {"0": "User", "16": "Admin"}
_NUMBERED: Final = frozenset(("fingerprint", "face", "palm"))


def old_version(body: bytes) -> str | None:
    """Return the older version of the Web API that a body other than JSON has: "2.0", "1.0", or None for neither."""
    if body.lstrip()[:1] in (b"{", b"[", b'"'):
        return None
    names = {name.lower() for name in _FORM_FIELD.findall(body[:_SEARCHED])}
    if b"request_data" in names:
        return "2.0"
    return "1.0" if b"att_time" in names and len(names) > 1 else None


def switched_off(version: str) -> str:
    """Return why a callback of an older version wasn't read, and what to do."""
    return (
        f"The device uses version {version} of the Web API. Switch it to 3.0 in the API Monitor, or set the device's "
        f'legacy_callbacks to "{version}".'
    )


def was_converted(version: str) -> str:
    """Return an introduction to the problems of a converted callback, because they use the names of 3.0."""
    return f"This callback of version {version} was converted to 3.0."


class _Fields:
    """The fields of one or more objects, found by name in any letter case. The first object takes precedence."""

    def __init__(self, *objects: Mapping[str, object]) -> None:
        self._left: dict[str, list[tuple[str, object]]] = {}
        for fields in objects:
            for name, value in fields.items():
                self._left.setdefault(name.lower(), []).append((name, value))

    def take(self, *names: str) -> object:
        """Return the first of these fields that isn't empty, and remove all of them."""
        found: object = None
        for name in names:
            for _, value in self._left.pop(name.lower(), ()):
                if found is None and value not in (None, ""):
                    found = value
        return found

    def rest(self) -> dict[str, object]:
        """Return the remaining fields, under their own names."""
        return dict(values[0] for values in self._left.values())

    def names(self) -> list[str]:
        """Return the names of the remaining fields, in lower case."""
        return list(self._left)


def version_1(fields: Mapping[str, str], timezone: tzinfo) -> dict[str, object]:
    """Convert a version 1.0 form. Times without an offset are in the device's time zone, as in 3.0."""
    form = _Fields(fields)
    form.take("stgid", "k")
    row = _held(
        UserID=form.take("userid"),
        LogTime=_time(form.take("att_time"), timezone),
        Type=_punch_type(form.take("att_type")),
    )
    return {"RealTime": {"PunchLog": {**form.rest(), **row}}}


def version_2(document: Mapping[str, object], timezone: tzinfo) -> Mapping[str, object]:
    """Convert a version 2.0 document. One without ApiRequestInfo is returned as it is."""
    top = _Fields(document)
    info_of = top.take("ApiRequestInfo")
    if not isinstance(info_of, dict):
        return document
    top.take("ServiceTagId")
    info = _Fields(info_of)
    envelope = _held(AuthToken=info.take("AuthToken"), OperationID=info.take("OperationReferenceId"))
    envelope |= _held(Time=_time(info.take("Time"), timezone))
    common = _held(
        UserId=info.take("UserId"),
        OperationTimeEx=info.take("OperationTimeEx"),
        OperationTime=info.take("OperationTime"),
    )
    sections = _Sections(common, timezone)
    operation, data = info.take("Operation"), info.take("OperationData")
    read = _operation(operation)
    if read is not None:
        sections.add(read, data)
    else:
        envelope |= _held(Operation=operation, OperationData=data)
    for fields in (info, top):  # a section may also have its own name
        for name in fields.names():
            named = _operation(name)
            if named is not None:
                sections.add(named, fields.take(name))
    return {**top.rest(), "RealTime": {**info.rest(), **envelope, **sections.made()}}


class _Sections:
    """The sections of 3.0 that are made from an ApiRequestInfo."""

    def __init__(self, common: Mapping[str, object], timezone: tzinfo) -> None:
        self._common, self._timezone = common, timezone
        self._rows: dict[str, list[object]] = {}

    def add(self, read: _Reader, data: object) -> None:
        """Add the rows of an OperationData: an object, a list of objects, or null if there is only a user."""
        for number, item in enumerate(data if isinstance(data, list) else [{} if data is None else data]):
            if isinstance(item, dict) and number < _MOST_ROWS:
                for name, row in read(_Fields(item, self._common), self._timezone).items():
                    self._rows.setdefault(name, []).append(row)
            else:  # the reader of 3.0 reports what is wrong, or that there are too many
                self._rows.setdefault(_NAMES[read], []).append(item)

    def made(self) -> dict[str, object]:
        return {name: rows[0] if len(rows) == 1 else rows for name, rows in self._rows.items()}


_Reader = Callable[[_Fields, tzinfo], dict[str, dict[str, object]]]


def _operation(name: object) -> _Reader | None:
    return _OPERATIONS.get(squeeze(name[:_LONGEST_WORD])) if isinstance(name, str) else None


def _punch(fields: _Fields, timezone: tzinfo) -> dict[str, dict[str, object]]:
    """Add a punch, or the photo taken at a punch, or both."""
    user = fields.take("UserID")
    at = _moment(fields, timezone, "LogTime", "AttendanceTime", "OperationTime")
    photo = fields.take("AttendancePhoto", "LogPhoto")
    punch = _held(
        Type=_punch_type(fields.take("AttendanceType", "Type")),
        InputType=fields.take("InputType"),
        Temperature=fields.take("Temperature"),
        FaceMask=fields.take("FaceMask"),
    )
    of_user = _held(UserID=user, LogTime=at)
    if photo is None:
        return {"PunchLog": {**fields.rest(), **of_user, **punch}}
    log = {**fields.rest(), **of_user, "LogPhoto": photo}
    return {"Log": log, "PunchLog": {**of_user, **punch}} if punch else {"Log": log}


def _update(fields: _Fields, timezone: tzinfo) -> dict[str, dict[str, object]]:
    name, first, last = fields.take("Name"), fields.take("FirstName"), fields.take("LastName")
    user_type, priority = fields.take("UserType"), fields.take("Priority")
    if user_type is None and priority is not None:
        user_type = _USER_TYPES.get(str(priority)) if isinstance(priority, int | str) else None
    signature = fields.take("Signature", "Template", "Templates")
    row = _held(
        UserID=fields.take("UserID"),
        FirstName=first if first is not None or last is not None else name,
        LastName=last,
        UserType=user_type,
        OperationTime=_moment(fields, timezone, "OperationTime"),
        Template=_templates(signature),
    )
    if user_type is None:
        row |= _held(Priority=priority)  # not documented, so it will be reported
    return {"UserUpdated": {**fields.rest(), **row}}


def _templates(signature: object) -> object:
    items = signature if isinstance(signature, list) else [signature]
    made = [
        _template(item) if isinstance(item, dict) and number < _MOST_ROWS else item
        for number, item in enumerate(items)
    ]
    return made if isinstance(signature, list) else made[0]


def _template(item: Mapping[str, object]) -> dict[str, object]:
    """`{"Template", "Type", "AdditionalData1"}`; the last is a template's number, if its type has one."""
    fields = _Fields(item)
    kind, number = fields.take("Type"), fields.take("AdditionalData1")
    fields.take("AdditionalData2")  # reserved
    is_numbered = isinstance(kind, str) and squeeze(kind[:_LONGEST_WORD]) in _NUMBERED
    index = fields.take("Index")
    row = _held(
        Type=kind,
        Index=index if index is not None or not is_numbered else number,
        Data=fields.take("Template", "Data"),
    )
    return {**fields.rest(), **row}


def _deletion(fields: _Fields, timezone: tzinfo) -> dict[str, dict[str, object]]:
    row = _held(UserID=fields.take("UserID"), OperationTime=_moment(fields, timezone, "OperationTime"))
    fields.take("Name", "FirstName", "LastName")
    return {"UserDeleted": {**fields.rest(), **row}}


def _time_change(fields: _Fields, timezone: tzinfo) -> dict[str, dict[str, object]]:
    fields.take("UserID")  # usually empty
    row = _held(
        ModifiedTo=_time(fields.take("ModifiedTo"), timezone),
        OperationTime=_moment(fields, timezone, "OperationTime"),
    )
    return {"DateModified": {**fields.rest(), **row}}


_OPERATIONS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(("realtimepunchlog", "punchlog", "realtimeattendancephoto"), _punch),
    **dict.fromkeys(("manuallyuserupdated", "userupdated"), _update),
    **dict.fromkeys(("manuallyuserdeleted", "userdeleted"), _deletion),
    **dict.fromkeys(("manuallydatemodified", "datemodified"), _time_change),
}

_NAMES: Final[Mapping[_Reader, str]] = {
    _punch: "PunchLog",
    _update: "UserUpdated",
    _deletion: "UserDeleted",
    _time_change: "DateModified",
}


def _held(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _moment(fields: _Fields, timezone: tzinfo, *names: str) -> object:
    """Return OperationTimeEx, a text with an offset, if it can be read, or else the first of these fields."""
    text, found = fields.take("OperationTimeEx"), _time(fields.take(*names), timezone)
    try:
        clock.parse(text, default_tz=timezone)
    except ValueError:
        return found if found is not None else text
    return text


def _time(value: object, timezone: tzinfo) -> object:
    """Return seconds or milliseconds since 1970 as the gateway's text in the device's zone, anything else as it is."""
    seconds = _epoch_seconds(value)
    if seconds is None:
        return value
    return clock.format_gateway(clock.in_zone(datetime.fromtimestamp(seconds, UTC), timezone))


def _epoch_seconds(value: object) -> int | None:
    if isinstance(value, str):
        match = _EPOCH.fullmatch(value)
        value = int(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    for unit in (1, 1000):
        if _EARLIEST * unit <= value < _LATEST * unit:
            return int(value // unit)
    return None


def _punch_type(value: object) -> object:
    word = squeeze(value[:_LONGEST_WORD]) if isinstance(value, str) else None
    return _PUNCH_TYPES.get(word, value) if word is not None else value
