"""Converts marshmallow schemas to JSON Schema."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from app.openapi.vocabulary import Json, timed


def _no_name(_schema: type[Schema]) -> str:
    """Return no name, so that apispec writes a nested schema where it is used."""
    return ""


_PLUGIN = MarshmallowPlugin(schema_name_resolver=_no_name)
APISpec("", "", "3.1.0", plugins=[_PLUGIN])  # sets the plugin's OpenAPI version


def json_schema(schema: Schema) -> Json:
    """Return a marshmallow schema as JSON Schema."""
    assert _PLUGIN.converter is not None
    made: Json = _PLUGIN.converter.schema2jsonschema(schema)  # type: ignore[no-untyped-call]
    made["properties"] = {name: _with_pattern(timed(name, part)) for name, part in made["properties"].items()}
    if made.get("required"):
        made["required"] = [name for name in made["properties"] if name in made["required"]]
    return made


def _with_pattern(part: Json) -> Json:
    if "pattern" not in part:
        return part
    return {**part, "pattern": f"^{part['pattern'].removesuffix(chr(92) + 'Z')}$"}  # only Python has \Z


def described(schema: Schema, texts: dict[str, tuple[str, Any]], **formats: str) -> Json:
    """Add a description and an example to each field of a body. Raises KeyError for a field without them."""

    def describe(properties: dict[str, Json]) -> dict[str, Json]:
        made = {}
        for name, part in properties.items():
            description, example = texts[name]
            part = {
                key: value
                for key, value in part.items()
                if key != "examples" and (key, value) != ("default", None)
            }
            part |= {"description": description, "examples": [example]}
            if name in formats:
                part["format"] = formats[name]
            if "properties" in part:
                part["properties"] = describe(part["properties"])
            made[name] = part
        return made

    made = json_schema(schema)
    return {**made, "properties": describe(made["properties"])}


def change_of(body: Json, *fixed: str) -> Json:
    """Return the body of a PATCH. Missing fields don't change, so no field is required or has a default."""
    parts = {
        name: {key: value for key, value in part.items() if key != "default"}
        for name, part in body["properties"].items()
        if name not in fixed
    }
    rest = {key: value for key, value in body.items() if key not in ("required", "properties")}
    return {**rest, "properties": parts}
