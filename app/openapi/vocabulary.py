"""Building blocks for the tables of endpoints: schemas, parameters, responses and endpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.schemas.lengths import longest

Json: TypeAlias = dict[str, Any]

AT = "2026-11-24T03:31:46.120Z"
"""The time in examples."""

_TIME = re.compile(r"^(at|changed_to|first_in|last_out)$|_(at|at_utc|to_utc|since|until)$")

LOCAL_URL = "http://127.0.0.1:8000"
"""The URL of `make run`, which is the server in openapi.yaml and the collection."""

OTHER_PROBLEM = "OtherProblem"
"""The name of the response for all errors that an operation doesn't list."""

PUBLIC = ("public",)
ANY_KEY = ("any key",)

TAGS: dict[str, str] = {
    "actions": "The gateway's commands, add-user, and operations that list devices and return a command's status.",
    "commands": "Status and results of commands sent to devices.",
    "events": "Events reported by devices, as flat objects.",
    "attendance": "Daily attendance (first in, last out and hours), corrections of punches, and the list of employees.",
    "users": "Users reported by devices, and their credentials.",
    "devices": "Registering and managing devices.",
    "subscriptions": "REST hooks: URLs that events are sent to, with their deliveries and replays.",
    "keys": "API keys and their scopes.",
    "system": "The gateway's callbacks, health, metrics, signed files and these descriptions.",
}
WEBHOOKS_TAG = {
    "name": "webhooks",
    "description": "The deliveries that a subscribed URL receives, by event type. Requires `webhooks=1`.",
}


# Schemas


def _scalar(kind: str, description: str, example: Any, null: bool, more: Mapping[str, Any]) -> Json:
    return {
        "type": [kind, "null"] if null else kind,
        "description": description,
        "examples": [example],
        **more,
    }


def text(description: str, example: str | None, *, null: bool = False, **more: Any) -> Json:
    return _scalar("string", description, example, null, more)


def integer(description: str, example: int | None, *, null: bool = False, **more: Any) -> Json:
    return _scalar("integer", description, example, null, more)


def number(description: str, example: float) -> Json:
    return _scalar("number", description, example, False, {})


def flag(description: str, example: bool = False, **more: Any) -> Json:
    return _scalar("boolean", description, example, False, more)


def words(description: str, *values: str, **more: Any) -> Json:
    """Return the schema of a string with these possible values."""
    return text(description, values[0], enum=list(values), **more)


def many(description: str, items: Json, **more: Any) -> Json:
    return {"type": "array", "description": description, "items": items, **more}


def timed(name: str, part: Json) -> Json:
    """Add `format: date-time` to a property if its name is that of a time."""
    return (
        {**part, "format": "date-time"} if _TIME.search(name) and "string" in part.get("type", ()) else part
    )


def one(
    properties: Mapping[str, Json], *, optional: tuple[str, ...] = (), description: str = "", title: str = ""
) -> Json:
    """Return the schema of an object. All properties except `optional` are required. Inline objects need a `title`."""
    made: Json = {"title": title} if title else {}
    made |= {"type": "object", "properties": {name: timed(name, part) for name, part in properties.items()}}
    if description:
        made["description"] = description
    required = [name for name in properties if name not in optional]
    if required:
        made["required"] = required
    return made


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def example_of(schema: Json, components: Mapping[str, Json]) -> Any:
    """Return an example of a schema, made from the examples of its parts."""
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components)
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [example_of(schema["items"], components)]
    return {name: example_of(part, components) for name, part in schema.get("properties", {}).items()}


_MAKES_A_LONG_URL = 4_000  # characters of a parameter; a URL can have 8,190 bytes

# Parameters


def parameter(
    name: str,
    description: str,
    schema: Json,
    *,
    place: str = "query",
    required: bool = False,
    has_limit: bool = True,
) -> Json:
    """Return a parameter. Its example is in `schema`. `has_limit` is False for what the relay sends."""
    schema = {key: value for key, value in schema.items() if key != "description"}
    example = schema.pop("examples", [None])[0]
    if has_limit and schema["type"] == "string" and "enum" not in schema:
        schema["maxLength"] = longest(place, name)
    made = {"name": name, "in": place, "description": description, "required": required, "schema": schema}
    return made if example is None else {**made, "example": example}


