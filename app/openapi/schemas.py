"""The shapes that the relay answers with, as JSON Schema 2020-12 with examples. Events are in `app.events.types`."""

from __future__ import annotations

from app.openapi.bodies import attendance_row, punch_row
from app.openapi.parts import Json, flag, integer, many, number, one, ref, text, words
from app.store.api_keys import SCOPES
from app.store.commands import STATUSES
from app.store.devices import MODES

_AT = "2026-11-24T03:31:46.120Z"
_DEVICE_ID = text("The device's Service Tag ID (stgid).", "ZHM1100001")
_COMMAND_ID = text("The command's id.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")

# Errors: RFC 9457

_PROBLEM: dict[str, Json] = {
    "type": text("A URI of the kind of problem; about:blank where the status says it all.", "about:blank"),
    "title": text("The HTTP status in words.", "Unprocessable Entity"),
    "status": integer("The HTTP status.", 422),
    "detail": text("What is wrong and what to do about it.", "user_id: is required, e.g. '100'"),
    "errors": many(
        "One entry for each field or parameter at fault; missing where none is.",
        one(
            {
                "field": text("The field's name.", "user_id"),
                "message": text("What is wrong with it.", "is required, e.g. '100'"),
            }
        ),
    ),
}
PROBLEM = one(_PROBLEM, optional=("errors",), description="An error (RFC 9457).")
_ACTION_PROBLEM_MORE: dict[str, Json] = {
    "command_id": text(
        "The command's id; null where none was made.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1", null=True
    ),
    "action": text("Which action it was.", "delete-user"),
    "device_id": text("The device's Service Tag ID.", "ZHM1100001"),
    "user_id": text("The user it was about.", "100", null=True),
    "operation_id": text("The OperationID sent to the gateway.", "8x2m1k6p9r5t7v3y2b14h3gw", null=True),
    "command_status": text("How the command ended: failed, unknown or cancelled.", "failed"),
    "status_code": integer("The gateway's StatusCode.", 9, null=True),
    "status_name": text("What that code means.", "User Not Found", null=True),
    "gateway_status": text("The gateway's own text.", "USER_NOT_FOUND", null=True),
}
ACTION_PROBLEM = one(
    {
        **_PROBLEM,
        "title": text("The HTTP status in words.", "Not Found"),
        "status": integer("The HTTP status.", 404),
        "detail": text(
            "What went wrong and what to do about it.",
            "No user with this ID is on the device: add the user first.",
        ),
        **_ACTION_PROBLEM_MORE,
    },
    optional=("errors", *_ACTION_PROBLEM_MORE),
    description="An error (RFC 9457), with the gateway's answer where it gave one.",
)

# Commands

_BRIEF: dict[str, Json] = {
    "command_id": _COMMAND_ID,
    "action": text("Which action it is.", "load-log"),
    "device_id": _DEVICE_ID,
    "user_id": text("The user it is about; null where it is about none.", "100", null=True),
    "operation_id": text("The OperationID sent to the gateway.", "8x2m1k6p9r5t7v3y2b14h3gw"),
    "status": words("How far it is.", "completed", *(name for name in STATUSES if name != "completed")),
    "status_code": integer("The gateway's StatusCode; null until it answered.", 0, null=True),
    "status_name": text("What that code means.", "Success", null=True),
    "message": text("What that means for you, in a sentence.", "Carried out.", null=True),
    "gateway_status": text("The gateway's own text.", "done", null=True),
}

_LOAD_LOG: dict[str, Json] = {
    "row_count": integer("How many punches are in `logs`.", 1),
    "reported_row_count": integer("How many rows the gateway said there are.", 1, null=True),
    "published_count": integer("With publish: how many of them were new.", None, null=True),
    "logs": many("The punches, flat.", punch_row()),
}
_DEVICE_INFORMATION: dict[str, Json] = {
    "device_model": text("The model.", "Hawking Plus (f38+)"),
    "manufacturer": text("Who made it.", "Dheeram Innovations"),
    "mac_address": text("Its network address.", "00-01-A9-16-27-AB"),
    "start_date": text("Start of the licence: ISO 8601 where day and month are unmistakable.", "03/04/2024"),
    "end_date": text("End of the licence: ISO 8601 where day and month are unmistakable.", "03/04/2025"),
    "last_connected_time": text("When it was last connected.", "2025-11-13T18:03:48+05:30"),
    "registered_users": integer("Users on it.", 12),
    "registered_faces": integer("Faces on it.", 9),
    "registered_fingerprints": integer("Fingerprints on it.", 24),
    "maximum_faces_supported": integer("How many faces fit.", 5000),
    "maximum_fingerprints_supported": integer("How many fingerprints fit.", 10000),
    "maximum_attendance_logs_supported": integer("How many punches fit.", 500000),
}
COMPLETED = one(_BRIEF, description="An action that was carried out.")
# The device tells what it tells: none of its fields is certain to be there.
_WITH_RESULT = {
    "load-log": ("LoadLogCompleted", one({**_BRIEF, **_LOAD_LOG})),
    "load-device-information": (
        "LoadDeviceInformationCompleted",
        one(
            {
                **_BRIEF,
                "action": text("Which action it is.", "load-device-information"),
                **_DEVICE_INFORMATION,
            },
            optional=tuple(_DEVICE_INFORMATION),
        ),
    ),
}
UNDER_WAY = one(
    {
        **_BRIEF,
        "status": words("How far it is.", "sending", "queued", "waiting"),
        "status_code": integer("The gateway's StatusCode so far.", None, null=True),
        "status_name": text("What that code means.", None, null=True),
        "message": text("What it waits for.", None, null=True),
        "gateway_status": text("The gateway's own text so far.", None, null=True),
        "status_url": text(
            "Ask there with GET until `status` is final.", "/v1/commands/cmd_004h3gw8x2m1k6p9r5t7v3y2b1"
        ),
    },
    description="An action that is under way.",
)


def completed(action: str) -> str:
    """The name of the schema an action answers with 200: the command, and its result beside."""
    return _WITH_RESULT[action][0] if action in _WITH_RESULT else "ActionCompleted"


_COMMAND_ROW: dict[str, Json] = {
    **_BRIEF,
    "requested_by": text("The name of the API key that asked for it.", "n8n"),
    "created_at": text("When it was asked for.", _AT),
    "sent_at": text("When it was last sent to the gateway.", _AT, null=True),
    "ended_at": text("When it ended.", _AT, null=True),
    "expires_at": text("When the relay gives up on it.", "2026-11-25T03:31:46.120Z"),
    "next_poll_at": text("When the gateway is asked again.", None, null=True),
}
COMMAND = one(_COMMAND_ROW, description="A command, without its data.")
COMMAND_WITH_RESULT = one(
    {**_COMMAND_ROW, **_LOAD_LOG, **_DEVICE_INFORMATION},
    optional=(*_LOAD_LOG, *_DEVICE_INFORMATION),
    description="A command; once it is completed, with the result of its action beside.",
)

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
    "Problem": PROBLEM,
    "ActionProblem": ACTION_PROBLEM,
    "ActionCompleted": COMPLETED,
    **dict(_WITH_RESULT.values()),
    "ActionUnderWay": UNDER_WAY,
    "Command": COMMAND,
    "CommandWithResult": COMMAND_WITH_RESULT,
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
