"""The one registry of the gateway's 38 operations: endpoints, descriptions, tools and tests are made from it.

Which flat fields a command takes follows from its body (`bodies`), so that a 39th operation is one entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from app.gateway import bodies
from app.gateway.bodies import CREDENTIAL_FIELDS, Body, fields_in

__all__ = [
    "BY_ACTION",
    "BY_NAME",
    "CALLBACKS",
    "COMMANDS",
    "CREDENTIAL_FIELDS",
    "OPERATIONS",
    "Effect",
    "Kind",
    "Operation",
    "Subject",
    "adding",
]

Kind = Literal["callback", "rest"]
Effect = Literal["read", "write", "destructive"]
Subject = Literal["user", "log", "device"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the 38 operations.

    `subject`: what a command is about; tools list their commands under it.
    `credentials`: flat types in the order of the documented Template array, e.g. ("card", "fingerprint").
    `required`, `optional`: the flat fields a command takes (the relay's own, such as device_id, apart).
    `repeatable`: may be sent again while its fate is unknown. `done_when_repeated`: the StatusCode that, in
    answer to a repetition, says that an earlier try was carried out (8 after an add, 9 after a delete).
    """

    number: int
    name: str
    kind: Kind
    description: str
    action: str | None = None
    effect: Effect | None = None
    subject: Subject | None = None
    credentials: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    repeatable: bool = False
    done_when_repeated: int | None = None
    body: Mapping[str, Body] = field(default_factory=dict, hash=False, compare=False, repr=False)

    @property
    def fields(self) -> tuple[str, ...]:
        """All flat fields it takes."""
        return self.required + self.optional


def _flat(body: Body, required: bool) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            place.name for place in fields_in(body) if place.required is required and not place.internal
        )
    )


def _callback(number: int, name: str, description: str, *credentials: str) -> Operation:
    return Operation(number, name, "callback", description, credentials=credentials)


def _command(
    number: int,
    name: str,
    action: str,
    effect: Effect,
    body: Mapping[str, Body],
    *,
    description: str,
    subject: Subject = "user",
    credentials: tuple[str, ...] = (),
    repeatable: bool = True,
    done_when_repeated: int | None = None,
) -> Operation:
    return Operation(
        number,
        name,
        "rest",
        description,
        action,
        effect,
        subject,
        credentials,
        _flat(body, required=True),
        _flat(body, required=False),
        repeatable and effect != "destructive",
        done_when_repeated,
        body,
    )


def _add(number: int, name: str, action: str, credentials: tuple[str, ...], description: str) -> Operation:
    return _command(
        number,
        name,
        action,
        "write",
        bodies.add_user(credentials),
        description=description,
        credentials=credentials,
        done_when_repeated=8,
    )


