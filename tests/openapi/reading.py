"""Reading the documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not method.startswith("x-"):
                yield path, method, operation
