"""The flat event types as marshmallow schemas: the one place samples, docs and OpenAPI are made from.

Contract §3. Every field of a type is always present; what is unknown is null. Nothing is nested.
"""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields

from app import ids

PUNCH_TYPES = (
    "check_in",
    "check_out",
    "break_out",
    "break_in",
    "overtime_in",
    "overtime_out",
    "meal_in",
    "meal_out",
)


def _field(
    kind: type[fields.Field[Any]], description: str, example: object, *, null: bool = False
) -> fields.Field[Any]:
    return kind(required=True, allow_none=null, metadata={"description": description, "examples": [example]})


def _text(description: str, example: str | None, *, null: bool = False) -> fields.Field[Any]:
    return _field(fields.String, description, example, null=null)


class Event(Schema):
    """What all events have in common."""

    class Meta:
        unknown = RAISE

    event_type = ""
    summary = ""

    id = _text(
        "The event's id, the same on every delivery. Sorts by time of receipt.", "evt_01kay8ds0r000000"
    )
    type = _text("What happened.", "attendance.punch")
    occurred_at = _text(
        "When, with the device's own offset (ISO 8601).", "2026-11-24T09:01:44+05:30", null=True
    )
    occurred_at_utc = _text("The same instant in UTC.", "2026-11-24T03:31:44Z", null=True)
    received_at = _text("When the relay received it (UTC).", "2026-11-24T03:31:46.120Z")
    device_id = _text("The device's Service Tag ID (stgid).", "ZHM1100001", null=True)
    device_label = _text("The device's name.", "Front Door", null=True)
    device_serial = _text("The device's serial number.", "ZHM1100001", null=True)
    operation = _text("The gateway's name of the operation.", "RealTimePunchLog", null=True)
    operation_id = _text("The gateway's id of this operation.", "9nu1wak5616p", null=True)
    test = _field(fields.Boolean, "True for samples and test sends.", False)


class AttendancePunch(Event):
    event_type = "attendance.punch"
    summary = "Someone punched in or out on a device."

    punch_id = _text("The same for the same device, user and instant.", "pun_4c1c3b5f0d3e8a9b77d01c2f")
    revision = _field(fields.Integer, "1; 2, 3… when a punch is sent again with other values.", 1)
    user_id = _text("The user's ID on the device.", "2")
    user_name = _text("The user's name, where the relay knows it.", "Asha Rao", null=True)
    employee_id = _text("The employee ID, where the list of employees has the user.", "EMP-0042", null=True)
    punch_type = _text(
        "check_in, check_out, break_out, break_in, overtime_in, overtime_out, meal_in or meal_out.",
        "check_in",
        null=True,
    )
    direction = _text("in or out.", "in", null=True)
    input_type = _text("fingerprint, face, palm, card, password and others.", "fingerprint", null=True)
    temperature_celsius = _field(fields.Float, "Body temperature, where measured.", 36.6, null=True)
    face_mask = _field(fields.Boolean, "Whether a face mask was worn.", False, null=True)
    local_date = _text("The date on the device.", "2026-11-24")
    local_time = _text("The time of day on the device.", "09:01:44")
    delay_seconds = _field(fields.Integer, "Seconds from the punch to its receipt.", 2)
    is_late_arrival = _field(
        fields.Boolean, "True when it was received more than 300 s after the punch.", False
    )
    clock_suspect = _field(
        fields.Boolean, "True when it is more than 2 h ahead of us, or older than the retention.", False
    )


class AttendancePhoto(Event):
    event_type = "attendance.photo"
    summary = "A device took a photo at a punch."

    user_id = _text("The user's ID on the device.", "3", null=True)
    employee_id = _text("The employee ID, where the list of employees has the user.", None, null=True)
    photo_url = _text(
        "Where the photo is to be had without a key, for seven days.",
        "https://relay.example.com/photos/pho_00…",
    )
    photo_mime = _text("The photo's media type.", "image/jpeg")
    photo_size_bytes = _field(fields.Integer, "Its size.", 28112)


