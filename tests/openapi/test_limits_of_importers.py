"""What GPT actions and Gemini's function declarations can take. Contract §7 and design/platforms.md."""

from __future__ import annotations

import re
from typing import Any

from app.actions import ACTIONS
from app.gateway.operations import COMMANDS
from app.openapi.parts import example_of
from tests.openapi.reading import Json, operations

_NOT_FOR_GEMINI = {"allOf", "oneOf", "not", "const", "exclusiveMinimum", "exclusiveMaximum", "readOnly"}
_OPERATIONS, _DESCRIPTION, _PARAMETER, _BODY = 30, 300, 700, 100_000


def test_actions_are_the_commands_add_user_and_two_reads(actions: Json) -> None:
    found = {path.removeprefix("/v1/actions/") for path, _, _ in operations(actions)}
    assert found >= {operation.action for operation in COMMANDS} | {"add-user"}
    assert len(list(operations(actions))) == len(COMMANDS) + 1 + 2 <= _OPERATIONS


def test_a_tag_alone_has_no_part_that_it_does_not_use(actions: Json) -> None:
    assert [tag["name"] for tag in actions["tags"]] == ["actions"]
    assert "webhooks" not in actions
    text = str(actions)
    for kind, parts in actions["components"].items():
        if kind != "securitySchemes":
            assert all(f"#/components/{kind}/{name}'" in text for name in parts)


def test_texts_are_short_enough_and_there(whole: Json) -> None:
    for path, method, operation in operations(whole):
        where = f"{method} {path}"
        assert 0 < len(operation["summary"]) <= _DESCRIPTION, where
        assert 0 < len(operation["description"]) <= _DESCRIPTION, (where, len(operation["description"]))
        for parameter in operation.get("parameters", ()):
            if "$ref" in parameter:
                parameter = whole["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
            assert 0 < len(parameter["description"]) <= _PARAMETER, where
        for response in operation["responses"].values():
            assert "$ref" in response or response["description"], where


def test_every_field_of_a_body_says_what_it_is(whole: Json) -> None:
    bodies = [name for name in whole["components"]["schemas"] if name.endswith(("Body", "Change"))]
    schemas = [whole["components"]["schemas"][name] for name in bodies]
    schemas += [_body(operation) for path, _, operation in operations(whole) if "/actions/" in path]
    for schema in schemas:
        for name, part in schema["properties"].items():
            assert 0 < len(part["description"]) <= _PARAMETER, name
            assert part["examples"], name


def test_operation_ids_are_unique_and_names_that_functions_can_have(whole: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations(whole)]
    names += [item["post"]["operationId"] for item in whole["webhooks"].values()]
    assert len(names) == len(set(names))
    for name in names:
        assert re.fullmatch(r"[a-z][A-Za-z]{2,63}", name), name


def test_consequential_is_what_changes_something(whole: Json) -> None:
    for path, method, operation in operations(whole):
        reads = method == "get" or path in ("/v1/actions/load-log", "/v1/actions/load-device-information")
        assert operation["x-openai-isConsequential"] is not reads, path


def test_no_header_is_ever_required(whole: Json) -> None:
    assert all(not item["required"] for item in whole["components"]["parameters"].values())
    for path, _, operation in operations(whole):
        for parameter in operation.get("parameters", ()):
            if parameter.get("in") == "header":
                assert not parameter["required"], path


def test_schemas_under_actions_are_plain_enough_for_gemini(actions: Json) -> None:
    for path, method, operation in operations(actions):
        if method == "post":
            assert _flat(_body(operation)), path
    assert not _words_in(actions) & _NOT_FOR_GEMINI


def test_examples_are_small(actions: Json) -> None:
    schemas = actions["components"]["schemas"]
    assert all(len(str(example_of(schema, schemas))) < _BODY for schema in schemas.values())


def test_destructive_actions_ask_for_confirmation(actions: Json) -> None:
    for name, action in ACTIONS.items():
        body = _body(actions["paths"][f"/v1/actions/{name}"]["post"])
        assert ("confirm" in body["required"]) == (action.effect == "destructive")


def _body(operation: Json) -> Json:
    (content,) = operation["requestBody"]["content"].values()
    schema: Json = content["schema"]
    return schema


def _flat(schema: Json) -> bool:
    """Whether every field is a text, a number or a truth value, by one type alone, with nothing Gemini refuses."""
    words = {"type", "description", "examples", "enum", "default", "pattern", "format"}
    words |= {"minimum", "maximum", "minLength", "maxLength"}
    return set(schema) <= {"type", "properties", "required", "description"} and all(
        part["type"] in ("string", "integer", "number", "boolean") and set(part) <= words
        for part in schema["properties"].values()
    )


def _words_in(node: Any) -> set[str]:
    """The keys of all schemas, not of examples."""
    if isinstance(node, list):
        return {word for item in node for word in _words_in(item)}
    if not isinstance(node, dict):
        return set()
    inside = {
        word for name, part in node.items() if name not in ("example", "value") for word in _words_in(part)
    }
    return inside | set(node)
