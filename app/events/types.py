"""The flat event types as marshmallow schemas: the one place samples, docs and OpenAPI are made from.

Contract §3. Every field of a type is always present; what is unknown is null. Nothing is nested.
"""

from __future__ import annotations

from marshmallow import fields

from app.events.event_schema import Event
from app.events.event_schema import field as _field
from app.events.event_schema import text as _text

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


class AttendancePunch(Event):
    event_type = "attendance.punch"
    summary = "Someone punched in or out on a device."
    from_operation = "RealTimePunchLog"

    punch_id = _text(
        "The punch's ID, the same for the same device, user and time.", "pun_4c1c3b5f0d3e8a9b77d01c2f"
    )
    revision = _field(
        fields.Integer,
        "The punch's version: 1, and 2, 3… each time the punch is sent again with different values.",
        1,
    )
    user_id = _text("The user's ID on the device.", "2")
    user_name = _text("The user's name, if known.", "Asha Rao", null=True)
    employee_id = _text("The employee ID, if the user is in the list of employees.", "EMP-0042", null=True)
    punch_type = _text(
        "check_in, check_out, break_out, break_in, overtime_in, overtime_out, meal_in or meal_out.",
        "check_in",
        null=True,
    )
    direction = _text("in or out.", "in", null=True)
    input_type = _text("fingerprint, face, palm, card, password and others.", "fingerprint", null=True)
    temperature_celsius = _field(fields.Float, "Body temperature, if measured.", 36.6, null=True)
    face_mask = _field(fields.Boolean, "Whether a face mask was worn.", False, null=True)
    local_date = _text("The date of the event, by the device's clock.", "2026-11-24")
    local_time = _text("The time of day of the event, by the device's clock.", "09:01:44")
    delay_seconds = _field(fields.Integer, "Seconds between the punch and its receipt.", 2)
    is_late_arrival = _field(
        fields.Boolean,
        "True if the relay received the punch more than 300 s after it was made. It doesn't say whether the person "
        "was late.",
        False,
    )
    clock_suspect = _field(
        fields.Boolean,
        "True if the time of the punch is more than 2 h in the future or older than the retention period.",
        False,
    )


class AttendancePhoto(Event):
    event_type = "attendance.photo"
    summary = "A device took a photo when a user punched."
    from_operation = "RealTimeAttendancePhoto"

    user_id = _text("The user's ID on the device.", "3", null=True)
    employee_id = _text("The employee ID, if the user is in the list of employees.", None, null=True)
    photo_url = _text(
        "Link to the photo. It is valid for seven days and requires no API key.",
        "https://relay.example.com/photos/pho_00…",
    )
    photo_mime = _text("The photo's media type.", "image/jpeg")
    photo_size_bytes = _field(fields.Integer, "Size of the photo in bytes.", 28112)


class AttendanceDayChanged(Event):
    event_type = "attendance.day_changed"
    summary = "A person's attendance for a day changed: first in, last out or hours."
    of_device = False

    date = _text("The day, in the site's time zone and according to RELAY_DAY_STARTS.", "2026-11-24")
    user_id = _text("The person's user ID on the devices.", "2")
    user_name = _text("The person's name, if known.", "Asha Rao", null=True)
    employee_id = _text("The employee ID, if the person is in the list of employees.", "EMP-0042", null=True)
    timezone = _text(
        "The site's time zone, or its UTC offset if the device has no time zone set.", "Asia/Kolkata"
    )
    first_in = _text("The first punch of the day (ISO 8601).", "2026-11-24T09:01:44+05:30", null=True)
    first_in_device_id = _text("The device of that punch.", "ZHM1100001", null=True)
    last_out = _text("The last punch of the day (ISO 8601).", "2026-11-24T18:10:02+05:30", null=True)
    last_out_device_id = _text("The device of that punch.", "ZHM1100001", null=True)
    worked_seconds = _field(
        fields.Integer, "Seconds from first in to last out; null if either is missing.", 32898, null=True
    )
    worked_hours = _field(fields.Float, "The same duration in hours.", 9.14, null=True)
    present_seconds = _field(
        fields.Integer,
        "Seconds from each in to the next out, added up; null if ins and outs don't alternate.",
        29298,
        null=True,
    )
    present_hours = _field(fields.Float, "The same duration in hours.", 8.14, null=True)
    punch_count = _field(fields.Integer, "Number of punches on the day.", 4)
    missing_punch = _field(
        fields.Boolean,
        "True if the day is over and the first in or last out is missing, or a shift is longer than "
        "RELAY_LONGEST_SHIFT_HOURS.",
        False,
    )
    is_late = _field(
        fields.Boolean,
        "Whether the person was late: the first in is after RELAY_LATE_AFTER. It is null if that is not set.",
        False,
        null=True,
    )
    late_seconds = _field(fields.Integer, "How late the person was, in seconds; 0 if on time.", 0, null=True)
    day_over = _field(fields.Boolean, "Whether the day is over in the site's time zone.", False)
    correction_count = _field(
        fields.Integer, "Number of punches of the day that were added, changed or excluded by corrections.", 0
    )
    revision = _field(
        fields.Integer, "The version of this day: 1, and 2, 3… each time it is published again.", 2
    )


