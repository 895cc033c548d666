"""Recognise the command in a body, and check the body as strictly as the documentation describes it.

The simulator is stricter than a real gateway may be, so that a body that isn't exactly as documented is noticed here
and not at a customer's site: an additional field is refused (3), and so is a number instead of a string (1).
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby

from simulator.clock import from_wire
from simulator.codes import Code, Refused
from simulator.records import INDEXED, SIZED, TEMPLATE_TYPES, Template

_COMMON = ("OperationID", "AuthToken", "Time")
_DIGITS_ONLY = frozenset({"Password"})
_MAX_ID_LENGTH = 64

# The documented credential sets of AddUser…, #14 to #28, by the types they carry.
_ADD_NAMES = {
    frozenset(types): f"AddUserWith{name}"
    for name, types in {
        "outTemplate": [],
        "Card": ["Card"],
        "Password": ["Password"],
        "Face": ["Face"],
        "FingerPrint": ["Fingerprint"],
        "Palm": ["Palm"],
        "UserPhoto": ["UserPhoto"],
        "CardAndPassword": ["Card", "Password"],
        "CardAndFingerPrint": ["Card", "Fingerprint"],
        "PalmAndFace": ["Palm", "Face"],
        "Card_FingerPrintAndFace": ["Card", "Fingerprint", "Face"],
        "Card_PalmAndUserPhoto": ["Card", "Palm", "UserPhoto"],
        "Card_Password_FingerPrintAndFace": ["Card", "Password", "Fingerprint", "Face"],
        "Card_Password_PalmAndUserPhoto": ["Card", "Password", "Palm", "UserPhoto"],
        "Card_FingerPrint_Password_Face_PalmAndUserPhoto": TEMPLATE_TYPES,
    }.items()
}


@dataclass(frozen=True)
class Command:
    """A valid command. Fields that its operation doesn't have keep their defaults."""

    operation: str
    operation_id: str = ""
    # Distinguishes a repeated command from another one with the same OperationID.
    digest: str = ""
    user_id: str = ""
    first_name: str = ""
    last_name: str = ""
    user_type: str = "User"
    templates: tuple[Template, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    offset: str = ""


@dataclass(frozen=True)
class Rules:
    """The rules for reading a body.

    They are the time zone of times without an offset, whether Size is checked, and whether OperationID and Time may be
    missing.
    """

    zone: tzinfo
    strict_sizes: bool = False
    lenient: bool = False


Fields = Mapping[str, object]
Reader = Callable[[Fields, Rules], Fields]


def parse(body: Fields, rules: Rules) -> Command:
    """Return the command in a decrypted body.

    Refused with 3 if the structure doesn't belong to an operation, 1 if a value is invalid, 10 for an invalid template,
    and 15 for an unknown operation.
    """
    if rules.lenient:
        body = {"OperationID": "", "Time": None, **body}
    verbs = [name for name in body if name not in _COMMON]
    if len(verbs) != 1 or len(body) != len(_COMMON) + 1:
        raise Refused(Code.INVALID_REQUEST, "a body must have one operation, OperationID, AuthToken and Time")
    operation_id = _text(body["OperationID"], "OperationID", empty=rules.lenient)
    if len(operation_id) > _MAX_ID_LENGTH:
        raise Refused(Code.INVALID_REQUEST_DATA, "OperationID is too long")
    if body["Time"] is not None or not rules.lenient:
        _time(body["Time"], "Time")
    verb, content = verbs[0], body[verbs[0]]
    if not isinstance(content, dict) or not content:
        raise Refused(Code.INVALID_REQUEST, f"{verb} must be an object")
    known = {subject for known_verb, subject in _READERS if known_verb == verb}
    subjects = sorted(known & content.keys())
    if not subjects and not (known and len(content) > 1):
        raise Refused(Code.FEATURE_NOT_SUPPORTED, f"unknown command {verb} {', '.join(content)}")
    if not subjects:
        raise Refused(Code.INVALID_REQUEST, f"{verb} needs one of {', '.join(sorted(known))}")
    fields = _READERS[verb, subjects[0]](content, rules)
    digest = hashlib.sha256(json.dumps({verb: content}, sort_keys=True).encode()).hexdigest()
    return Command(**{**fields, "operation_id": operation_id, "digest": digest})  # type: ignore[arg-type]


# --- one reader for each operation's content; each gives the fields of Command ---


def _add(content: Fields, rules: Rules) -> Fields:
    _exactly(content, {"User"}, optional={"Template"})
    user = _object(content["User"], {"UserID", "FirstName", "LastName", "UserType"})
    user_id = _text(user["UserID"], "UserID")
    user_type = _text(user["UserType"], "UserType").capitalize()
    if user_type not in ("User", "Admin"):
        raise Refused(Code.INVALID_REQUEST_DATA, f"UserType must be User or Admin, not {user['UserType']!r}")
    items = content.get("Template", [])
    if not isinstance(items, list):
        raise Refused(Code.INVALID_REQUEST, "Template must be an array")
    templates = tuple(_template(item, user_id, rules) for item in items)
    for key, same in groupby(sorted(template.key for template in templates)):
        if len(list(same)) > 1:
            raise Refused(Code.INVALID_REQUEST_DATA, f"template {key} appears twice")
    types = frozenset(template.type for template in templates)
    return {
        # The array "accepts multiple entries", so combinations without a documented name are also accepted.
        "operation": _ADD_NAMES.get(types, "AddUser"),
        "user_id": user_id,
        "first_name": _text(user["FirstName"], "FirstName", empty=True),
        "last_name": _text(user["LastName"], "LastName", empty=True),
        "user_type": user_type,
        "templates": templates,
    }


def _template(item: object, user_id: str, rules: Rules) -> Template:
    if not isinstance(item, dict) or item.get("Type") not in TEMPLATE_TYPES:
        raise Refused(Code.INVALID_REQUEST, "a Template item must have one of the documented Types")
    kind = str(item["Type"])
    extra = ({"Index"} if kind in INDEXED else set()) | ({"Size"} if kind in SIZED else set())
    _exactly(item, {"Type", "UserID", "Data"} | extra)
    if item["UserID"] != user_id:
        raise Refused(Code.INVALID_REQUEST_DATA, "the UserID of a Template must be the user's UserID")
    data = _text(item["Data"], "Data", empty=True)
    index = _digits(item["Index"], "Index") if kind in INDEXED else 0
    if kind == "Fingerprint" and index > 9:
        raise Refused(Code.INVALID_REQUEST_DATA, "the Index of a fingerprint must be 0 to 9")
    if kind in ("Card", "Password"):
        if not data or (kind in _DIGITS_ONLY and not data.isdigit()):
            raise Refused(Code.INVALID_REQUEST_DATA, f"the data of a {kind} must be digits")
        return Template(kind, data)
    size = _digits(item["Size"], "Size") if kind in SIZED else None
    try:
        length = len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Refused(Code.TEMPLATE_ERROR, f"the data of a {kind} is not Base64") from error
    if length == 0 or (rules.strict_sizes and size not in (None, length)):
        raise Refused(Code.TEMPLATE_ERROR, f"the data of a {kind} has {length} bytes, but its Size is {size}")
    return Template(kind, data, index)


def _range(name: str) -> Reader:
    def read(content: Fields, rules: Rules) -> Fields:
        log = _object(content["PunchLog"], {"Filter"})
        paged = {"OffSet"} if name == "LoadLog" else set[str]()
        given = _object(log["Filter"], {"StartTime", "EndTime"}, optional=paged)
        start, end = _time(given["StartTime"], "StartTime"), _time(given["EndTime"], "EndTime")
        if start > end:
            raise Refused(Code.INVALID_REQUEST_DATA, "StartTime is after EndTime")
        offset = _text(given["OffSet"], "OffSet", empty=True) if "OffSet" in given else ""
        return {"operation": name, "start": start, "end": end, "offset": offset}

    return read


def _all(name: str, subject: str) -> Reader:
    def read(content: Fields, rules: Rules) -> Fields:
        if content[subject] != "All":
            raise Refused(Code.INVALID_REQUEST, f'{subject} must be "All"')
        return {"operation": name}

    return read


def _delete_user(content: Fields, rules: Rules) -> Fields:
    if content["User"] == "All":
        return {"operation": "DeleteAllUser"}
    user = _object(content["User"], {"UserID"})
    return {"operation": "DeleteUser", "user_id": _text(user["UserID"], "UserID")}


def _enroll(content: Fields, rules: Rules) -> Fields:
    user = _object(content["User"], {"UserID", "Type", "FirstName", "LastName"})
    if user["Type"] != "Fingerprint":
        raise Refused(Code.FEATURE_NOT_SUPPORTED, f"only fingerprints can be enrolled, not {user['Type']!r}")
    return {
        "operation": "EnrollFingerPrint",
        "user_id": _text(user["UserID"], "UserID"),
        "first_name": _text(user["FirstName"], "FirstName", empty=True),
        "last_name": _text(user["LastName"], "LastName", empty=True),
    }


def _access_time(content: Fields, rules: Rules) -> Fields:
    given = _object(content["AccessTime"], {"UserID", "Start", "End"})
    try:
        start, end = (
            datetime.strptime(_text(given[name], name), "%Y-%m-%d %H:%M:%S").replace(tzinfo=rules.zone)
            for name in ("Start", "End")
        )
    except ValueError as error:
        raise Refused(Code.INVALID_REQUEST_DATA, f"the access time is invalid: {error}") from error
    if start > end:
        raise Refused(Code.INVALID_REQUEST_DATA, "Start is after End")
    user_id = _text(given["UserID"], "UserID")
    return {"operation": "UpdateAccessTime", "user_id": user_id, "start": start, "end": end}


def _access(content: Fields, rules: Rules) -> Fields:
    user = _object(content["User"], {"UserID", "Access"})
    names = {"enable": "EnableUser", "disable": "DisableUser"}
    name = names.get(_text(user["Access"], "Access"))
    if name is None:
        raise Refused(Code.INVALID_REQUEST_DATA, f"Access must be enable or disable, not {user['Access']!r}")
    return {"operation": name, "user_id": _text(user["UserID"], "UserID")}


def _alone(subject: str, read: Reader) -> Reader:
    """Return a reader for a verb whose object only contains this subject."""

    def checked(content: Fields, rules: Rules) -> Fields:
        _exactly(content, {subject})
        return read(content, rules)

    return checked


_READERS: dict[tuple[str, str], Reader] = {
    ("Add", "User"): _add,
    ("Load", "PunchLog"): _alone("PunchLog", _range("LoadLog")),
    ("Load", "DeviceInformation"): _alone(
        "DeviceInformation", _all("LoadDeviceInformation", "DeviceInformation")
    ),
    ("Delete", "User"): _alone("User", _delete_user),
    ("Delete", "Log"): _alone("Log", _all("DeleteLogAll", "Log")),
    ("Delete", "PunchPhoto"): _alone("PunchPhoto", _all("DeleteAttendancePhoto", "PunchPhoto")),
    ("Resend", "PunchLog"): _alone("PunchLog", _range("ResendAttendance")),
    ("Resend", "User"): _alone("User", _all("ResendAllUser", "User")),
    ("Enroll", "User"): _alone("User", _enroll),
    ("Update", "AccessTime"): _alone("AccessTime", _access_time),
    ("Update", "User"): _alone("User", _access),
}


# --- small checks ---


def _exactly(fields: Fields, needed: Collection[str], optional: Collection[str] = ()) -> None:
    missing = set(needed) - fields.keys()
    extra = fields.keys() - set(needed) - set(optional)
    if missing or extra:
        raise Refused(Code.INVALID_REQUEST, f"missing: {sorted(missing)}, not expected: {sorted(extra)}")


def _object(value: object, needed: Collection[str], optional: Collection[str] = ()) -> Fields:
    if not isinstance(value, dict):
        raise Refused(Code.INVALID_REQUEST, f"an object with {', '.join(sorted(needed))} is required")
    _exactly(value, needed, optional)
    return value


def _text(value: object, name: str, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise Refused(Code.INVALID_REQUEST_DATA, f"{name} must be a string and not empty")
    return value


def _digits(value: object, name: str) -> int:
    text = _text(value, name)
    if not (text.isascii() and text.isdigit()):
        raise Refused(Code.INVALID_REQUEST_DATA, f"{name} must be a string of digits")
    return int(text)


def _time(value: object, name: str) -> datetime:
    try:
        return from_wire(_text(value, name))
    except ValueError as error:
        raise Refused(Code.INVALID_REQUEST_DATA, f"{name}: {error}") from error
