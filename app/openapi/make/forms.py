"""Converts the catalogue's fields to Make's parameters, and its values to interfaces and samples of bundles."""

from __future__ import annotations

from typing import Any

from app.openapi.vocabulary import Json

Fields = list[Json]

DEVICES = "rpc://listDevices"
USERS = "rpc://listUsers"

_ACRONYMS = {"API", "ID", "IDs", "MAC", "MIME", "PIN", "URL", "UTC"}

_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
_FROM_A_FILE = "From another module's file: `base64()` of its data."


def sentence(label: str) -> str:
    """Convert a label in title case to sentence case, as Make's reviewers require: `User ID`, `Card number`."""
    first, *rest = label.split(" ")
    return " ".join([first, *(word if word in _ACRONYMS else word.lower() for word in rest)])


# Parameters


def parameters(fields: Fields) -> Fields:
    """Return the parameters of an action's body. The user is nested below the device, so that Make can list users."""
    users = [_parameter(field) for field in fields if field["kind"] == "user"]
    made = []
    for field in fields:
        if field["kind"] == "device" and users:
            made.append({**_parameter(field), "options": {"store": DEVICES, "nested": users}})
        elif field["kind"] != "user":
            made.append(_parameter(field))
    return made


def _parameter(field: Json) -> Json:
    made: Json = {
        "name": field["name"],
        "label": sentence(field["label"]),
        "type": "text",
        "required": field["required"],
    }
    match field["kind"]:
        case "device":
            made |= {"type": "select", "options": DEVICES}
        case "user":
            made |= {"type": "select", "options": USERS}
        case "choice":
            made |= {"type": "select", "options": options(field["options"])}
        case "index":
            bounds = {"min": field["minimum"], "max": field["maximum"]}
            made |= {"type": "uinteger", "validate": bounds, "advanced": True}
        case "time":
            made |= {"type": "date"}
        case "flag" | "confirm":
            made |= {"type": "boolean"}
    help_text = field["description"].removesuffix(".")
    made["help"] = f"{help_text}. {_FROM_A_FILE}" if field["kind"] == "file" else f"{help_text}."
    return made


def options(choices: list[Json]) -> list[Json]:
    return [{"label": sentence(choice["label"]), "value": choice["value"]} for choice in choices]


def sent(field: Json) -> str:
    """Return the expression for a parameter in a body or query string. An empty parameter is left out."""
    return when(field["name"], field["required"]) if field["kind"] == "time" else given(field["name"])


def given(name: str) -> str:
    return f"{{{{parameters.{name}}}}}"


def when(name: str, required: bool = False) -> str:
    """Return the expression that formats a date as ISO 8601 with an offset."""
    made = f"formatDate(parameters.{name}, 'YYYY-MM-DDTHH:mm:ssZ', 'UTC')"
    return f"{{{{{made}}}}}" if required else f"{{{{if(parameters.{name}, {made}, undefined)}}}}"


# Interfaces


def interface(values: Fields) -> Fields:
    made = []
    for value in values:
        shown: Json = {"name": value["name"], "label": sentence(value["label"])}
        if value["type"] == "array":
            spec = {"type": "collection", "spec": interface(value["fields"])}
            made.append({**shown, "type": "array", "spec": spec})
        else:
            is_time = value.get("format") == "date-time"
            made.append({**shown, "type": "date" if is_time else _TYPES[value["type"]]})
    return made


def sample(values: Fields) -> Json:
    def one(value: Json) -> Any:
        return [sample(value["fields"])] if value["type"] == "array" else value["example"]

    return {value["name"]: one(value) for value in values}