class AttendanceDayChanged(Event):
    event_type = "attendance.day_changed"
    summary = "A person's day changed: first in, last out, hours."

    date = _text("Which day, by the clock of the site and the start of the day.", "2026-11-24")
    user_id = _text("The person's user ID on the devices.", "2")
    user_name = _text("The person's name, where the relay knows it.", "Asha Rao", null=True)
    employee_id = _text("The employee ID, where the list of employees has them.", "EMP-0042", null=True)
    timezone = _text("The site's time zone, or its offset where the device has none set.", "Asia/Kolkata")
    first_in = _text("The first punch of the day (ISO 8601).", "2026-11-24T09:01:44+05:30", null=True)
    first_in_device_id = _text("The device it was made on.", "ZHM1100001", null=True)
    last_out = _text("The last punch of the day (ISO 8601).", "2026-11-24T18:10:02+05:30", null=True)
    last_out_device_id = _text("The device it was made on.", "ZHM1100001", null=True)
    worked_seconds = _field(
        fields.Integer, "From first in to last out; null where either is missing.", 32898, null=True
    )
    worked_hours = _field(fields.Float, "The same in hours.", 9.14, null=True)
    punch_count = _field(fields.Integer, "How many punches the day has.", 4)
    missing_punch = _field(fields.Boolean, "True when the day is over and one end of it is missing.", False)
    is_late = _field(
        fields.Boolean,
        "Whether first in is after RELAY_LATE_AFTER; null where that is not set.",
        False,
        null=True,
    )
    late_seconds = _field(fields.Integer, "By how much; 0 where in time.", 0, null=True)
    day_over = _field(fields.Boolean, "Whether the day is over at its site.", False)
    revision = _field(fields.Integer, "1; 2, 3… each time this person's day is published again.", 2)


class UserUpdated(Event):
    event_type = "user.updated"
    summary = "A user was added or changed on a device."

    user_id = _text("The user's ID on the device.", "5")
    first_name = _text("First name.", "Alex", null=True)
    last_name = _text("Last name.", "Thomas", null=True)
    full_name = _text("Both names.", "Alex Thomas", null=True)
    user_type = _text("user or admin.", "user", null=True)
    credentials_changed = _text("Kinds of credential that came along, comma-separated.", "card,fingerprint")


class CredentialUpdated(Event):
    event_type = "credential.updated"
    summary = "A user's card, PIN, fingerprint, face, palm or photo was added or changed."

    user_id = _text("The user's ID on the device.", "8")
    credential_type = _text("card, password, fingerprint, face, palm or user_photo.", "fingerprint")
    credential_index = _field(fields.Integer, "Which of its kind (finger 0 to 9).", 6)
    credential_size_bytes = _field(fields.Integer, "Size of its data.", 1176, null=True)
    credential_digest = _text(
        "Keyed digest: another value means other data.", "5b0c4f0c9d1e3a77b1f2c3d4e5f60718"
    )
    card_last4 = _text("The last four characters of a card's number.", None, null=True)
    card_number = _text(
        "A card's number; null unless the subscription was made with include_card_numbers.", None, null=True
    )
    is_new = _field(fields.Boolean, "True when the relay had none of this kind and index.", True)


class UserDeleted(Event):
    event_type = "user.deleted"
    summary = "A user was deleted on a device."

    user_id = _text("The user's ID on the device.", "1")


class UserUnknown(Event):
    event_type = "user.unknown"
    summary = "Someone punched whom neither the device's users nor the list of employees have."

    user_id = _text("The user ID that punched.", "99")
    punch_event_id = _text("The event of the punch.", "evt_01kay8ds0r000000")


class DeviceSilent(Event):
    event_type = "device.silent"
    summary = "A device was not heard for so many minutes of its working hours."

    last_seen_at = _text("When it was last heard (UTC).", "2026-11-24T03:31:46.120Z")
    silent_after_minutes = _field(fields.Integer, "After how many minutes it counts as silent.", 60)
    working_hours = _text("When it is expected to be heard.", "Mon-Fri 08:00-18:00")


class DeviceBack(Event):
    event_type = "device.back"
    summary = "A device that was silent was heard again."

    last_seen_at = _text("When it was heard (UTC).", "2026-11-24T05:01:46.120Z")
    silent_since = _text("When it had been heard last before (UTC).", "2026-11-24T03:31:46.120Z")
    silent_seconds = _field(fields.Integer, "Seconds between the two.", 5400)


