"""The catalogue for the no-code packages: events and actions with labels and kinds of fields, as one JSON document.

n8n-nodes/ and zapier-app/ generate their nodes and triggers from it (their build calls `scripts/catalog`), and
`app/openapi/make` generates the app for Make. New operations, events and fields appear in the packages automatically.
"""

from __future__ import annotations

from typing import Any

from app.events.samples import sample
from app.events.types import PUNCH_TYPES, SCHEMAS
from app.gateway.operations import CREDENTIAL_FIELDS, Subject
from app.openapi import action_bodies, command_schemas, event_schemas, schemas
from app.openapi.action_endpoints import description_of, summary_of
from app.openapi.vocabulary import Json
from app.schemas.actions import ACTIONS, Action

_LOWER = ("a", "and", "of", "the", "to", "with", "without")
_WORDS = {"id": "ID", "ids": "IDs", "pin": "PIN", "url": "URL", "utc": "UTC", "mime": "MIME", "mac": "MAC"}
_LABELS = {
    "device_id": "Device",
    "password": "PIN",
    "fingerprint_data": "Fingerprint Template",
    "face_data": "Face",
    "palm_data": "Palm Template",
    "user_photo_data": "User Photo",
    "publish": "Publish Missed Punches",
    "start": "Access From",
    "end": "Access Until",
    "card_last4": "Card's Last Four Characters",
    "test": "Is Test",
}
_RESOURCES = {
    "attendance": "AttendanceDay",
    "command": "CommandWithResult",
    "delivery": "Delivery",
    "device": "Device",
    "subscription": "Subscription",
}
_TIMES = ("start_time", "end_time", "start", "end")


def catalog() -> Json:
    """Return the parts of the catalogue as JSON, in the registry's order.

    `command` are the fields in every action's response, and an action's `result` are its additional fields. `resources`
    has the fields of each resource.
    """
    return {
        "events": [_event(event_type) for event_type in SCHEMAS],
        "punch_types": [{"value": name, "label": title(name)} for name in PUNCH_TYPES],
        "credentials": [
            {"type": kind, "label": _LABELS.get(kind, title(kind)), "data": data}
            for kind, data in CREDENTIAL_FIELDS.items()
        ],
        "command": values(command_schemas.COMPLETED),
        "resources": {
            resource: [
                {"value": field, "label": _label(field)} for field in schemas.COMPONENTS[name]["properties"]
            ]
            for resource, name in _RESOURCES.items()
        },
        "actions": [_action(action) for action in ACTIONS.values()],
    }


def title(text: str) -> str:
    """Return a text in title case: `user_id` → `User ID`, `Add user with card` → `Add User with Card`."""
    words = text.replace(".", " ").replace("_", " ").split()
    last = len(words) - 1
    return " ".join(
        word if word in _LOWER and 0 < place < last else _word(word) for place, word in enumerate(words)
    )


def _word(word: str) -> str:
    return _WORDS.get(word.lower(), word if word.isupper() else word[0].upper() + word[1:])


# Events


def _event(event_type: str) -> Json:
    made = event_schemas.event(event_type)
    return {
        "type": event_type,
        "label": title(event_type),
        "description": SCHEMAS[event_type].summary,
        "fields": [
            _value(name, part, example=sample(event_type)[name]) for name, part in made["properties"].items()
        ],
        "sample": sample(event_type),
    }


def _value(name: str, part: Json, *, example: Any) -> Json:
    """Return a field of an event or response. `type` is string, integer, number, boolean, or array with `fields`."""
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    made = {
        "name": name,
        "label": _label(name),
        "type": next(kind for kind in kinds if kind != "null"),
        "description": part["description"],
    }
    if made["type"] == "string" and name.endswith(("_at", "_at_utc", "_to", "_to_utc")):
        made["format"] = "date-time"
    if made["type"] == "array":
        return {**made, "fields": values(part["items"])}
    return {**made, "example": example}


def _label(name: str) -> str:
    """Return the label of a field in an event or response. In an action's body, `device_id` has a picker of devices."""
    return "Device ID" if name == "device_id" else _LABELS.get(name, title(name))


def values(schema: Json) -> list[Json]:
    """Return the fields of a response schema, in the same form as those of an event."""
    if "$ref" in schema:
        schema = schemas.COMPONENTS[schema["$ref"].rpartition("/")[2]]
    return [
        _value(name, part, example=part.get("examples", [None])[0])
        for name, part in schema["properties"].items()
    ]


# Actions


def _action(action: Action) -> Json:
    body = action_bodies.form_body(action)
    answer = schemas.COMPONENTS[command_schemas.completed(action.name)]
    common = command_schemas.COMPLETED["properties"]
    return {
        "name": action.name,
        "label": title(summary_of(action)),
        "summary": summary_of(action),
        "description": description_of(action),
        "effect": action.effect,
        "scope": action.scope,
        "subject": _subject(action),
        "credentials": list(action.operation.credentials if action.operation else CREDENTIAL_FIELDS),
        "fields": [
            _field(action, name, part, name in body["required"]) for name, part in body["properties"].items()
        ],
        "result": [value for value in values(answer) if value["name"] not in common],
    }


def _subject(action: Action) -> Subject:
    subject = action.operation.subject if action.operation else "user"
    assert subject is not None
    return subject


def _field(action: Action, name: str, part: Json, required: bool) -> Json:
    """Return a field of an action's body.

    `kind` is device, user (who is already on the device), text, pin, choice, index, file (Base64), time, flag or
    confirm.
    """
    made = {
        "name": name,
        "label": _LABELS.get(name, title(name)),
        "kind": _kind(action, name, part),
        "required": required,
        "description": part["description"],
        "example": part["examples"][0],
    }
    if "enum" in part:
        made["options"] = [{"value": value, "label": title(value)} for value in part["enum"]]
    if made["kind"] == "index":
        made |= {"minimum": part["minimum"], "maximum": part["maximum"]}
    return made


def _kind(action: Action, name: str, part: Json) -> str:
    if name == "device_id":
        return "device"
    if name == "user_id" and not action.name.startswith("add-user"):
        return "user"
    if name == CREDENTIAL_FIELDS["password"]:
        return "pin"
    if name in CREDENTIAL_FIELDS.values() and name.endswith("_data"):
        return "file"
    if name in _TIMES:
        return "time"
    if name == "confirm":
        return "confirm"
    if "enum" in part:
        return "choice"
    return {"integer": "index", "boolean": "flag"}.get(part["type"], "text")
