"""The shapes that the relay answers with, as JSON Schema 2020-12 with examples.

Commands and errors are in `command_schemas`, events in `app.events.types`.
"""

from __future__ import annotations

from app.openapi import command_schemas
from app.openapi.bodies import attendance_row
from app.openapi.parts import Json, flag, integer, many, number, one, ref, text, words
from app.store.api_keys import SCOPES
from app.store.devices import MODES

_AT = "2026-11-24T03:31:46.120Z"
_DEVICE_ID = text("The device's Service Tag ID (stgid).", "ZHM1100001")

# Devices and users

DEVICE = one(
    {
        "device_id": _DEVICE_ID,
        "gateway_url": text(
            "Where commands for it are sent.",
            "https://robot.camsunit.com/external/api3.0/biometric",
            null=True,
        ),
        "label": text("Its name.", "Front Door", null=True),
        "serial_number": text("Its serial number.", "ZHM1100001", null=True),
        "mode": words("How it is connected to the gateway.", *MODES),
        "timezone": text("The time zone of times without an offset.", "Asia/Kolkata"),
        "silent_after_minutes": integer(
            "Minutes of working hours until it is silent; 0: never; null: as the relay's.", 60, null=True
        ),
        "working_hours": text("When it is expected to be heard; null: as the relay's.", None, null=True),
        "created_at": text("When it was registered.", "2026-11-24T03:31:46+00:00"),
        "has_security_key": flag("Whether its callbacks and commands are encrypted."),
        "auth_token_hint": text("The last four characters of its AuthToken.", "OuKs"),
        "callback_url": text(
            "Set this as the Callback URL in the API Monitor.",
            "https://relay.example.com/callback/ZHM1100001",
        ),
        "last_seen_at": text("When it last sent something.", "2026-11-24T03:31:46Z", null=True),
        "silent_since": text("Where device.silent was published, when it was last heard.", None, null=True),
        "callbacks": integer("Callbacks taken.", 120),
        "events": integer("Events made of them.", 131),
        "duplicates": integer("Callbacks or punches that were known already.", 2),
        "unrecognised": integer("Callbacks that could not be read, in part.", 0),
        "clock_suspect": integer("Punches far ahead of our clock, or very old.", 0),
    },
    optional=(
        "last_seen_at",
        "silent_since",
        "callbacks",
        "events",
        "duplicates",
        "unrecognised",
        "clock_suspect",
    ),
    description="A registered device. Its secrets are never shown.",
)

_CREDENTIAL: dict[str, Json] = {
    "credential_type": text("card, password, fingerprint, face, palm or user_photo.", "fingerprint"),
    "credential_index": integer("Which of its kind; 0 where the type has none.", 6),
    "credential_size_bytes": integer("Size of its data.", 1176, null=True),
    "credential_digest": text(
        "Keyed digest: another value means other data.", "5b0c4f0c9d1e3a77b1f2c3d4e5f60718"
    ),
    "updated_at": text("When it was last changed.", "2026-11-24T09:01:44+05:30", null=True),
}
USER = one(
    {
        "user_id": text("The user's ID on the device.", "100"),
        "device_id": _DEVICE_ID,
        "device_label": text("The device's name.", "Front Door", null=True),
        "first_name": text("First name.", "Manu", null=True),
        "last_name": text("Last name.", "Mona", null=True),
        "user_type": text("user or admin.", "user", null=True),
        "full_name": text("Both names.", "Manu Mona", null=True),
        "updated_at": text("When the profile was last changed.", "2026-11-24T09:01:44+05:30", null=True),
        "credentials": many("Credentials by type and index, without their data.", one(_CREDENTIAL)),
    },
    description="A user on one device.",
)
USER_EVERYWHERE = one(
    {
        "user_id": text("The user's ID.", "100"),
        "full_name": text("Both names.", "Manu Mona", null=True),
        "devices": many("The user on each device that reported one.", ref("User")),
    }
)
CREDENTIAL = one(
    {
        "user_id": text("The user's ID on the device.", "100"),
        "device_id": _DEVICE_ID,
        **_CREDENTIAL,
        "data": text("A card's number, a PIN, or Base64.", "TW9TUzIxAAAELC4E"),
    },
    description="A credential with its data.",
)

# Attendance

