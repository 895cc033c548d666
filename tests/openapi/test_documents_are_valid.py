"""Every version of the description is valid and equivalent, and is the same as the file in the repository."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import (
    OpenAPIV2SpecValidator,
    OpenAPIV30SpecValidator,
    OpenAPIV31SpecValidator,
)

from app import openapi
from app.events.types import EVENT_TYPES
from tests.harness import ROOT
from tests.openapi.reading import Json, body_of, operations, resolved

VALIDATORS: dict[str, Any] = {
    "3.1": OpenAPIV31SpecValidator,
    "3.0": OpenAPIV30SpecValidator,
    "2.0": OpenAPIV2SpecValidator,
}


@pytest.mark.parametrize("tag", [None, *openapi.TAGS])
@pytest.mark.parametrize("version", openapi.VERSIONS)
def test_the_description_is_valid_in_each_version_and_for_each_tag(version: str, tag: str | None) -> None:
    VALIDATORS[version](openapi.document(version, tag)).validate()
    if version == "3.1":
        VALIDATORS[version](openapi.document(version, tag, webhooks=True)).validate()


def test_the_files_in_the_repository_are_what_the_program_generates() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "openapi", "--check"], capture_output=True, text=True
    )
    assert check.returncode == 0, check.stdout + check.stderr
    assert yaml.safe_load((ROOT / "openapi.yaml").read_text()) == openapi.document()


@pytest.mark.parametrize("version", openapi.VERSIONS)
def test_yaml_and_json_are_the_same(version: str) -> None:
    for url in (openapi.LOCAL_URL, "https://relay.example.org/under/a/path"):
        assert yaml.safe_load(openapi.as_yaml(version, None, url)) == openapi.document(version, None, url)


def test_each_version_has_the_same_operations(full_document: Json) -> None:
    expected = {
        (path, method, operation["operationId"]) for path, method, operation in operations(full_document)
    }
    for version in ("3.0", "2.0"):
        document = openapi.document(version)
        assert expected == {
            (path, method, operation["operationId"]) for path, method, operation in operations(document)
        }
        assert "webhooks" not in document


def test_3_0_has_no_keywords_of_3_1() -> None:
    def check(node: object, *, named: bool = False) -> None:
        if isinstance(node, list):
            for item in node:
                check(item)
        elif isinstance(node, dict):
            if not named:
                assert not isinstance(node.get("type"), list), node
                assert not isinstance(node.get("examples"), list), node
                assert "const" not in node and "$defs" not in node, node
            for name, part in node.items():
                if name not in ("example", "value"):
                    check(part, named=name == "properties")

    check(openapi.document("3.0"))


# Examples


def _resolving(document: Json, schema: Json) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def test_examples_fit_their_schemas(with_webhooks: Json) -> None:
    checked = 0
    for where, content in _contents(with_webhooks):
        schema = content["schema"]
        values = [example["value"] for example in content.get("examples", {}).values()]
        values += [content["example"]] if "example" in content else []
        assert values, f"{where} has no example"
        for value in values:
            _resolving(with_webhooks, schema).validate(value)
            checked += 1
    assert checked > 100


def test_examples_of_schemas_and_parameters_fit_too(full_document: Json) -> None:
    for name, schema in full_document["components"]["schemas"].items():
        for found in _schemas_in(schema):
            for value in found.get("examples", ()):
                assert _resolving(full_document, found).is_valid(value), (name, found)
    for path, _, operation in operations(full_document):
        for parameter in operation.get("parameters", ()):
            parameter = resolved(full_document, parameter)
            if "example" in parameter:
                assert _resolving(full_document, parameter["schema"]).is_valid(parameter["example"]), (
                    path,
                    parameter,
                )


def _contents(document: Json) -> list[tuple[str, Json]]:
    found = []
    every = [(f"{method} {path}", operation) for path, method, operation in operations(document)]
    every += [(name, item["post"]) for name, item in document["webhooks"].items()]
    every.append(("components", {"responses": document["components"]["responses"]}))
    for where, operation in every:
        parts = [operation["requestBody"]] if "requestBody" in operation else []
        for part in (*parts, *operation["responses"].values()):
            found += [(where, content) for content in part.get("content", {}).values()]
    return found


def _schemas_in(schema: Any) -> list[Json]:
    if isinstance(schema, list):
        return [found for item in schema for found in _schemas_in(item)]
    if not isinstance(schema, dict):
        return []
    inside = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("oneOf")]
    return [schema, *(found for part in inside for found in _schemas_in(part))]


# The events


def test_webhooks_are_the_event_types(full_document: Json, with_webhooks: Json) -> None:
    assert "webhooks" not in full_document  # several importers can't read them
    assert tuple(with_webhooks["webhooks"]) == EVENT_TYPES
    for name, item in with_webhooks["webhooks"].items():
        schema = body_of(with_webhooks, item["post"])
        assert name in schema["properties"]["type"]["enum"]
        assert set(schema["required"]) == set(schema["properties"])
        assert item["post"]["tags"] == ["webhooks"]


def test_no_two_event_schemas_are_the_same(full_document: Json) -> None:
    """Readers of `oneOf` couldn't distinguish them."""
    kinds = [resolved(full_document, one) for one in full_document["components"]["schemas"]["Event"]["oneOf"]]
    shapes = [tuple(sorted(kind["properties"])) for kind in kinds]
    assert len(shapes) == len(set(shapes))
    types = [name for kind in kinds for name in kind["properties"]["type"]["enum"]]
    assert sorted(types) == sorted(EVENT_TYPES)


# Power Automate


def test_swagger_2_0_has_the_extensions_for_power_automate() -> None:
    document = openapi.document("2.0", base_url="https://relay.example.org/base")
    assert (document["host"], document["basePath"], document["schemes"]) == (
        "relay.example.org",
        "/base",
        ["https"],
    )
    assert list(document["securityDefinitions"]) == ["apiKey"]
    hooks = document["paths"]["/v1/subscriptions"]
    assert hooks["post"]["x-ms-trigger"] == "single"
    assert hooks["x-ms-notification-content"]["schema"] == {"$ref": "#/definitions/Event"}
    target = document["definitions"]["SubscriptionBody"]["properties"]["target_url"]
    assert target["x-ms-notification-url"] is True and target["x-ms-visibility"] == "internal"
    assert "Location" in hooks["post"]["responses"]["201"]["headers"]
    event = document["definitions"]["Event"]["properties"]
    assert {"punch_type", "photo_url", "command_id", "device_id"} <= set(event)
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] == "body" or parameter["x-ms-summary"], path
            for name, part in parameter.get("schema", {}).get("properties", {}).items():
                assert part["x-ms-summary"], (path, name)
