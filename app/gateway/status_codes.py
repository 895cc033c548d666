"""The gateway's status codes: their names, what to do about them, and the HTTP status of the relay's answer.

Documented under "Response Status Codes"; 19, 29, 33, 35, 37 and 38 aren't documented, but real gateways send them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SUCCESS = 0
OFFLINE = 5
TIMEOUT = 6
NOT_SUPPORTED = 15
BUSY = 37

REQUEST_NOT_READ = frozenset({3, 4, 7, 13, 19})
"""Codes of a gateway that couldn't decrypt or read the request."""
VALUE_REFUSED = frozenset({1, 3, 10})
"""Codes that put the fault on a value of the request."""
STILL_HELD = frozenset({OFFLINE, TIMEOUT})
"""After these the gateway may still hold the command and carry it out."""


class _Code(NamedTuple):
    name: str
    advice: str
    http: int = 422


_UNKNOWN = _Code(
    "Unrecognised Status",
    "The gateway returned an undocumented status code. Contact Cams support with the OperationID.",
)

_CODES: dict[int, _Code] = {
    0: _Code("Success", "The command was carried out.", 200),
    1: _Code("Invalid Request Data", "The gateway rejected a value as invalid. Check the fields you sent."),
    2: _Code(
        "Invalid Service Tag ID",
        "The gateway doesn't know this Service Tag ID. Compare the device's ID with the API Monitor.",
        404,
    ),
    3: _Code(
        "Invalid Request",
        "The gateway rejected the request. Check the fields, and make sure that the API Monitor allows this "
        "server's address.",
    ),
    4: _Code(
        "Invalid Encryption",
        "The gateway could not decrypt the request. Compare the device's Security Key with the API Monitor.",
    ),
    5: _Code(
        "Device Offline",
        "The device is offline. The command will be carried out when it is back online.",
    ),
    6: _Code(
        "Operation Timeout",
        "The device did not respond in time. Check its connection. The command may still be carried out.",
    ),
    7: _Code(
        "Invalid Auth Token",
        "The gateway rejected the device's AuthToken. Compare it with the API Monitor.",
    ),
    8: _Code("User Already Exists", "A user with this ID already exists on the device. Use another ID.", 409),
    9: _Code("User Not Found", "There is no user with this ID on the device. Add the user first.", 404),
    10: _Code(
        "Template Error",
        "The device could not use the template. Make sure that it is complete and was created by the same "
        "type of device.",
    ),
    11: _Code(
        "Device Memory Full",
        "The device's memory is full. Delete users or logs that you no longer need.",
    ),
    13: _Code(
        "Invalid Security Key",
        "The Security Key doesn't match the one in the API Monitor. Set the same key for the device here.",
    ),
    15: _Code(
        "Feature Not Supported",
        "This isn't supported by the device model or its connection mode. Use another device or mode.",
    ),
    19: _Code(
        "Encryption Required",
        "The gateway requires encrypted requests for this device. Set its Security Key.",
    ),
    29: _Code("Not API 3.0", "The device doesn't use API 3.0. Switch it to 3.0 in the API Monitor."),
    33: _Code("Operation Not Enabled", "The operation is not enabled for this device. Contact Cams support."),
    35: _Code("Operation Not Enabled", "The operation is not enabled for this device. Contact Cams support."),
    37: _Code(
        "Another Call In Progress", "Another call for this device is in progress. Try again later.", 503
    ),
    38: _Code("Operation Not Enabled", "The operation is not enabled for this device. Contact Cams support."),
    999: _Code(
        "Unknown Error", "The gateway reported an unknown error. Contact Cams support with the OperationID."
    ),
}

STATUS_NAMES: dict[int, str] = {number: code.name for number, code in _CODES.items()}


def _code(code: int | None) -> _Code:
    return _UNKNOWN if code is None else _CODES.get(code, _UNKNOWN)


def status_name(code: int | None) -> str:
    """Return a code's name, e.g. "Device Offline", or "Unrecognised Status" for an unknown one or None."""
    return _code(code).name


def advice(code: int | None) -> str:
    """Return a sentence for people that says what to do."""
    return _code(code).advice


def http_status(code: int | None) -> int:
    """Return the HTTP status of a command that ended with this code (contract §8).

    It is 4xx if the gateway took the command, because clients that automatically repeat after a 5xx would send it
    again.
    """
    return _code(code).http


def problem_codes() -> list[tuple[str, str]]:
    """Return the problem codes that stand for a StatusCode, each with what to do about it."""
    known = {problem_code(number): code.advice for number, code in _CODES.items() if number != SUCCESS}
    return [*known.items(), (problem_code(-1), _UNKNOWN.advice)]


def problem_code(code: int) -> str:
    """Return a code's name in problems, e.g. `device_memory_full`; `unrecognised_status` for an unknown one."""
    return re.sub(r"\W+", "_", status_name(code).lower())