class DeviceTimeChanged(Event):
    event_type = "device.time_changed"
    summary = "A device's clock was set by hand."

    changed_to = _text("The time it was set to.", "2026-11-24T10:22:24+05:30")
    changed_to_utc = _text("The same in UTC.", "2026-11-24T04:52:24Z")
    shift_seconds = _field(fields.Integer, "By how much it was set forward.", -10807, null=True)


class _CommandEnded(Event):
    command_id = _text("The command's id.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")
    action = _text("Which of the actions it was.", "enable-user")
    user_id = _text("The user it was about.", "2", null=True)
    status_code = _field(fields.Integer, "The gateway's StatusCode.", 0, null=True)
    status_name = _text("What that code means.", "Success", null=True)
    message = _text("What to do about it.", "Carried out.", null=True)


class CommandCompleted(_CommandEnded):
    event_type = "command.completed"
    summary = "A command was carried out by its device."


class CommandFailed(_CommandEnded):
    event_type = "command.failed"
    summary = "A command ended without being carried out, or its fate is unknown."


class CallbackUnrecognised(Event):
    event_type = "callback.unrecognised"
    summary = "A device sent something the relay can't read (in part); it is kept whole."

    body_url = _text(
        "Where its body is to be had without a key, for seven days.",
        "https://relay.example.com/bodies/bod_00…",
    )
    reason = _text("What was not understood.", "PunchLog.Temperature is not a number.")


class SubscriptionDisabled(Event):
    event_type = "subscription.disabled"
    summary = "The relay disabled or removed a subscription because of its target."

    subscription_id = _text("Which subscription.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1")
    target_url = _text("Its target, without its query.", "https://hooks.example.com/punches")
    reason = _text("Why.", "The target failed for 5 days running.")


SCHEMAS: dict[str, type[Event]] = {
    schema.event_type: schema
    for schema in (
        AttendancePunch,
        AttendancePhoto,
        AttendanceDayChanged,
        UserUpdated,
        CredentialUpdated,
        UserDeleted,
        UserUnknown,
        DeviceTimeChanged,
        DeviceSilent,
        DeviceBack,
        CommandCompleted,
        CommandFailed,
        CallbackUnrecognised,
        SubscriptionDisabled,
    )
}
EVENT_TYPES = tuple(SCHEMAS)

# Declaration order is the order of keys in an event.
FIELDS: dict[str, tuple[str, ...]] = {name: tuple(schema().fields) for name, schema in SCHEMAS.items()}


def matches(pattern: str, event_type: str) -> bool:
    """Whether an event type falls under `*`, `family.*` or its own name."""
    return (
        pattern == "*"
        or pattern == event_type
        or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
    )


def is_pattern(pattern: str) -> bool:
    """Whether a pattern can match any event type at all."""
    return any(matches(pattern, event_type) for event_type in EVENT_TYPES)


def sample(event_type: str) -> dict[str, Any]:
    """A made-up event of a type, from the examples of its schema; `test` is true."""
    event = {name: field.metadata["examples"][0] for name, field in SCHEMAS[event_type]().fields.items()}
    operations = dict.fromkeys(("user.unknown", "device.silent", "device.back")) | {
        "attendance.photo": "RealTimeAttendancePhoto",
        "attendance.day_changed": None,
        "user.updated": "ManuallyUserUpdatedWithCard",
        "credential.updated": "ManuallyUserUpdatedWithFingerPrint",
        "user.deleted": "ManuallyUserDeleted",
        "device.time_changed": "ManuallyDateModified",
        "command.completed": "EnableUser",
        "command.failed": "EnableUser",
        "callback.unrecognised": None,
        "subscription.disabled": None,
    }
    event |= {
        "id": event["id"][:-1] + ids.encode(EVENT_TYPES.index(event_type), 1),  # no two samples share an id
        "type": event_type,
        "operation": operations.get(event_type, event["operation"]),
        "test": True,
    }
    if event_type == "command.failed":
        event |= {
            "status_code": 9,
            "status_name": "User Not Found",
            "message": "No user has this ID on the device.",
        }
    if event["operation"] is None:
        event["operation_id"] = None
    if event_type in ("attendance.day_changed", "subscription.disabled"):  # of no device
        event |= {"device_id": None, "device_label": None, "device_serial": None}
    return event
