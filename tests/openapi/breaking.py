"""Finds the changes between two descriptions of the API that break clients of the former one.

The rules are those of docs/versioning.md. New endpoints, optional fields and fields in responses aren't reported.
Alternatives (`oneOf`, `anyOf`) aren't compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")
_SCOPE = re.compile(r" Scope: (.+)\.$")
_DEEPEST = 12  # the depth limit, as schemas can contain themselves
# Keywords that limit a value, and whether a higher number allows more.
_LIMITS = {
    "maximum": True,
    "maxLength": True,
    "maxItems": True,
    "minimum": False,
    "minLength": False,
    "minItems": False,
}


def breaking_changes(former: Json, present: Json) -> list[str]:
    """Return a sentence for each change that breaks a client of the former description."""
    found = []
    for path, operations in former["paths"].items():
        for method in filter(operations.__contains__, _METHODS):
            place = f"{method.upper()} {path}"
            operation = present["paths"].get(path, {}).get(method)
            if operation is None:
                found.append(f"{place} was removed")
                continue
            found += [
                f"{place}: {change}"
                for change in _Comparison(former, present).operations(operations[method], operation)
            ]
    return found


class _Comparison:
    """Compares parts of two documents and follows their references."""

    def __init__(self, former: Json, present: Json) -> None:
        self._former, self._present = former, present

    def operations(self, old: Json, new: Json) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"the operationId was {old['operationId']}"
        scopes = [_SCOPE.search(operation.get("description", "")) for operation in (old, new)]
        texts = [scope[1] if scope else None for scope in scopes]
        if texts[0] != texts[1]:
            yield f"the scope was {texts[0]}"
        yield from self._parameters(old, new)
        yield from self._bodies(old, new)
        for status, response in old["responses"].items():
            if status not in new["responses"]:
                if status.startswith("2"):
                    yield f"the answer {status} was removed"
                continue
            answers = _resolved(response, self._former), _resolved(new["responses"][status], self._present)
            yield from self._contents(*answers, f"answer {status}", is_sent=False)

    def _parameters(self, old: Json, new: Json) -> Iterator[str]:
        former, present = self._named(old, self._former), self._named(new, self._present)
        for key, parameter in former.items():
            name = f"{key[0]} parameter {key[1]}"
            if key not in present:
                yield f"{name} was removed"
                continue
            if present[key].get("required") and not parameter.get("required"):
                yield f"{name} is required now"
            yield from self._schemas(parameter["schema"], present[key]["schema"], name, is_sent=True)
        for key in present.keys() - former.keys():
            if present[key].get("required"):
                yield f"{key[0]} parameter {key[1]} is new and required"

    @staticmethod
    def _named(operation: Json, document: Json) -> dict[tuple[str, str], Json]:
        resolved = [_resolved(parameter, document) for parameter in operation.get("parameters", ())]
        return {(parameter["in"], parameter["name"]): parameter for parameter in resolved}

    def _bodies(self, old: Json, new: Json) -> Iterator[str]:
        former, present = old.get("requestBody"), new.get("requestBody")
        if present is None:
            if former is not None:
                yield "the body was removed"
            return
        if present.get("required") and not (former or {}).get("required"):
            yield "a body is required now"
        if former is not None:
            yield from self._contents(former, present, "body", is_sent=True)

    def _contents(self, old: Json, new: Json, place: str, *, is_sent: bool) -> Iterator[str]:
        for media, content in old.get("content", {}).items():
            if media not in new.get("content", {}):
                yield f"{place}: the media type {media} was removed"
            elif "schema" in content:
                yield from self._schemas(
                    content["schema"], new["content"][media]["schema"], place, is_sent=is_sent
                )

    def _schemas(self, old: Json, new: Json, place: str, *, is_sent: bool, depth: int = 0) -> Iterator[str]:
        """Compare what the caller sends, which must stay allowed, or receives, which must stay as it was."""
        if depth > _DEEPEST:
            return
        old, new = _resolved(old, self._former), _resolved(new, self._present)
        former, present = _types(old), _types(new)
        lost = (former - present) if is_sent else (present - former)
        if former and present and lost:
            yield f"{place}: the type was {' or '.join(sorted(former))}, and is {' or '.join(sorted(present))}"
        if is_sent:
            yield from _narrowed(old, new, place)
        required, still = set(old.get("required", ())), set(new.get("required", ()))
        fields = old.get("properties", {})
        for name in sorted(still - required if is_sent else required - still):
            if is_sent or name in new.get("properties", {}):
                yield f"{place}: {name} is {'required now' if is_sent else 'not always present any more'}"
        for name, schema in fields.items():
            if name not in new.get("properties", {}):
                yield f"{place}: the field {name} was removed"
                continue
            yield from self._schemas(
                schema, new["properties"][name], f"{place}: {name}", is_sent=is_sent, depth=depth + 1
            )
        if "items" in old and "items" in new:
            yield from self._schemas(
                old["items"], new["items"], f"{place}[]", is_sent=is_sent, depth=depth + 1
            )


def _narrowed(old: Json, new: Json, place: str) -> Iterator[str]:
    """Yield what clients were allowed to send and no longer are."""
    if "enum" in new and (
        lost := {str(value) for value in old.get("enum", ())} - {str(one) for one in new["enum"]}
    ):
        yield f"{place}: the values {', '.join(sorted(lost))} were removed"
    if "enum" in new and "enum" not in old:
        yield f"{place}: only some values are allowed now"
    for keyword, is_upper in _LIMITS.items():
        if keyword in new:
            before = old.get(keyword)
            if before is None or (new[keyword] < before if is_upper else new[keyword] > before):
                yield f"{place}: {keyword} was {before}, and is {new[keyword]}"


def _resolved(part: Json, document: Json) -> Json:
    while "$ref" in part:
        _, *names = part["$ref"].split("/")
        part = document
        for name in names:
            part = part[name]
    return part


def _types(schema: Json) -> set[str]:
    """Return the JSON types that a schema names; empty if it names none."""
    named = schema.get("type", [])
    return {named} if isinstance(named, str) else set(named)
