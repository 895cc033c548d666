"""Converts the 3.0 document to Swagger 2.0, with the extensions for Power Automate's custom connectors.

The document has one kind of authentication (a connector only supports one), `x-ms-summary` for every field, a list of
devices to choose from, and a trigger that subscribes. Power Automate fills in its own URL, and unsubscribes with
DELETE at the `Location` in the response. Operations and fields that are useless in a flow are hidden (`internal`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.events.types import EVENT_TYPES
from app.openapi.references import used
from app.openapi.vocabulary import OTHER_PROBLEM, Json

_SUBSCRIBE = "/v1/subscriptions"
_UNSUBSCRIBE = "/v1/subscriptions/{subscription_id}"
_DEVICES = "/v1/devices"
_TRIGGER = {
    "summary": "When a device reports an event",
    "description": "Starts a flow for each event, such as a punch, a photo, a user change or the end of a "
    "command.",
    "x-ms-trigger": "single",
    "x-ms-trigger-hint": "To test it now, punch on the device, or send a test event.",
}
# Fields that would change a delivery from the single flat event that the trigger expects, or that a flow can't use.
_NOT_FOR_A_TRIGGER = (
    "format",
    "field_mapping",
    "template",
    "batch_max",
    "batch_wait_ms",
    "headers",
    "secret",
)
_DEVICE_CHOICE = {
    "operationId": "listDevices",
    "value-collection": "data",
    "value-path": "device_id",
    "value-title": "device_id",
}
_ABBREVIATIONS = {
    "id": "ID", "ids": "IDs", "url": "URL", "utc": "UTC", "mime": "MIME", "ms": "(ms)", "api": "API",
}  # fmt: skip
_BINARY = ("image/*", "application/octet-stream", "*/*")
_PARAMETER_KEYS = (
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
)


def place_of(base_url: str) -> Json:
    """Return the part of a Swagger document that contains the server's URL."""
    parts = urlsplit(base_url)
    return {"host": parts.netloc, "basePath": parts.path or "/", "schemes": [parts.scheme]}


def to_2_0(document: Json, base_url: str) -> Json:
    """Convert the 3.0 document to Swagger 2.0, for the server at `base_url`."""
    components = document["components"]
    made: Json = {
        "swagger": "2.0",
        "info": document["info"],
        **place_of(base_url),
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "tags": document["tags"],
        "securityDefinitions": {
            "apiKey": {**components["securitySchemes"]["apiKey"], "description": "An API key for the relay."}
        },
        "security": [{"apiKey": []}],
        "paths": {path: _path(path, item, document) for path, item in document["paths"].items()},
        "responses": {
            name: _response(response, components)
            for name, response in components["responses"].items()
            if name != OTHER_PROBLEM
        },
        "definitions": {
            name: _schema(schema, components) for name, schema in components.get("schemas", {}).items()
        },
    }
    if "SubscriptionBody" in made["definitions"]:
        _announce_trigger(made["definitions"]["SubscriptionBody"]["properties"])
    if _DEVICES in made["paths"]:
        for path, item in made["paths"].items():
            if path.startswith("/v1/actions/"):
                (body,) = (part for part in item["post"]["parameters"] if part["in"] == "body")
                body["schema"]["properties"]["device_id"]["x-ms-dynamic-values"] = _DEVICE_CHOICE
    return _without_unused(made)


def _announce_trigger(properties: Json) -> None:
    """Set what a flow's author sees of the subscription. Power Automate sets `target_url` itself."""
    properties["target_url"] |= {"x-ms-notification-url": True, "x-ms-visibility": "internal"}
    properties["event_types"]["items"]["enum"] = list(EVENT_TYPES)
    for name in _NOT_FOR_A_TRIGGER:
        properties[name]["x-ms-visibility"] = "internal"


def _without_unused(document: Json) -> Json:
    """Remove unused definitions: those of the event types, which are merged into one in Swagger 2.0."""
    wanted = used(document, document["paths"], document["responses"])
    kept = {name: part for name, part in document["definitions"].items() if f"#/definitions/{name}" in wanted}
    return {**document, "definitions": kept}


# Paths


def _path(path: str, item: Json, document: Json) -> Json:
    components = document["components"]
    made = {method: _operation(operation, components) for method, operation in item.items()}
    if path == _SUBSCRIBE and "Event" in components.get("schemas", {}):
        made["post"] |= _TRIGGER
        content = {"description": "A flat event.", "schema": {"$ref": "#/definitions/Event"}}
        return {"x-ms-notification-content": content, **made}
    if path == _UNSUBSCRIBE:
        made["delete"]["x-ms-visibility"] = "internal"  # Power Automate calls it automatically
    for operation in made.values():
        if "system" in operation["tags"]:
            operation["x-ms-visibility"] = "internal"
    return made


