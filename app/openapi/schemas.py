"""JSON Schemas (2020-12), with examples, of the relay's responses.

Commands and errors are in `command_schemas`, subscriptions and deliveries in `subscription_schemas`, corrections in
`attendance_schemas`, and events in `app.events.types`.
"""

from __future__ import annotations

from app.gateway.legacy_callbacks import CHOICES
from app.openapi import attendance_schemas, command_schemas, subscription_schemas
from app.openapi.event_schemas import attendance_row
from app.openapi.vocabulary import AT, Json, flag, integer, many, number, one, ref, text, words
from app.store.access.scopes import SCOPES
from app.store.devices.registry import DIRECTIONS, MODES

_DEVICE_ID = text("The device's Service Tag ID (stgid).", "ZHM1100001")
# Devices and users

DEVICE = one(
    {
        "id": _DEVICE_ID,
        "device_id": _DEVICE_ID,
        "gateway_url": text(
            "URL that the device's commands are sent to.",
            "https://robot.camsunit.com/external/api3.0/biometric",
            null=True,
        ),
        "label": text("Its name.", "Front Door", null=True),
        "serial_number": text("The device's serial number.", "ZHM1100001", null=True),
        "mode": words("How the device is connected to the gateway.", *MODES),
        "timezone": text("Time zone for times without an offset.", "Asia/Kolkata"),
        "direction": words(
            "Direction of the device's punches: `by_type` follows the type of each punch; `in` or `out` applies "
            "to all of them.",
            *DIRECTIONS,
        ),
        "same_visit_seconds": integer(
            "Seconds within which a person's punches count as one in the attendance view. null uses "
            "RELAY_SAME_VISIT_SECONDS.",
            300,
            null=True,
        ),
        "silent_after_minutes": integer(
            "Minutes without contact during working hours after which the device counts as silent. 0 turns this off. "
            "null uses RELAY_SILENT_AFTER_MINUTES.",
            60,
            null=True,
        ),
        "working_hours": text(
            "Hours during which contact is expected. null uses RELAY_WORKING_HOURS.", None, null=True
        ),
        "created_at": text("When the device was registered.", AT),
        "simulated": flag("Whether the device is simulated."),
        "has_security_key": flag("Whether callbacks and commands are encrypted."),
        "security_key_old_until": text(
            "When the previous Security Key stops being accepted; null if there is none.", None, null=True
        ),
        "require_callback_secret": flag("Whether the Callback URL must contain the device's secret, ?k=…."),
        "legacy_callbacks": words(
            "Older version of the Web API whose callbacks are also accepted.", *CHOICES
        ),
        "auth_token_hint": text("Last four characters of the device's AuthToken.", "OuKs"),
        "callback_url": text(
            "Set this as the Callback URL in the API Monitor. It contains the callback secret only in the "
            "response that created the secret.",
            "https://relay.example.com/callback/ZHM1100001",
        ),
        "last_seen_at": text("When the device last sent a callback.", AT, null=True),
        "silent_since": text(
            "When the device was last in contact, if device.silent was published; otherwise null.",
            None,
            null=True,
        ),
        "callbacks": integer("Callbacks accepted.", 120),
        "events": integer("Events created from callbacks.", 131),
        "duplicates": integer("Duplicate callbacks and punches.", 2),
        "unrecognised": integer("Callbacks that could not be read completely.", 0),
        "clock_suspect": integer("Punches whose time is far in the future or very old.", 0),
        "stale": integer("User changes ignored because a newer one had already arrived.", 0),
        "refused_callbacks": integer(
            "Callbacks refused in the last seven days that contained the device's AuthToken or were sent to its "
            "Callback URL, including those from before it was registered.",
            3,
        ),
        "refused_since": text("When the first of these callbacks was refused.", AT, null=True),
        "refused_note": text(
            "A sentence that explains these refusals; null once a callback from the device has been accepted again.",
            "3 callbacks with this device's AuthToken have been refused since 09:12. The gateway sends them again.",
            null=True,
        ),
    },
    optional=(
        "last_seen_at",
        "silent_since",
        "callbacks",
        "events",
        "duplicates",
        "unrecognised",
        "clock_suspect",
        "stale",
    ),
    description="A registered device. Its secrets are never shown.",
)
_CREDENTIAL: dict[str, Json] = {
    "credential_type": text("card, password, fingerprint, face, palm or user_photo.", "fingerprint"),
    "credential_index": integer(
        "The credential's index, for example the finger. It is 0 if the type has no index.", 6
    ),
    "credential_size_bytes": integer("Size of the data in bytes.", 1176, null=True),
    "credential_digest": text(
        "Keyed digest of the data. If the digest has changed, the data has changed.",
        "5b0c4f0c9d1e3a77b1f2c3d4e5f60718",
    ),
    "updated_at": text("When the credential was last changed.", AT, null=True),
}
USER = one(
    {
        "id": text("The user's ID on the device.", "100"),
        "user_id": text("The user's ID on the device.", "100"),
        "device_id": _DEVICE_ID,
        "device_label": text("The device's name.", "Front Door", null=True),
        "simulated": flag("Whether the device, and so the user, is simulated."),
        "first_name": text("First name.", "Manu", null=True),
        "last_name": text("Last name.", "Mona", null=True),
        "user_type": text("user or admin.", "user", null=True),
        "full_name": text("Both names.", "Manu Mona", null=True),
        "updated_at": text("When the profile was last changed.", AT, null=True),
        "source": words(
            "Where the profile comes from: the device itself or, until it reports the user, a command that it carried "
            "out.",
            "device",
            "command",
        ),
        "credentials": many(
            "Credentials by type and index, without their data.", one(_CREDENTIAL, title="UserCredential")
        ),
    },
    description="A user on one device.",
)
USER_EVERYWHERE = one(
    {
        "id": text("The user's ID.", "100"),
        "user_id": text("The user's ID.", "100"),
        "full_name": text("Both names.", "Manu Mona", null=True),
        "devices": many("The user's data on each device that reported it.", ref("User")),
    }
)
CREDENTIAL = one(
    {
        "user_id": text("The user's ID on the device.", "100"),
        "device_id": _DEVICE_ID,
        **_CREDENTIAL,
        "data": text("Card number, PIN, or Base64 data.", "TW9TUzIxAAAELC4E"),
    },
    description="A credential with its data.",
)
# Attendance

