"""The body of a delivery with one event, in each format, and the media types. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from app.events import messages
from app.events.formats import CHATS, MESSAGES, FieldMapping, mapped

_JSON = "application/json"
CONTENT_TYPES = {  # for one event, and for a batch
    "flat": (_JSON, _JSON),
    "raw": (_JSON, _JSON),
    "cloudevents": ("application/cloudevents+json", "application/cloudevents-batch+json"),
    **dict.fromkeys(CHATS, (_JSON, _JSON)),
    "text": ("text/plain; charset=utf-8",) * 2,
    "form": ("application/x-www-form-urlencoded",) * 2,
}


def preview(
    format_: str, event: Mapping[str, Any], field_mapping: FieldMapping | None, template: str | None
) -> bytes:
    """Return the body of a delivery with one event."""
    if format_ in MESSAGES:
        return messages.of_events(format_, [dict(event)], template)
    return event_body(format_, orjson.dumps(event), field_mapping)


def event_body(format_: str, flat: bytes, field_mapping: FieldMapping | None) -> bytes:
    """Return one event, given as the flat event's JSON, in a format that isn't a message for people."""
    if format_ == "cloudevents":
        return _cloud_event(orjson.loads(flat))
    if format_ == "form":
        event = orjson.loads(flat)
        return _form(mapped(event, field_mapping) if field_mapping else event)
    if format_ == "flat" and field_mapping:
        return orjson.dumps(mapped(orjson.loads(flat), field_mapping))
    return flat


def _form(fields: dict[str, Any]) -> bytes:
    """Return fields as strings for a form: an empty one for null, and `true` or `false` for booleans."""
    return urlencode({name: _form_value(value) for name, value in fields.items()}).encode()


def _form_value(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cloud_event(event: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event["id"],
            "source": f"/devices/{event['device_id']}" if event["device_id"] else "/relay",
            "type": event["type"],
            **({"subject": event["user_id"]} if event.get("user_id") else {}),
            "time": event["occurred_at"] or event["received_at"],
            "datacontenttype": "application/json",
            "data": event,
        }
    )
