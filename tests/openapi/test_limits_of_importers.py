"""The limits of GPT actions and of Gemini's function declarations. Contract §7."""

from __future__ import annotations

import re
from typing import Any

from app.gateway.operations import COMMANDS
from app.openapi.action_endpoints import beyond
from app.openapi.vocabulary import example_of
from app.schemas.actions import ACTIONS
from tests.openapi.reading import Json, body_of, operations, resolved

_NOT_FOR_GEMINI = {"allOf", "oneOf", "not", "const", "exclusiveMinimum", "exclusiveMaximum", "readOnly"}
CREDENTIAL = re.compile("card_number|password|(fingerprint|face|palm|user_photo)_(data|index)")
_OPERATIONS, _DESCRIPTION, _PARAMETER, _BODY = 30, 300, 700, 100_000


def test_actions_are_the_commands_add_user_and_two_reads(actions: Json) -> None:
    """If there are too many for a tool, actions that `add-user` covers are left out, the largest first."""
    found = {path.removeprefix("/v1/actions/") for path, _, _ in operations(actions)}
    names = {str(operation.action) for operation in COMMANDS} | {"add-user"}
    too_many = max(0, len(names) + 2 - _OPERATIONS)
    left_out = names - found
    assert len(left_out) == too_many and all(name.startswith("add-user-with-") for name in left_out)
    assert len(list(operations(actions))) == len(names) + 2 - too_many
    assert beyond(2) == [
        f"/v1/actions/{name}"
        for name in (
            "add-user-with-card-fingerprint-password-face-palm-and-user-photo",
            "add-user-with-card-password-fingerprint-and-face",
        )
    ]
    assert beyond(-1) == []


def test_a_description_of_one_tag_has_no_unused_parts(actions: Json) -> None:
    assert [tag["name"] for tag in actions["tags"]] == ["actions"]
    assert "webhooks" not in actions
    text = str(actions)
    for kind, parts in actions["components"].items():
        if kind != "securitySchemes":
            assert all(f"#/components/{kind}/{name}'" in text for name in parts)


def test_texts_exist_and_are_short_enough(full_document: Json) -> None:
    for path, method, operation in operations(full_document):
        where = f"{method} {path}"
        assert 0 < len(operation["summary"]) <= _DESCRIPTION, where
        assert 0 < len(operation["description"]) <= _DESCRIPTION, (where, len(operation["description"]))
        for parameter in operation.get("parameters", ()):
            parameter = resolved(full_document, parameter)
            assert 0 < len(parameter["description"]) <= _PARAMETER, where
        for response in operation["responses"].values():
            assert "$ref" in response or response["description"], where


def test_every_field_of_a_body_has_a_description(full_document: Json) -> None:
    bodies = [name for name in full_document["components"]["schemas"] if name.endswith(("Body", "Change"))]
    schemas = [full_document["components"]["schemas"][name] for name in bodies]
    schemas += [
        body_of(full_document, operation)
        for path, _, operation in operations(full_document)
        if "/actions/" in path
    ]
    for schema in schemas:
        for name, part in schema["properties"].items():
            part = resolved(full_document, part)
            assert 0 < len(part["description"]) <= _PARAMETER, name
            assert "examples" in part or _is_optional_credential(schema, name), name


def _is_optional_credential(schema: Json, name: str) -> bool:
    return bool(CREDENTIAL.fullmatch(name)) and name not in schema.get("required", ())


def test_optional_credentials_have_no_examples(actions: Json) -> None:
    """n8n's and Postman's importers fill in all examples, so a user would get a card and PIN that nobody chose."""
    optional = 0
    for _, method, operation in operations(actions):
        schema = body_of(actions, operation) if method == "post" else {}
        for name, part in schema.get("properties", {}).items():
            if _is_optional_credential(schema, name):
                optional += 1
                assert not {"example", "examples", "default"} & resolved(actions, part).keys(), name
    assert optional >= 9
    add_user = actions["paths"]["/v1/actions/add-user"]["post"]
    first = next(iter(add_user["requestBody"]["content"]["application/json"]["examples"].values()))
    assert not [name for name in first["value"] if CREDENTIAL.fullmatch(name)]


def test_operation_ids_are_unique_and_valid_function_names(with_webhooks: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations(with_webhooks)]
    names += [item["post"]["operationId"] for item in with_webhooks["webhooks"].values()]
    assert len(names) == len(set(names))
    for name in names:
        assert re.fullmatch(r"[a-z][A-Za-z]{2,63}", name), name


def test_operations_that_change_something_are_consequential(full_document: Json) -> None:
    for path, method, operation in operations(full_document):
        reads = method == "get" or path in ("/v1/actions/load-log", "/v1/actions/load-device-information")
        assert operation["x-openai-isConsequential"] is not reads, path


def test_no_header_is_ever_required(full_document: Json) -> None:
    for path, _, operation in operations(full_document):
        for parameter in operation.get("parameters", ()):
            if resolved(full_document, parameter)["in"] == "header":
                assert not resolved(full_document, parameter)["required"], path


def test_schemas_under_actions_are_plain_enough_for_gemini(actions: Json) -> None:
    for path, method, operation in operations(actions):
        if method == "post":
            (content,) = operation["requestBody"]["content"].values()
            assert _flat(content["schema"]), path
    assert not _words_in(actions) & _NOT_FOR_GEMINI


def test_examples_are_small(actions: Json) -> None:
    schemas = actions["components"]["schemas"]
    assert all(len(str(example_of(schema, schemas))) < _BODY for schema in schemas.values())


def test_destructive_actions_require_confirmation(full_document: Json) -> None:
    for name, action in ACTIONS.items():
        body = body_of(full_document, full_document["paths"][f"/v1/actions/{name}"]["post"])
        assert ("confirm" in body["required"]) == (action.effect == "destructive")


def _flat(schema: Json) -> bool:
    """Whether every field has one type, string, number or boolean, and no keyword that Gemini refuses."""
    words = {"title", "type", "description", "examples", "enum", "default", "pattern", "format"}
    words |= {"minimum", "maximum", "minLength", "maxLength"}
    return set(schema) <= {"title", "type", "properties", "required", "description"} and all(
        part["type"] in ("string", "integer", "number", "boolean") and set(part) <= words
        for part in schema["properties"].values()
    )


def _words_in(node: Any) -> set[str]:
    """The keys of all schemas, without those of examples."""
    if isinstance(node, list):
        return {word for item in node for word in _words_in(item)}
    if not isinstance(node, dict):
        return set()
    inside = {
        word for name, part in node.items() if name not in ("example", "value") for word in _words_in(part)
    }
    return inside | set(node)
