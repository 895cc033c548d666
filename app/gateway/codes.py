"""The gateway's StatusCode: its name, what to do about it, and the HTTP status the relay answers with.

Documented under "Response Status Codes"; 19, 29, 33, 35, 37 and 38 are not documented, but were seen.
"""

from __future__ import annotations

from typing import NamedTuple

SUCCESS = 0
OFFLINE = 5
TIMEOUT = 6
NOT_SUPPORTED = 15
BUSY = 37

STILL_HELD = frozenset({OFFLINE, TIMEOUT})
"""After these the gateway may still hold the command and carry it out."""


class _Code(NamedTuple):
    name: str
    advice: str
    http: int = 502


_UNKNOWN = _Code(
    "Unrecognised Status",
    "The gateway answered with a code that isn't documented: ask Cams support, with the OperationID.",
)

_CODES: dict[int, _Code] = {
    0: _Code("Success", "Carried out.", 200),
    1: _Code("Invalid Request Data", "The gateway found a value invalid: check the fields you sent.", 422),
    2: _Code(
        "Invalid Service Tag ID",
        "The gateway knows no device with this Service Tag ID: compare the device's ID with the API Monitor.",
        404,
    ),
    3: _Code(
        "Invalid Request",
        "The gateway did not accept the request: check the fields, and allow this server's address in the "
        "API Monitor.",
        422,
    ),
    4: _Code(
        "Invalid Encryption",
        "The gateway could not decrypt the request: compare the device's security key with the API Monitor.",
    ),
    5: _Code("Device Offline", "The device is offline: it will be carried out when the device is back.", 503),
    6: _Code(
        "Operation Timeout",
        "The device did not answer in time: see that it is connected. It may still be carried out.",
        504,
    ),
    7: _Code(
        "Invalid Auth Token",
        "The gateway refused the device's AuthToken: compare it with the API Monitor.",
    ),
    8: _Code("User Already Exists", "A user with this ID is on the device already: use another ID.", 409),
    9: _Code("User Not Found", "No user with this ID is on the device: add the user first.", 404),
    10: _Code(
        "Template Error",
        "The device could not use the template: it must be intact and made by the same kind of device.",
        422,
    ),
    11: _Code("Device Memory Full", "The device is full: delete users or logs you no longer need.", 507),
    13: _Code(
        "Invalid Security Key",
        "The security key is not the one in the API Monitor: set the same one on the device here.",
    ),
    15: _Code(
        "Feature Not Supported",
        "This device model, or the way it is connected, can't do this: use another device or mode.",
        501,
    ),
    19: _Code(
        "Encryption Required",
        "The gateway expects encrypted requests for this device: set the security key.",
    ),
    29: _Code("Not API 3.0", "The device is not on API 3.0: have it switched over in the API Monitor."),
    33: _Code("Operation Not Enabled", "The operation is not enabled for this device: ask Cams support."),
    35: _Code("Operation Not Enabled", "The operation is not enabled for this device: ask Cams support."),
    37: _Code(
        "Another Call In Progress", "Another call for this device is in progress: wait and try again.", 503
    ),
    38: _Code("Operation Not Enabled", "The operation is not enabled for this device: ask Cams support."),
    999: _Code("Unknown Error", "The gateway failed: ask Cams support, with the OperationID."),
}

STATUS_NAMES: dict[int, str] = {number: code.name for number, code in _CODES.items()}


def _code(code: int | None) -> _Code:
    return _UNKNOWN if code is None else _CODES.get(code, _UNKNOWN)


def status_name(code: int | None) -> str:
    """A code's name, e.g. "Device Offline"; "Unrecognised Status" for one we don't know or none at all."""
    return _code(code).name


def advice(code: int | None) -> str:
    """One sentence for a person: what to do about it."""
    return _code(code).advice


def http_status(code: int | None) -> int:
    """The HTTP status of a command that ended with this code (contract §6); 502 for any other, or none."""
    return _code(code).http
