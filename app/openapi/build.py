"""Builds OpenAPI 3.1 from the tables of endpoints, schemas and events. The other versions are converted from it."""

from __future__ import annotations

from http import HTTPStatus

from apispec import APISpec

from app import __version__
from app.base.problem_document import CODES, problem_document
from app.events.samples import sample
from app.openapi import (
    action_endpoints,
    attendance_endpoints,
    bodies,
    event_endpoints,
    event_schemas,
    hook_endpoints,
    schemas,
    system_endpoints,
)
from app.openapi.code_samples import code_samples
from app.openapi.references import used
from app.openapi.titles import titled_component, titled_operation
from app.openapi.vocabulary import (
    OTHER_PROBLEM,
    PUBLIC,
    TAGS,
    WEBHOOKS_TAG,
    Answer,
    Endpoint,
    Json,
    example_of,
    ref,
)
from app.schemas.deprecations import DEPRECATED
from app.schemas.lengths import LARGEST_BODY

ENDPOINTS: tuple[Endpoint, ...] = (
    *action_endpoints.ENDPOINTS,
    *event_endpoints.ENDPOINTS,
    *attendance_endpoints.ENDPOINTS,
    *attendance_endpoints.CORRECTIONS,
    *attendance_endpoints.EMPLOYEES,
    *hook_endpoints.DEVICES,
    *hook_endpoints.SUBSCRIPTIONS,
    *system_endpoints.KEYS,
    *system_endpoints.SYSTEM,
)
# Operations are sorted by tag, and then as in the tables.
_ORDER = {tag: number for number, tag in enumerate(TAGS)}

