"""Every file of the app follows Make's format, and every referenced file exists."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from app.openapi import make
from tests.make import format as make_format
from tests.make import iml
from tests.make.app import BY_HAND, App, Component, Json, check_shown, fields

PATHS = sorted({*make.files(), *(str(path.relative_to(BY_HAND)) for path in BY_HAND.rglob("*.json"))})


def wrong(schema: Json, content: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(make_format.schema(schema)).iter_errors(content)
    ]


def owner_of(app: App, path: str) -> tuple[Component, str] | None:
    for component in app.components.values():
        for code, found in component.meta["codeFiles"].items():
            if found == path:
                return component, code
    return None


def schema_of(app: App, path: str) -> Json:
    general = app.manifest["generalCodeFiles"]
    if path == "makecomapp.json":
        return make_format.MANIFEST
    if path == general["base"]:
        return make_format.BASE
    if path == general["groups"]:
        return make_format.GROUPS
    found = owner_of(app, path)
    assert found, f"makecomapp.json does not name {path}"
    component, code = found
    own = (component.meta.get("moduleType", ""), code)
    return make_format.FILES.get(own) or make_format.FILES[component.kind, code]


@pytest.mark.parametrize("path", PATHS)
def test_a_file_follows_the_format(path: str, app: App) -> None:
    assert wrong(schema_of(app, path), app.read(path)) == []


BROKEN: list[tuple[str, Json]] = [
    ("makecomapp.json", {"origins": [{"appId": "x"}]}),
    ("general/base.iml.json", {"baseURL": "{{connection.url}}"}),
    ("modules/groups.json", {"0": None}),
    ("modules/add-user/add-user.communication.iml.json", {"body": None}),
    ("modules/add-user/add-user.communication.iml.json", {"method": "SEND"}),
    ("modules/add-user/add-user.mappable-params.iml.json", {"0": {"name": "x", "type": "select"}}),
    ("modules/load-log/load-log.interface.iml.json", {"0": {"name": "x", "label": "X", "type": "string"}}),
    ("webhooks/new-punch/new-punch.attach.iml.json", {"response": {"data": {"id": "{{body.id}}"}}}),
]


@pytest.mark.parametrize(("path", "change"), BROKEN, ids=[path for path, _ in BROKEN])
def test_properties_outside_the_format_are_detected(path: str, change: Json, app: App) -> None:
    content = app.read(path)
    for name, value in change.items():
        if isinstance(content, list):
            content[int(name)] = value
        elif value is None:
            del content[name]
        else:
            content[name] = value
    assert wrong(schema_of(app, path), content)


def test_every_file_is_listed_and_where_the_editor_would_put_it(app: App) -> None:
    named = [path for path in app.manifest["generalCodeFiles"].values() if path]
    for component in app.components.values():
        folder = "".join(f"-{char.lower()}" if char.isupper() else char for char in component.name)
        for code, path in component.meta["codeFiles"].items():
            file = {"staticParams": "static-params", "mappableParams": "mappable-params"}.get(code, code)
            assert path == f"{component.kind}s/{folder}/{folder}.{file}.iml.json"
            named.append(path)
    assert sorted([*named, "makecomapp.json"]) == PATHS


def test_referenced_components_exist(app: App) -> None:
    triggers = app.of("module", "instant_trigger")
    assert [trigger.meta["webhook"] for trigger in triggers] == [hook.name for hook in app.of("webhook")]
    for component in app.components.values():
        if component.kind != "connection":
            assert ("connection", component.meta["connection"]) in app.components
        for code in ("params", "mappableParams"):
            for field in fields(component.files.get(code, [])):
                options = field.get("options", "")
                store = options["store"] if isinstance(options, dict) else options
                if isinstance(store, str) and store:
                    assert ("rpc", store.removeprefix("rpc://")) in app.components


def test_every_module_is_in_one_group(app: App) -> None:
    groups = app.read(app.manifest["generalCodeFiles"]["groups"])
    listed = [name for group in groups for name in group["modules"]]
    assert sorted(listed) == sorted(component.name for component in app.of("module"))
    assert (groups[0]["label"], groups[-1]["label"]) == ("Events", "Other")  # triggers first


def test_labels_of_modules_and_names_of_fields_are_unique(app: App) -> None:
    labels = [component.meta["label"] for component in app.of("module")]
    assert len(labels) == len(set(labels))
    for component in app.components.values():
        for code in ("params", "mappableParams", "interface"):
            names = [field["name"] for field in fields(component.files.get(code, []))]
            assert len(names) == len(set(names)), (component.name, code)


PROPER = {"API", "ID", "IDs", "MAC", "MIME", "PIN", "URL", "UTC", "GET", "POST", "PATCH", "DELETE"}


def labels(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        # An expression is the label of something in the relay.
        if isinstance(content.get("label"), str) and "{{" not in content["label"]:
            yield content["label"]
        for value in content.values():
            yield from labels(value)
    elif isinstance(content, list):
        for value in content:
            yield from labels(value)


def test_all_labels_are_in_sentence_case(app: App) -> None:
    found = [label for path in PATHS if ".samples." not in path for label in labels(app.read(path))]
    assert len(found) > 1000
    for label in found:
        first, *rest = label.split()
        assert first[0].isupper() or label == "cams-relay", label
        assert all(word in PROPER or word == word.lower() for word in rest), label


def test_labels_of_modules_say_what_they_do(app: App) -> None:
    for component in app.of("module"):
        label, kind = component.meta["label"], component.meta["moduleType"]
        assert label.startswith("Watch ") == (kind == "instant_trigger"), label
        assert kind != "instant_trigger" or label.endswith("s"), label
        if kind == "search" and component.name != "loadLog":
            filters = [field for field in component.files["mappableParams"] if field["name"] != "limit"]
            assert label.split()[0] == ("Search" if filters else "List"), label
        assert component.meta["description"].endswith("."), label


def test_all_urls_are_https(app: App) -> None:
    texts = [(app.folder / path).read_text() for path in PATHS]
    assert not any("http:" in text or "https?" in text for text in texts)
    (connection,) = app.of("connection")
    (pattern,) = (
        field["validate"]["pattern"] for field in connection.files["params"] if field["type"] == "url"
    )
    assert pattern.startswith("^https://")


def test_every_error_message_begins_with_the_status(app: App) -> None:
    seen = 0
    for content in [
        app.base,
        *(component.files.get("communication") for component in app.components.values()),
    ]:
        for request in content if isinstance(content, list) else [content or {}]:
            error = request.get("response", {}).get("error", {})
            for one in [error, *(value for value in error.values() if isinstance(value, dict))]:
                if one:
                    assert one["message"].startswith("[{{statusCode}}] "), one
                    seen += 1
    assert seen > 10


def test_errors_have_the_types_that_make_knows(app: App) -> None:
    """An expression for a conflict returns one of them, too."""
    conflict = app.base["response"]["error"]["409"]["type"]
    types = {
        code: iml.transform(conflict, {"body": {"code": code}})
        for code in ("user_already_exists", "request_in_progress", "command_ended", "conflict")
    }
    assert types == {
        "user_already_exists": "DuplicateDataError",
        "request_in_progress": "RateLimitError",
        "command_ended": "DataError",
        "conflict": "DataError",
    }
    assert set(types.values()) <= set(make_format.ERROR_TYPES)


def test_samples_fit_the_interfaces(app: App) -> None:
    """They also contain every field except a file's bytes and `status_url`, which only a running command has."""
    for component in app.of("module"):
        interface, sample = component.files["interface"], component.files["samples"]
        check_shown(interface, sample)
        missing = {field["name"] for field in interface if field["type"] != "buffer"} - set(sample)
        assert missing <= {"status_url"}, (component.name, missing)


