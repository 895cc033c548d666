"""Events, and the rows that have an event's fields, as JSON Schema."""

from __future__ import annotations

from app.attendance.rules import COLUMNS
from app.events.samples import sample
from app.events.types import COMMAND_ENDS, EVENT_TYPES, SCHEMAS, AttendanceDayChanged, AttendancePunch
from app.openapi.json_schema import json_schema
from app.openapi.titles import pascal
from app.openapi.vocabulary import Json
from app.schemas.deprecations import DEPRECATED_EVENT_TYPES

# The fields of an event that a row of LoadLog's result doesn't have (workers/commands/load_log.py).
_ROW_LACKS = ("id", "type", "received_at", "test", "revision", "operation", "operation_id")
# Event types with the same fields share a schema, because a parser can't tell identical schemas apart.
_SAME_FIELDS = dict.fromkeys(COMMAND_ENDS.values(), "CommandEndedEvent")


def event_schemas() -> dict[str, Json]:
    """Return the schemas of all event types by name."""
    types: dict[str, list[str]] = {}
    for event_type in EVENT_TYPES:
        types.setdefault(event_schema_name(event_type), []).append(event_type)
    return {name: event(*found) for name, found in types.items()}


def event_catalogue() -> list[Json]:
    """Return each event type with its meaning, JSON Schema and a sample."""
    return [
        {
            "type": name,
            "summary": schema.summary,
            "schema_version": 1,
            "deprecated": name in DEPRECATED_EVENT_TYPES,
            "schema": {key: value for key, value in event(name).items() if key != "examples"},
            "sample": sample(name),
        }
        for name, schema in SCHEMAS.items()
    ]


def event(*event_types: str) -> Json:
    """Return the schema shared by event types with the same fields."""
    made = json_schema(SCHEMAS[event_types[0]]())
    made["properties"]["type"] |= {"enum": list(event_types), "examples": [event_types[0]]}
    made["examples"] = [sample(event_type) for event_type in event_types]
    # Subscribers must accept fields that later versions add.
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def event_schema_name(event_type: str) -> str:
    """Return the name of an event type's schema: `attendance.punch` → `AttendancePunchEvent`."""
    return _SAME_FIELDS.get(event_type) or f"{pascal(event_type)}Event"


def punch_row() -> Json:
    """Return the schema of a row of LoadLog's result: a punch without the fields that only an event has."""
    made = {"title": "PunchRow", **json_schema(AttendancePunch(exclude=_ROW_LACKS))}
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def attendance_row() -> Json:
    """Return the schema of a row of the attendance view: that of its event without the fields that only events have."""
    made = json_schema(AttendanceDayChanged(only=COLUMNS))
    made["properties"] = {name: made["properties"][name] for name in COLUMNS}
    return {key: value for key, value in made.items() if key != "additionalProperties"}
