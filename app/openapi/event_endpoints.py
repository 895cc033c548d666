"""Reading: events, users and their credentials, as endpoints; and the webhooks that bring events."""

from __future__ import annotations

from functools import partial

from app.events.types import EVENT_TYPES, SCHEMAS, sample
from app.openapi.bodies import event_schema_name
from app.openapi.parts import (
    CURSOR,
    LIMIT,
    Endpoint,
    Json,
    in_path,
    many,
    ok,
    page_of,
    parameter,
    ref,
    text,
)

_EVENT_ID = in_path("event_id", "The event's id.", "evt_01kay8ds0r000000")
_USER_ID = in_path("user_id", "The user's ID on the device.", "100")
_TYPE = parameter(
    "type",
    "An event type or a family such as user.*; several, separated by commas: "
    + ", ".join(EVENT_TYPES)
    + ". Left out: all.",
    text("", "attendance.punch"),
)
_ONE_TYPE = parameter(
    "type",
    f"An event type or a family such as user.*: {', '.join(EVENT_TYPES)}. Left out: attendance.punch.",
    text("", "attendance.punch"),
)
_DEVICE = parameter("device_id", "Only of this device.", text("", "ZHM1100001"))
_USER = parameter("user_id", "Only of this user.", text("", "100"))
_SINCE = parameter(
    "since",
    "Received at this time or later (ISO 8601; UTC where it has no offset).",
    text("", "2026-11-24T00:00:00Z"),
)
_UNTIL = parameter(
    "until",
    "Received at this time or earlier (ISO 8601; UTC where it has no offset).",
    text("", "2036-11-25T00:00:00Z"),
)
_FILTERS = (_TYPE, _DEVICE, _USER, _SINCE, _UNTIL)
_LAST_EVENT_ID = parameter(
    "Last-Event-ID", "Begin after this event.", text("", "evt_01kay8ds0r000000"), place="header"
)

EVENT: Json = {
    "oneOf": [ref(event_schema_name(name)) for name in EVENT_TYPES],
    "discriminator": {
        "propertyName": "type",
        "mapping": {name: f"#/components/schemas/{event_schema_name(name)}" for name in EVENT_TYPES},
    },
}
_EXAMPLE = sample("attendance.punch")

_read = partial(Endpoint, method="get", scopes=("events:read",))

ENDPOINTS: tuple[Endpoint, ...] = (
    _read(
        path="/v1/events",
        operation_id="listEvents",
        tags=("events",),
        summary="List events",
        description="A page of stored events, newest first, by type, device, user and time of receipt.",
        answers=ok("A page of events.", page_of("Event"), example={"data": [_EXAMPLE], "next_cursor": None}),
        parameters=(*_FILTERS, LIMIT, CURSOR),
    ),
    _read(
        path="/v1/events/samples",
        operation_id="sampleEvents",
        tags=("events",),
        summary="Get sample events",
        description="One to three events of a type as a bare array: real ones, or made-up ones where there are none "
        "yet. For a platform's field mapping.",
        answers=ok(
            "Samples.", many("The samples.", ref("Event"), minItems=1, maxItems=3), example=[_EXAMPLE]
        ),
        parameters=(_ONE_TYPE,),
    ),
    _read(
        path="/v1/events/stream",
        operation_id="streamEvents",
        tags=("events",),
        summary="Stream events",
        description="Server-sent events as they come, for as long as you listen. With Last-Event-ID, those after "
        "that one first.",
        answers=ok(
            "The stream: `id`, `event` (the type) and `data` (the flat event).",
            {"type": "string", "description": "Server-sent events."},
            media="text/event-stream",
            example="id: evt_01kay8ds0r000000\nevent: attendance.punch\ndata: {}\n\n",
        ),
        parameters=(*_FILTERS, _LAST_EVENT_ID),
    ),
    _read(
        path="/v1/events.csv",
        operation_id="exportEvents",
        tags=("events",),
        summary="Export events as CSV",
        description="The events that the filters let through as a CSV file, newest first; without `limit` all of "
        "them.",
        answers=ok(
            "The file.",
            {"type": "string", "description": "A heading, then a row for each event."},
            media="text/csv",
            example="id,type,occurred_at\r\nevt_01kay8ds0r000000,attendance.punch,2026-11-24T09:01:44+05:30\r\n",
        ),
        parameters=(*_FILTERS, LIMIT, CURSOR),
    ),
    _read(
        path="/v1/events/{event_id}",
        operation_id="getEvent",
        tags=("events",),
        summary="Get event",
        description="One event, with fresh signed URLs.",
        answers=ok("The event.", ref("Event"), example=_EXAMPLE),
        parameters=(_EVENT_ID,),
    ),
    _read(
        path="/v1/users",
        operation_id="listUsers",
        tags=("users",),
        summary="List users",
        description="A row for each user of each device that reported one, by user ID.",
        answers=ok("A page of users.", page_of("User")),
        parameters=(_DEVICE, LIMIT, CURSOR),
    ),
    _read(
        path="/v1/users/{user_id}",
        operation_id="getUser",
        tags=("users",),
        summary="Get user",
        description="One user on each device: profile, and credentials without their data.",
        answers=ok("The user.", ref("UserEverywhere")),
        parameters=(_USER_ID, _DEVICE),
    ),
    _read(
        path="/v1/users/{user_id}/credentials/{credential_type}/{index}",
        operation_id="getCredential",
        tags=("users",),
        summary="Get credential",
        description="A credential with its data. Who read it is written to the audit log.",
        answers=ok("The credential.", ref("Credential")),
        scopes=("templates:read",),
        parameters=(
            _USER_ID,
            in_path(
                "credential_type",
                "What kind of credential.",
                "card",
                enum=["card", "password", "fingerprint", "face", "palm", "user_photo"],
            ),
            in_path("index", "Which of its kind; 0 where the type has none.", 0, minimum=0, maximum=99),
            {**_DEVICE, "description": "The device whose credential it is.", "required": True},
        ),
    ),
)

# Webhooks


def _header(name: str, description: str, example: str) -> Json:
    return parameter(name, description, text("", example), place="header", required=True)


_DELIVERY_HEADERS = (
    _header("webhook-id", "The event's id, the same on every try; of a batch bat_….", "evt_01kay8ds0r000000"),
    _header("webhook-timestamp", "When this try was made, in seconds since 1970.", "1795491104"),
    _header(
        "webhook-signature",
        "v1, and the Base64 of HMAC-SHA256 over id.timestamp.body (Standard Webhooks); two while a secret is changed.",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
)


def webhooks() -> Json:
    """For each event type, what a subscribed URL is sent."""
    return {name: {"post": _webhook(name)} for name in EVENT_TYPES}


def _webhook(event_type: str) -> Json:
    name = event_schema_name(event_type)
    return {
        "operationId": f"on{name.removesuffix('Event')}",
        "tags": ["events"],
        "summary": SCHEMAS[event_type].summary.rstrip("."),
        "description": f"{SCHEMAS[event_type].summary} Sent to every subscription that takes {event_type}.",
        "security": [],
        "parameters": list(_DELIVERY_HEADERS),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": ref(name),
                    "examples": {"sample": {"summary": "A sample", "value": sample(event_type)}},
                }
            },
        },
        "responses": {
            "2XX": {"description": "Taken. Anything else but 410 is tried again on the schedule."},
            "410": {"description": "Gone: the subscription is removed."},
        },
    }