# Expressions

_ANSWER = {"body", "headers", "statusCode"}
_ASKING = {"parameters", "connection"} | _ANSWER
VARIABLES: dict[tuple[str, str], set[str]] = {
    ("connection", "communication"): {"parameters"} | _ANSWER,
    ("webhook", "attach"): {"webhook"} | _ASKING,
    ("webhook", "update"): {"webhook"} | _ASKING,
    ("webhook", "detach"): {"webhook", "connection"},
    ("webhook", "communication"): {"parameters", "data", "body", "query", "method", "headers", "item"},
    ("rpc", "communication"): {"item", "temp"} | _ASKING,
    ("module", "communication"): {"item", "temp"} | _ASKING,
}
"""What Make's documentation has for each file."""


def variables(content: Any) -> Iterator[tuple[str, ...]]:
    for node in iml.expressions(content):
        yield from iml.paths(node)


def temporary(content: Any) -> set[str]:
    requests = content if isinstance(content, list) else [content]
    return {name for request in requests for name in request.get("response", {}).get("temp", {})}


def test_every_expression_is_valid_and_uses_existing_names(app: App) -> None:
    (connection,) = app.of("connection")
    connection_data = set(connection.files["communication"]["response"]["data"])
    for component in app.components.values():
        asked = {
            field["name"]
            for code in ("params", "mappableParams")
            for field in fields(component.files.get(code, []))
        }
        hook = {"id", "url", *component.files.get("attach", {}).get("response", {}).get("data", {})}
        for code, content in component.files.items():
            known = {
                "parameters": asked,
                "connection": connection_data,
                "webhook": hook,
                "temp": temporary(content),
            }
            for root, *rest in variables(content):
                where = f"{component.kind} {component.name} {code}: {root}.{'.'.join(rest)}"
                assert root in VARIABLES.get((component.kind, code), set()), where
                if root in known:
                    assert rest and rest[0] in known[root], where
    for root, *rest in variables(app.base):
        assert root in {"connection"} | _ANSWER
        if root == "connection":
            assert rest[0] in connection_data


