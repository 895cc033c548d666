"""The 28 actions and the commands they become, as endpoints."""

from __future__ import annotations

from functools import partial

from app.actions import ACTIONS, Action
from app.openapi.bodies import action_body, action_examples
from app.openapi.command_schemas import completed
from app.openapi.parts import (
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
from app.store.commands import STATUSES

ACTION_SCOPES = ("actions:read", "actions:write", "actions:destructive")
ACTION_PROBLEMS = (404, 409, 501, 502, 503, 504, 507)

_ADDS_MORE = {
    "load-log": "Longer ones are asked for in pieces and joined. publish: true makes events of punches not known yet.",
    "load-device-information": "Use it to see whether a device is there and how full it is.",
    "add-user": "It picks the gateway's operation by what is there. Use this one unless you need a certain operation.",
    "resend-attendance": "They arrive as attendance.punch events, not as the result.",
    "resend-all-user": "They arrive as user.updated and credential.updated events, not as the result.",
    "enroll-fingerprint": "It is never sent twice: where its fate is unknown, look at the device.",
    "update-access-time": "Times are in the device's time zone.",
    "enable-user": "Undoes disable-user.",
    "disable-user": "Undone by enable-user.",
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
_RETRY_AFTER: Json = {"description": "Seconds until it is worth asking again.", "schema": {"type": "integer"}}
_LOCATION: Json = {"description": "Where it is to be found.", "schema": {"type": "string"}}

_PREFER = parameter(
    "Prefer",
    "`wait=N` waits up to N seconds (at most 120) for the result; `respond-async` answers 202 at once.",
    text("", "wait=20"),
    place="header",
)
_IDEMPOTENCY_KEY = parameter(
    "Idempotency-Key",
    "A value of your own. The same key with the same body gives the same command for 24 hours; with another "
    "body 409.",
    {"type": "string", "maxLength": 255, "examples": ["9f1c7c0e-2a54-4b43-9d6a-0d2f3b8f5c11"]},
    place="header",
)
HEADERS: dict[str, Json] = {"Prefer": _PREFER, "IdempotencyKey": _IDEMPOTENCY_KEY}


def camel(name: str) -> str:
    """`load-log` → `loadLog`."""
    first, *rest = name.split("-")
    return first + "".join(part.title() for part in rest)


def summary_of(action: Action) -> str:
    """The action's own, as a sentence of ours."""
    kinds = action.operation.credentials if action.operation else ()
    if kinds:
        *most, last = (kind.replace("_", " ") for kind in kinds)
        return f"Add user with {' and '.join([', '.join(most), last]) if most else last}"
    return _SUMMARIES.get(action.name, action.summary)


def description_of(action: Action) -> str:
    more = "Needs confirm: true." if action.effect == "destructive" else _ADDS_MORE.get(action.name)
    return f"{action.description} {more}" if more else action.description


def _endpoint(action: Action) -> Endpoint:
    examples = action_examples(action)
    return Endpoint(
        method="post",
        path=f"/v1/actions/{action.name}",
        operation_id=camel(action.name),
        tags=("actions",),
        summary=summary_of(action),
        description=description_of(action),
        answers={
            200: Answer("Carried out.", ref(completed(action.name))),
            202: Answer(
                "Under way: the device takes longer. Follow `status_url`.",
                ref("ActionUnderWay"),
                headers={"Location": _LOCATION, "Retry-After": _RETRY_AFTER},
            ),
        },
        scopes=(action.scope,),
        parameters=tuple(HEADERS),
        body=action_body(action),
        examples=examples,
        problems=ACTION_PROBLEMS,
    )


_COMMAND_ID = in_path("command_id", "The command's id.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")

_command = partial(Endpoint, tags=("commands",), scopes=ACTION_SCOPES)

ENDPOINTS: tuple[Endpoint, ...] = (
    *(_endpoint(action) for action in ACTIONS.values()),
    _command(
        method="get",
        path="/v1/commands/{command_id}",
        operation_id="getCommand",
        tags=("commands", "actions"),
        summary="Get command",
        description="What became of an action that answered 202. Ask again while `status` is queued, sending or "
        "waiting; completed, failed, unknown and cancelled are final. The result is beside.",
        answers=ok("The command.", ref("CommandWithResult"), headers={"Retry-After": _RETRY_AFTER}),
        parameters=(_COMMAND_ID,),
    ),
    _command(
        method="get",
        path="/v1/commands",
        operation_id="listCommands",
        summary="List commands",
        description="Who commanded what, newest first, without data.",
        answers=ok("A page of commands.", page_of("Command")),
        scopes=("actions:read",),
        parameters=(
            parameter("device_id", "Only commands to this device.", text("", "ZHM1100001")),
            parameter("status", "Only commands that are so far.", text("", "completed", enum=list(STATUSES))),
            LIMIT,
            CURSOR,
        ),
    ),
    _command(
        method="delete",
        path="/v1/commands/{command_id}",
        operation_id="cancelCommand",
        summary="Cancel command",
        description="Cancels a command that was not sent yet; 409 where it was. Needs the scope of its action too.",
        answers=no_content("Cancelled."),
        parameters=(_COMMAND_ID,),
        problems=(409,),
    ),
)
