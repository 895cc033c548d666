"""What Power Automate does with the Swagger 2.0 document, using only the information in the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from jsonschema import Draft4Validator

from app import openapi
from app.events.samples import sample
from app.events.types import EVENT_TYPES
from tests.harness import API_KEY, Receiver, wait_for
from tests.stage import Stage

Json = dict[str, Any]


class Connector:
    """A custom connector made from the document, with the API key of a connection."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.base = f"{document['schemes'][0]}://{document['host']}{document['basePath'].rstrip('/')}"
        (key,) = document["securityDefinitions"].values()
        assert (key["type"], key["in"]) == ("apiKey", "header")
        self.headers = {key["name"]: API_KEY}

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                if not method.startswith("x-"):
                    yield path, method, operation

    def trigger(self) -> tuple[str, Json]:
        """The path and operation of the only trigger."""
        ((path, method, operation),) = (found for found in self.operations() if "x-ms-trigger" in found[2])
        assert (method, operation["x-ms-trigger"]) == ("post", "single")
        return path, operation

    def resolved(self, schema: Json) -> Json:
        found: Json = schema
        while "$ref" in found:
            _, kind, name = found["$ref"].split("/")
            found = self.document[kind][name]
        return found

    def body(self, operation: Json) -> Json:
        """The schema of the operation's body."""
        (body,) = (part for part in operation["parameters"] if part["in"] == "body")
        return self.resolved(body["schema"])

    def notification(self) -> Draft4Validator:
        """A validator of notifications. `x-nullable` allows null, which Swagger 2.0 can't express."""
        path, _ = self.trigger()
        schema = self.resolved(self.document["paths"][path]["x-ms-notification-content"]["schema"])
        return Draft4Validator({**_nullable(schema), "definitions": _nullable(self.document["definitions"])})

    def subscribe(self, notification_url: str, **values: Any) -> requests.Response:
        """Saves a flow, which sends the user's values, the defaults of hidden fields, and the flow's URL."""
        path, operation = self.trigger()
        schema = self.body(operation)
        body = dict(values)
        for name, part in schema["properties"].items():
            if part.get("x-ms-notification-url"):
                body[name] = notification_url
            elif part.get("x-ms-visibility") == "internal" and "default" in part:
                body[name] = part["default"]
        assert set(schema["required"]) <= set(body)
        return requests.post(self.base + path, json=body, headers=self.headers, timeout=10)


