"""The flat bodies of actions as JSON Schema, and their examples."""

from __future__ import annotations

from app.gateway.operations import CREDENTIAL_FIELDS
from app.openapi.json_schema import json_schema
from app.openapi.vocabulary import Json
from app.schemas.actions import Action

_CREDENTIALS = frozenset(CREDENTIAL_FIELDS.values()) | {"fingerprint_index", "face_index", "palm_index"}


_TIME = "ISO 8601; without an offset, in the device's time zone."
_LOCAL_TIME = "ISO 8601; in the device's time zone."
_BASE64 = "Base64."
_FOR_PROGRAMS = {
    "fingerprint_data": _BASE64,
    "face_data": _BASE64,
    "palm_data": _BASE64,
    "user_photo_data": _BASE64,
    "start_time": _TIME,
    "end_time": _TIME,
    "start": _LOCAL_TIME,
    "end": _LOCAL_TIME,
    "confirm": "Must be true.",
}
"""Added to the fields' descriptions for programs. The forms of no-code tools convert and check these values."""


def action_body(action: Action) -> Json:
    """Return the flat body of an action for callers of the API."""
    made = form_body(action)
    for name, part in made["properties"].items():
        if name in _FOR_PROGRAMS:
            part["description"] += f" {_FOR_PROGRAMS[name]}"
    return made


def form_body(action: Action) -> Json:
    """Return the flat body of an action for a form, using only keywords that GPT actions and Gemini support.

    So no field can be null (although the relay accepts null), and `additionalProperties` is left out (although the
    relay refuses unknown fields).
    """
    made = json_schema(action.schema())
    made.pop("additionalProperties", None)
    for part in made["properties"].values():
        if isinstance(part["type"], list):
            part["type"] = next(kind for kind in part["type"] if kind != "null")
        if "enum" in part:
            part["enum"] = [value for value in part["enum"] if value is not None]
    return made


def described_body(action: Action) -> Json:
    """Return an action's body without examples of optional credentials, for the published description.

    Importers send the examples of all fields. Users would get a card and a PIN that nobody chose.
    """
    made = action_body(action)
    for name, part in made["properties"].items():
        if name not in made["required"] and name in _CREDENTIALS:
            del part["examples"]
    return made


def action_examples(action: Action) -> dict[str, Json]:
    """Return example bodies of an action by name."""
    properties = action_body(action)["properties"]
    full = {name: part["examples"][0] for name, part in properties.items()}
    if action.operation is not None:
        return {"example": full}
    # add-user has three: a typical body, one with card and PIN, and one with every field.
    person = {name: full[name] for name in ("device_id", "user_id", "first_name", "last_name", "user_type")}
    card = {name: full[name] for name in (CREDENTIAL_FIELDS["card"], CREDENTIAL_FIELDS["password"])}
    return {"profile_only": person, "card_and_pin": {**person, **card}, "everything": full}
