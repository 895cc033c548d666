"""AsyncAPI 3.0 description of the events that the relay sends to webhooks and on the event stream.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0. Payloads are JSON Schema, draft 07, the default
of AsyncAPI.
"""

from __future__ import annotations

from typing import Any

from app import __version__
from app.events.samples import sample
from app.events.types import EVENT_TYPES, SCHEMAS
from app.openapi.event_endpoints import DELIVERY_HEADERS
from app.openapi.event_schemas import event_schema_name, event_schemas
from app.openapi.titles import titled_component
from app.openapi.vocabulary import LOCAL_URL, Json

_ABOUT = (
    "The relay sends events of biometric attendance machines as flat JSON: each as an HTTP POST to every subscribed "
    "URL, and to the clients of its event stream. Fields can be added to events, so accept fields that you don't know. "
    "A delivery is repeated until it is answered with 2xx: use the event's id to recognise repetitions."
)
_CHANNELS: dict[str, Json] = {
    "webhook": {
        "address": None,
        "title": "Webhook",
        "description": "The target_url of a subscription, which POST /v1/subscriptions sets. Deliveries are signed as "
        "Standard Webhooks describes.",
        "bindings": {"http": {"bindingVersion": "0.3.0"}},
    },
    "stream": {
        "address": "/v1/events/stream",
        "title": "Event stream",
        "description": "Server-sent events. The field `event` has the event's type, `id` its ID and `data` its JSON.",
        "servers": [{"$ref": "#/servers/relay"}],
    },
}


def asyncapi() -> Json:
    """Return the complete document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cams-relay events",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
        },
        "defaultContentType": "application/json",
        "servers": {"relay": _server()},
        "channels": {name: {**channel, "messages": _in_components()} for name, channel in _CHANNELS.items()},
        "operations": _operations(),
        "components": {
            "schemas": {name: titled_component(name, schema) for name, schema in event_schemas().items()},
            "messages": {name: _message(name) for name in EVENT_TYPES},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key with events:read."}
            },
        },
    }


def _server() -> Json:
    protocol, _, host = LOCAL_URL.partition("://")
    return {
        "host": host,
        "protocol": protocol,
        "description": "The relay, where its event stream is read.",
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    }


def _operations() -> Json:
    return {
        "deliverEvent": {
            "action": "send",
            "channel": {"$ref": "#/channels/webhook"},
            "summary": "Deliver an event to a webhook",
            "description": "The relay POSTs the event to the target_url of each subscription that matches it.",
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        },
        "streamEvent": {
            "action": "send",
            "channel": {"$ref": "#/channels/stream"},
            "summary": "Send an event on the stream",
            "description": "The relay sends the event to the clients that have the stream open, and with "
            "Last-Event-ID the events that they missed.",
            "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        },
    }


def _in_components() -> Json:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in EVENT_TYPES}


def _message(event_type: str) -> Json:
    return {
        "name": event_type,
        "title": event_type,
        "summary": SCHEMAS[event_type].summary,
        "contentType": "application/json",
        "headers": _headers(),
        "payload": {"$ref": f"#/components/schemas/{event_schema_name(event_type)}"},
        "examples": [{"name": "sample", "payload": sample(event_type)}],
    }


def _headers() -> Json:
    """Return the headers of a webhook delivery. The stream has no headers for each event."""
    return {
        "type": "object",
        "properties": {header["name"]: _described(header) for header in DELIVERY_HEADERS},
    }


def _described(header: Json) -> Json:
    made: dict[str, Any] = {**header["schema"], "description": header["description"]}
    return made
