"""OpenAPI 3.1 put together from the tables of endpoints, schemas and events. The other versions come of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from apispec import APISpec

from app import __version__
from app.events.types import EVENT_TYPES, sample
from app.openapi import (
    action_endpoints,
    attendance_endpoints,
    bodies,
    event_endpoints,
    hook_endpoints,
    schemas,
    system_endpoints,
)
from app.openapi.parts import PUBLIC, TAGS, Answer, Endpoint, Json, example_of, ref

ENDPOINTS: tuple[Endpoint, ...] = (
    *action_endpoints.ENDPOINTS,
    *event_endpoints.ENDPOINTS,
    *attendance_endpoints.ENDPOINTS,
    *attendance_endpoints.EMPLOYEES,
    *hook_endpoints.DEVICES,
    *hook_endpoints.SUBSCRIPTIONS,
    *system_endpoints.KEYS,
    *system_endpoints.SYSTEM,
)
# The order of a document is the order of its tags, and of the tables within.
_ORDER = {tag: number for number, tag in enumerate(TAGS)}

_ABOUT = """\
Events of biometric attendance machines as flat JSON, sent to webhooks, and the machines' 27 commands as plain HTTP
calls. Send an API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Errors are `application/problem+json`
(RFC 9457). An action waits some 20 seconds for its result and answers 200; where the machine takes longer, 202
with a `status_url`."""
_PROBLEMS = {
    400: "It can't be read.",
    401: "The API key is missing, wrong, deleted or expired.",
    403: "The API key lacks the scope; or a signed link is altered or has expired.",
    404: "There is no such thing, or it is older than the retention.",
    409: "It exists already, or its state doesn't allow it.",
    413: "The body is larger than 16 MiB.",
    422: "A body, field or parameter is wrong; `errors` says which.",
    429: "Too many wrong API keys came from your address: `Retry-After` says for how many seconds to wait.",
    503: "The store can't be reached just now: try again in a moment.",
}
_ACTION_PROBLEMS = {
    404: "No user with this ID is on the device, or the gateway doesn't know the device.",
    409: "A user with this ID is on the device already; or the Idempotency-Key was used with another body.",
    422: "A field is wrong, or the gateway or the device could not use it.",
    501: "This device, or the way it is connected, can't do this.",
    502: "The gateway failed, refused the device's AuthToken or key, or answered something unknown.",
    503: "The device is offline or busy, or the store can't be reached: try again later.",
    504: "The device did not answer in time; it may still carry it out.",
    507: "The device is full.",
}
_SECURITY: dict[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of the relay."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}


def build() -> Json:
    """The whole document, OpenAPI 3.1, without `servers`."""
    spec = APISpec(
        "cams-relay",
        __version__,
        "3.1.0",
        info={
            "summary": "Attendance machines as webhooks and an API",
            "description": " ".join(_ABOUT.split()),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        security=[{name: []} for name in _SECURITY],
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    for name, scheme in _SECURITY.items():
        spec.components.security_scheme(name, scheme)
    components = _schemas()
    for name, schema in components.items():
        spec.components.schema(name, schema)
    for name, parameter in action_endpoints.HEADERS.items():
        place, rest = parameter["in"], {key: value for key, value in parameter.items() if key != "in"}
        spec.components.parameter(name, place, rest)
    for name, response in _problem_responses(components).items():
        spec.components.response(name, response)
    for endpoint in sorted(ENDPOINTS, key=lambda endpoint: _ORDER[endpoint.tags[0]]):
        spec.path(endpoint.path, operations={endpoint.method: _operation(endpoint, components)})
    document: Json = spec.to_dict()
    document["webhooks"] = event_endpoints.webhooks()
    first = ("openapi", "info", "tags", "security", "paths", "webhooks", "components")
    return {name: document[name] for name in first}


def _schemas() -> dict[str, Json]:
    events = {bodies.event_schema_name(name): bodies.event(name) for name in EVENT_TYPES}
    for name in EVENT_TYPES:
        events[bodies.event_schema_name(name)]["examples"] = [sample(name)]
    event = {**event_endpoints.EVENT, "examples": [sample("attendance.punch")]}
    return {**bodies.COMPONENTS, **schemas.COMPONENTS, "Event": event, **events}


# Responses


def _problem_responses(components: dict[str, Json]) -> dict[str, Json]:
    made = {}
    for schema, texts in (("Problem", _PROBLEMS), ("ActionProblem", _ACTION_PROBLEMS)):
        for status, description in texts.items():
            example = example_of(ref(schema), components)
            example |= {"title": HTTPStatus(status).phrase, "status": status}
            if status != example_of(ref(schema), components)["status"]:
                # The details of the schema's example are of another status.
                example = {
                    "type": "about:blank",
                    "title": example["title"],
                    "status": status,
                    "detail": description,
                }
            made[f"{schema}{status}"] = {
                "description": description,
                "content": {"application/problem+json": {"schema": ref(schema), "example": example}},
            }
    return made


def _response(answer: Answer, components: dict[str, Json]) -> Json:
    made: Json = {"description": answer.description}
    if answer.headers:
        made["headers"] = dict(answer.headers)
    if answer.schema is not None:
        example = answer.example
        if example is None:
            example = example_of(answer.schema, components)
        made["content"] = {answer.media: {"schema": answer.schema, "example": example}}
    return made


def _responses(endpoint: Endpoint, components: dict[str, Json]) -> Json:
    found = {str(status): _response(answer, components) for status, answer in endpoint.answers.items()}
    is_action = endpoint.path.startswith("/v1/actions/")
    for status in endpoint.statuses:
        kind = "ActionProblem" if is_action and status in _ACTION_PROBLEMS else "Problem"
        found.setdefault(str(status), {"$ref": f"#/components/responses/{kind}{status}"})
    return found


# Operations


def _description(endpoint: Endpoint) -> str:
    if endpoint.scopes[0] in ("public", "any key"):
        return endpoint.description
    needed = " or ".join(endpoint.scopes)
    return f"{endpoint.description} Scope: {needed}."


def _operation(endpoint: Endpoint, components: dict[str, Json]) -> Json:
    made: Json = {
        "operationId": endpoint.operation_id,
        "tags": list(endpoint.tags),
        "summary": endpoint.summary,
        "description": _description(endpoint),
        "x-openai-isConsequential": endpoint.scopes != ("actions:read",) and endpoint.method != "get",
    }
    if endpoint.scopes == PUBLIC:
        made["security"] = [{"bearer": []}, {"apiKey": []}, {}] if 401 in endpoint.problems else []
    if endpoint.path.startswith("/callback"):
        made["security"] = []
    if endpoint.parameters:
        made["parameters"] = list(endpoint.parameters)
    if endpoint.body is not None:
        made["requestBody"] = {
            "required": endpoint.body_required,
            "content": {media: _body(endpoint) for media in endpoint.body_media},
        }
        if endpoint.body_csv:
            made["requestBody"]["content"]["text/csv"] = {
                "schema": {"type": "string"},
                "example": endpoint.body_csv,
            }
    made["responses"] = _responses(endpoint, components)
    return made


def _body(endpoint: Endpoint) -> Json:
    examples = {
        name: {"summary": name.replace("_", " ").capitalize(), "value": value}
        for name, value in endpoint.examples.items()
    }
    return {"schema": endpoint.body, "examples": examples}


# A part of it


def only_tag(document: Json, tag: str) -> Json:
    """The operations under one tag, and of the components only what they use."""
    made = {**document, "tags": [item for item in document["tags"] if item["name"] == tag]}
    for section in ("paths", "webhooks"):
        made[section] = _tagged(document[section], tag)
    if not made["webhooks"]:
        del made["webhooks"]
    made["components"] = _used(made, document["components"])
    return made


def _tagged(paths: Json, tag: str) -> Json:
    found: Json = {}
    for path, operations in paths.items():
        kept = {
            method: {**operation, "tags": [tag]}
            for method, operation in operations.items()
            if tag in operation["tags"]
        }
        if kept:
            found[path] = kept
    return found


def _used(document: Json, components: Json) -> Json:
    wanted: set[str] = set()
    waiting: list[Any] = [document["paths"], document.get("webhooks", {})]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            target = node.get("$ref")
            if isinstance(target, str) and target not in wanted:
                wanted.add(target)
                _, _, kind, name = target.split("/")
                waiting.append(components[kind][name])
    used = {
        kind: {name: part for name, part in parts.items() if f"#/components/{kind}/{name}" in wanted}
        for kind, parts in components.items()
    }
    used["securitySchemes"] = components["securitySchemes"]
    return {kind: parts for kind, parts in used.items() if parts}
