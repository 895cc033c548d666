"""The formats of a delivery's body, and which of them have a template or a field mapping. Contract §8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.events.types import FIELDS

CHATS = ("slack", "teams", "google_chat", "discord")
"""A message for people, in the shape that a platform's incoming webhooks take."""

MESSAGES = (*CHATS, "text")  # may have a template
FORMATS = ("flat", "cloudevents", "raw", *MESSAGES, "form")
MAPPED = ("flat", "form")  # may have a field mapping
ONE_AT_A_TIME = ("form",)  # can't hold a batch

EVENT_FIELDS = tuple(dict.fromkeys(name for names in FIELDS.values() for name in names))
"""The fields of all event types."""

FieldMapping = Mapping[str, Any]
"""Name in the body → the name of an event's field, or `{"value": constant}`."""


def mapped(event: Mapping[str, Any], mapping: FieldMapping) -> dict[str, Any]:
    """Apply a field mapping to an event: only its fields, in its order; null if the event doesn't have the field."""
    return {
        name: event.get(source) if isinstance(source, str) else source["value"]
        for name, source in mapping.items()
    }
