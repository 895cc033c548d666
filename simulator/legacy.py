"""What a device of version 2.0 or 1.0 of the Web API sends instead of the callbacks of version 3.0.

Version 2.0 is a form with the field `request_data`, whose JSON has an `ApiRequestInfo`. Version 1.0 is a form with
`stgid`, `userid`, `att_time` and `att_type` for each punch; it reports nothing else. Times are seconds since 1970.
"""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from simulator.callbacks import Callback
from simulator.cipher import encrypt
from simulator.clock import from_wire
from simulator.spec import DeviceSpec, new_operation_id

FORM = "application/x-www-form-urlencoded"

Fields = Mapping[str, object]
# An operation of version 2.0, its UserId, its OperationTime, and its OperationData.
Request = tuple[str, str, int, Fields]


def version_1(callback: Callback, spec: DeviceSpec) -> list[bytes]:
    """Return a form for each punch of a callback."""
    return [
        urlencode(
            {
                "stgid": spec.stgid,
                "userid": user_id,
                "att_time": seconds,
                "att_type": "o" if str(data["AttendanceType"]).endswith("Out") else "i",
            }
        ).encode()
        for _, user_id, seconds, data in _punches(callback)
    ]


def version_2(callback: Callback, spec: DeviceSpec) -> list[bytes]:
    """Return the JSON of each `request_data` that a callback becomes: one per punch, otherwise one."""
    return [json.dumps(_document(request, spec), ensure_ascii=False).encode() for request in _read(callback)]


def request_form(text: bytes, key: str | None) -> bytes:
    """Return the form of version 2.0 around a JSON text, which is encrypted if the device has a Security Key."""
    return urlencode({"request_data": encrypt(text, key) if key else text}).encode()


def _document(request: Request, spec: DeviceSpec) -> Fields:
    operation, user_id, seconds, data = request
    info = {
        "AuthToken": spec.auth_token,
        "Operation": operation,
        "UserId": user_id,
        "OperationTime": seconds,
        "OperationReferenceId": new_operation_id(),
        "OperationData": data,
    }
    return {"ServiceTagId": spec.stgid, "ApiRequestInfo": info}


def _read(callback: Callback) -> Iterator[Request]:
    content = callback.content
    yield from _punches(callback)
    photo, updated = _fields(content, "Log"), _fields(content, "UserUpdated")
    deleted, changed = _fields(content, "UserDeleted"), _fields(content, "DateModified")
    if photo:
        yield (
            "RealTimePunchLog",
            str(photo["UserID"]),
            _seconds(photo["LogTime"]),
            {"AttendancePhoto": photo["LogPhoto"]},
        )
    if updated:
        yield _update(updated)
    if deleted:
        yield "ManuallyUserDeleted", str(deleted["UserID"]), _seconds(deleted["OperationTime"]), {}
    if changed:
        data = {"ModifiedTo": _seconds(changed["ModifiedTo"])}
        yield "ManuallyDateModified", "", _seconds(changed["OperationTime"]), data


def _punches(callback: Callback) -> Iterator[Request]:
    log = _fields(callback.content, "PunchLog")
    rows = log.get("Log", [log] if log else [])
    assert isinstance(rows, list)
    for row in rows:
        data = {"AttendanceType": row["Type"], "InputType": row["InputType"]}
        data |= {name: row[name] for name in ("Temperature", "FaceMask") if name in row}
        user_id = row["UserId"] if "UserId" in row else row["UserID"]
        yield "RealTimePunchLog", str(user_id), _seconds(row["LogTime"]), data


def _update(updated: Fields) -> Request:
    templates = updated["Template"]
    assert isinstance(templates, list)
    user_id = updated.get("UserID") or templates[0]["UserID"]
    data: dict[str, object] = {
        "Signature": [
            {"Template": item["Data"], "Type": item["Type"], "AdditionalData1": item.get("Index", "")}
            for item in templates
        ]
    }
    if "UserID" in updated:
        names = {name: updated[name] for name in ("FirstName", "LastName")}
        data = {**names, "Priority": 16 if updated["UserType"] == "Admin" else 0, **data}
    return "ManuallyUserUpdated", str(user_id), _seconds(updated["OperationTime"]), data


def _fields(content: Fields, name: str) -> Fields:
    value = content.get(name, {})
    assert isinstance(value, dict)
    return value


def _seconds(text: object) -> int:
    return int(from_wire(str(text)).timestamp())
