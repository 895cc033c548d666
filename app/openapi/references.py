"""The references within a description."""

from __future__ import annotations

from typing import Any

from app.openapi.vocabulary import Json


def used(document: Json, *parts: Any) -> set[str]:
    """Return the references in parts of a document, e.g. `#/definitions/Event`, and in everything they refer to."""
    found: set[str] = set()
    waiting = [*parts]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            target = node.get("$ref")
            if isinstance(target, str) and target not in found:
                found.add(target)
                waiting.append(_target(document, target))
    return found


def _target(document: Json, reference: str) -> Any:
    node: Any = document
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    return node
