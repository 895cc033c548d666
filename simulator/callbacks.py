"""The bodies of the callbacks, each with exactly the keys of its documented sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from simulator.clock import to_wire
from simulator.records import LogRow, Template, User
from simulator.spec import DeviceSpec, new_operation_id

_WITH_TEMPLATE = {
    "Card": "ManuallyUserUpdatedWithCard",
    "Password": "ManuallyUserUpdatedWithPassword",
    "Fingerprint": "ManuallyUserUpdatedWithFingerPrint",
    "Face": "ManuallyUserUpdatedWithFace",
    "Palm": "ManuallyUserUpdatedWithPalm",
    "UserPhoto": "ManuallyUserUpdatedWithUserPhoto",
}
# Those whose documented sample has the user's profile beside the template.
_PROFILE_WITH = frozenset({"Card", "Password", "UserPhoto"})


@dataclass(frozen=True)
class Callback:
    """Something that happened at a device and isn't sent to the gateway yet."""

    operation: str
    content: Mapping[str, object]
    # #1, #2 and #10 come without LabelName and SerialNumber.
    labelled: bool = True
    # Real gateways also send historical batches outside the `RealTime` object.
    top_level: bool = False

    def stamp(self, spec: DeviceSpec) -> dict[str, object]:
        """Return the whole body, with the fields that the gateway adds."""
        label = {"LabelName": spec.label, "SerialNumber": spec.serial} if self.labelled else {}
        common = {
            "OperationID": new_operation_id(),
            "AuthToken": spec.auth_token,
            "Time": to_wire(datetime.now(UTC)),
        }
        inner = {**self.content, **label, **common}
        return inner if self.top_level else {"RealTime": inner}


def user_deleted(user_id: str, at: datetime) -> Callback:
    """#1"""
    content = {"UserDeleted": {"UserID": user_id, "OperationTime": to_wire(at)}}
    return Callback("ManuallyUserDeleted", content, labelled=False)


def date_modified(changed_to: datetime, at: datetime) -> Callback:
    """#2"""
    content = {"DateModified": {"ModifiedTo": to_wire(changed_to), "OperationTime": to_wire(at)}}
    return Callback("ManuallyDateModified", content, labelled=False)


def user_updated(user: User, templates: Sequence[Template], at: datetime) -> Callback:
    """#3 without templates, #4 to #9 with one; several in one callback come with the profile."""
    operation, profile = "ManuallyUserUpdatedWithoutTemplate", True
    if templates:
        operation = _WITH_TEMPLATE[templates[0].type]
        profile = len(templates) > 1 or templates[0].type in _PROFILE_WITH
    content: dict[str, object] = {}
    if profile:
        content = {
            "UserID": user.user_id,
            "FirstName": user.first_name,
            "LastName": user.last_name,
            "UserType": user.user_type,
        }
    content["OperationTime"] = to_wire(at)
    content["Template"] = [template.wire(user.user_id) for template in templates]
    return Callback(operation, {"UserUpdated": content})


def attendance_photo(user_id: str, photo: str, at: datetime) -> Callback:
    """#10; `photo` is a JPEG in Base64."""
    content = {"Log": {"UserID": user_id, "LogPhoto": photo, "LogTime": to_wire(at)}}
    return Callback("RealTimeAttendancePhoto", content, labelled=False)


def punch(row: LogRow) -> Callback:
    """#11. The key is `UserId` here, and Temperature is text; both as documented."""
    log: dict[str, object] = {"Type": row.type, "InputType": row.input_type, "UserId": row.user_id}
    if row.temperature is not None:
        log["Temperature"] = f"{row.temperature:.1f}"
    if row.face_mask is not None:
        log["FaceMask"] = row.face_mask
    log["LogTime"] = to_wire(row.at)
    return Callback("RealTimePunchLog", {"PunchLog": log})


def punch_batch(rows: Sequence[LogRow], top_level: bool) -> Callback:
    """A historical batch: #11's PunchLog holds rows instead of one punch (seen in the wild)."""
    log = {"ReturnRowCount": str(len(rows)), "Log": [log_row(row) for row in rows]}
    return Callback("RealTimePunchLog", {"PunchLog": log}, top_level=top_level)


def log_row(row: LogRow) -> dict[str, object]:
    """A row of LoadLog: `UserID`, and Temperature is a number."""
    log: dict[str, object] = {"Type": row.type, "InputType": row.input_type, "UserID": row.user_id}
    if row.temperature is not None:
        log["Temperature"] = row.temperature
    if row.face_mask is not None:
        log["FaceMask"] = row.face_mask
    return log | {"LogTime": to_wire(row.at)}
