"""`cams-relay openapi`, and Gemini's function declarations compared with Gemini's documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from flask.testing import FlaskClient

from app import openapi
from app.cli import main
from app.openapi.vocabulary import LOCAL_URL
from tests.openapi.gemini import wrong_for_gemini
from tests.openapi.reading import Json, operations


def _printed(*options: str) -> str:
    done = CliRunner().invoke(main, ["openapi", *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_check_detects_what_gemini_refuses() -> None:
    text = {"type": "string", "description": "A text."}
    for part in (
        {**text, "examples": ["x"]},
        {"type": ["string", "null"], "description": "A text."},
        {"type": "object", "properties": {}},
        {"type": "string", "enum": ["a"]},
        {"type": "array"},
        {"oneOf": [text]},
    ):
        parameters = {"type": "object", "properties": {"a": part}}
        assert wrong_for_gemini(
            {"functionDeclarations": [{"name": "f", "description": "d", "parameters": parameters}]}
        ), part
    assert wrong_for_gemini({"functionDeclarations": [{"name": "1f", "description": "d"}]})


@pytest.mark.parametrize("tag", [None, *openapi.TAGS])
def test_declarations_follow_geminis_documentation(tag: str | None) -> None:
    options = ("--tag", tag) if tag else ()
    tool = json.loads(_printed("--format", "gemini", *options))
    assert wrong_for_gemini(tool) == []
    described = {item["operationId"] for _, _, item in operations(openapi.document(tag=tag or "actions"))}
    assert {item["name"] for item in tool["functionDeclarations"]} == described


def test_a_declaration_has_the_fields_of_its_action(actions: Json) -> None:
    tool = json.loads(_printed("--format", "gemini"))
    declared = {item["name"]: item for item in tool["functionDeclarations"]}
    assert len(declared) == 30
    for path, method, operation in operations(actions):
        if method == "post":
            (content,) = operation["requestBody"]["content"].values()
            parameters = declared[operation["operationId"]]["parameters"]
            assert parameters["properties"].keys() == content["schema"]["properties"].keys(), path
            assert parameters["required"] == content["schema"]["required"], path
    assert declared["getCommand"]["parameters"]["required"] == ["command_id"]
    user_type = declared["addUser"]["parameters"]["properties"]["user_type"]
    assert (user_type["format"], user_type["enum"]) == ("enum", ["user", "admin"])


@pytest.mark.parametrize("version", openapi.VERSIONS)
@pytest.mark.parametrize("tag", [None, "actions"])
def test_the_command_prints_what_the_relay_serves(client: FlaskClient, version: str, tag: str | None) -> None:
    query: dict[str, Any] = {"version": version, **({"tag": tag} if tag else {})}
    options = [word for name, value in query.items() for word in (f"--{name}", value)]
    served = client.get("/openapi.json", query_string=query, base_url="https://relay.example.com").json
    assert json.loads(_printed("--url", "https://relay.example.com/", *options)) == served
    written = yaml.safe_load(_printed("--format", "yaml", *options))
    assert json.loads(json.dumps(written)) == openapi.document(version, tag, LOCAL_URL)


def test_the_command_adds_webhooks_on_demand() -> None:
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        printed = json.loads(json.dumps(read(_printed("--webhooks", "--format", form))))
        assert printed == openapi.document(base_url=LOCAL_URL, webhooks=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--tag", "none"), "--tag: 'none' is not one of actions, "),
        (("--format", "gemini", "--version", "3.0"), "--version: can't be combined with --format gemini"),
        (("--webhooks", "--version", "3.0"), "--webhooks: only OpenAPI 3.1 has webhooks"),
        (("--webhooks", "--format", "gemini"), "--webhooks: only OpenAPI 3.1 has webhooks"),
    ],
)
def test_unsupported_options_are_refused(options: tuple[str, ...], sentence: str) -> None:
    done = CliRunner().invoke(main, ["openapi", *options])
    assert done.exit_code == 1 and sentence in done.output
