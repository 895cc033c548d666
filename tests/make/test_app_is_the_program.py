"""The app and openapi.yaml agree: the app's requests, parameters and outputs are in the relay's description."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from app import openapi
from app.openapi import make
from app.schemas.actions import ACTIONS
from tests.harness import ROOT
from tests.make.app import BY_HAND, App, Component, Json, fields
from tests.openapi.reading import operations

DOCUMENT: Json = yaml.load((ROOT / "openapi.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
ACTION_PATH = "/v1/actions/"
PAGE = {"limit", "cursor", "order", "after"}
IN_WORDS = {"idempotency-key"}  # a header that is only in the description's text


def resolved(schema: Json) -> Json:
    if "$ref" in schema:
        found: Any = DOCUMENT
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return resolved(found)
    return schema


def properties(schema: Json) -> dict[str, Json]:
    """Returns the properties of an object, including those of all its `oneOf` alternatives."""
    schema = resolved(schema)
    found: dict[str, Json] = dict(schema.get("properties", {}))
    for one in schema.get("oneOf", ()):
        found |= properties(one)
    return found


def answered(operation: Json, *statuses: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for status in statuses:
        if status in operation["responses"]:
            content = resolved(operation["responses"][status])["content"]
            found |= properties(content["application/json"]["schema"])
    return found


def names(interface: list[Json]) -> dict[str, Any]:
    """Returns the names of an interface's fields, with the names of their nested fields."""
    return {field["name"]: names(field["spec"]["spec"]) if "spec" in field else None for field in interface}


def shape(found: dict[str, Json]) -> dict[str, Any]:
    """Returns the names of properties in the same form."""
    return {
        name: shape(properties(resolved(part)["items"])) if resolved(part).get("type") == "array" else None
        for name, part in found.items()
    }


@dataclasses.dataclass
class Asked:
    """A request of the app, and the API operation that it calls."""

    component: Component
    request: Json
    operation: Json
    path: str


def requests(app: App) -> Iterator[Asked]:
    """Yields every request except the universal module's, whose path comes from the user."""
    for component in app.components.values():
        for code in ("communication", "attach", "update", "detach"):
            content = component.files.get(code, {})
            for request in content if isinstance(content, list) else [content]:
                if "url" in request and component.meta.get("moduleType") != "universal":
                    path, operation = found(request)
                    yield Asked(component, request, operation, path)


def found(request: Json) -> tuple[str, Json]:
    """Returns the operation in openapi.yaml that matches a request's method and URL, with its path."""
    url = request["url"].removeprefix("{{parameters.url}}")  # only in the connection's request
    asked = re.sub(r"\{\{.*?\}\}", "{}", url)
    method = request.get("method", "GET").lower()
    matches = [
        (path, operation)
        for path, other, operation in operations(DOCUMENT)
        if other == method and re.sub(r"\{.*?\}", "{}", path) == asked
    ]
    assert len(matches) == 1, f"{method} {url} matches {len(matches)} operations"
    return matches[0]


def parameters_of(operation: Json, place: str) -> set[str]:
    listed = (resolved(item) for item in operation.get("parameters", ()))
    return {item["name"].lower() for item in listed if item["in"] == place}


def test_every_request_is_an_operation_with_these_parameters(app: App) -> None:
    seen = 0
    for asked in requests(app):
        paged = asked.request.get("pagination", {}).get("qs", {})
        query = {*asked.request.get("qs", {}), *paged}
        assert query <= parameters_of(asked.operation, "query"), asked.path
        headers = {name.lower() for name in asked.request.get("headers", {})} - {"authorization"}
        described = parameters_of(asked.operation, "header") | IN_WORDS
        assert headers <= described, asked.path
        seen += 1
    assert seen > 50


def test_every_action_is_one_module_with_its_fields(app: App) -> None:
    modules = {asked.path: asked for asked in requests(app) if asked.path.startswith(ACTION_PATH)}
    described = {
        path: operation
        for path, _, operation in operations(DOCUMENT)
        if path.startswith(ACTION_PATH) and path != f"{ACTION_PATH}{{name}}"
    }
    assert set(modules) == set(described) and len(described) == len(ACTIONS)
    for path, operation in described.items():
        asked = modules[path]
        (content,) = operation["requestBody"]["content"].values()
        body = resolved(content["schema"])
        assert set(asked.request["body"]) == set(body["properties"]), path
        form = {field["name"]: field for field in fields(asked.component.files["mappableParams"])}
        assert set(form) - set(body["properties"]) <= {"wait", "idempotency_key", "limit"}, path
        required = {name for name, field in form.items() if field.get("required")}
        assert required == set(body["required"]), path
        choices = {name: field["enum"] for name, field in body["properties"].items() if "enum" in field}
        offered = {
            name: [option["value"] for option in field["options"]]
            for name, field in form.items()
            if isinstance(field.get("options"), list)
        }
        assert offered == choices, path