class AttendanceCorrected(Event):
    event_type = "attendance.corrected"
    summary = "A punch was corrected: added, changed, excluded or restored."

    correction_id = _text("The correction's ID.", "cor_0k2f7m3q9s1v5x8z4b6d0g2j")
    kind = _text("added, changed, excluded or restored.", "changed")
    user_id = _text("The person's user ID on the devices.", "2")
    user_name = _text("The person's name, if known.", "Asha Rao", null=True)
    employee_id = _text("The employee ID, if the person is in the list of employees.", "EMP-0042", null=True)
    punch_id = _text("The punch, as in attendance.punch. An added punch has its own ID.", "pun_5f0c1b2a3d4e")
    punched_at = _text(
        "When the punch counts from now on (ISO 8601); null if it doesn't count.",
        "2026-11-24T18:00:00+05:30",
        null=True,
    )
    direction = _text("in, out or null, as it counts from now on.", "out", null=True)
    reported_at = _text(
        "When the punch was made according to its device; null for an added punch.",
        "2026-11-24T18:10:02+05:30",
        null=True,
    )
    reported_direction = _text("The direction according to the device.", "out", null=True)
    reason = _text("Why it was corrected.", "The clock of the device was ten minutes fast.")
    author = _text("Who corrected it.", "Meera Iyer")


class UserUpdated(Event):
    event_type = "user.updated"
    summary = "A user was added or changed on a device."
    from_operation = "ManuallyUserUpdatedWithCard"

    user_id = _text("The user's ID on the device.", "5")
    first_name = _text("First name.", "Alex", null=True)
    last_name = _text("Last name.", "Thomas", null=True)
    full_name = _text("Both names.", "Alex Thomas", null=True)
    user_type = _text("user or admin.", "user", null=True)
    credentials_changed = _text(
        "Types of the credentials sent with the change, comma-separated.", "card,fingerprint"
    )


class CredentialUpdated(Event):
    event_type = "credential.updated"
    summary = "A user's card, PIN, fingerprint, face, palm or photo was added or changed."
    from_operation = "ManuallyUserUpdatedWithFingerPrint"

    user_id = _text("The user's ID on the device.", "8")
    credential_type = _text("card, password, fingerprint, face, palm or user_photo.", "fingerprint")
    credential_index = _field(
        fields.Integer,
        "The credential's index. For a fingerprint, it is the finger's number, from 0 to 9.",
        6,
    )
    credential_size_bytes = _field(fields.Integer, "Size of the data in bytes.", 1176, null=True)
    credential_digest = _text(
        "Keyed digest of the data. If the digest has changed, the data has changed.",
        "5b0c4f0c9d1e3a77b1f2c3d4e5f60718",
    )
    card_last4 = _text("The last four characters of the card number.", None, null=True)
    card_number = _text(
        "The card number; null unless the subscription was created with include_card_numbers.",
        None,
        null=True,
    )
    is_new = _field(fields.Boolean, "True if the relay had no credential with this type and index.", True)


class UserDeleted(Event):
    event_type = "user.deleted"
    summary = "A user was deleted on a device."
    from_operation = "ManuallyUserDeleted"

    user_id = _text("The user's ID on the device.", "1")


class UserUnknown(Event):
    event_type = "user.unknown"
    summary = "Someone punched who is neither a known user of the device nor in the list of employees."

    user_id = _text("The user ID of the punch.", "99")
    punch_event_id = _text("The ID of the punch event.", "evt_01kay8ds0r000000")


class DeviceSilent(Event):
    event_type = "device.silent"
    summary = "There was no contact from a device for a set number of minutes during its working hours."

    last_seen_at = _text("When the device was last in contact (UTC).", "2026-11-24T03:31:46.120Z")
    silent_after_minutes = _field(
        fields.Integer, "Number of minutes after which the device counts as silent.", 60
    )
    working_hours = _text("Hours during which contact is expected.", "Mon-Fri 08:00-18:00")


