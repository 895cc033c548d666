"""Moves repeated parts of a document into components.

Only the complete document is changed. Descriptions of one tag and Swagger 2.0 stay flat, because the tools that import
them don't resolve all references: ChatGPT, Gemini, Pipedream, Activepieces and Power Automate.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count as count_from
from typing import Any

from app.openapi.titles import pascal
from app.openapi.vocabulary import Json


def shared(document: Json) -> Json:
    """Move titled objects, and repeated parameters and responses, of an OpenAPI 3.1 document into components."""
    made = _Objects(document["components"]["schemas"]).moved(document)
    for kind, name_of in (("parameters", _parameter_name), ("responses", _response_name)):
        made = _repeated_moved(made, kind, name_of)
    return made


class _Objects:
    """Moves inline objects into components named after their titles."""

    def __init__(self, schemas: dict[str, Json]) -> None:
        self._own = schemas
        self._moved: dict[str, Json] = {}

    def moved(self, document: Json) -> Json:
        schemas = {name: self._parts(schema) for name, schema in self._own.items()}
        made = self._parts({name: part for name, part in document.items() if name != "components"})
        components = {**document["components"], "schemas": {**schemas, **self._moved}}
        return {**made, "components": components}

    def _parts(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._parts(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            name: part if name in ("example", "examples", "default", "enum") else self._walked(part)
            for name, part in node.items()
        }

    def _walked(self, node: Any) -> Any:
        made = self._parts(node)
        if (
            isinstance(made, dict)
            and made.get("type") == "object"
            and "title" in made
            and "properties" in made
        ):
            return self._reference(made)
        return made

    def _reference(self, schema: Json) -> Json:
        name, content = schema["title"], {key: part for key, part in schema.items() if key != "title"}
        taken = self._own.get(name) or self._moved.setdefault(name, content)
        assert taken == content, f"two objects have the title {name}"
        return {"$ref": f"#/components/schemas/{name}"}


# Repeated parts

_Name = Callable[[Json, Json], str]


def _repeated_moved(document: Json, kind: str, name_of: _Name) -> Json:
    """Move parameters or responses (`kind`) that occur in more than one operation into components.

    Webhooks stay as they are: oapi-codegen leaves out components that no path refers to.
    """
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for operation in _operations(document):
        for part in _values(operation.get(kind, ())):
            if "$ref" not in part:
                key = json.dumps(part)
                counts[key] += 1
                names.setdefault(key, name_of(part, operation))
    components = dict(document["components"].get(kind, {}))
    references: dict[str, Json] = {}
    for key, count in counts.most_common():
        if count > 1 and names[key]:
            name = next(each for each in _numbered(names[key]) if each not in components)
            components[name] = json.loads(key)
            references[key] = {"$ref": f"#/components/{kind}/{name}"}

    def replaced(parts: Any) -> Any:
        if isinstance(parts, list):
            return [references.get(json.dumps(part), part) for part in parts]
        return {name: references.get(json.dumps(part), part) for name, part in parts.items()}

    made = dict(document)
    made["paths"] = {
        path: {
            method: {**operation, kind: replaced(operation[kind])} if kind in operation else operation
            for method, operation in item.items()
        }
        for path, item in document["paths"].items()
    }
    made["components"] = {**document["components"], kind: components}
    return made


def _numbered(name: str) -> Iterator[str]:
    """Yield a name and its alternatives: `DeviceIdParameter`, `DeviceIdParameter2` and so on."""
    yield name
    yield from (f"{name}{number}" for number in count_from(2))


def _operations(document: Json) -> Iterator[Json]:
    for item in document["paths"].values():
        yield from item.values()


def _values(parts: Any) -> list[Json]:
    return list(parts.values()) if isinstance(parts, dict) else list(parts)


def _parameter_name(parameter: Json, operation: Json) -> str:
    """Return a name such as `LimitParameter` or, as descriptions differ by tag, `EventsDeviceIdParameter`."""
    name = pascal(parameter["name"])
    if parameter["name"] in ("limit", "cursor") or parameter["in"] == "header":
        return f"{name}Parameter"
    tag = pascal(operation["tags"][0])
    if parameter["in"] == "path":
        return f"{tag}{name}PathParameter"
    return f"{tag}Required{name}Parameter" if parameter["required"] else f"{tag}{name}Parameter"


_FILES = {
    "text/csv": "CsvFile",
    "text/html": "Page",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "Workbook",
}


def _response_name(response: Json, operation: Json) -> str:
    """Return a name such as `DeviceResponse` (from the schema) or `AttendanceCsvFile`; empty if it isn't shared."""
    for media, content in response.get("content", {}).items():
        if "$ref" in content["schema"]:
            return str(content["schema"]["$ref"]).rpartition("/")[2] + "Response"
        if media in _FILES:
            return f"{pascal(operation['tags'][0])}{_FILES[media]}"
    return ""
