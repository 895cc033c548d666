"""Building blocks of both Postman collections (v2.1). Each collection can be run from top to bottom by `newman`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.openapi.vocabulary import Json

_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

# A new user must not exist yet.
FRESH_USER = (
    "const unique = String(Date.now()).slice(3) + Math.floor(Math.random() * 900 + 100);"
    " pm.collectionVariables.set('user_id', unique);"
)


def collection(
    name: str, description: str, variables: dict[str, str], folders: Iterable[Json], **more: Any
) -> Json:
    """Return a collection. `variables` are the collection's variables with their defaults."""
    return {
        "info": {"name": name, "description": description, "schema": _SCHEMA},
        "item": list(folders),
        "variable": [{"key": key, "value": value, "type": "string"} for key, value in variables.items()],
        **more,
    }


def script(listen: str, *lines: str) -> Json:
    """Return an event whose JavaScript runs before (`prerequest`) or after (`test`) a request."""
    return {"listen": listen, "script": {"type": "text/javascript", "exec": list(lines)}}


def json_body(body: Any) -> Json:
    """Return a JSON request body."""
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}


def replaced(node: Any, values: dict[str, str]) -> Any:
    """Return a document in which the values of the fields in `values` are replaced at every level."""
    if isinstance(node, dict):
        return {name: values.get(name, replaced(part, values)) for name, part in node.items()}
    return [replaced(part, values) for part in node] if isinstance(node, list) else node