ATTENDANCE_DAY = attendance_row()
ATTENDANCE_MONTH = one(
    {
        "user_id": text("The person's user ID on the devices.", "2"),
        "user_name": text("The person's name, where the relay knows it.", "Asha Rao", null=True),
        "employee_id": text("The person's employee ID.", "EMP-0042", null=True),
        "month": text("Which month.", "2026-11"),
        "days_present": integer("On how many days there was a punch.", 1),
        "late_days": integer("How many of them began late.", 0),
        "missing_punch_days": integer("How many of them lack an end.", 0),
        "worked_seconds": integer("From first in to last out of all days.", 32898),
        "worked_hours": number("The same in hours.", 9.14),
        "data": many("The days with a punch, by date.", ref("AttendanceDay")),
    },
    description="A person's month.",
)

EMPLOYEE = one(
    {
        "user_id": text("The user's ID on the devices.", "2"),
        "employee_id": text("What the company knows them by.", "EMP-0042"),
        "name": text("Their name.", "Asha Rao", null=True),
    },
    description="Who a user ID is.",
)
EMPLOYEES_TAKEN = one(
    {
        "added": integer("How many were new.", 12),
        "changed": integer("How many were different before.", 1),
        "unchanged": integer("How many were the same before.", 87),
        "removed": integer("How many were taken away.", 0),
    }
)

# Subscriptions

SUBSCRIPTION_PARTS: dict[str, Json] = {
    "id": text("The subscription's id.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1"),
    "target_url": text("Where events are sent.", "https://hooks.example.com/punches"),
    "events": many(
        "Event types, families such as user.*, or * for all.", text("A pattern.", "attendance.punch")
    ),
    "filters": one(
        {
            "device_ids": many("Only these devices; empty: all.", text("A device.", "ZHM1100001")),
            "user_ids": many("Only these users; empty: all.", text("A user.", "100")),
            "punch_types": many("Only these kinds of punch; empty: all.", text("A kind.", "check_in")),
            "command_ids": many(
                "Only the ends of these commands; empty: all.",
                text("A command.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1"),
            ),
        }
    ),
    "format": words("The form of a delivery's body.", "flat", "cloudevents", "raw"),
    "description": text("What it is for.", "Punches to payroll", null=True),
    "headers": {
        "type": "object",
        "description": "Headers sent along; their values are not shown.",
        "additionalProperties": {"type": "string"},
        "examples": [{"Authorization": "…"}],
    },
    "max_in_flight": integer("How many deliveries may be under way at once.", 16),
    "batch_max": integer("How many events a delivery may carry.", 1),
    "batch_wait_ms": integer("How long a batch waits to fill.", 500),
    "include_card_numbers": flag("Whether card numbers are sent."),
    "status": words("Whether it gets events.", "active", "disabled"),
    "disabled_reason": text("Why it was disabled.", None, null=True),
    "created_at": text("When it was made.", _AT),
    "pending": integer("Deliveries whose attempt is to come.", 0),
    "retrying": integer("Deliveries waiting for a retry.", 0),
    "dead": integer("Dead letters: given up, to be replayed.", 0),
    "delivered": integer("Deliveries that succeeded.", 131),
    "failing_since": text("Since when its target fails.", None, null=True),
}
SUBSCRIPTION = one(SUBSCRIPTION_PARTS, description="A subscription and the state of its deliveries.")
SUBSCRIPTION_WITH_SECRET = one(
    {
        **SUBSCRIPTION_PARTS,
        "secret": text(
            "Verifies webhook-signature (Standard Webhooks). Shown this once.",
            "whsec_bm8gcmVhbCBzZWNyZXQsIGp1c3QgbWFkZSB1cA==",
        ),
    }
)
ATTEMPT = one(
    {
        "at": text("When.", _AT),
        "response_status": integer("The target's HTTP status; null where it gave none.", 200, null=True),
        "duration_ms": integer("How long it took.", 84, null=True),
        "error": text("What went wrong.", None, null=True),
    }
)
DELIVERY = one(
    {
        "id": text("The delivery's id: the event's, or bat_… for a batch.", "evt_01kay8ds0r000000"),
        "event_id": text("The event; null for a batch.", "evt_01kay8ds0r000000", null=True),
        "event_count": integer("How many events it carries.", 1),
        "status": words("What became of it.", "delivered", "retrying", "dead", "dropped"),
        "attempt_count": integer("How often it was tried.", 1),
        "response_status": integer("The HTTP status of the latest attempt.", 200, null=True),
        "duration_ms": integer("How long the latest attempt took.", 84, null=True),
        "error": text("What went wrong with it.", None, null=True),
        "last_attempt_at": text("When it was last tried.", _AT),
        "next_attempt_at": text("When it will be tried again.", None, null=True),
        "attempts": many("The attempts, oldest first.", ATTEMPT),
    }
)
TEST_SENT = one(
    {
        "status": words("It is on its way.", "queued"),
        "event_id": text(
            "The id of the made-up event; null where it is sent later.", "evt_01kay8ds0r000000", null=True
        ),
        "event": {
            "type": "object",
            "description": "The event as it is sent.",
            "additionalProperties": True,
            "examples": [{"id": "evt_01kay8ds0r000000", "type": "attendance.punch", "test": True}],
        },
    }
)
REPLAYED = one(
    {
        "status": words("It is on its way.", "queued"),
        "event_count": integer("How many are sent again; null for a time range.", 2, null=True),
    }
)