ATTENDANCE_DAY = attendance_row()
ATTENDANCE_MONTH = one(
    {
        "user_id": text("The person's user ID on the devices.", "2"),
        "user_name": text("The person's name, if known.", "Asha Rao", null=True),
        "employee_id": text("The person's employee ID.", "EMP-0042", null=True),
        "month": text("The month.", "2026-11"),
        "days_present": integer("Number of days with a punch.", 1),
        "late_days": integer("Number of days on which the person was late (`is_late`).", 0),
        "missing_punch_days": integer("Number of days with a missing first in or last out.", 0),
        "worked_seconds": integer("Total time from first in to last out, in seconds.", 32898),
        "worked_hours": number("The same duration in hours.", 9.14),
        "data": many("Days with a punch, by date.", ref("AttendanceDay")),
    },
    description="A person's attendance in a month.",
)
EMPLOYEE = one(
    {
        "id": text("The user's ID on the devices.", "2"),
        "user_id": text("The user's ID on the devices.", "2"),
        "employee_id": text("The company's ID for the employee.", "EMP-0042"),
        "name": text("Their name.", "Asha Rao", null=True),
        "device_id": text(
            "The device on which this user ID belongs to the employee. If null, it applies to all devices.",
            None,
            null=True,
        ),
    },
    description="An employee.",
)
EMPLOYEES_TAKEN = one(
    {
        "added": integer("Number of employees added.", 12),
        "changed": integer("Number of employees changed.", 1),
        "unchanged": integer("Number of employees that didn't change.", 87),
        "removed": integer("Number of employees removed.", 0),
        "unknown_device_ids": many(
            "Device IDs in the list that are not registered, at most 100. Check their spelling.",
            text("A device.", "SITE-B"),
        ),
    }
)
# Keys and the relay itself