_ABOUT = """\
This API sends events from biometric attendance machines to webhooks as flat JSON, and offers the machines' commands
as HTTP calls. Send an API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Errors are `application/problem+json`
(RFC 9457). An action waits up to about 20 seconds for its result and answers 200. If the machine takes longer, the
answer is 202 with a `status_url`. With the header `Idempotency-Key: VALUE`, every POST can be repeated safely. For 24
hours, the same request with the same value gets the first answer again, with the header `Idempotent-Replayed: true`. A
different request with the same value is answered with 409. Devices, subscriptions, employees and API keys have an
`ETag`. A PATCH, PUT or DELETE with `If-Match: ETAG` fails with 412 if somebody else has changed the object. A GET with
`If-None-Match: ETAG` answers 304 if the object hasn't changed. PATCH merges (RFC 7396); null means the default."""
_PROBLEMS = {
    400: "The request can't be read, or its body isn't JSON.",
    401: "The API key is missing or wrong, or it has been deleted or has expired.",
    403: "The API key doesn't have the required scope, or a signed link is invalid or has expired.",
    404: "The object doesn't exist, or was removed because it was older than the retention period.",
    406: "`Accept` allows neither JSON nor the media type of this endpoint.",
    408: "The request body arrived too slowly. Send at least 16 KiB per second.",
    409: "The object already exists, its state doesn't allow the request, the maximum number of objects has been "
    "reached, or the user ID belongs to several people.",
    412: "The object has changed since you read it, so its ETag no longer matches `If-Match`.",
    413: "The body is too large. The limit is 1 MiB, or 16 MiB for callbacks, actions and lists of employees.",
    414: "The URL is longer than 8,190 bytes.",
    422: "The body, a field or a parameter is wrong. See `errors`.",
    429: "Too many requests with an invalid API key came from your IP address, or another limit was reached. Wait for "
    "the number of seconds in `Retry-After`.",
    503: "The store can't be reached, or the relay is overloaded. Try again in a moment.",
}
_ACTION_PROBLEMS = {
    404: "There is no user with this ID on the device, or the gateway doesn't know the device.",
    409: "A user with this ID already exists on the device, the command was cancelled, or the Idempotency-Key was "
    "already used with a different body.",
    422: "A field is wrong, the gateway or the device rejected the command, or its outcome is unknown. See `code`. "
    "Before you repeat the request, change it or check the device.",
    502: "The gateway can't be reached, or another server answers at `gateway_url`.",
    503: "Another call for the device is in progress, or the store can't be reached. The command was not "
    "accepted. Try again later.",
}
_SECURITY: dict[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key for the relay."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}


def build() -> Json:
    """Build the complete OpenAPI 3.1 document, without `servers`, webhooks and shared components."""
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
        spec.components.schema(name, titled_component(name, schema))
    for name, parameter in action_endpoints.HEADERS.items():
        place, rest = parameter["in"], {key: value for key, value in parameter.items() if key != "in"}
        spec.components.parameter(name, place, rest)
    for name, response in _problem_responses(components).items():
        spec.components.response(name, response)
    for endpoint in sorted(ENDPOINTS, key=lambda endpoint: _ORDER[endpoint.tag]):
        operation = titled_operation(_operation(endpoint, components))
        spec.path(endpoint.path, operations={endpoint.method: operation})
    document: Json = spec.to_dict()
    first = ("openapi", "info", "tags", "security", "paths", "components")
    return {name: document[name] for name in first}


def with_webhooks(document: Json) -> Json:
    """Add the deliveries to subscribed URLs, and the schemas of the events, to a document."""
    components = document["components"]
    schemas = {**components.get("schemas", {}), **_titled_events()}
    made = {name: part for name, part in document.items() if name != "components"}
    return {
        **made,
        "tags": [*document["tags"], WEBHOOKS_TAG],
        "webhooks": event_endpoints.webhooks(),
        "components": {**components, "schemas": schemas},
    }


def _schemas() -> dict[str, Json]:
    event = {**event_endpoints.EVENT, "examples": [sample("attendance.punch")]}
    return {**bodies.COMPONENTS, **schemas.COMPONENTS, "Event": event, **event_schemas.event_schemas()}


def _titled_events() -> dict[str, Json]:
    return {name: titled_component(name, schema) for name, schema in event_schemas.event_schemas().items()}


# Responses


def _problem_responses(components: dict[str, Json]) -> dict[str, Json]:
    made = {}
    for schema, texts in (("Problem", _PROBLEMS), ("ActionProblem", _ACTION_PROBLEMS)):
        for status, description in texts.items():
            example = example_of(ref(schema), components)
            example |= {"title": HTTPStatus(status).phrase, "status": status}
            if status != example_of(ref(schema), components)["status"]:
                # The schema's example has the details of a different status.
                example = problem_document(status, description, origin="https://relay.example.com")
            made[f"{schema}{status}"] = {
                "description": description,
                "content": {"application/problem+json": {"schema": ref(schema), "example": example}},
            }
    made[OTHER_PROBLEM] = {
        "description": "Another error. `code` and `detail` say what is wrong.",
        "content": {
            "application/problem+json": {
                "schema": ref("Problem"),
                "example": problem_document(500, CODES["internal_error"], origin="https://relay.example.com"),
            }
        },
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
    found["default"] = {"$ref": f"#/components/responses/{OTHER_PROBLEM}"}
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
        "tags": [endpoint.tag],
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
                "schema": {"type": "string", "maxLength": LARGEST_BODY},
                "example": endpoint.body_csv,
            }
    made["responses"] = _responses(endpoint, components)
    if f"{endpoint.method.upper()} {endpoint.path}" in DEPRECATED:
        made["deprecated"] = True
    made["x-codeSamples"] = code_samples(endpoint, action_endpoints.HEADERS)
    return made


def _body(endpoint: Endpoint) -> Json:
    examples = {
        name: {"summary": name.replace("_", " ").capitalize(), "value": value}
        for name, value in endpoint.examples.items()
    }
    return {"schema": endpoint.body, "examples": examples}


# Documents for one tag


def only_tag(document: Json, tag: str) -> Json:
    """Return a document with the operations of one tag (at most MOST_OPERATIONS) and the components they use."""
    made = {**document, "tags": [item for item in document["tags"] if item["name"] == tag]}
    made["paths"] = _tagged(document["paths"], tag)
    if tag == action_endpoints.ACTIONS_TAG:
        for path in action_endpoints.beyond(len(made["paths"]) - action_endpoints.MOST_OPERATIONS):
            del made["paths"][path]
    made["components"] = _used(made)
    return made


def for_importers(operation: Json) -> Json:
    """Return an operation without its `default` response, which some read as successful, and its code samples."""
    made = {name: part for name, part in operation.items() if name != "x-codeSamples"}
    answers = {status: answer for status, answer in operation["responses"].items() if status != "default"}
    return {**made, "responses": answers}


def _tagged(paths: Json, tag: str) -> Json:
    wanted = {endpoint.operation_id for endpoint in ENDPOINTS if tag in (endpoint.tag, endpoint.also_in)}
    found: Json = {}
    for path, operations in paths.items():
        kept = {
            method: {**for_importers(operation), "tags": [tag]}
            for method, operation in operations.items()
            if operation["operationId"] in wanted
        }
        if kept:
            found[path] = kept
    return found


def _used(document: Json) -> Json:
    """Return the components that the paths use."""
    components = document["components"]
    wanted = used(document, document["paths"])
    kept = {
        kind: {name: part for name, part in parts.items() if f"#/components/{kind}/{name}" in wanted}
        for kind, parts in components.items()
    }
    kept["securitySchemes"] = components["securitySchemes"]
    return {kind: parts for kind, parts in kept.items() if parts}
