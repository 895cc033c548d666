"""The endpoints for events, users and credentials, and the webhooks that deliver events."""

from __future__ import annotations

from functools import partial

from app.events.samples import sample
from app.events.types import EVENT_TYPES, SCHEMAS
from app.openapi.event_schemas import event_schema_name
from app.openapi.titles import pascal
from app.openapi.vocabulary import (
    ANY_KEY,
    CURSOR,
    LIMIT,
    WEBHOOKS_TAG,
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
from app.schemas.lengths import HIGHEST_INDEX
from app.store.access.scopes import PEOPLE_READERS

_EVENT_ID = in_path("event_id", "The event's ID.", "evt_01kay8ds0r000000")
_USER_ID = in_path("user_id", "The user's ID on the device.", "100")
_TYPE = parameter(
    "type",
    "One or more event types or families such as user.*, separated by commas: "
    + ", ".join(EVENT_TYPES)
    + ". The default is all types.",
    text("", "attendance.punch"),
)
_ONE_TYPE = parameter(
    "type",
    f"An event type or a family such as user.*: {', '.join(EVENT_TYPES)}. The default is attendance.punch.",
    text("", "attendance.punch"),
)
_DEVICES = parameter(
    "device_id", "Only events from this device. Separate several IDs with commas.", text("", "ZHM1100001")
)
_USERS = parameter(
    "user_id", "Only events about this user. Separate several IDs with commas.", text("", "100")
)
_USERS_DEVICES = parameter(
    "device_id", "Only users of this device. Separate several IDs with commas.", text("", "ZHM1100001")
)
_SINCE = parameter(
    "since",
    "Only events received at this time or later (ISO 8601; UTC if there is no offset).",
    text("", "2026-11-24T00:00:00Z"),
)
_OCCURRED_SINCE = parameter(
    "occurred_since",
    "Only events that occurred at this time or later, such as punches by their own time.",
    text("", "2026-11-24T00:00:00+05:30"),
)
_OCCURRED_UNTIL = parameter(
    "occurred_until",
    "Only events that occurred at this time or earlier.",
    text("", "2026-11-24T23:59:59+05:30"),
)
_UNTIL = parameter(
    "until",
    "Only events received at this time or earlier (ISO 8601; UTC if there is no offset).",
    text("", "2036-11-25T00:00:00Z"),
)
_FILTERS = (_TYPE, _DEVICES, _USERS, _SINCE, _UNTIL, _OCCURRED_SINCE, _OCCURRED_UNTIL)
_ORDER = parameter(
    "order",
    "`desc` returns the newest events first, `asc` the oldest first.",
    {"type": "string", "enum": ["desc", "asc"], "default": "desc"},
)
_AFTER = parameter(
    "after",
    "With `order=asc`, only events after this one, given by its ID. The event needn't exist any more.",
    text("", "evt_01kay8ds0r000000"),
)
_LIST = (*_FILTERS, _ORDER, _AFTER, LIMIT, CURSOR)
_LAST_EVENT_ID = parameter(
    "Last-Event-ID", "The stream starts after this event.", text("", "evt_01kay8ds0r000000"), place="header"
)
_LAST_EVENT_IN_QUERY = parameter(
    "last_event_id",
    "The same as Last-Event-ID, for clients that can't set a header.",
    text("", "evt_01kay8ds0r000000"),
)

EVENT: Json = {
    "oneOf": [ref(name) for name in dict.fromkeys(event_schema_name(name) for name in EVENT_TYPES)],
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
        tag="events",
        summary="List events",
        description="Returns stored events, newest first, filtered by type, device, user or time. To poll for new "
        "events, send `order=asc` and, in `after`, the ID of the last event you received.",
        answers=ok("A page of events.", page_of("Event"), example={"data": [_EXAMPLE], "next_cursor": None}),
        parameters=_LIST,
    ),
    Endpoint(
        method="get",
        path="/v1/event-types",
        operation_id="listEventTypes",
        tag="events",
        scopes=ANY_KEY,
        summary="List event types",
        description="Returns every event type with its meaning, JSON Schema and a sample, all in one page. Any "
        "version can add types and fields.",
        answers=ok(
            "The event types.", page_of("EventTypeDetails"), example={"data": [], "next_cursor": None}
        ),
    ),
    _read(
        path="/v1/events/samples",
        operation_id="sampleEvents",
        tag="events",
        summary="Get sample events",
        description="Returns one to three events of a type as a plain array, for field mapping in a no-code "
        "platform. If there are no real events yet, samples are returned.",
        answers=ok(
            "Samples.", many("The samples.", ref("Event"), minItems=1, maxItems=3), example=[_EXAMPLE]
        ),
        parameters=(_ONE_TYPE,),
    ),
    _read(
        path="/v1/events/stream",
        operation_id="streamEvents",
        tag="events",
        summary="Stream events",
        description="Streams new events as server-sent events until you close the connection. With "
        "Last-Event-ID, the stream resumes after that event.",
        answers=ok(
            "A stream of events with `id`, `event` (the type) and `data` (the flat event).",
            {"type": "string", "description": "Server-sent events."},
            media="text/event-stream",
            example="id: evt_01kay8ds0r000000\nevent: attendance.punch\ndata: {}\n\n",
        ),
        parameters=(*_FILTERS, _LAST_EVENT_ID, _LAST_EVENT_IN_QUERY),
    ),
    _read(
        path="/v1/events.csv",
        operation_id="exportEvents",
        tag="events",
        summary="Export events as CSV",
        description="Returns the events that match the filters as a CSV file, newest first unless "
        "`order=asc`. Without `limit`, the file contains all of them.",
        answers=ok(
            "The file.",
            {"type": "string", "description": "A header row, followed by one row per event."},
            media="text/csv",
            example="id,type,occurred_at\r\nevt_01kay8ds0r000000,attendance.punch,2026-11-24T09:01:44+05:30\r\n",
        ),
        parameters=_LIST,
    ),
    _read(
        path="/v1/events/{event_id}",
        operation_id="getEvent",
        tag="events",
        summary="Get event",
        description="Returns an event with new signed URLs.",
        answers=ok("The event.", ref("Event"), example=_EXAMPLE),
        parameters=(_EVENT_ID,),
    ),
    _read(
        path="/v1/users",
        scopes=PEOPLE_READERS,
        operation_id="listUsers",
        tag="users",
        summary="List users",
        description="Returns the users that devices have reported, one row per user and device, sorted by "
        "user ID.",
        answers=ok("A page of users.", page_of("User")),
        parameters=(_USERS_DEVICES, LIMIT, CURSOR),
    ),
    _read(
        path="/v1/users/{user_id}",
        scopes=PEOPLE_READERS,
        operation_id="getUser",
        tag="users",
        summary="Get user",
        description="Returns a user's profile and credentials on each device, without the credentials' data.",
        answers=ok("The user.", ref("UserEverywhere")),
        parameters=(_USER_ID, _USERS_DEVICES),
    ),
    _read(
        path="/v1/users/{user_id}/credentials/{credential_type}/{index}",
        operation_id="getCredential",
        tag="users",
        summary="Get credential",
        description="Returns a credential with its data. Each read is recorded in the audit log.",
        answers=ok("The credential.", ref("Credential")),
        scopes=("templates:read",),
        parameters=(
            _USER_ID,
            in_path(
                "credential_type",
                "The credential type.",
                "card",
                enum=["card", "password", "fingerprint", "face", "palm", "user_photo"],
            ),
            in_path(
                "index",
                "The credential's index, for example the finger. It is 0 if the type has no index.",
                0,
                minimum=0,
                maximum=HIGHEST_INDEX,
            ),
            {**_USERS_DEVICES, "description": "The device that the credential is on.", "required": True},
        ),
    ),
)

