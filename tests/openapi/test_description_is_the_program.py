"""The description and the program agree on routes, scopes, the registry, and what is served."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient

from app import openapi
from app.gateway.operations import COMMANDS
from app.openapi.build import ENDPOINTS
from app.openapi.postman_gateway import body as gateway_body
from app.schemas.actions import ACTIONS
from tests.harness import ROOT, SAMPLES
from tests.openapi.reading import Json, operations, resolved


def _routes(app: Flask) -> dict[tuple[str, str], tuple[str, ...]]:
    """Returns the scopes of every route by (method, path). Each action is a route of its own."""
    found = {}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        scopes = app.view_functions[rule.endpoint].scopes  # type: ignore[attr-defined]
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if path == "/v1/actions/{name}":
                found |= {(method, f"/v1/actions/{name}"): (ACTIONS[name].scope,) for name in ACTIONS}
            else:
                found[method, path] = scopes
    return found


def test_every_route_is_described_and_every_description_has_a_route(app: Flask) -> None:
    described = {(item.method.upper(), item.path): item.scopes for item in ENDPOINTS}
    assert described == _routes(app)
    assert len(described) == len(ENDPOINTS)


def test_path_parameters_are_those_of_the_path(full_document: Json) -> None:
    for path, _, operation in operations(full_document):
        parameters = [resolved(full_document, item) for item in operation.get("parameters", ())]
        named = [item["name"] for item in parameters if item["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path)


def test_a_39th_operation_would_be_described_automatically(full_document: Json) -> None:
    described = [path for path in full_document["paths"] if path.startswith("/v1/actions/")]
    assert len(described) == len(COMMANDS) + 1 == len(ACTIONS)
    items = [item for folder in openapi.gateway_collection()["item"] for item in folder["item"]]
    assert sorted(item["name"] for item in items) == sorted(f"{each.number} {each.name}" for each in COMMANDS)


def test_examples_of_bodies_pass_the_programs_validation(full_document: Json) -> None:
    for name, action in ACTIONS.items():
        (content,) = full_document["paths"][f"/v1/actions/{name}"]["post"]["requestBody"]["content"].values()
        for example in content["examples"].values():
            assert not action.schema().validate(example["value"])


# Served documents


@pytest.mark.parametrize("version", openapi.VERSIONS)
def test_it_is_served_without_a_key(client: FlaskClient, version: str) -> None:
    url = "http://localhost"
    for tag in (None, "actions"):
        query = {"version": version} | ({"tag": tag} if tag else {})
        got = client.get("/openapi.json", query_string=query)
        assert (got.status_code, got.content_type) == (200, "application/json")
        assert got.json == json.loads(json.dumps(openapi.document(version, tag, url)))
        text = client.get("/openapi.yaml", query_string=query)
        assert (text.status_code, text.content_type) == (200, "application/yaml")
        assert yaml.safe_load(text.text) == got.json
    hooks = client.get("/openapi.json?webhooks=1").json
    assert hooks == json.loads(json.dumps(openapi.document("3.1", None, url, webhooks=True)))
    assert client.get("/openapi.json?webhooks=0").json == client.get("/openapi.json").json
    plain = client.get("/openapi.json").json
    assert plain is not None and plain["openapi"] == "3.1.0" and plain["servers"] == [{"url": url}]


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ("/openapi.json?version=4", "version", "3.1, 3.0, 2.0"),
        ("/openapi.yaml?version=3.1.0", "version", "3.1, 3.0, 2.0"),
        ("/openapi.json?tag=action", "tag", "actions, commands"),
        ("/postman.json?collection=x", "collection", "gateway, relay"),
        ("/openapi.json?webhooks=yes", "webhooks", "0, 1"),
        ("/openapi.json?webhooks=1&version=3.0", "webhooks", "only possible with OpenAPI 3.1"),
    ],
)
def test_an_invalid_value_is_refused_with_the_valid_ones(
    client: FlaskClient, path: str, field: str, message: str
) -> None:
    got = client.get(path)
    assert (got.status_code, got.content_type) == (422, "application/problem+json")
    assert got.json is not None
    (error,) = got.json["errors"]
    assert error["parameter"] == field and message in error["message"]


def test_the_page_only_loads_files_from_the_relay(client: FlaskClient) -> None:
    got = client.get("/docs")
    assert (got.status_code, got.content_type) == (200, "text/html; charset=utf-8")
    policy = got.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    files = re.findall(r'(?:src|href)="([^"]+)"', got.text)
    assert len(files) > 8 and not any(name.startswith(("http:", "https:", "//")) for name in files)
    for name in files:
        assert client.get(f"/{name}").status_code == 200, name
    assert client.get("/docs/nothing.js").status_code == 404
    assert client.get("/docs/..%2fdocs.html").status_code == 404


def test_the_viewer_is_the_published_version() -> None:
    folder = ROOT / "app" / "static" / "vendor"
    listed = re.findall(r"([0-9a-f]{64})  (\S+)", (folder / "README.md").read_text())
    assert len(listed) == 3
    for digest, name in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert (folder / "swagger-ui" / "LICENSE").exists()


# Postman


def test_bodies_of_the_gateways_collection_are_the_documented_ones() -> None:
    """All keys and fixed values are equal. Values that differ between calls only need the same type."""

    def shape(node: object, name: str = "") -> object:
        if isinstance(node, dict):
            return {key: shape(part, key) for key, part in node.items()}
        if isinstance(node, list):
            return [shape(part) for part in node]
        return node if name in ("Type", "Access", "UserType") else type(node).__name__

    for operation in COMMANDS:
        (path,) = SAMPLES.glob(f"{operation.number:02d}-*.request.json")
        assert shape(gateway_body(operation)) == shape(json.loads(path.read_text())), operation.name


def test_collections_are_served(client: FlaskClient) -> None:
    gateway = client.get("/postman.json").json
    assert gateway == openapi.gateway_collection()
    variables = {variable["key"] for variable in gateway["variable"]}
    assert {"base_url", "stgid", "auth_token"} <= variables
    relay = client.get("/postman.json?collection=relay").json
    assert relay == openapi.relay_collection("http://localhost")
    used = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(relay)))
    assert used == {variable["key"] for variable in relay["variable"]}
