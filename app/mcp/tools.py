"""The class of tools, which says which keys can see a tool, and checks its arguments."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from mcp.types import Tool as Listed
from mcp.types import ToolAnnotations

from app.mcp.api_client import Json, Relay, RelayError

_LONGEST_LINE = 80
# Invisible characters that a model reads: control characters, direction marks and tags.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")

# Called with the seconds elapsed, and what the tool is waiting for.
Progress = Callable[[float, str], Awaitable[None]]


class ToolError(Exception):
    """A tool failed. The message is a sentence for the model and the user."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. Keys need one of the `scopes`. `fields` are JSON Schemas with a description and examples.

    `run` takes the relay client, checked arguments and a function that reports progress, and returns JSON.
    """

    name: str
    title: str
    description: str
    scopes: tuple[str, ...]
    run: Callable[[Relay, Json, Progress], Awaitable[Json]]
    fields: dict[str, Json] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True

    def is_for(self, scopes: Collection[str]) -> bool:
        """Return whether a key with these scopes may use the tool."""
        return "admin" in scopes or any(scope in scopes for scope in self.scopes)

    @property
    def schema(self) -> Json:
        """The JSON Schema of the arguments."""
        made: Json = {"type": "object", "properties": self.fields, "additionalProperties": False}
        return {**made, "required": list(self.required)} if self.required else made

    def listed(self) -> Listed:
        """Return the tool's entry in `tools/list`."""
        return Listed(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.schema,
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.read_only,
                destructive_hint=self.destructive,
                idempotent_hint=self.idempotent,
                open_world_hint=False,  # it only reaches the registered devices
            ),
        )

    async def call(self, relay: Relay, arguments: Json, progress: Progress) -> Json:
        """Run the tool. Raises ToolError, which names the invalid argument or contains the relay's error."""
        # Models send null for missing arguments.
        given = {name: value for name, value in arguments.items() if value is not None}
        self._check(given)
        try:
            return await self.run(relay, given, progress)
        except RelayError as error:
            raise ToolError(str(error)) from None

    def _check(self, arguments: Json) -> None:
        for name in arguments:
            if name not in self.fields:
                takes = ", ".join(self.fields) or "no arguments"
                raise ToolError(f"{name[:64]}: {self.name} doesn't accept this argument. It accepts {takes}")
        for name in self.required:
            if name not in arguments:
                raise ToolError(f"{name}: is required{_hint(self.fields[name])}")
        found: ValidationError | None = next(Draft202012Validator(self.schema).iter_errors(arguments), None)
        if found is not None:
            name = str(found.path[0]) if found.path else "arguments"
            raise ToolError(f"{name}: {_fault(found)}{_hint(self.fields.get(name, {}))}")


def _fault(error: ValidationError) -> str:
    """Return what is wrong with a value, without the value itself, which may be confidential."""
    wanted: Any = error.validator_value
    match error.validator:
        case "type":
            return f"must be {'a whole number' if wanted == 'integer' else f'a {wanted}'}"
        case "enum":
            return f"must be {' or '.join(str(value).lower() if value is True else str(value) for value in wanted)}"
        case "minLength" | "maxLength":
            return f"is too {'short' if error.validator == 'minLength' else 'long'} ({wanted} characters)"
        case "minimum" | "maximum":
            return f"must be at {'least' if error.validator == 'minimum' else 'most'} {wanted}"
    return "has the wrong format"


def _hint(schema: Json) -> str:
    examples = schema.get("examples")
    return f", e.g. {examples[0]!r}" if examples and not isinstance(examples[0], bool) else ""


def text(description: str, example: str, **more: Any) -> Json:
    """Return the schema of a string argument."""
    return {"type": "string", "description": description, "examples": [example], **more}


def line(value: Any) -> Any:
    """Shorten a string that a person typed to one line. Other values don't change."""
    if not isinstance(value, str):
        return value
    cut = " ".join(_UNSEEN.sub(" ", value).split())
    return cut if len(cut) <= _LONGEST_LINE else cut[: _LONGEST_LINE - 1] + "…"


def part(row: Json, *names: str) -> Json:
    """Return these fields of a row, with strings shortened to one line."""
    return {name: line(row.get(name)) for name in names}
