"""Builds the documented body of a RealTimePunchLog callback (#11), and the OperationID of a row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from app.connector.rows import Punch
from app.gateway import clock
from app.gateway.cipher import SecurityKey

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 12  # the gateway's OperationIDs have 12 or 13 characters


@dataclass(frozen=True, slots=True)
class Device:
    """The device that the punches come from, with the fields that the gateway would add to each callback."""

    stgid: str
    auth_token: str
    serial: str
    label: str
    key: SecurityKey | None = None

    def __repr__(self) -> str:
        return f"Device({self.stgid!r}, …)"


def operation_id(device: Device, punch: Punch) -> str:
    """Return 12 letters and digits derived from the punch. They are the same on every attempt, even after a restart."""
    said = "\n".join((device.stgid, *_punch_log(punch).values()))
    number = int.from_bytes(hashlib.sha256(said.encode()).digest()[:16], "big")
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def contents(punch: Punch) -> tuple[str, ...]:
    """Return the content of a punch, which `memory` uses to recognise punches that were already sent."""
    return (*_punch_log(punch).values(), *(() if punch.mask is None else (str(punch.mask),)))


def body(device: Device, punch: Punch) -> bytes:
    """Return the callback as the gateway sends it: JSON or, with a key, the Base64 of encrypted JSON."""
    document = {
        "RealTime": {
            "OperationID": operation_id(device, punch),
            "LabelName": device.label,
            "SerialNumber": device.serial,
            "PunchLog": punch_log(punch),
            "AuthToken": device.auth_token,
            "Time": clock.format_gateway(datetime.now(UTC)),
        }
    }
    plain = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return plain if device.key is None else device.key.encrypt(plain)


def punch_log(punch: Punch) -> dict[str, str | bool]:
    """Return the PunchLog of a punch, as it is sent."""
    return {**_punch_log(punch), **({} if punch.mask is None else {"FaceMask": punch.mask})}


def _punch_log(punch: Punch) -> dict[str, str]:
    """Return the known fields of a punch, all of which are text. The callers add FaceMask, which is a boolean."""
    said = {
        "Type": punch.type,
        "Temperature": punch.temperature,
        "InputType": punch.input,
        "UserId": punch.user,
        "LogTime": clock.format_gateway(punch.at),
    }
    return {name: value for name, value in said.items() if value is not None}