def test_a_module_shows_the_fields_of_the_response(app: App) -> None:
    seen = 0
    for asked in requests(app):
        if asked.component.kind != "module" or asked.component.name == "downloadPhoto":
            continue
        if asked.request.get("method") == "DELETE":
            continue
        whole = answered(asked.operation, "200", "202")
        iterate = asked.request["response"].get("iterate")
        if iterate:
            (name,) = re.fullmatch(r"\{\{body\.(\w+)\}\}", iterate).groups()  # type: ignore[union-attr]
            whole = properties(resolved(whole[name])["items"])
        assert names(asked.component.files["interface"]) == shape(whole), asked.component.name
        seen += 1
    assert seen == len(ACTIONS) + 15


def test_the_parameters_of_a_search_filter_it(app: App) -> None:
    """Every filter of a list is a field of its search. Make sets the size, order and cursor of pages by itself."""
    for asked in requests(app):
        if asked.component.meta.get("moduleType") == "search" and asked.operation["operationId"] != "loadLog":
            form = {field["name"] for field in fields(asked.component.files["mappableParams"])}
            assert form - {"limit"} == parameters_of(asked.operation, "query") - PAGE, asked.component.name


def test_a_subscription_only_uses_existing_fields(app: App) -> None:
    body = properties(DOCUMENT["components"]["schemas"]["SubscriptionBody"])
    filters = properties(body["filters"])
    for hook in app.of("webhook"):
        sent, changed = hook.files["attach"]["body"], hook.files["update"]["body"]
        assert set(sent) <= set(body), hook.name
        assert set(sent["filters"]) <= set(filters), hook.name
        assert set(sent) - set(changed) == {"target_url", "batch_max", "description", "token_header"}
        assert changed.items() <= sent.items()


def test_a_trigger_shows_all_fields_of_its_events(app: App) -> None:
    described = {
        name: shape(properties(item["post"]["requestBody"]["content"]["application/json"]["schema"]))
        for name, item in openapi.document(webhooks=True)["webhooks"].items()
    }
    for hook in app.of("webhook"):
        events = hook.files["attach"]["body"]["event_types"]
        if isinstance(events, str):
            (field,) = (field for field in hook.files["params"] if field["name"] == "events")
            events = [option["value"] for option in field["options"]]
        if "*" in events:
            assert set(events) == {"*", *described}
        else:
            assert set(events) <= set(described), hook.name
        shown = names(app["module", hook.name].files["interface"])
        wanted = {name: None for event in events for name in described.get(event, {})}
        assert shown == wanted, hook.name


def test_a_new_operation_becomes_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    new = dataclasses.replace(ACTIONS["enable-user"], name="greet-user", summary="Greet user")
    monkeypatch.setitem(ACTIONS, new.name, new)
    made = make.files()
    assert made["modules/greet-user/greet-user.communication.iml.json"]["url"] == "/v1/actions/greet-user"
    assert made["makecomapp.json"]["components"]["module"]["greetUser"]["label"] == "Greet a user"
    assert any("greetUser" in group["modules"] for group in made["modules/groups.json"])


def test_make_app_only_contains_files_written_by_hand() -> None:
    by_hand = {str(path.relative_to(BY_HAND)) for path in BY_HAND.rglob("*.json")}
    assert not by_hand & set(make.files())
    assert {path.split("/")[0] for path in by_hand} == {"connections", "rpcs", "modules"}
    folders = {path.split("/")[1] for path in by_hand if path.startswith("modules")}
    assert folders == {"download-photo", "make-api-call"}


def test_secrets_of_actions_are_hidden_from_makes_log(app: App) -> None:
    hidden = set(app.base["log"]["sanitize"])
    secret = {
        f"request.body.{name}"
        for action in ACTIONS.values()
        for name in (*action.required, *action.optional)
        if name in ("password", "card_number") or name.endswith("_data")
    }
    assert len(secret) == 6 and hidden == {"request.headers.authorization"} | secret
