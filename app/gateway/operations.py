"""The registry of the gateway's operations. Endpoints, descriptions, tools and tests are generated from it.

A command's flat fields are derived from its body (`command_bodies`), so a new operation is one entry
(docs/develop/add-an-operation.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from app.gateway import command_bodies
from app.gateway.command_bodies import CREDENTIAL_FIELDS, Body, fields_in

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
    """An operation of the gateway.

    `subject`: the subject of a command, under which tools list it.
    `credentials`: flat types in the order of the documented Template array, e.g. ("card", "fingerprint").
    `required`, `optional`: the command's flat fields, without those of the relay, such as device_id.
    `repeatable`: may be sent again while its result is unknown.
    `done_when_repeated`: the StatusCode by which the answer to a repetition shows that an earlier try was carried out
    (8 after an add, 9 after a delete).
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
        """Return all its flat fields."""
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
        command_bodies.add_user(credentials),
        description=description,
        credentials=credentials,
        done_when_repeated=8,
    )


OPERATIONS: tuple[Operation, ...] = (
    _callback(
        1,
        "ManuallyUserDeleted",
        "A user was deleted on the device. The device reports the user's ID and the time.",
    ),
    _callback(
        2,
        "ManuallyDateModified",
        "The device's date or time was changed manually. The device reports the new time.",
    ),
    _callback(
        3,
        "ManuallyUserUpdatedWithoutTemplate",
        "A user's name or role was changed on the device, but no card, PIN, fingerprint, face, palm or photo.",
    ),
    _callback(
        4,
        "ManuallyUserUpdatedWithCard",
        "A user's card was added or changed on the device. The device reports the card number.",
        "card",
    ),
    _callback(
        5,
        "ManuallyUserUpdatedWithPassword",
        "A user's PIN was added or changed on the device. The device reports its digits.",
        "password",
    ),
    _callback(
        6,
        "ManuallyUserUpdatedWithFingerPrint",
        "A user's fingerprint was added or changed on the device. The device reports it with the number of the "
        "finger, 0 to 9.",
        "fingerprint",
    ),
    _callback(
        7,
        "ManuallyUserUpdatedWithFace",
        "A user's face was added or changed on the device. The device reports it as a photo (JPEG) or a template.",
        "face",
    ),
    _callback(
        8,
        "ManuallyUserUpdatedWithPalm",
        "A user's palm was added or changed on the device. The device reports a template of the palm veins.",
        "palm",
    ),
    _callback(
        9,
        "ManuallyUserUpdatedWithUserPhoto",
        "A user's profile photo was added or changed on the device. The device reports it as a JPEG.",
        "user_photo",
    ),
    _callback(
        10,
        "RealTimeAttendancePhoto",
        "The device took a photo when a user punched, and sends it as a JPEG.",
    ),
    _callback(
        11,
        "RealTimePunchLog",
        "Someone punched. The device reports the time, the type, the input method, the temperature and the face mask.",
    ),
    _command(
        12,
        "LoadLog",
        "load-log",
        "read",
        {"Load": {"PunchLog": command_bodies.PERIOD}},
        description="Retrieves the punches in a time range. The gateway recommends at most 30 days.",
        subject="log",
    ),
    _command(
        13,
        "LoadDeviceInformation",
        "load-device-information",
        "read",
        {"Load": {"DeviceInformation": "All"}},
        description="Retrieves the device's model and capacity, the numbers of users, faces and fingerprints "
        "on it, and its licence dates.",
        subject="device",
    ),
    _add(
        14,
        "AddUserWithCard",
        "add-user-with-card",
        ("card",),
        "Adds a user who authenticates with a card (RFID).",
    ),
    _add(
        15,
        "AddUserWithPassword",
        "add-user-with-password",
        ("password",),
        "Adds a user who authenticates with a PIN.",
    ),
    _add(
        16,
        "AddUserWithFace",
        "add-user-with-face",
        ("face",),
        "Adds a user who authenticates by face. Send a photo of the face (JPEG), or a template from "
        "the same type of device.",
    ),
    _add(
        17,
        "AddUserWithFingerPrint",
        "add-user-with-fingerprint",
        ("fingerprint",),
        "Adds a user who authenticates by fingerprint. The fingerprint comes from a device on which it was enrolled.",
    ),
    _add(
        18,
        "AddUserWithPalm",
        "add-user-with-palm",
        ("palm",),
        "Adds a user who authenticates by palm. The palm comes from a device on which it was enrolled.",
    ),
    _add(
        19,
        "AddUserWithUserPhoto",
        "add-user-with-user-photo",
        ("user_photo",),
        "Adds a user with a profile photo (JPEG), which is stored on the device.",
    ),
    _add(
        20,
        "AddUserWithCardAndPassword",
        "add-user-with-card-and-password",
        ("card", "password"),
        "Adds a user with a card and a PIN.",
    ),
    _add(
        21,
        "AddUserWithCardAndFingerPrint",
        "add-user-with-card-and-fingerprint",
        ("card", "fingerprint"),
        "Adds a user with a card and a fingerprint.",
    ),
    _add(
        22,
        "AddUserWithPalmAndFace",
        "add-user-with-palm-and-face",
        ("palm", "face"),
        "Adds a user with a palm and a face.",
    ),
    _add(
        23,
        "AddUserWithCard_FingerPrintAndFace",
        "add-user-with-card-fingerprint-and-face",
        ("card", "fingerprint", "face"),
        "Adds a user with a card, a fingerprint and a face.",
    ),
    _add(
        24,
        "AddUserWithCard_PalmAndUserPhoto",
        "add-user-with-card-palm-and-user-photo",
        ("card", "palm", "user_photo"),
        "Adds a user with a card, a palm and a profile photo.",
    ),
    _add(
        25,
        "AddUserWithCard_Password_FingerPrintAndFace",
        "add-user-with-card-password-fingerprint-and-face",
        ("card", "password", "fingerprint", "face"),
        "Adds a user with a card, a PIN, a fingerprint and a face.",
    ),
    _add(
        26,
        "AddUserWithCard_Password_PalmAndUserPhoto",
        "add-user-with-card-password-palm-and-user-photo",
        ("card", "password", "palm", "user_photo"),
        "Adds a user with a card, a PIN, a palm and a profile photo.",
    ),
    _add(
        27,
        "AddUserWithCard_FingerPrint_Password_Face_PalmAndUserPhoto",
        "add-user-with-card-fingerprint-password-face-palm-and-user-photo",
        ("card", "password", "fingerprint", "face", "palm", "user_photo"),
        "Adds a user with a card, a PIN, a fingerprint, a face, a palm and a profile photo.",
    ),
    _command(
        28,
        "AddUserWithoutTemplate",
        "add-user-without-template",
        "write",
        command_bodies.add_user(()),
        description="Adds a user with only an ID and a name. A card, a PIN, a fingerprint and so on can be added "
        "later.",
        done_when_repeated=8,
    ),
    _command(
        29,
        "DeleteUser",
        "delete-user",
        "write",
        {"Delete": {"User": command_bodies.USER}},
        description="Deletes a user from the device, with everything stored about the user except punches.",
        done_when_repeated=9,
    ),
    _command(
        30,
        "DeleteAllUser",
        "delete-all-user",
        "destructive",
        {"Delete": {"User": "All"}},
        description="Deletes all users from the device, with their cards, PINs, fingerprints, faces, palms and "
        "photos. This can't be undone.",
    ),
    _command(
        31,
        "DeleteLogAll",
        "delete-log-all",
        "destructive",
        {"Delete": {"Log": "All"}},
        description="Deletes all punch logs from the device. Its users are kept. This can't be undone.",
        subject="log",
    ),
    _command(
        32,
        "DeleteAttendancePhoto",
        "delete-attendance-photo",
        "destructive",
        {"Delete": {"PunchPhoto": "All"}},
        description="Deletes all punch photos from the device. This can't be undone.",
        subject="log",
    ),
    _command(
        33,
        "ResendAttendance",
        "resend-attendance",
        "write",
        {"Resend": {"PunchLog": command_bodies.PERIOD}},
        description="Makes the device send its punches in a time range again, to recover missed ones.",
        subject="log",
    ),
    _command(
        34,
        "ResendAllUser",
        "resend-all-user",
        "write",
        {"Resend": {"User": "All"}},
        description="Makes the device send all its users again, with names, cards, fingerprints, faces and so on.",
    ),
    _command(
        35,
        "EnrollFingerPrint",
        "enroll-fingerprint",
        "write",
        {"Enroll": {"User": command_bodies.ENROLLED_USER}},
        description="Starts the enrolment of a fingerprint on the device. The user must be at the device.",
        repeatable=False,
    ),
    _command(
        36,
        "UpdateAccessTime",
        "update-access-time",
        "write",
        {"Update": {"AccessTime": command_bodies.ACCESS_TIME}},
        description="Sets the period in which a user can use the device.",
    ),
    _command(
        37,
        "EnableUser",
        "enable-user",
        "write",
        command_bodies.access("enable"),
        description="Enables a disabled user, who can then use the device again.",
    ),
    _command(
        38,
        "DisableUser",
        "disable-user",
        "write",
        command_bodies.access("disable"),
        description="Disables a user, who can then no longer use the device. Everything stored about the user is kept.",
    ),
)

CALLBACKS = tuple(operation for operation in OPERATIONS if operation.kind == "callback")
COMMANDS = tuple(operation for operation in OPERATIONS if operation.kind == "rest")
BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
BY_ACTION: dict[str, Operation] = {operation.action: operation for operation in COMMANDS if operation.action}

_ADDS = tuple(operation for operation in COMMANDS if operation.name.startswith("AddUser"))


def adding(credentials: Collection[str]) -> Operation:
    """Return the operation that adds a user with exactly these credential types (the action `add-user`).

    If no documented operation has exactly these, return the smallest one that has them all, with its Template reduced
    to them: the Template array accepts any entries (FAQ, "Can I add a user with multiple biometric templates at
    once?"). Raises ValueError for an unknown type.
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
    body = command_bodies.add_user(kept)
    return replace(best, credentials=kept, required=_flat(body, True), optional=_flat(body, False), body=body)