OPERATIONS: tuple[Operation, ...] = (
    _callback(
        1,
        "ManuallyUserDeleted",
        "Triggered when a user is deleted directly on the device. Contains the UserID and deletion time.",
    ),
    _callback(
        2,
        "ManuallyDateModified",
        "Triggered when the device's date/time is manually changed. Reports the new value set.",
    ),
    _callback(
        3,
        "ManuallyUserUpdatedWithoutTemplate",
        "User profile (name/type) updated on device — no biometric change. Template array is empty.",
    ),
    _callback(
        4,
        "ManuallyUserUpdatedWithCard",
        "User updated on device with a card/RFID template. Data holds the card number.",
        "card",
    ),
    _callback(
        5,
        "ManuallyUserUpdatedWithPassword",
        "User updated on device with a PIN/password. Data is the numeric PIN string.",
        "password",
    ),
    _callback(
        6,
        "ManuallyUserUpdatedWithFingerPrint",
        "User updated with fingerprint. Index = finger slot 0 to 9, Data = Base64 binary.",
        "fingerprint",
    ),
    _callback(
        7,
        "ManuallyUserUpdatedWithFace",
        "User updated with a face template. Data is Base64 of a JPEG or face binary.",
        "face",
    ),
    _callback(
        8,
        "ManuallyUserUpdatedWithPalm",
        "User updated with a palm vein template. Data is Base64-encoded palm binary.",
        "palm",
    ),
    _callback(
        9,
        "ManuallyUserUpdatedWithUserPhoto",
        "User updated with a profile photo. Data is Base64-encoded JPEG.",
        "user_photo",
    ),
    _callback(
        10,
        "RealTimeAttendancePhoto",
        "Real-time punch event with a captured snapshot. LogPhoto is Base64-encoded JPEG.",
    ),
    _callback(
        11,
        "RealTimePunchLog",
        "Fires on every punch. Includes type, input method, temperature, and face-mask status.",
    ),
    _command(
        12,
        "LoadLog",
        "load-log",
        "read",
        {"Load": {"PunchLog": bodies.PERIOD}},
        description="Retrieves punch logs within a time window. Recommended max range: 30 days.",
        subject="log",
    ),
    _command(
        13,
        "LoadDeviceInformation",
        "load-device-information",
        "read",
        {"Load": {"DeviceInformation": "All"}},
        description="Retrieves hardware details, capacity limits, user/template counts, and license dates.",
        subject="device",
    ),
    _add(
        14,
        "AddUserWithCard",
        "add-user-with-card",
        ("card",),
        "Registers a new user with a card/RFID number as their only credential.",
    ),
    _add(
        15,
        "AddUserWithPassword",
        "add-user-with-password",
        ("password",),
        "Registers a new user with a numeric PIN/password as their only credential.",
    ),
    _add(
        16,
        "AddUserWithFace",
        "add-user-with-face",
        ("face",),
        "Registers a user with a face template. Data is Base64 of a JPEG or device-specific binary.",
    ),
    _add(
        17,
        "AddUserWithFingerPrint",
        "add-user-with-fingerprint",
        ("fingerprint",),
        "Registers a user with one fingerprint template. Index specifies the finger slot (0 to 9).",
    ),
    _add(
        18,
        "AddUserWithPalm",
        "add-user-with-palm",
        ("palm",),
        "Registers a user with a palm vein template. Data is Base64-encoded palm binary.",
    ),
    _add(
        19,
        "AddUserWithUserPhoto",
        "add-user-with-user-photo",
        ("user_photo",),
        "Registers a user with a profile photo stored on the device. Data is Base64-encoded JPEG.",
    ),
    _add(
        20,
        "AddUserWithCardAndPassword",
        "add-user-with-card-and-password",
        ("card", "password"),
        "Registers a user with both a card number and a PIN — two entries in the Template array.",
    ),
    _add(
        21,
        "AddUserWithCardAndFingerPrint",
        "add-user-with-card-and-fingerprint",
        ("card", "fingerprint"),
        "Registers a user with a card number and one fingerprint template.",
    ),
    _add(
        22,
        "AddUserWithPalmAndFace",
        "add-user-with-palm-and-face",
        ("palm", "face"),
        "Registers a user with both a palm vein and a face template.",
    ),
    _add(
        23,
        "AddUserWithCard_FingerPrintAndFace",
        "add-user-with-card-fingerprint-and-face",
        ("card", "fingerprint", "face"),
        "Registers a user with card, fingerprint, and face — three templates.",
    ),
    _add(
        24,
        "AddUserWithCard_PalmAndUserPhoto",
        "add-user-with-card-palm-and-user-photo",
        ("card", "palm", "user_photo"),
        "Registers a user with card, palm vein, and profile photo — three templates.",
    ),
    _add(
        25,
        "AddUserWithCard_Password_FingerPrintAndFace",
        "add-user-with-card-password-fingerprint-and-face",
        ("card", "password", "fingerprint", "face"),
        "Registers a user with card, password, fingerprint, and face — four templates.",
    ),
    _add(
        26,
        "AddUserWithCard_Password_PalmAndUserPhoto",
        "add-user-with-card-password-palm-and-user-photo",
        ("card", "password", "palm", "user_photo"),
        "Registers a user with card, password, palm vein, and profile photo — four templates.",
    ),
    _add(
        27,
        "AddUserWithCard_FingerPrint_Password_Face_PalmAndUserPhoto",
        "add-user-with-card-fingerprint-password-face-palm-and-user-photo",
        ("card", "password", "fingerprint", "face", "palm", "user_photo"),
        "Registers a user with card, fingerprint, password, face, palm, and profile photo.",
    ),
    _command(
        28,
        "AddUserWithoutTemplate",
        "add-user-without-template",
        "write",
        bodies.add_user(()),
        description="Creates a user record with no biometric data, to enroll templates later.",
        done_when_repeated=8,
    ),
    _command(
        29,
        "DeleteUser",
        "delete-user",
        "write",
        {"Delete": {"User": bodies.USER}},
        description="Deletes a specific user and all their biometric templates from the device.",
        done_when_repeated=9,
    ),
    _command(
        30,
        "DeleteAllUser",
        "delete-all-user",
        "destructive",
        {"Delete": {"User": "All"}},
        description="Deletes all users and their biometric templates from the device. Irreversible.",
    ),
    _command(
        31,
        "DeleteLogAll",
        "delete-log-all",
        "destructive",
        {"Delete": {"Log": "All"}},
        description="Clears all punch logs from the device, no users or templates. Irreversible.",
        subject="log",
    ),
    _command(
        32,
        "DeleteAttendancePhoto",
        "delete-attendance-photo",
        "destructive",
        {"Delete": {"PunchPhoto": "All"}},
        description="Deletes all punch photos stored on the device. Irreversible.",
        subject="log",
    ),
    _command(
        33,
        "ResendAttendance",
        "resend-attendance",
        "write",
        {"Resend": {"PunchLog": bodies.PERIOD}},
        description="Instructs the device to push its logs of a time range again, to recover missed records.",
        subject="log",
    ),
    _command(
        34,
        "ResendAllUser",
        "resend-all-user",
        "write",
        {"Resend": {"User": "All"}},
        description="Instructs the device to push all its users (profiles and templates) again.",
    ),
    _command(
        35,
        "EnrollFingerPrint",
        "enroll-fingerprint",
        "write",
        {"Enroll": {"User": bodies.ENROLLED_USER}},
        description="Starts a fingerprint enrollment session on the device. The user must be present there.",
        repeatable=False,
    ),
    _command(
        36,
        "UpdateAccessTime",
        "update-access-time",
        "write",
        {"Update": {"AccessTime": bodies.ACCESS_TIME}},
        description="Sets an access window for a user, who can only authenticate from its start to its end.",
    ),
    _command(
        37,
        "EnableUser",
        "enable-user",
        "write",
        bodies.access("enable"),
        description="Re-enables a disabled user, who can authenticate on the device again.",
    ),
    _command(
        38,
        "DisableUser",
        "disable-user",
        "write",
        bodies.access("disable"),
        description="Disables a user: record and templates are kept, authentication is blocked.",
    ),
)