def test_every_parameter_is_used(app: App) -> None:
    for component in app.components.values():
        if component.kind == "connection":
            continue
        used = {path[1] for path in variables(list(component.files.values())) if path[0] == "parameters"}
        for code in ("params", "mappableParams"):
            for field in fields(component.files.get(code, [])):
                assert field["name"] in used, f"{component.name} doesn't use {field['name']}"


@pytest.mark.parametrize(
    "source",
    [
        "{{body.}}",
        "{{body",
        "{{unknown(1)}}",
        "{{if(a, b}}",
        "{{body[0]}}",
        "{{a b}}",
        "{{'open}}",
        "{{a == }}",
    ],
)
def test_an_invalid_expression_is_detected(source: str) -> None:
    with pytest.raises(iml.ImlError):
        list(iml.expressions(source))


# Make's own schemas

SDK = os.environ.get("MAKE_APPS_SDK", "")
_THEIRS = {
    "communication": "api.json",
    "attach": "api.json",
    "update": "api.json",
    "detach": "api.json",
    "params": "parameters.json",
    "mappable-params": "parameters.json",
    "static-params": "parameters.json",
    "interface": "parameters.json",
    "samples": "samples.json",
}
_THEIRS_BY_PATH = {
    "makecomapp.json": "makecomapp.schema.json",
    "general/base.iml.json": "base.json",
    "modules/groups.json": "groups.json",
}


@pytest.mark.skipif(not SDK, reason="MAKE_APPS_SDK names no checkout of Make's editor")
def test_makes_own_schemas_accept_every_file(app: App) -> None:
    schemas = Path(SDK) / "syntaxes" / "imljson" / "schemas"
    contents = {path.name: json.loads(path.read_text()) for path in schemas.glob("*.json")}
    registry = Registry().with_resources(
        (name, Resource.from_contents(content)) for name, content in contents.items()
    )
    local = Path(SDK) / "syntaxes" / "local-development" / "schemas" / "makecomapp.schema.json"
    for path in PATHS:
        name = _THEIRS_BY_PATH.get(path) or _THEIRS[path.split(".")[-3]]
        schema = contents[name] if name in contents else json.loads(local.read_text())
        validator = Draft7Validator({**schema, "$id": name}, registry=registry)
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(app.read(path))]
        assert errors == [], (path, errors)
