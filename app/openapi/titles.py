"""Adds titles to the inline objects and enumerations of a document.

Code generators name classes after titles. Without titles, they number the classes (`Status1`, `Status2`, …). A title
is the name of the component or operation, followed by the names of the fields: `DeliveryStatus`.
"""

from __future__ import annotations

import re

from app.openapi.vocabulary import Json


def pascal(name: str) -> str:
    """Convert a name to Pascal case: `user_type` → `UserType`, `addUser` → `AddUser`."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"\W|_", name))


def titled_component(name: str, schema: Json) -> Json:
    """Add titles to the inline schemas of a component, but not to the component, which has a name."""
    return _with_titled_parts(schema, name)


def titled(schema: Json, name: str) -> Json:
    """Add titles to an inline schema and the inline schemas in it. An existing title isn't changed."""
    name = schema.get("title", name)
    made = _with_titled_parts(schema, name)
    is_object = schema.get("type") == "object"
    return {"title": name, **made} if is_object or "enum" in schema else made


def _with_titled_parts(schema: Json, name: str) -> Json:
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {
            field: titled(part, name + pascal(field)) for field, part in schema["properties"].items()
        }
    if "items" in schema:
        made["items"] = titled(schema["items"], f"{name}Item")
    return made


def titled_operation(operation: Json) -> Json:
    """Add titles to an operation's bodies, responses and parameters."""
    name = pascal(operation["operationId"])
    made = dict(operation)
    if "parameters" in operation:
        made["parameters"] = [_titled_parameter(item, name) for item in operation["parameters"]]
    if "requestBody" in operation:
        made["requestBody"] = _titled_content(operation["requestBody"], f"{name}Body")
    made["responses"] = {
        status: _titled_content(response, f"{name}Response")
        for status, response in operation["responses"].items()
    }
    return made


def _titled_parameter(parameter: Json | str, name: str) -> Json | str:
    """Add a title to a parameter's schema. If `parameter` is the name of a component, return it unchanged."""
    if isinstance(parameter, str) or "schema" not in parameter:
        return parameter
    return {**parameter, "schema": titled(parameter["schema"], name + pascal(parameter["name"]))}


def _titled_content(described: Json, name: str) -> Json:
    if "content" not in described:
        return described
    content = {
        media: {**part, "schema": titled(part["schema"], name)}
        for media, part in described["content"].items()
    }
    return {**described, "content": content}
