"""The effects of commands on a device, and the content of their answers."""

import base64
import binascii
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from simulator import callbacks
from simulator.codes import Code, Refused
from simulator.device import Device
from simulator.operations import Command
from simulator.records import LogRow, Template, User, sample_data

PAGE_ROWS = 50
_MAX_FACES = 5000
_FINGERS = 10

Result = Mapping[str, object]


def execute(device: Device, command: Command) -> Result:
    """Carry out a command. The caller holds the device's lock. Refused if the device refuses."""
    if command.operation in device.spec.unsupported:
        raise Refused(Code.FEATURE_NOT_SUPPORTED, f"this model doesn't support {command.operation}")
    if command.operation.startswith("AddUser"):
        return _add_user(device, command)
    return _ACTIONS[command.operation](device, command)


def _add_user(device: Device, command: Command) -> Result:
    if command.user_id in device.users:
        raise Refused(Code.USER_ALREADY_EXISTS, f"user {command.user_id} is there")
    user = User(command.user_id, command.first_name, command.last_name, command.user_type)
    device.store_user(user, command.templates)
    return {}


def _load_log(device: Device, command: Command) -> Result:
    """Pages of 50 rows. The documented answer has no StatusCode, and what all fits in one page no OffSet.

    `ActualRowCount` is read as the rows in the window, `ReturnRowCount` as those in this answer.
    """
    rows = _rows_between(device, command)
    first = _page_start(command.offset)
    page = rows[first : first + PAGE_ROWS]
    log: dict[str, object] = {
        "ReturnRowCount": str(len(page)),
        "Log": [callbacks.log_row(row) for row in page],
    }
    if len(rows) > PAGE_ROWS:
        log["ActualRowCount"] = str(len(rows))
    if first + PAGE_ROWS < len(rows):
        log["OffSet"] = base64.b64encode(f"rows:{first + PAGE_ROWS}".encode()).decode()
    return {"PunchLog": log}


def _page_start(offset: str) -> int:
    if not offset:
        return 0
    try:
        word, _, number = base64.b64decode(offset, validate=True).decode().partition(":")
        if word == "rows" and number.isdigit():
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise Refused(Code.INVALID_REQUEST_DATA, "this OffSet did not come from this gateway")


def _rows_between(device: Device, command: Command) -> list[LogRow]:
    assert command.start is not None and command.end is not None
    return [row for row in device.logs if command.start <= row.at <= command.end]


def _load_device_information(device: Device, command: Command) -> Result:
    now = device.clock.true_time()
    return {
        "DeviceInformation": {
            "DeviceModel": device.spec.model,
            "Manufacturer": "Dheeram Innovations",
            "MacAddress": "00-01-A9-00-00-01",
            "StartDate": (now - timedelta(days=30)).strftime("%d/%m/%Y"),
            "EndDate": (now + timedelta(days=335)).strftime("%d/%m/%Y"),
            "LastConnectedTime": device.last_connected.strftime("%d-%m-%Y %H:%M:%S GMT %z"),
            "RegisteredUsers": str(len(device.users)),
            "RegisteredFaces": str(device.template_count("Face")),
            "RegisteredFingerprints": str(device.template_count("Fingerprint")),
            "MaximumFacesSupported": str(min(_MAX_FACES, device.spec.max_templates)),
            "MaximumFingerprintsSupported": str(device.spec.max_templates),
            "MaximumAttendanceLogsSupported": str(device.spec.max_logs),
        }
    }


def _delete_user(device: Device, command: Command) -> Result:
    device.drop_user(command.user_id)
    return {}


def _delete_all_user(device: Device, command: Command) -> Result:
    device.users.clear()
    return {}


def _delete_log_all(device: Device, command: Command) -> Result:
    device.logs.clear()
    return {}


def _delete_attendance_photo(device: Device, command: Command) -> Result:
    device.photos.clear()
    return {}


def _resend_attendance(device: Device, command: Command) -> Result:
    for row in _rows_between(device, command):
        device.emit(callbacks.punch(row))
    return {}


def _resend_all_user(device: Device, command: Command) -> Result:
    for user in device.users.values():
        device.push_user(user)
    return {}


def _enroll(device: Device, command: Command) -> Result:
    """The device asks for a finger: the answer comes at once, callback #6 when the finger was there."""
    if device.template_count() >= device.spec.max_templates:
        raise Refused(Code.DEVICE_MEMORY_FULL, "there is no space for another template")
    user = device.users.get(command.user_id)
    if user is None:
        # Enroll carries names, so it makes a user that is not there.
        user = device.store_user(User(command.user_id, command.first_name, command.last_name))

    def finger_given() -> None:
        # The user may be gone by now, deleted by another command.
        if device.users.get(command.user_id) is user:
            free = (n for n in range(_FINGERS) if ("Fingerprint", n) not in user.templates)
            template = Template("Fingerprint", sample_data("Fingerprint"), next(free, 0))
            with suppress(Refused):  # others may have filled the device meanwhile
                device.edit_user(command.user_id, templates=[template])

    device.later(device.spec.enroll_seconds, finger_given)
    return {}


def _update_access_time(device: Device, command: Command) -> Result:
    user = device.find_user(command.user_id)
    user.access_start, user.access_end = command.start, command.end
    return {}


def _set_enabled(device: Device, command: Command) -> Result:
    device.find_user(command.user_id).enabled = command.operation == "EnableUser"
    return {}


_ACTIONS: dict[str, Callable[[Device, Command], Result]] = {
    "LoadLog": _load_log,
    "LoadDeviceInformation": _load_device_information,
    "DeleteUser": _delete_user,
    "DeleteAllUser": _delete_all_user,
    "DeleteLogAll": _delete_log_all,
    "DeleteAttendancePhoto": _delete_attendance_photo,
    "ResendAttendance": _resend_attendance,
    "ResendAllUser": _resend_all_user,
    "EnrollFingerPrint": _enroll,
    "UpdateAccessTime": _update_access_time,
    "EnableUser": _set_enabled,
    "DisableUser": _set_enabled,
}