def _nullable(node: Any) -> Any:
    if isinstance(node, list):
        return [_nullable(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {name: _nullable(part) for name, part in node.items()}
    if made.get("x-nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


@pytest.fixture
def connector(stage: Stage) -> Connector:
    """A connector made from the document that a running relay serves."""
    return Connector(stage.relay.get("/openapi.json", params={"version": "2.0"}))


def test_a_punch_starts_a_flow_until_it_is_disabled(
    stage: Stage, connector: Connector, receiver: Receiver
) -> None:
    receiver.answer = lambda _: (202, {}, b"")  # like the URL of a flow
    device = stage.new_device()
    chosen = {"event_types": ["attendance.punch"], "filters": {"device_ids": [device.id]}}
    answer = connector.subscribe(receiver.url, **chosen)
    assert answer.status_code == 201, answer.text
    location = answer.headers["Location"]
    assert location.startswith(f"{connector.base}/v1/subscriptions/")
    device.send_done(device.punch("flow"))
    (got,) = receiver.wait(1)
    connector.notification().validate(got.json)
    assert got.json["user_id"] == "flow"

    assert requests.delete(location, headers=connector.headers, timeout=10).status_code == 204
    device.send_done(device.punch("afterwards"))
    wait_for(lambda: stage.relay.events(user_id="afterwards"))
    assert requests.get(location, headers=connector.headers, timeout=10).status_code == 404
    assert len(receiver.received) == 1


def test_unsubscribing_is_a_hidden_operation_of_the_connector(connector: Connector) -> None:
    path, _ = connector.trigger()
    (delete,) = (
        operation
        for other, method, operation in connector.operations()
        if method == "delete" and other.startswith(f"{path}/")
    )
    assert delete["x-ms-visibility"] == "internal"


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_fits_the_triggers_schema(event_type: str) -> None:
    connector = Connector(openapi.document("2.0"))
    connector.notification().validate(sample(event_type))
    with pytest.raises(Exception, match="'id' is a required property"):
        connector.notification().validate({"type": event_type})


def test_the_trigger_offers_the_event_types_and_hides_fields_that_change_deliveries() -> None:
    connector = Connector(openapi.document("2.0"))
    _, operation = connector.trigger()
    fields = connector.body(operation)["properties"]
    assert fields["event_types"]["items"]["enum"] == [*EVENT_TYPES]
    hidden = {name for name, part in fields.items() if part.get("x-ms-visibility") == "internal"}
    assert hidden == {
        "target_url",
        "format",
        "field_mapping",
        "template",
        "batch_max",
        "batch_wait_ms",
        "headers",
        "secret",
    }


def test_an_action_is_polled_until_it_ends(stage: Stage, connector: Connector) -> None:
    """After a 202, its `Location` is polled until the response has another status."""
    device = stage.new_device()
    stage.simulator.gateway.device(device.id).spec.delay_seconds = 1  # so that it is still running
    answer = requests.post(
        f"{connector.base}/v1/actions/add-user",
        json={"device_id": device.id, "user_id": "100"},
        headers={**connector.headers, "Prefer": "respond-async"},
        timeout=10,
    )
    assert answer.status_code == 202 and int(answer.headers["Retry-After"]) > 0

    def ended() -> bool:
        found = requests.get(answer.headers["Location"], headers=connector.headers, timeout=10)
        return found.status_code == 200 and found.json()["status"] == "completed"

    wait_for(ended)


def test_an_action_offers_the_devices(stage: Stage, connector: Connector) -> None:
    for path, _, operation in connector.operations():
        if path.startswith("/v1/actions/"):
            choice = connector.body(operation)["properties"]["device_id"]["x-ms-dynamic-values"]
            ((listing, method),) = {
                (other, verb)
                for other, verb, found in connector.operations()
                if found["operationId"] == choice["operationId"]
            }
            assert method == "get"
    shown = requests.get(connector.base + listing, headers=connector.headers, timeout=10).json()
    rows = shown[choice["value-collection"]]
    assert stage.device.id in [row[choice["value-path"]] for row in rows]
    assert all(row[choice["value-title"]] for row in rows)


# Microsoft's rules for a connector's definition


_FORMATS = {"int32", "int64", "float", "double", "byte", "binary", "date", "date-time", "password", "uri"}
_EXTENSIONS = {
    *("x-ms-summary", "x-ms-visibility", "x-ms-trigger", "x-ms-trigger-hint", "x-ms-url-encoding"),
    *("x-ms-notification-content", "x-ms-notification-url", "x-ms-dynamic-values"),
}
_LARGEST = 1_000_000


@pytest.mark.parametrize("tag", [None, *openapi.TAGS])
def test_the_definition_follows_the_rules_for_connectors(tag: str | None) -> None:
    document = openapi.document("2.0", tag)
    identifiers = [operation["operationId"] for _, _, operation in Connector(document).operations()]
    assert len(set(identifiers)) == len(identifiers)
    for _, _, operation in Connector(document).operations():
        assert operation["summary"] and operation["description"]
    for name, node in _nodes(document):
        assert {key for key in node if key.startswith("x-ms-")} <= _EXTENSIONS
        assert node.get("x-ms-visibility", "internal") in ("important", "advanced", "internal"), name
        if isinstance(node.get("type"), str):
            assert node.get("format", "uri") in _FORMATS, name
            assert None not in node.get("enum", ()), name
        if "x-ms-dynamic-values" in node:
            assert node["x-ms-dynamic-values"]["operationId"] in identifiers


def test_the_definition_is_small_enough() -> None:
    assert len(openapi.as_json("2.0", None, openapi.LOCAL_URL)) < _LARGEST


def _nodes(node: Any, name: str = "") -> Iterator[tuple[str, Json]]:
    """Every object in the document, with its key, except in examples."""
    if isinstance(node, list):
        for part in node:
            yield from _nodes(part, name)
    elif isinstance(node, dict):
        yield name, node
        for key, part in node.items():
            if key not in ("example", "examples"):
                yield from _nodes(part, key)


def test_only_the_trigger_accepts_a_flows_url() -> None:
    """`PATCH` has a target_url, too, but a user fills that in."""
    connector = Connector(openapi.document("2.0"))
    marked = {
        operation["operationId"]
        for _, _, operation in connector.operations()
        if any(part["in"] == "body" for part in operation.get("parameters", ()))
        and any(
            "x-ms-notification-url" in part
            for part in connector.body(operation).get("properties", {}).values()
        )
    }
    assert marked == {connector.trigger()[1]["operationId"]}