# Keys and the relay itself

KEY_PARTS: dict[str, Json] = {
    "id": text("The key's id.", "key_4h3gw8x2m1k6p9r5t7v3y2b1"),
    "name": text("Whose key it is.", "n8n"),
    "scopes": many("What it may do.", words("A scope.", *SCOPES)),
    "key_hint": text("The last four characters of the key.", "x7Qd"),
    "created_at": text("When it was made.", _AT),
    "expires_at": text("When it ends working; null for never.", None, null=True),
}
API_KEY = one(KEY_PARTS, description="An API key, without itself.")
API_KEY_WITH_KEY = one(
    {**KEY_PARTS, "key": text("The key. Shown this once.", "crk_made-up-key-of-the-documentation")}
)
AUDIT_ENTRY = one(
    {
        "id": text("The entry's id.", "1795491104000-0"),
        "at": text("When, UTC.", "2026-11-24T03:31:44.000Z"),
        "actor": text(
            "The id of the API key that did it, or `command line`.", "key_4h3gw8x2m1k6p9r5t7v3y2b1"
        ),
        "action": text("What was done.", "template.read"),
        "device_id": text("The device it was about.", "ZHM1100001", null=True),
        "user_id": text("The user it was about.", "2", null=True),
        "subject": text("What else it was about: a key, a subscription, a credential.", "face:0", null=True),
        "detail": text("More of it.", None, null=True),
    },
    description="Something that matters, and who did it.",
)
ME = one(
    {
        "id": text("The key's id.", "key_4h3gw8x2m1k6p9r5t7v3y2b1"),
        "name": text("The key's name.", "n8n"),
        "scopes": many("What the key may do.", words("A scope.", *SCOPES)),
        "version": text("The relay's version.", "0.1.0"),
        "day_starts_minutes": integer("RELAY_DAY_STARTS, in minutes after midnight.", 240),
    }
)
HEALTH = one(
    {
        "status": words("Whether callbacks can be taken.", "ok", "unavailable"),
        "version": text("The relay's version.", "0.1.0"),
        "store": words("Whether the store answers.", "ok", "away"),
        "spooled_bytes": integer("Callbacks waiting on this process's disk.", 0),
        "warnings": many(
            "What is wrong with the store's settings.", text("A sentence.", "The store evicts keys.")
        ),
    }
)
CALLBACK_DONE = one({"status": words("It is stored.", "done")})

COMPONENTS: dict[str, Json] = {
    **command_schemas.COMPONENTS,
    "Device": DEVICE,
    "User": USER,
    "UserEverywhere": USER_EVERYWHERE,
    "Credential": CREDENTIAL,
    "Employee": EMPLOYEE,
    "EmployeesTaken": EMPLOYEES_TAKEN,
    "AttendanceDay": ATTENDANCE_DAY,
    "AttendanceMonth": ATTENDANCE_MONTH,
    "Subscription": SUBSCRIPTION,
    "SubscriptionWithSecret": SUBSCRIPTION_WITH_SECRET,
    "Delivery": DELIVERY,
    "TestSent": TEST_SENT,
    "Replayed": REPLAYED,
    "ApiKey": API_KEY,
    "ApiKeyWithKey": API_KEY_WITH_KEY,
    "AuditEntry": AUDIT_ENTRY,
    "Me": ME,
    "Health": HEALTH,
}