_KEY_DEVICES: Json = {
    "type": ["array", "null"],
    "description": "The only devices that the key may access; null for all devices.",
    "items": text("A device.", "ZHM1100001"),
    "examples": [["ZHM1100001"]],
}
KEY_PARTS: dict[str, Json] = {
    "id": text("The key's ID.", "key_4h3gw8x2m1k6p9r5t7v3y2b1"),
    "name": text("Name of the key.", "n8n"),
    "scopes": many("Scopes of the key.", words("A scope.", *SCOPES)),
    "device_ids": _KEY_DEVICES,
    "key_hint": text("The last four characters of the key.", "x7Qd"),
    "created_at": text("When it was created.", AT),
    "expires_at": text("When the key expires; null if it never expires.", None, null=True),
    "last_used_at": text(
        "When the key was last used, accurate to the minute; null if it hasn't been used.", AT, null=True
    ),
    "previous_key_hint": text(
        "The last four characters of the previous secret, while it is still valid after a rotation.",
        None,
        null=True,
    ),
    "previous_key_expires_at": text(
        "When the previous secret expires; null if there is none.", None, null=True
    ),
}
API_KEY = one(KEY_PARTS, description="An API key, without the key itself.")
API_KEY_WITH_KEY = one(
    {**KEY_PARTS, "key": text("The key. It is not shown again.", "crk_made-up-key-of-the-documentation")}
)
REFUSED = one(
    {
        "id": text("The source's ID.", "ref_4c1c3b5f0d3e8a9b77d01c2f"),
        "address": text("IP address that sent the callbacks.", "203.0.113.7"),
        "claimed_device_id": text(
            "The device ID in the Callback URL. It has not been verified.", "ZHM1100001", null=True
        ),
        "auth_token_hint": text("Last four characters of the AuthToken, if there is one.", "OuKs", null=True),
        "http_status": integer("The HTTP status that the gateway received.", 401),
        "reason": text(
            "unauthorised, malformed, undecryptable, too_large, over_quota or unavailable.", "unauthorised"
        ),
        "message": text(
            "What is wrong and, if the callbacks match no registered device, what to do about it.",
            "No device has this AuthToken. Register the device. The gateway then sends the callbacks again.",
        ),
        "count": integer("Number of refused callbacks from this source.", 3),
        "size_bytes": integer("Size of the latest refused callback, in bytes.", 412),
        "first_refused_at": text("When the first callback was refused.", AT),
        "last_refused_at": text("When the latest callback was refused.", "2026-11-24T03:36:46.120Z"),
        "registered_device_id": text(
            "The device that is now registered with this AuthToken.", None, null=True
        ),
    },
    description="Refused callbacks from one source. A source is an address, a claimed device and a reason.",
)
AUDIT_ENTRY = one(
    {
        "id": text("The entry's ID.", "1795491104000-0"),
        "at": text("When it was done (UTC).", "2026-11-24T03:31:44.000Z"),
        "actor": text(
            "ID of the API key that was used, `command line`, or `relay` if the relay acted on its own.",
            "key_4h3gw8x2m1k6p9r5t7v3y2b1",
        ),
        "action": text("What was done.", "template.read"),
        "device_id": text("The device concerned.", "ZHM1100001", null=True),
        "user_id": text("The user concerned.", "2", null=True),
        "subject": text(
            "Another object that was affected, such as a key, subscription or credential.",
            "face:0",
            null=True,
        ),
        "detail": text("Details.", None, null=True),
    },
    description="An entry in the audit log.",
)
ME = one(
    {
        "id": text("The key's ID.", "key_4h3gw8x2m1k6p9r5t7v3y2b1"),
        "name": text("The key's name.", "n8n"),
        "scopes": many("The key's scopes.", words("A scope.", *SCOPES)),
        "device_ids": _KEY_DEVICES,
        "version": text("The relay's version.", "1.0.0"),
        "day_starts_minutes": integer("RELAY_DAY_STARTS, in minutes after midnight.", 240),
    }
)
HEALTH = one(
    {
        "status": words("Whether callbacks can be accepted.", "ok", "unavailable"),
        "version": text("The relay's version.", "1.0.0"),
        "store": words(
            "Status of the store. `foreign` means that it isn't the store that this machine's callbacks belong to. "
            "`refused` means that it can't be used with these settings.",
            *("ok", "away", "foreign", "refused"),
        ),
        "store_away_since": text(
            "When the store became unreachable; null if it can be reached.", None, null=True
        ),
        "spooled_bytes": integer("Size of the callbacks waiting on this process's disk, in bytes.", 0),
        "newest_backup_at": text(
            "When the relay last made a backup automatically (`RELAY_BACKUP_TO`); null if no such backup is known.",
            "2026-11-24T00:00:12.000Z",
            null=True,
        ),
        "instance": text(
            "An ID that is the same for all processes of this relay and different for other relays.",
            "4c1c3b5f0d3e",
        ),
        "store_id": text(
            "An ID of the store, which stays the same if the relay gets another URL; null if the store can't be "
            "reached.",
            "9f86d081884c7d65",
            null=True,
        ),
        "problems": many(
            "The warnings that mean that something isn't working now.",
            text("A sentence.", "The store can't write its append-only file. Check its log and its disk."),
        ),
        "warnings": many(
            "All findings about the store, the spool, background loops, targets, devices and refused callbacks.",
            text("A sentence.", "The store evicts keys."),
        ),
    }
)
CALLBACK_DONE = one({"status": words("It is stored.", "done")}, title="CallbackDone")
EVENT_TYPE = one(
    {
        "type": text("The event type.", "attendance.punch"),
        "summary": text("What it tells.", "Someone punched."),
        "schema_version": integer("Version of the schema. Added fields don't change it.", 1),
        "deprecated": flag("Whether a later version will stop publishing it."),
        "schema": {"type": "object", "description": "Its JSON Schema.", "examples": [{"type": "object"}]},
        "sample": {
            "type": "object",
            "description": "A made-up event.",
            "examples": [{"type": "attendance.punch", "test": True}],
        },
    }
)
COMPONENTS: dict[str, Json] = {
    **command_schemas.COMPONENTS,
    "Device": DEVICE,
    "EventTypeDetails": EVENT_TYPE,
    "User": USER,
    "UserEverywhere": USER_EVERYWHERE,
    "Credential": CREDENTIAL,
    **attendance_schemas.COMPONENTS,
    "Employee": EMPLOYEE,
    "EmployeesTaken": EMPLOYEES_TAKEN,
    "AttendanceDay": ATTENDANCE_DAY,
    "AttendanceMonth": ATTENDANCE_MONTH,
    **subscription_schemas.COMPONENTS,
    "ApiKeyDetails": API_KEY,  # not ApiKey, because code generators have a class with that name
    "ApiKeyWithKey": API_KEY_WITH_KEY,
    "AuditEntry": AUDIT_ENTRY,
    "RefusedCallbacks": REFUSED,
    "Me": ME,
    "Health": HEALTH,
}