class DeviceBack(Event):
    event_type = "device.back"
    summary = "A silent device is back in contact."

    last_seen_at = _text("When the device was in contact again (UTC).", "2026-11-24T05:01:46.120Z")
    silent_since = _text(
        "When the device was last in contact before its silence (UTC).", "2026-11-24T03:31:46.120Z"
    )
    silent_seconds = _field(fields.Integer, "Seconds without contact.", 5400)


class DeviceTimeChanged(Event):
    event_type = "device.time_changed"
    summary = "A device's clock was set manually."
    from_operation = "ManuallyDateModified"

    changed_to = _text("The new time.", "2026-11-24T10:22:24+05:30")
    changed_to_utc = _text("The same time in UTC.", "2026-11-24T04:52:24Z")
    shift_seconds = _field(
        fields.Integer,
        "How far the clock was moved forward, in seconds. Negative if it was moved back.",
        -10807,
        null=True,
    )


class _CommandEnded(Event):
    command_id = _text("The command's ID.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")
    action = _text("The action.", "enable-user")
    user_id = _text("The user concerned.", "2", null=True)
    status = _text("How it ended: completed, failed, unknown or cancelled.", "completed")
    status_code = _field(fields.Integer, "The gateway's StatusCode.", 0, null=True)
    status_name = _text("Meaning of the code.", "Success", null=True)
    message = _text("What happened, and what to do about it.", "The command was carried out.", null=True)


class CommandCompleted(_CommandEnded):
    event_type = "command.completed"
    summary = "A device carried out a command."
    from_operation = "EnableUser"


class CommandFailed(_CommandEnded):
    event_type = "command.failed"
    summary = "A command ended without being carried out."
    from_operation = "EnableUser"


class CommandUnknown(_CommandEnded):
    event_type = "command.unknown"
    summary = "A command ended, and it is not known whether the device carried it out. Check the device."
    from_operation = "DeleteUser"


class CommandCancelled(_CommandEnded):
    event_type = "command.cancelled"
    summary = "A command was cancelled before anything was done."
    from_operation = "EnableUser"


class CallbackUnrecognised(Event):
    event_type = "callback.unrecognised"
    summary = "A device sent something that the relay can't read completely. The whole body is kept."

    body_url = _text(
        "Link to the body, valid for seven days. Secrets are removed, unless you send a key that has "
        "templates:read.",
        "https://relay.example.com/bodies/bod_00…",
    )
    reason = _text("The part of the body that was not understood.", "PunchLog.Temperature is not a number.")


class CallbackRefused(Event):
    event_type = "callback.refused"
    summary = (
        "Callbacks are refused, for example because the device isn't registered. Published at most once an hour "
        "for each source."
    )
    of_device = False

    address = _text("The IP address that sent the callbacks.", "203.0.113.7")
    claimed_device_id = _text(
        "The device ID in the Callback URL. It has not been verified.", "ZHM1100001", null=True
    )
    auth_token_hint = _text("Last four characters of the AuthToken, if there is one.", "OuKs", null=True)
    http_status = _field(fields.Integer, "The HTTP status that the gateway received.", 401)
    reason = _text(
        "unauthorised, malformed, undecryptable, too_large, over_quota or unavailable.", "unauthorised"
    )
    message = _text("What is wrong.", "No device has this AuthToken, or the URL is for a different device.")
    count = _field(fields.Integer, "Number of refused callbacks from this source.", 3)
    size_bytes = _field(fields.Integer, "Size of the latest refused callback, in bytes.", 412)
    first_refused_at = _text("When the first callback was refused (UTC).", "2026-11-24T03:31:46.120Z")
    last_refused_at = _text("When the latest callback was refused (UTC).", "2026-11-24T03:36:46.120Z")


class SubscriptionDisabled(Event):
    event_type = "subscription.disabled"
    summary = "The relay disabled a subscription because of its target."
    of_device = False

    subscription_id = _text("The subscription's ID.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1")
    target_url = _text(
        "Scheme, host and port of the target. The rest of a webhook's URL may be a secret.",
        "https://hooks.example.com",
    )
    reason = _text("Why the subscription was disabled or removed.", "The target failed for 5 days running.")


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
        CallbackRefused,
        CommandUnknown,
        CommandCancelled,
        AttendanceCorrected,
    )
}
EVENT_TYPES = tuple(SCHEMAS)
COMMAND_ENDS = {ending: f"command.{ending}" for ending in ("completed", "failed", "unknown", "cancelled")}
"""How a command can end, and the event that says so."""
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