def in_path(name: str, description: str, example: Any, **more: Any) -> Json:
    kind = "integer" if isinstance(example, int) else "string"
    return parameter(name, description, _scalar(kind, "", example, False, more), place="path", required=True)


# Responses and endpoints


@dataclass(frozen=True, slots=True)
class Answer:
    """A documented response: JSON with a schema, text with another media type, or no body."""

    description: str
    schema: Json | None = None
    media: str = "application/json"
    example: Any = None
    headers: Mapping[str, Json] = field(default_factory=dict)


def ok(description: str, schema: Json, **more: Any) -> dict[int, Answer]:
    """Return a 200 as the only successful response. `more` are further fields of the `Answer`."""
    return {200: Answer(description, schema, **more)}


def created(description: str, schema: Json) -> dict[int, Answer]:
    """Return a 201 with the URL of the created object."""
    location = {"description": "Its URL.", "schema": {"type": "string"}}
    return {201: Answer(description, schema, headers={"Location": location})}


def existed(description: str, schema: Json) -> dict[int, Answer]:
    """Return a 200 with the URL of an object that didn't have to be created."""
    return {200: created(description, schema)[201]}


def accepted(description: str, schema: Json, *, is_located: bool = False) -> dict[int, Answer]:
    """Return a 202, with the URL of the started task if `is_located` is set."""
    location = {"description": "Its URL.", "schema": {"type": "string"}}
    return {202: Answer(description, schema, headers={"Location": location} if is_located else {})}


def no_content(description: str) -> dict[int, Answer]:
    return {204: Answer(description)}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation of the relay's API.

    `scopes` are the same as in the view (a test compares them). `also_in` is a second tag whose description includes
    the operation. `parameters` are schemas or names of components. `body` is a schema, and `examples` are bodies by
    name. `problems` are error statuses in addition to those that follow from the other fields (see `statuses`).
    `body_csv` is an example of a CSV body, if CSV is also accepted.
    """

    method: str
    path: str
    operation_id: str
    tag: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
    scopes: tuple[str, ...]
    parameters: tuple[Json | str, ...] = ()
    body: Json | None = None
    body_media: tuple[str, ...] = ("application/json",)
    body_required: bool = True
    body_csv: str = ""
    examples: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    also_in: str = ""

    @property
    def statuses(self) -> tuple[int, ...]:
        """The error statuses that the operation can return."""
        found = set(self.problems)
        if self.scopes != PUBLIC:
            found |= {401, 429, 503}
            if self.scopes != ANY_KEY:
                found.add(403)
        if self.parameters or self.path.startswith("/v1/"):  # unknown parameters are refused
            found.add(422)
        if self.path.startswith("/v1/") and self.method != "delete":
            found.add(406)
        if self.body is not None:
            found |= {400, 413, 422}
        if "{" in self.path:
            found.add(404)
        own = [one for one in self.parameters if isinstance(one, dict)]
        if any(one["schema"].get("maxLength", 0) >= _MAKES_A_LONG_URL for one in own):
            found.add(414)
        return tuple(sorted(found))


LIMIT = parameter(
    "limit",
    "Maximum number of entries, 1 to 200.",
    {"type": "integer", "minimum": 1, "maximum": 200, "default": 50, "examples": [50]},
)
CURSOR = parameter(
    "cursor", "The `next_cursor` of the previous page. Leave it out for the first page.", {"type": "string"}
)


WARNING = one(
    {
        "code": words("The kind of warning, for programs.", "unknown_device", "unknown_punch_type"),
        "pointer": text("JSON Pointer to a field of the resource.", "/filters/device_ids"),
        "parameter": text("Name of a query parameter.", "device_id"),
        "message": text("What the value is, and what to do about it.", "No device 'ZHM1' is registered."),
    },
    optional=("pointer", "parameter"),
    description="A value that is accepted, but matches nothing now.",
)


def page_of(name: str) -> Json:
    """Return the schema of a page of a list of these components."""
    return one(
        {
            "data": many("The rows.", ref(name)),
            "next_cursor": text(
                "Pass this as `cursor` to get the next page. It is null on the last page.", None, null=True
            ),
            "warnings": many(
                "Values of filters that match nothing now. Omitted if there are none.", ref("Warning")
            ),
        },
        optional=("warnings",),
        title=f"{name}Page",
    )
