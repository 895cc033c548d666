"""The marshmallow schemas of the actions' flat bodies, generated from the registry of operations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields

from app.base.request_schema import LONGEST_TIME, Body, Flag, Length, OneOf, Pattern, Range
from app.gateway import clock
from app.gateway.commands import FieldError, build
from app.gateway.operations import COMMANDS, CREDENTIAL_FIELDS, Effect, Operation
from app.gateway.values import LONGEST_ID, base64_bytes
from app.schemas.devices import LONGEST_DEVICE_ID
from app.store.commands.records import ADD_USER, operation_of
from app.store.devices.registry import Device

IMAGE_BYTES = 1024 * 1024
_LONGEST_FILE = 1_500_000  # the Base64 of IMAGE_BYTES, with line breaks and the start of a data URL
_SCOPES: dict[Effect, str] = {
    "read": "actions:read",
    "write": "actions:write",
    "destructive": "actions:destructive",
}
_TIME_EXAMPLE = "2026-11-24T09:00:00+05:30"
_PICTURE = "dGhpcyBpcyBubyByZWFsIHRlbXBsYXRl"  # made up


def _small_enough(value: str) -> None:
    found = base64_bytes("".join(value.rpartition(",")[2].split()))
    if found is None:
        raise ValidationError("is not Base64. Encode the file's bytes, e.g. /9j/4AAQSkZJRgABAQ…")
    if len(found) > IMAGE_BYTES:
        raise ValidationError(f"is larger than 1 MiB ({len(found)} bytes). Send a smaller file")


def _confirmed(value: bool) -> None:
    if value is not True:
        raise ValidationError("must be true, because this can't be undone")


def _text(description: str, example: str, **more: Any) -> fields.Field[Any]:
    return fields.String(metadata={"description": description, "examples": [example]}, **more)


def _index(description: str) -> fields.Field[Any]:
    return fields.Integer(
        strict=True, validate=Range(0, 9), metadata={"description": description, "examples": [0]}
    )


def _flat_fields() -> dict[str, fields.Field[Any]]:
    """Return new instances of all fields, because each schema needs its own."""
    length, time = Length(1, LONGEST_ID), Length(max=LONGEST_TIME)
    file = Length(max=_LONGEST_FILE, then=_small_enough)
    return {
        "user_id": _text("The user's ID on the device.", "100", validate=length),
        "first_name": _text("The user's first name.", "Manu", validate=Length(max=64)),
        "last_name": _text("The user's last name.", "Mona", validate=Length(max=64)),
        "user_type": _text(
            "The user's role on the device: user or admin.",
            "user",
            validate=OneOf(("user", "admin")),
        ),
        "card_number": _text("The number of the RFID card.", "102836", validate=Length(1, 64)),
        "password": _text(
            "The PIN that the user types on the device, digits only.",
            "123456",
            validate=Pattern("[0-9]{1,32}", 1, 32, error="must be 1 to 32 digits"),
        ),
        "fingerprint_data": _text("The fingerprint, as a template from a device.", _PICTURE, validate=file),
        "fingerprint_index": _index("The number of the finger, from 0 to 9."),
        "face_data": _text(
            "The face, as a photo (JPEG) or a template from a device.", _PICTURE, validate=file
        ),
        "face_index": _index("The number of the face, from 0."),
        "palm_data": _text("The palm, as a template from a device.", _PICTURE, validate=file),
        "palm_index": _index("The number of the palm, from 0."),
        "user_photo_data": _text("The profile photo, a JPEG file.", _PICTURE, validate=file),
        "start_time": _text(
            "Start of the time range.",
            "2026-11-01T00:00:00",
            validate=time,
        ),
        "end_time": _text(
            "End of the time range.",
            "2026-11-24T23:59:59",
            validate=time,
        ),
        "start": _text("When the user's access to the device begins.", "2026-11-24T00:00:00", validate=time),
        "end": _text("When the user's access to the device ends.", "2026-12-24T23:59:59", validate=time),
    }


@dataclass(frozen=True, slots=True)
class Action:
    """One endpoint of `/v1/actions`."""

    name: str
    summary: str
    description: str
    effect: Effect
    required: tuple[str, ...]
    optional: tuple[str, ...]
    operation: Operation | None  # None for add-user, which chooses the operation by the credentials

    @property
    def scope(self) -> str:
        return _SCOPES[self.effect]

    def schema(self) -> Schema:
        """Return the schema of the body. It checks everything that doesn't depend on the device's time zone."""
        flat = _flat_fields()
        declared: dict[str, Any] = {
            "device_id": _text(
                "The device's Service Tag ID.",
                "ZHM1100001",
                required=True,
                validate=Length(max=LONGEST_DEVICE_ID),
            )
        }
        for name in (*self.required, *self.optional):
            flat[name].required = name in self.required
            flat[name].allow_none = name not in self.required
            declared[name] = flat[name]
        if self.name == "load-log":
            declared["publish"] = Flag(
                load_default=False,
                metadata={
                    "description": "Whether to publish punches that the relay doesn't have yet as events. This "
                    "recovers missed punches.",
                    "examples": [False],
                },
            )
        if self.effect == "destructive":
            declared["confirm"] = Flag(
                required=True,
                validate=_confirmed,
                metadata={"description": "Confirms the command, which can't be undone.", "examples": [True]},
            )
        name = "".join(part.title() for part in self.name.split("-"))
        made: Schema = Body.from_dict(declared, name=f"{name}Body")()
        return made


def _action(operation: Operation) -> Action:
    assert operation.action is not None
    assert operation.effect is not None
    return Action(
        operation.action,
        operation.action.replace("-", " ").capitalize(),
        operation.description,
        operation.effect,
        operation.required,
        operation.optional,
        operation,
    )


def _add_user() -> Action:
    adds = [operation for operation in COMMANDS if operation.name.startswith("AddUser")]
    every = dict.fromkeys(name for operation in adds for name in operation.fields)
    return Action(
        ADD_USER,
        "Add user",
        "Adds a user with any combination of card, PIN, fingerprint, face, palm and photo, or without "
        "credentials.",
        "write",
        ("user_id",),
        tuple(name for name in every if name != "user_id"),
        None,
    )


ACTIONS: dict[str, Action] = {
    action.name: action for action in (*(_action(operation) for operation in COMMANDS), _add_user())
}


def check_fit(action: Action, values: dict[str, Any], device: Device) -> None:
    """Check the values by building the gateway's body. Raises ValidationError, which names the invalid field."""
    try:
        operation = operation_of(action.name, values)
        if action.operation is None:
            _check_indexes(values)
        build(
            operation,
            {name: value for name, value in values.items() if name in operation.fields},
            auth_token=device.auth_token,
            operation_id="trial",
            now=datetime.now(UTC),
            timezone=device.timezone,
        )
    except FieldError as error:
        # Replace the example in the gateway's format, because callers send ISO 8601.
        message = str(error).removeprefix(f"{error.field} ").replace(clock.EXAMPLE, _TIME_EXAMPLE)
        raise ValidationError({error.field: [message]}) from None


def _check_indexes(values: dict[str, Any]) -> None:
    for credential in ("fingerprint", "face", "palm"):
        index, data = f"{credential}_index", CREDENTIAL_FIELDS[credential]
        if values.get(index) is not None and not values.get(data):
            raise ValidationError({index: [f"requires {data}, which is missing"]})
