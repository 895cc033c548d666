"""Converts the 3.1 document to OpenAPI 3.0. Only the features that the document uses are supported."""

from __future__ import annotations

from typing import Any

from app.openapi.vocabulary import Json

_INSTANCES = ("example", "value", "default", "enum")  # values, not schemas


def to_3_0(document: Json) -> Json:
    """Convert to 3.0: `nullable` replaces types with null, `example` replaces `examples`, and webhooks are removed."""
    info = {name: value for name, value in document["info"].items() if name != "summary"}
    info["license"] = {"name": info["license"]["name"], "url": "https://opensource.org/license/mit"}
    made: Json = _convert({name: value for name, value in document.items() if name != "webhooks"})
    for item in made["paths"].values():
        for operation in item.values():
            operation.pop("x-codeSamples", None)  # importers don't use them
    return {**made, "openapi": "3.0.3", "info": info}


def _convert(node: Any) -> Any:
    if isinstance(node, list):
        return [_convert(item) for item in node]
    if not isinstance(node, dict):
        return node
    made: Json = {}
    for name, value in node.items():
        if name == "properties":
            made[name] = {
                key: _convert(part) for key, part in value.items()
            }  # a property may have the name `type`
        elif name == "type" and isinstance(value, list):
            (made[name],) = (kind for kind in value if kind != "null")
            made["nullable"] = True
        elif name == "examples" and isinstance(value, list):
            made["example"] = value[0]
        elif name in _INSTANCES:
            made[name] = value
        else:
            made[name] = _convert(value)
    return made
