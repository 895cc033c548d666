"""The complete description contains nothing twice, names everything, and is equivalent to a flat one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app import openapi
from app.openapi.build import build, only_tag, with_webhooks
from app.openapi.sharing import shared
from tests.openapi.reading import Json, operations, resolved

_INSTANCES = ("example", "examples", "value", "default", "enum")


def flat(document: Json, node: Any) -> Any:
    """Returns a node with references replaced by their components, and without titles."""
    if isinstance(node, list):
        return [flat(document, item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: part if name in _INSTANCES else flat(document, part)
        for name, part in resolved(document, node).items()
        if name != "title" or not isinstance(part, str)
    }


def schemas_in(node: Any) -> Iterator[Json]:
    """Yields every inline schema."""
    if isinstance(node, list):
        for item in node:
            yield from schemas_in(item)
    elif isinstance(node, dict):
        if isinstance(node.get("type"), str | list):
            yield node
        for name, part in node.items():
            if name not in _INSTANCES:
                yield from schemas_in(part)


def test_the_shared_description_is_equivalent_to_the_flat_one() -> None:
    before = with_webhooks(build())
    after = shared(before)
    for section in ("paths", "webhooks"):
        assert flat(after, after[section]) == flat(before, before[section])
    for name, schema in before["components"]["schemas"].items():
        assert flat(after, after["components"]["schemas"][name]) == flat(before, schema)
    for document in (before, after):
        for _, _, operation in operations(document):
            operation.pop("x-codeSamples", None)  # they have nothing in common
    assert len(str(after)) < 0.95 * len(str(before))


def test_no_parameter_or_response_is_described_twice(with_webhooks: Json) -> None:
    """Webhooks have no components of their own, because oapi-codegen leaves these out."""
    counts: Counter[str] = Counter()
    for _, _, operation in operations(with_webhooks):
        answers = [part for part in operation["responses"].values() if "content" in part]
        parts = [*operation.get("parameters", ()), *answers]
        counts.update(str(part) for part in parts if "$ref" not in part)
    assert [part for part, count in counts.items() if count > 1] == []


def test_objects_are_components_and_inline_schemas_have_titles(with_webhooks: Json) -> None:
    components = {id(schema) for schema in with_webhooks["components"]["schemas"].values()}
    titles: list[str] = []
    for schema in schemas_in(with_webhooks):
        if id(schema) in components:
            continue
        assert "properties" not in schema, schema
        if schema["type"] == "object" or "enum" in schema:
            titles.append(schema["title"])
    assert len(titles) == len(set(titles)) > 20


@pytest.mark.parametrize("tag", openapi.TAGS)
def test_a_description_of_one_tag_stays_flat(tag: str) -> None:
    """Its importers don't follow references to parameters and bodies."""
    flat_one = only_tag(build(), tag)
    made = openapi.document(tag=tag)
    assert made["paths"] == flat_one["paths"]
    for _, _, operation in operations(made):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "$ref" not in content["schema"] or tag != "actions"
        references = [part["$ref"] for part in operation.get("parameters", ()) if "$ref" in part]
        assert references in ([], ["#/components/parameters/Prefer"])


def test_each_operation_has_one_tag(with_webhooks: Json) -> None:
    listed = {tag["name"] for tag in with_webhooks["tags"]}
    for section in ("paths", "webhooks"):
        for path, _, operation in operations({"paths": with_webhooks[section]}):
            assert len(operation["tags"]) == 1 and set(operation["tags"]) <= listed, path


@pytest.mark.parametrize("tag", ["actions", "events"])
def test_tags_for_import_contain_no_administrative_operations(tag: str, full_document: Json) -> None:
    system = {
        operation["operationId"]
        for _, _, operation in operations(full_document)
        if operation["tags"] == ["system"]
    }
    assert "takeCallback" in system
    assert not system & {item["operationId"] for _, _, item in operations(openapi.document(tag=tag))}


def test_no_two_components_have_the_same_name(with_webhooks: Json) -> None:
    """This holds across kinds, because generators make a type from each component."""
    names = Counter(name.lower() for parts in with_webhooks["components"].values() for name in parts)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("version", openapi.VERSIONS)
def test_actions_have_no_idempotency_key_parameter(version: str) -> None:
    document = openapi.document(version)
    assert "Idempotency-Key" in document["info"]["description"]
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert resolved(document, parameter)["name"] != "Idempotency-Key"


def test_swagger_2_0_does_not_require_fields_that_can_be_null() -> None:
    seen = 0
    for schema in schemas_in(openapi.document("2.0")):
        for name in schema.get("required", ()) if "properties" in schema else ():
            assert not schema["properties"][name].get("x-nullable"), name
            seen += 1
    assert seen > 100