# Webhooks


def _header(name: str, description: str, example: str) -> Json:
    return parameter(name, description, text("", example), place="header", required=True, has_limit=False)


DELIVERY_HEADERS = (
    _header(
        "webhook-id",
        "The event's ID, or the batch's ID (bat_…). It is the same on every attempt.",
        "evt_01kay8ds0r000000",
    ),
    _header("webhook-timestamp", "Time of this attempt, as a Unix timestamp in seconds.", "1795491104"),
    _header(
        "webhook-signature",
        "v1, followed by the Base64 of the HMAC-SHA256 of id.timestamp.body (Standard Webhooks). While a "
        "secret is being rotated, there are two signatures.",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
)


def webhooks() -> Json:
    """Return, for each event type, the request that a subscribed URL receives."""
    return {name: {"post": _webhook(name)} for name in EVENT_TYPES}


def _webhook(event_type: str) -> Json:
    return {
        "operationId": f"on{pascal(event_type)}",
        "tags": [WEBHOOKS_TAG["name"]],
        "summary": SCHEMAS[event_type].summary.rstrip("."),
        "description": f"{SCHEMAS[event_type].summary} Sent to every webhook subscribed to {event_type}.",
        "security": [],
        "parameters": list(DELIVERY_HEADERS),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": ref(event_schema_name(event_type)),
                    "examples": {"sample": {"summary": "A sample", "value": sample(event_type)}},
                }
            },
        },
        "responses": {
            "2XX": {
                "description": "The delivery was accepted. After any other response except 410, it is retried."
            },
            "410": {"description": "The URL no longer exists. The subscription is disabled."},
        },
    }