CALLBACKS = tuple(operation for operation in OPERATIONS if operation.kind == "callback")
COMMANDS = tuple(operation for operation in OPERATIONS if operation.kind == "rest")
BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
BY_ACTION: dict[str, Operation] = {operation.action: operation for operation in COMMANDS if operation.action}

_ADDS = tuple(operation for operation in COMMANDS if operation.name.startswith("AddUser"))


def adding(credentials: Collection[str]) -> Operation:
    """The operation that adds a user with exactly these credential types (the action `add-user`).

    Where no documented one has them exactly, the smallest that has them all, its Template cut to them: the
    Template array accepts any entries (FAQ, "Can I add a user with multiple biometric templates at once?").
    Raises ValueError for an unknown type.
    """
    wanted = set(credentials)
    if unknown := wanted - CREDENTIAL_FIELDS.keys():
        raise ValueError(f"there is no credential type {', '.join(sorted(unknown))}")
    best = min(
        (operation for operation in _ADDS if wanted <= set(operation.credentials)),
        key=lambda operation: len(operation.credentials),
    )
    kept = tuple(name for name in best.credentials if name in wanted)
    if kept == best.credentials:
        return best
    body = bodies.add_user(kept)
    return replace(best, credentials=kept, required=_flat(body, True), optional=_flat(body, False), body=body)
