"""The endpoints of the actions, and of the commands that they create."""

from __future__ import annotations

from functools import partial

from app.openapi.action_bodies import action_examples, described_body
from app.openapi.command_schemas import completed
from app.openapi.vocabulary import (
    CURSOR,
    LIMIT,
    Answer,
    Endpoint,
    Json,
    in_path,
    no_content,
    ok,
    page_of,
    parameter,
    ref,
    text,
)
from app.schemas.actions import ACTIONS, Action
from app.store.commands.records import STATUSES

ACTIONS_TAG = "actions"
MOST_OPERATIONS = 30  # the limit of GPT actions
ACTION_SCOPES = ("actions:read", "actions:write", "actions:destructive")
ACTION_PROBLEMS = (404, 409, 502, 503)

_ADDS_MORE = {
    "load-log": "The relay fetches longer ranges in parts and combines them.",
    "load-device-information": "Use it to check whether a device is online and how full it is.",
    "resend-attendance": "The punches arrive as events, not in the result.",
    "resend-all-user": "The users arrive as events, not in the result.",
    "enroll-fingerprint": "The relay never repeats this command. If the result is unknown, check the device.",
    "update-access-time": "Times are in the device's time zone.",
    "enable-user": "This undoes Disable User.",
    "disable-user": "You can undo this with Enable User.",
}
_FOR_PROGRAMS = {
    "load-log": "With publish: true, new punches become events.",
    "add-user": "The relay chooses the matching gateway operation. Use this action unless you need a specific "
    "operation.",
    "resend-attendance": "Their type is attendance.punch.",
    "resend-all-user": "Their types are user.updated and credential.updated.",
}
_SUMMARIES = {
    "load-log": "Load punch log",
    "delete-all-user": "Delete all users",
    "delete-log-all": "Delete all punch logs",
    "delete-attendance-photo": "Delete all punch photos",
    "resend-attendance": "Resend punches",
    "resend-all-user": "Resend all users",
    "add-user": "Add user with any credentials",
    "add-user-without-template": "Add user without credentials",
}
_RETRY_AFTER: Json = {
    "description": "Number of seconds to wait before asking again.",
    "schema": {"type": "integer"},
}
_LOCATION: Json = {"description": "URL of the resource.", "schema": {"type": "string"}}

_PREFER = parameter(
    "Prefer",
    "`wait=N` waits up to N seconds (at most 120) for the result. `respond-async` answers 202 immediately. "
    "The response header `Preference-Applied` contains the preference that was followed.",
    text("", "wait=20"),
    place="header",
)
# Idempotency-Key is only described in the text, because importers would send a parameter's example with every call.
HEADERS: dict[str, Json] = {"Prefer": _PREFER}


def camel(name: str) -> str:
    """Convert a name to camel case: `load-log` → `loadLog`."""
    first, *rest = name.split("-")
    return first + "".join(part.title() for part in rest)


def summary_of(action: Action) -> str:
    """Return the action's summary in the style of this API."""
    kinds = action.operation.credentials if action.operation else ()
    if kinds:
        *most, last = (kind.replace("_", " ") for kind in kinds)
        return f"Add user with {' and '.join([', '.join(most), last]) if most else last}"
    return _SUMMARIES.get(action.name, action.summary)


def description_of(action: Action) -> str:
    """Return the action's description for the forms of no-code tools, without the terms of the API."""
    more = _ADDS_MORE.get(action.name)
    return f"{action.description} {more}" if more else action.description


def api_description_of(action: Action) -> str:
    """Return the action's description for callers of the API, with its fields and event types."""
    more = "Requires confirm: true." if action.effect == "destructive" else _FOR_PROGRAMS.get(action.name)
    return f"{description_of(action)} {more}" if more else description_of(action)


def _endpoint(action: Action) -> Endpoint:
    examples = action_examples(action)
    return Endpoint(
        method="post",
        path=_path(action),
        operation_id=camel(action.name),
        tag=ACTIONS_TAG,
        summary=summary_of(action),
        description=api_description_of(action),
        answers={
            200: Answer("The command was carried out.", ref(completed(action.name))),
            202: Answer(
                "The device needs more time. Poll `status_url` for the result.",
                ref("ActionUnderWay"),
                headers={"Location": _LOCATION, "Retry-After": _RETRY_AFTER},
            ),
        },
        scopes=(action.scope,),
        parameters=tuple(HEADERS),
        body=described_body(action),
        examples=examples,
        problems=ACTION_PROBLEMS,
    )


def beyond(count: int) -> list[str]:
    """Return the paths of up to `count` actions to leave out for tools that limit the number of operations.

    `add-user` can replace each of them. Those with the most credentials come first.
    """
    covered = [action for action in ACTIONS.values() if action.operation and action.operation.credentials]
    covered.sort(key=lambda action: -len(action.operation.credentials) if action.operation else 0)
    return [_path(action) for action in covered[: max(0, count)]]


def _path(action: Action) -> str:
    return f"/v1/actions/{action.name}"


_CANCELS = (
    "Cancels a queued command. If it is waiting for its result, the relay stops asking, and it ends as unknown (or "
    "cancelled if it only reads). The answer is 409 while it is being sent, or if it has ended. Also requires the "
    "action's scope."
)
_COMMAND_ID = in_path("command_id", "The command's ID.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")

_command = partial(Endpoint, tag="commands", scopes=ACTION_SCOPES)

ENDPOINTS: tuple[Endpoint, ...] = (
    *(_endpoint(action) for action in ACTIONS.values()),
    _command(
        method="get",
        path="/v1/commands/{command_id}",
        operation_id="getCommand",
        also_in=ACTIONS_TAG,
        summary="Get command",
        description="Returns the status of a command, for example after an action answered 202. Repeat the request "
        "while `status` is queued, sending or waiting. completed, failed, unknown and cancelled "
        "are final. A completed command includes its result.",
        answers=ok("The command.", ref("CommandWithResult"), headers={"Retry-After": _RETRY_AFTER}),
        parameters=(_COMMAND_ID,),
    ),
    _command(
        method="get",
        path="/v1/commands",
        operation_id="listCommands",
        summary="List commands",
        description="Returns the commands and who sent them, newest first, without their data.",
        answers=ok("A page of commands.", page_of("Command")),
        scopes=("actions:read",),
        parameters=(
            parameter(
                "device_id",
                "Only commands for this device. Separate several IDs with commas.",
                text("", "ZHM1100001"),
            ),
            parameter(
                "status", "Only commands with this status.", text("", "completed", enum=list(STATUSES))
            ),
            LIMIT,
            CURSOR,
        ),
    ),
    _command(
        method="post",
        path="/v1/commands/{command_id}/cancel",
        operation_id="cancelCommand",
        summary="Cancel command",
        description=_CANCELS,
        answers=ok("The command, which has ended.", ref("CommandWithResult")),
        parameters=(_COMMAND_ID,),
        problems=(409,),
    ),
    _command(
        method="delete",
        path="/v1/commands/{command_id}",
        operation_id="deleteCommand",
        summary="Cancel command (response without a body)",
        description=_CANCELS,
        answers=no_content("Cancelled."),
        parameters=(_COMMAND_ID,),
        problems=(409,),
    ),
)
