"""A strict JSON Schema of the function declarations that Gemini documents.

Sources: FunctionDeclaration and Schema in the REST references of the Gemini API and Vertex AI. Where they differ, the
stricter one applies.
"""

from __future__ import annotations

from jsonschema import Draft202012Validator

from tests.openapi.reading import Json

_INT64 = {"type": "string", "pattern": "^[0-9]+$"}
_COMMON = {
    "description": {"type": "string", "minLength": 1},
    "nullable": {"type": "boolean"},
}


def _kind(name: str, *needed: str, **more: Json) -> Json:
    return {
        "type": "object",
        "properties": {"type": {"const": name}, **_COMMON, **more},
        "required": ["type", *needed],
        "additionalProperties": False,
    }


_NUMBER = {"minimum": {"type": "number"}, "maximum": {"type": "number"}}
_TEXT = {"pattern": {"type": "string"}, "minLength": _INT64, "maxLength": _INT64}
_ENUM = {"format": {"const": "enum"}, "enum": {"type": "array", "items": {"type": "string"}, "minItems": 1}}
_PROPERTIES = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
    "additionalProperties": {"$ref": "#/$defs/schema"},
}
_OBJECT = _kind(
    "object",
    "properties",
    properties=_PROPERTIES,
    required={"type": "array", "items": {"type": "string"}, "minItems": 1},
)
TOOL: Json = {
    "type": "object",
    "properties": {
        "functionDeclarations": {"type": "array", "items": {"$ref": "#/$defs/declaration"}, "minItems": 1}
    },
    "required": ["functionDeclarations"],
    "additionalProperties": False,
    "$defs": {
        "declaration": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"},
                "description": {"type": "string", "minLength": 1},
                "parameters": _OBJECT,
            },
            "required": ["name", "description"],
            "additionalProperties": False,
        },
        "schema": {
            "oneOf": [
                _kind("string", format={"const": "date-time"}, **_TEXT),
                _kind("string", "format", "enum", **_ENUM),
                _kind("integer", format={"enum": ["int32", "int64"]}, **_NUMBER),
                _kind("number", format={"enum": ["float", "double"]}, **_NUMBER),
                _kind("boolean"),
                _kind("array", "items", items={"$ref": "#/$defs/schema"}, minItems=_INT64, maxItems=_INT64),
                _OBJECT,
            ]
        },
    },
}


def wrong_for_gemini(tool: Json) -> list[str]:
    """Lists the parts of a tool that Gemini doesn't document, each with its path."""
    found = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(TOOL).iter_errors(tool)]
    for declaration in tool["functionDeclarations"]:
        parameters = declaration.get("parameters", {"properties": {}})
        unknown = set(parameters.get("required", ())) - set(parameters["properties"])
        found += [f"{declaration['name']}: requires {name}, which it has not" for name in unknown]
    return found
