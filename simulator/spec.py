"""The settings of a simulated device, and the checks of a caller's values."""

import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from simulator.cipher import check_key
from simulator.clock import parse_offset

MODES = ("native", "hybrid_sdk", "hybrid_db", "hybrid_file")
# "Attendance push only, no RESTful APIs" (the Feature Availability Matrix).
ATTENDANCE_ONLY = frozenset({"hybrid_db", "hybrid_file"})
API_VERSIONS = ("3.0", "2.0", "1.0")
# What a device reports, by the operation of the callback. Every other operation updates a user.
_KINDS = {
    "RealTimePunchLog": "punches",
    "RealTimeAttendancePhoto": "photos",
    "ManuallyUserDeleted": "deletions",
    "ManuallyDateModified": "time",
}
CALLBACKS = ("punches", "photos", "users", "deletions", "time")

_TOKEN_LENGTH = 32


@dataclass
class DeviceSpec:
    """Settings of one device; all but `stgid` may be changed while it runs. Times in seconds."""

    stgid: str
    auth_token: str = ""
    serial: str = ""
    label: str = ""
    security_key: str | None = None
    mode: str = "native"
    callback_url: str | None = None
    timezone: str = "+0530"
    model: str = "Hawking Plus (f38+) (virtual)"
    # How long a command's answer takes. The real gateway needs about 15 s.
    delay_seconds: float = 0.05
    # How long a person needs who is asked to enrol a finger.
    enroll_seconds: float = 0.5
    # The wait after a callback that was not answered "done": doubled each time, up to the second figure.
    retry_seconds: float = 1.0
    retry_max_seconds: float = 10.0
    callback_timeout_seconds: float = 30.0
    # How long a command's result is remembered by its OperationID. 0: a gateway that forgets at once.
    remember_seconds: float = 86400.0
    max_users: int = 3000
    max_templates: int = 10000
    max_logs: int = 500000
    # True: a template whose Size is not the length of its bytes is refused with 10.
    strict_sizes: bool = False
    # Names of operations that this model does not have: answered 15.
    unsupported: list[str] = field(default_factory=list)
    # How often `?stgid=` is put on the Callback URL. 2 was seen in the wild.
    stgid_in_url: int = 1
    # Version of the Web API whose callbacks the device sends.
    api_version: str = "3.0"
    # The callbacks that are switched on. The others are never sent.
    callbacks: list[str] = field(default_factory=lambda: list(CALLBACKS))
    # True: commands without OperationID or Time are accepted.
    lenient: bool = False

    def __post_init__(self) -> None:
        self.serial = self.serial or self.stgid
        self.label = self.label or f"Device {self.stgid}"
        self.auth_token = self.auth_token or new_auth_token()
        self.check()

    def check(self) -> None:
        """ValueError with a sentence naming what is wrong."""
        if not self.stgid:
            raise ValueError("stgid must not be empty")
        if len(self.auth_token) != _TOKEN_LENGTH:
            raise ValueError(f"auth_token must have {_TOKEN_LENGTH} characters, not {len(self.auth_token)}")
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        if self.security_key is not None:
            check_key(self.security_key)
        if self.api_version not in API_VERSIONS:
            raise ValueError(
                f"api_version must be one of {', '.join(API_VERSIONS)}, not {self.api_version!r}"
            )
        if self.api_version == "1.0" and self.security_key is not None:
            raise ValueError("api_version 1.0 has no encryption, so security_key must be null")
        for name in self.callbacks:
            if name not in CALLBACKS:
                raise ValueError(f"callbacks may only contain {', '.join(CALLBACKS)}, not {name!r}")
        parse_offset(self.timezone)
        for name, value in vars(self).items():
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{name} must not be negative")

    @property
    def attendance_only(self) -> bool:
        return self.mode in ATTENDANCE_ONLY

    def reports(self, operation: str) -> bool:
        """Return whether callbacks of this operation are sent."""
        kind = _KINDS.get(operation, "users")
        return kind in self.callbacks and (kind == "punches" or not self.attendance_only)


_SHAPES = {item.name: item.type for item in fields(DeviceSpec)}
_FIXED = frozenset({"stgid", "serial", "timezone", "max_logs"})


def spec_from_json(data: Mapping[str, object]) -> DeviceSpec:
    """A device as the control API's POST describes it. ValueError if a field is unknown or wrong."""
    values = dict(data)
    _check_shapes(values)
    if "stgid" not in values:
        raise ValueError("stgid is missing")
    return DeviceSpec(**values)  # type: ignore[arg-type]  # each was checked against its annotation


def change_spec(spec: DeviceSpec, changes: Mapping[str, object]) -> None:
    """Change a running device's settings, all or none of them. ValueError as above."""
    values = dict(changes)
    _check_shapes(values)
    for name in _FIXED & values.keys():
        raise ValueError(f"{name} can't be changed; delete the device and add it again")
    before = {name: getattr(spec, name) for name in values}
    try:
        for name, value in values.items():
            setattr(spec, name, value)
        spec.check()
    except ValueError:
        for name, value in before.items():
            setattr(spec, name, value)
        raise


def new_auth_token() -> str:
    """32 made-up characters, as the API Monitor gives out."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(_TOKEN_LENGTH))


def new_operation_id() -> str:
    """An OperationID in the gateway's style: 12 characters of base 36."""
    number, text = int.from_bytes(os.urandom(8), "big"), ""
    for _ in range(12):
        number, digit = divmod(number, 36)
        text += (string.digits + string.ascii_lowercase)[digit]
    return text


def _check_shapes(values: dict[str, object]) -> None:
    for name, value in values.items():
        shape = _SHAPES.get(name)
        if shape is None:
            raise ValueError(f"unknown field {name!r}")
        if isinstance(value, int) and not isinstance(value, bool) and shape is float:
            values[name] = value = float(value)
        if not _fits(value, shape):
            raise ValueError(f"{name} has the wrong type: {type(value).__name__}")


def _fits(value: object, shape: object) -> bool:
    if shape == list[str]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return shape is bool
    return isinstance(value, shape)  # type: ignore[arg-type]  # a class or a union of classes
