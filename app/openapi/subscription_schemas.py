"""JSON Schemas (2020-12), with examples, of subscriptions, deliveries and replays."""

from __future__ import annotations

from app.events.formats import FORMATS
from app.openapi.field_mapping import field_mapping
from app.openapi.vocabulary import AT, WARNING, Json, flag, integer, many, one, ref, text, words
from app.store.deliveries.lists import STATUSES
from app.store.subscriptions.signing import SIGNATURES

SUBSCRIPTION_PARTS: dict[str, Json] = {
    "id": text("The subscription's ID.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1"),
    "target_url": text(
        "URL that events are sent to. Without the scope subscriptions:write, only its scheme, host and port.",
        "https://hooks.example.com/punches",
    ),
    "event_types": many(
        "Event types, families such as user.*, or * for all.", text("A pattern.", "attendance.punch")
    ),
    "filters": one(
        {
            "device_ids": many(
                "Only these devices, or all devices if the list is empty.", text("A device.", "ZHM1100001")
            ),
            "user_ids": many("Only these users, or all users if the list is empty.", text("A user.", "100")),
            "punch_types": many(
                "Only these punch types, or all types if the list is empty.",
                text("A punch type.", "check_in"),
            ),
            "command_ids": many(
                "Only the results of these commands, or of all commands if the list is empty.",
                text("A command.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1"),
            ),
        },
        title="SubscriptionFilters",
    ),
    "unknown_device_ids": many(
        "Device IDs in filters that are not registered. Nothing is sent for them until they are. Check their spelling.",
        text("A device.", "ZHM1100001"),
    ),
    "warnings": many("Values in filters that match nothing now.", ref("Warning")),
    "format": words("Format of the delivery's body.", *FORMATS),
    "field_mapping": field_mapping(
        "The event field or constant for each name in the body; null if the event's own fields are sent."
    ),
    "template": text(
        "The text of a message, with fields in double braces; null if sentences are sent.",
        "{{user_name|user_id}} at {{device_label}}, {{local_time}}",
        null=True,
    ),
    "description": text("A description of its purpose.", "Punches to payroll", null=True),
    "headers": {
        "type": "object",
        "description": "Headers sent with each delivery. Their values are not shown.",
        "additionalProperties": {"type": "string"},
        "examples": [{"Authorization": "…"}],
    },
    "max_in_flight": integer("Maximum number of deliveries in progress at once.", 16),
    "batch_max": integer("Maximum number of events per delivery.", 1),
    "batch_wait_ms": integer("How long a batch waits for more events, in milliseconds.", 500),
    "signatures": many(
        "How deliveries are signed: hmac (v1, with the secret) or ed25519 (v1a, with the relay's key pair).",
        words("A kind of signature.", *SIGNATURES),
    ),
    "include_card_numbers": flag("Whether card numbers are sent."),
    "status": words(
        "Whether the subscription receives events. `parked` means that deliveries are waiting because its stored data "
        "is damaged.",
        "active",
        "disabled",
        "parked",
    ),
    "parked_reason": text("The damaged data in the store.", None, null=True),
    "disabled_reason": text("Why the subscription was disabled.", None, null=True),
    "created_at": text("When it was created.", AT),
    "created_by": text(
        "ID of the API key that created it; null if that isn't known.",
        "key_4h3gw8x2m1k6p9r5t7v3y2b1",
        null=True,
    ),
    "orphan_reason": text(
        "Why it may no longer be needed: the API key that created it was deleted (`api_key_deleted`), or its target "
        "answers 404 (`target_not_found`), as webhooks of deleted or inactive workflows do. Otherwise null.",
        "api_key_deleted",
        null=True,
    ),
    "expires_at": text(
        "When it is deleted automatically; null if it doesn't expire.", AT, null=True, format="date-time"
    ),
    "pending": integer("Deliveries waiting for their first attempt.", 0),
    "retrying": integer("Deliveries waiting for a retry.", 0),
    "dead": integer("Dead letters. They are not retried, but can be replayed.", 0),
    "delivered": integer("Successful deliveries.", 131),
    "failing_since": text("When the target started failing; null if it is working.", None, null=True),
}
SUBSCRIPTION = one(SUBSCRIPTION_PARTS, description="A subscription and the state of its deliveries.")
SUBSCRIPTION_WITH_SECRET = one(
    {
        **SUBSCRIPTION_PARTS,
        "secret": text(
            "Secret for verifying webhook-signature (Standard Webhooks). It is not shown again.",
            "whsec_bm8gcmVhbCBzZWNyZXQsIGp1c3QgbWFkZSB1cA==",
        ),
    }
)
NEW_SUBSCRIPTION = one(
    {
        **SUBSCRIPTION_PARTS,
        "secret": text(
            "Secret for verifying webhook-signature (Standard Webhooks). It is not shown again, and is null if the "
            "subscription already existed.",
            "whsec_bm8gcmVhbCBzZWNyZXQsIGp1c3QgbWFkZSB1cA==",
            null=True,
        ),
        "token": text(
            "Value of the header that token_header names; null without token_header. It is not shown again.",
            "aW52ZW50ZWQgZm9yIHRoZSBkb2N1bWVudGF0aW9uLi4",
            null=True,
        ),
    }
)
ATTEMPT = one(
    {
        "at": text("When the attempt was made.", AT),
        "response_status": integer(
            "The target's HTTP status; null if there was no response.", 200, null=True
        ),
        "duration_ms": integer("Duration in milliseconds.", 84, null=True),
        "error": text("What went wrong.", None, null=True),
        "response_body": text(
            "The first 2 KiB of the response to the latest failed attempt. Null if there was no body, if it is "
            "no longer stored, or if your key may not read it.",
            None,
            null=True,
        ),
    },
    title="DeliveryAttempt",
)
DELIVERY = one(
    {
        "id": text("The delivery's ID.", "dlv_4h3gw8x2m1k6p9r5t7v3y2b101kay8ds0r000000"),
        "subscription_id": text("The subscription.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1"),
        "event_id": text(
            "The event, which is also the webhook-id; null for a batch.", "evt_01kay8ds0r000000", null=True
        ),
        "batch_id": text("The batch (bat_…), which is also the webhook-id.", None, null=True),
        "event_ids": many(
            "The events; empty for a batch that ended.", text("An event.", "evt_01kay8ds0r000000")
        ),
        "event_count": integer("Number of events in the delivery.", 1),
        "event_type": text(
            "The event's type; null for a batch, or if the event has been removed.",
            "attendance.punch",
            null=True,
        ),
        "trigger": words(
            "Why the latest attempt was made, or why a pending delivery will be attempted.",
            "first",
            "retry",
            "replay",
            "test",
        ),
        "status": words(
            "Status of the delivery.", "delivered", *(name for name in STATUSES if name != "delivered")
        ),
        "created_at": text(
            "When the event was received or, for a test event that is sent later, when it will be sent.", AT
        ),
        "attempt_count": integer("Number of attempts.", 1),
        "response_status": integer("HTTP status of the latest attempt.", 200, null=True),
        "duration_ms": integer("Duration of the latest attempt, in milliseconds.", 84, null=True),
        "error": text("Error of the latest attempt.", None, null=True),
        "last_attempt_at": text("When the latest attempt was made.", AT, null=True),
        "next_attempt_at": text("When the next attempt will be made.", None, null=True),
        "attempts": many("The attempts, oldest first.", ATTEMPT),
    }
)
TEST_SENT = one(
    {
        "status": words("The status.", "queued"),
        "delivery_id": text(
            "The delivery's ID. Get the delivery to see the result.",
            "dlv_4h3gw8x2m1k6p9r5t7v3y2b101kay8ds0r000000t4h3gw8",
        ),
        "event_id": text(
            "The ID of the sample event; null if it is sent later.", "evt_01kay8ds0r000000", null=True
        ),
        "event": {
            "title": "TestEvent",
            "type": "object",
            "description": "The sample event.",
            "additionalProperties": True,
            "examples": [{"id": "evt_01kay8ds0r000000", "type": "attendance.punch", "test": True}],
        },
    }
)
PREVIEW = one(
    {
        "content_type": text("The media type.", "application/json"),
        "body": text(
            "The body of the delivery.", '{"text":"Test: Asha Rao (2) checked in at Front Door, 09:01"}'
        ),
        "event": {
            "title": "PreviewEvent",
            "type": "object",
            "description": "The sample event.",
            "additionalProperties": True,
            "examples": [{"id": "evt_01kay8ds0r000000", "type": "attendance.punch", "test": True}],
        },
    }
)
REPLAY = one(
    {
        "id": text("The replay's ID.", "rpl_4h3gw8x2m1k6p9r5t7v3y2b14h3gw8x2m1k6p9r5"),
        "subscription_id": text("The subscription.", "sub_4h3gw8x2m1k6p9r5t7v3y2b1"),
        "status": words("The status.", "queued", "running", "completed", "cancelled", "failed"),
        "since": text("Start of the time range; null for a replay of given events.", AT, null=True),
        "until": text("End of the time range.", "2026-11-25T00:00:00.000Z", null=True),
        "event_count": integer("Number of events; null until it is completed.", 2, null=True),
        "progress": integer("Number of events that it has queued so far.", 2),
        "created_at": text("When it was requested.", AT),
        "ended_at": text("When it was completed or cancelled.", None, null=True),
    }
)
SIGNING_KEY = one(
    {
        "kty": words("The key's type.", "OKP"),
        "crv": words("The curve.", "Ed25519"),
        "alg": words("The algorithm.", "EdDSA"),
        "use": words("The key's purpose.", "sig"),
        "kid": text("The key's ID: its thumbprint.", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        "x": text("The public key, in Base64url.", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
        "public_key": text(
            "The same key in the form of Standard Webhooks.",
            "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        ),
        "created_at": text("When it was created.", AT),
        "expires_at": text("When it stops signing; null for the newest key.", None, null=True),
    },
    description="A public key that verifies deliveries, as a JSON Web Key (RFC 8037).",
)
SIGNING_KEYS = one({"keys": many("The keys, newest first.", ref("SigningKey"))})

COMPONENTS: dict[str, Json] = {
    "Subscription": SUBSCRIPTION,
    "Warning": WARNING,
    "SubscriptionWithSecret": SUBSCRIPTION_WITH_SECRET,
    "NewSubscription": NEW_SUBSCRIPTION,
    "Delivery": DELIVERY,
    "TestSent": TEST_SENT,
    "DeliveryPreview": PREVIEW,
    "Replay": REPLAY,
    "SigningKey": SIGNING_KEY,
    "SigningKeys": SIGNING_KEYS,
}
