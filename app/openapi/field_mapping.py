"""JSON Schemas of a subscription's `field_mapping`, in request bodies and responses."""

from __future__ import annotations

from app.events.formats import EVENT_FIELDS
from app.openapi.vocabulary import Json, ref
from app.schemas.field_mapping import LONGEST_VALUE, MOST_NAMES

DESCRIPTION = (
    "The fields of the body, for the formats flat and form. Each name in the body is mapped to an event field or a "
    'constant, {"value": …}. Only these fields are sent. A field that an event doesn\'t have is null. At most 50.'
)
EXAMPLE: Json = {"employee": "user_id", "when": "occurred_at_utc", "source": {"value": "cams"}}

CONSTANT: Json = {
    "type": "object",
    "description": "A value that is the same for all events.",
    "properties": {
        "value": {
            "description": "The value.",
            "anyOf": [
                {"type": "string", "maxLength": LONGEST_VALUE},
                {"type": "number"},
                {"type": "boolean"},
            ],
            "examples": ["cams"],
        }
    },
    "required": ["value"],
    "additionalProperties": False,
}
_SOURCE: Json = {
    "anyOf": [
        {
            "type": "string",
            "description": "The name of an event's field.",
            "maxLength": max(map(len, EVENT_FIELDS)),
            "examples": ["user_id"],
        },
        ref("FieldMappingConstant"),
    ]
}


def field_mapping(description: str) -> Json:
    """Return the schema: an object with any property names, or null."""
    return {
        "type": ["object", "null"],
        "description": description,
        "additionalProperties": _SOURCE,
        "maxProperties": MOST_NAMES,
        "examples": [EXAMPLE],
    }