def _operation(operation: Json, components: Json) -> Json:
    made = {
        name: value
        for name, value in operation.items()
        if name not in ("parameters", "requestBody", "responses", "security")
    }
    if "security" in operation:
        made["security"] = [need for need in operation["security"] if "bearer" not in need]
    parameters = [
        _parameter(_resolved(item, "parameters", components)) for item in operation.get("parameters", ())
    ]
    if "requestBody" in operation:
        parameters.append(_body(operation["requestBody"], components))
    if parameters:
        made["parameters"] = parameters
    media = {
        kind
        for response in operation["responses"].values()
        for kind in _resolved(response, "responses", components).get("content", ())
    }
    if media - {"application/json"}:
        made["produces"] = sorted(media)
    made["responses"] = {
        status: _response(response, components)
        for status, response in operation["responses"].items()
        if status != "default"  # Power Automate would read it as a successful response
    }
    return made


def _resolved(item: Json, kind: str, components: Json) -> Json:
    if "$ref" in item:
        found: Json = components[kind][item["$ref"].rpartition("/")[2]]
        return found
    return item


def _parameter(parameter: Json) -> Json:
    schema = parameter["schema"]
    made = {name: parameter[name] for name in ("name", "in", "description", "required")}
    made |= {name: schema[name] for name in _PARAMETER_KEYS if name in schema}
    made["x-ms-summary"] = _title(parameter["name"])
    if parameter["in"] == "path":
        made["x-ms-url-encoding"] = "single"
    if parameter["in"] == "header":
        made["x-ms-visibility"] = "advanced"
    return made


def _body(body: Json, components: Json) -> Json:
    content = next(iter(body["content"].values()))  # Swagger 2.0 allows one schema per body; use that of JSON
    return {
        "name": "body",
        "in": "body",
        "required": body["required"],
        "schema": _titled_schema(content["schema"], components),
    }


def _response(response: Json, components: Json) -> Json:
    if "$ref" in response:
        return {"$ref": response["$ref"].replace("#/components/responses/", "#/responses/")}
    made: Json = {"description": response["description"]}
    for media, content in response.get("content", {}).items():
        if media in _BINARY:
            made["schema"] = {"type": "string", "format": "binary"}
        else:
            made["schema"] = _titled_schema(content["schema"], components)
            made["examples"] = {media: content["example"]}
    if "headers" in response:
        made["headers"] = {
            name: {"type": header["schema"]["type"], "description": header["description"]}
            for name, header in response["headers"].items()
        }
    return made


# Schemas


def _titled_schema(schema: Json, components: Json) -> Json:
    """Convert the schema of a body or response. Code generators name its class after its title."""
    made = _schema(schema, components)
    return {"title": schema["title"], **made} if "title" in schema else made


def _schema(schema: Json, components: Json) -> Json:
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/components/schemas/", "#/definitions/")}
    if "oneOf" in schema:
        return _merged([_target(part, components) for part in schema["oneOf"]], components)
    made: Json = {}
    for name, value in schema.items():
        if name in ("title", "anyOf"):
            continue  # Power Automate would show the title to users, and 2.0 doesn't support anyOf
        if name == "nullable":
            made["x-nullable"] = value
        elif name == "enum":
            made[name] = [one for one in value if one is not None]  # 2.0 doesn't support null
        elif name == "properties":
            required = schema.get("required", ())
            made[name] = {
                key: _property(key, part, key in required, components) for key, part in value.items()
            }
        elif name == "required":
            # 2.0 doesn't support null, so a field that can be null isn't required.
            if needed := [key for key in value if not schema["properties"][key].get("nullable")]:
                made[name] = needed
        elif name == "example" and not isinstance(value, str | int | float | list):
            pass  # it is or contains null, which 2.0 doesn't support
        elif name in ("items", "additionalProperties") and isinstance(value, dict):
            made[name] = _schema(value, components)
        else:
            made[name] = value
    return made


def _target(schema: Json, components: Json) -> Json:
    found: Json = components["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _merged(kinds: list[Json], components: Json) -> Json:
    """Merge the objects of a oneOf, which 2.0 doesn't support, into one object with all their fields."""
    properties: dict[str, Any] = {}
    for kind in kinds:
        for name, part in kind["properties"].items():
            properties.setdefault(name, {key: value for key, value in part.items() if key != "enum"})
    required = [name for name in properties if all(name in kind["required"] for kind in kinds)]
    return _schema({"type": "object", "properties": properties, "required": required}, components)


def _property(name: str, schema: Json, required: bool, components: Json) -> Json:
    made = _schema(schema, components)
    if "$ref" in made:
        return made
    made["x-ms-summary"] = _title(name)
    if required:
        made["x-ms-visibility"] = "important"
    return made


def _title(name: str) -> str:
    """Return a field's name as a title: `device_id` → `Device ID`."""
    words = [_ABBREVIATIONS.get(word, word) for word in name.replace("-", "_").split("_")]
    first, *rest = words
    return " ".join([first if first.isupper() else first[:1].upper() + first[1:], *rest])
