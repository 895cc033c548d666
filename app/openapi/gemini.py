"""Converts the operations of a tag to Gemini's function declarations.

Spec: `FunctionDeclaration` and `Schema` of the Gemini API, a subset of OpenAPI 3.0. A function's name is the
operation's `operationId`. Its arguments are the body's fields and the path and query parameters, all at one level.
"""

from __future__ import annotations

from typing import Any

from app.openapi.vocabulary import Json

# The schema keywords that Gemini supports and this API needs. Gemini has lengths as strings (int64).
_KEPT = ("description", "minimum", "maximum", "pattern")
_FORMATS = ("date-time", "int32", "int64", "float", "double")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")


def declarations(document: Json) -> list[Json]:
    """Return the `functionDeclarations` for one of this package's OpenAPI 3.1 documents, in its order."""
    return [
        _declaration(operation, document)
        for item in document["paths"].values()
        for operation in item.values()
    ]


def _declaration(operation: Json, document: Json) -> Json:
    fields, required = _parameters(operation, document)
    if "requestBody" in operation:
        (content, *_) = operation["requestBody"]["content"].values()
        body = _resolved(content["schema"], document)
        fields |= body.get("properties", {})
        required += body.get("required", ())
    made: Json = {"name": operation["operationId"], "description": operation["description"]}
    if fields:  # Gemini refuses an object without properties
        made["parameters"] = _object(fields, required, document)
    return made


def _parameters(operation: Json, document: Json) -> tuple[dict[str, Json], list[str]]:
    fields: dict[str, Json] = {}
    required: list[str] = []
    for parameter in operation.get("parameters", ()):
        parameter = _resolved(parameter, document)
        if parameter["in"] == "header":
            continue  # headers are set by the calling program, not by the model
        fields[parameter["name"]] = {**parameter["schema"], "description": parameter["description"]}
        if parameter["required"]:
            required.append(parameter["name"])
    return fields, required


def _object(fields: dict[str, Json], required: list[str], document: Json) -> Json:
    """Return the schema of an object, without free-form objects, which Gemini doesn't support."""
    made = {name: _schema(part, document) for name, part in fields.items()}
    properties = {name: part for name, part in made.items() if part.get("properties") != {}}
    needed = [name for name in required if name in properties]
    return {"type": "object", "properties": properties} | ({"required": needed} if needed else {})


def _schema(schema: Json, document: Json) -> Json:
    schema = _resolved(schema, document)
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = next(name for name in kinds if name != "null")
    made: Json = {"type": kind, **{name: schema[name] for name in _KEPT if name in schema}}
    made |= {name: str(schema[name]) for name in _LENGTHS if name in schema}
    if schema.get("format") in _FORMATS:
        made["format"] = schema["format"]
    if kind == "string" and "enum" in schema:
        made |= {"format": "enum", "enum": [value for value in schema["enum"] if value is not None]}
    if "null" in kinds:
        made["nullable"] = True
    if kind == "array":
        made["items"] = _schema(schema["items"], document)
    if kind == "object":
        made |= _object(schema.get("properties", {}), list(schema.get("required", ())), document)
    if schema.get("examples"):
        made["description"] = _with_example(made.get("description", ""), schema["examples"][0])
    return made


def _with_example(description: str, example: Any) -> str:
    """Add a short example to the description, because Gemini only reads `example` at the root of a schema."""
    shown = str(example)
    if isinstance(example, bool | list | dict) or len(shown) > 40:
        return description
    return f"{description} E.g. {shown}".strip()


def _resolved(part: Json, document: Json) -> Json:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    found: Json = document["components"][kind][name]
    return found
