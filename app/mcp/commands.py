"""The devices' commands as tools, made from the registry, and the tool that shows a command's result.

Fingerprints, faces, palms and photos never pass through a model, in either direction. A command that requires one
isn't a tool; if it is optional, the tool doesn't have it. Card numbers and PINs open doors, so they are also left out,
unless the server is started with `--cards-and-pins`. They are then accepted, but never returned. Answers only have
named fields, whatever a device sends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from app.gateway.operations import CREDENTIAL_FIELDS
from app.mcp.api_client import Json, Relay, RelayError
from app.mcp.tools import Progress, Tool, line, text
from app.openapi.action_bodies import action_body
from app.openapi.action_endpoints import ACTION_SCOPES, api_description_of, summary_of
from app.openapi.command_schemas import COMPLETED, COMPONENTS, completed
from app.schemas.actions import ACTIONS, Action

T = TypeVar("T")

CARDS_AND_PINS = frozenset({CREDENTIAL_FIELDS["card"], CREDENTIAL_FIELDS["password"]})
_ADDITIVE = ("add-", "resend-", "enroll-", "enable-")
_DESCRIPTIONS = {
    "load-log": "Retrieves the punches that a device has stored for a time range. Prefer punches_of_person and "
    "who_is_in, which read the relay's own data and don't wait for a device.",
    "add-user": "Adds a person to a device. To enrol a fingerprint at the device afterwards, use enroll_fingerprint.",
}
_ANSWER = ("command_id", "action", "device_id", "user_id", "status", "status_name", "message")
_ROW = ("user_id", "user_name", "punch_type", "direction", "input_type", "local_date", "local_time")
_MOST_ROWS = 100
_REPORT_SECONDS = 2.0
_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 15.0
_ENDED = ("completed", "failed", "unknown", "cancelled")


@dataclass(frozen=True, slots=True)
class Fit:
    """The part of an action that a tool offers: its fields, the withheld fields, and the required fields."""

    fields: Mapping[str, Json]
    withheld: tuple[str, ...]
    required: tuple[str, ...]

    @property
    def is_tool(self) -> bool:
        return not set(self.withheld) & set(self.required)


def tool_name(action: Action) -> str:
    """Return the tool's name for an action: `load-log` → `load_log`."""
    return action.name.replace("-", "_")


def fit(action: Action, *, cards_and_pins: bool) -> Fit:
    """Return the part of an action's body that a model may fill in."""
    body = action_body(action)
    fields, withheld = {}, []
    for name, part in body["properties"].items():
        if _is_withheld(name, cards_and_pins):
            withheld.append(name)
        else:
            fields[name] = {**part, "enum": [True]} if name == "confirm" else part
    return Fit(fields, tuple(withheld), tuple(body.get("required", ())))


def _is_withheld(name: str, cards_and_pins: bool) -> bool:
    if name in CARDS_AND_PINS:
        return not cards_and_pins
    # With `publish`, load-log would create events, but its tool should only read.
    return name in CREDENTIAL_FIELDS.values() or name.endswith("_index") or name == "publish"


def tools(*, cards_and_pins: bool = False) -> Iterator[Tool]:
    """Yield a tool for each suitable command, and `get_command`."""
    for action in ACTIONS.values():
        kept = fit(action, cards_and_pins=cards_and_pins)
        if kept.is_tool:
            yield _tool(action, kept)
    yield _GET_COMMAND


def _tool(action: Action, kept: Fit) -> Tool:
    async def run(relay: Relay, arguments: Json, progress: Progress) -> Json:
        asked = relay.call("POST", f"/v1/actions/{action.name}", body=arguments)
        waiting_for = f"waiting for device {arguments['device_id'][:64]}, which usually takes about 15 s"
        return answer_of(await _with_progress(asked, progress, waiting_for))

    return Tool(
        name=tool_name(action),
        title="Add user" if action.operation is None else summary_of(action),
        description=_DESCRIPTIONS.get(action.name) or api_description_of(action),
        scopes=(action.scope,),
        run=run,
        fields=dict(kept.fields),
        required=kept.required,
        read_only=action.effect == "read",
        destructive=action.effect != "read" and not action.name.startswith(_ADDITIVE),
        idempotent=action.operation is None or action.operation.repeatable,
    )


async def _with_progress(asked: Awaitable[T], progress: Progress, waiting_for: str) -> T:
    """Await a result and report progress every 2 s, for clients that would otherwise time out."""
    began = anyio.current_time()

    async def report() -> None:
        while True:
            await anyio.sleep(_REPORT_SECONDS)
            await progress(round(anyio.current_time() - began, 1), waiting_for)

    error: RelayError | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(report)
        try:
            found = await asked
        except RelayError as raised:  # kept, because the task group would raise it in an ExceptionGroup
            error = raised
        group.cancel_scope.cancel()
    if error is not None:
        raise error
    return found


# Responses


def answer_of(command: Json) -> Json:
    """Return a command for the model, with a short form of its result."""
    shown = {name: command.get(name) for name in _ANSWER if command.get(name) is not None}
    if command.get("status") not in _ENDED:
        shown["what_to_do"] = (
            "The device has not responded yet. To get the result, call get_command with this command_id. "
            "Don't send the command again."
        )
    if command.get("status") == "completed":
        shown |= _result(command)
    return shown


def _result(command: Json) -> Json:
    if command["action"] == "load-log":
        rows = command.get("logs") or []
        shown = {"row_count": command.get("row_count"), "punches": [_row(row) for row in rows[-_MOST_ROWS:]]}
        if len(rows) > _MOST_ROWS:
            shown["note"] = (
                f"Only the last {_MOST_ROWS} are shown. To see others, ask for a shorter time range."
            )
        return shown
    documented = COMPONENTS[completed(command["action"])]["properties"]
    names = (name for name in documented if name not in COMPLETED["properties"])
    return {name: line(command[name]) for name in names if command.get(name) is not None}


def _row(row: Json) -> Json:
    return {name: line(row.get(name)) for name in _ROW}


# The result of a command


async def _get_command(relay: Relay, arguments: Json, progress: Progress) -> Json:
    async def ended() -> Json:
        deadline = anyio.current_time() + _PATIENCE_SECONDS
        while True:
            found = await relay.get(f"/v1/commands/{arguments['command_id']}")
            if found.get("status") in _ENDED or anyio.current_time() > deadline:
                return found
            await anyio.sleep(_POLL_SECONDS)

    return answer_of(await _with_progress(ended(), progress, "waiting for the command to end"))


_COMMAND_ID: dict[str, Any] = {
    "command_id": text(
        "The command_id returned by the tool that sent the command.",
        "cmd_004h3gw8x2m1k6p9r5t7v3y2b1",
        pattern="^cmd_[0-9a-z]+$",
    )
}
_GET_COMMAND = Tool(
    name="get_command",
    title="Get command",
    description="Returns the status of a command that the device had not responded to. Waits up to 15 s for a result.",
    scopes=ACTION_SCOPES,
    run=_get_command,
    fields=_COMMAND_ID,
    required=("command_id",),
)
