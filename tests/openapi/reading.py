"""Helpers that read the documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def resolved(document: Json, part: Json) -> Json:
    """Returns a part of a document, or the component that it refers to."""
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return resolved(document, found)


def body_of(document: Json, operation: Json) -> Json:
    """The schema of an operation's body."""
    (content,) = operation["requestBody"]["content"].values()
    return resolved(document, content["schema"])


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not method.startswith("x-"):
                yield path, method, operation
