"""`/v1/actions`: the 27 commands and `add-user`, and `/v1/commands`: what became of them. Contract §6."""

from __future__ import annotations

import re
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, request

from app.actions import ACTIONS, Action, check_fit
from app.api.auth import caller, check, needs, store
from app.api.io import answer, base_url, body, limit, page
from app.api.problems import Problem, respond, wrong
from app.gateway import codes
from app.gateway.values import identifier
from app.store.commands import STATUSES, Command, KeyReused
from app.store.devices import ATTENDANCE_ONLY_MODES, Device
from app.waiter import CommandWaiter

blueprint = Blueprint("actions", __name__, url_prefix="/v1")

_LONGEST_WAIT = 120.0
_RETRY_AFTER = "5"
_WAIT = re.compile(r"\s*wait\s*=\s*\"?(\d{1,6}(?:\.\d+)?)\"?\s*")


@blueprint.post("/actions/<name>")
@needs("actions:read", "actions:write", "actions:destructive")
def act(name: str) -> Response:
    """Carries an action out on a device, and waits for its result for a while."""
    action = ACTIONS.get(name)
    if action is None:
        raise Problem(404, f"There is no action {name[:64]!r}; there are {', '.join(ACTIONS)}.")
    check(action.scope)
    values = {key: value for key, value in body(action.schema()).items() if value is not None}
    device = _device(action, values.pop("device_id"))
    check_fit(action, values, device)
    if "user_id" in values:
        values["user_id"] = identifier(values["user_id"])  # as it is sent
    if action.scope == "actions:destructive":
        store().audit.record(caller().id, "action.destructive", device_id=device.id, subject=name)
    command_id = _create(action, device, values)
    return _respond(_waiter().wait(command_id, _patience()), command_id)


def _device(action: Action, device_id: str) -> Device:
    device = store().devices.refresh(device_id)
    if device is None:
        raise wrong("device_id", f"{device_id[:64]!r} is not a registered device")
    mode = device.record["mode"]
    if mode in ATTENDANCE_ONLY_MODES:
        raise Problem(
            501,
            f"Device {device.id} is connected in mode {mode}, which only reports attendance: it takes no commands.",
            status_code=15,
            status_name=codes.status_name(15),
            gateway_status=None,
            command_id=None,
        )
    if not device.record["gateway_url"]:
        raise wrong(
            "device_id",
            "this device has no gateway_url: PATCH it with the RESTful endpoint URL from the API Monitor",
        )
    return device


def _create(action: Action, device: Device, values: dict[str, Any]) -> str:
    commands, key = store().commands, request.headers.get("Idempotency-Key", "").strip()
    if not key:
        return commands.create(device, action.name, values, caller().name)
    if len(key) > 255:
        raise wrong("Idempotency-Key", "is longer than 255 characters")
    content = orjson.dumps([action.name, device.id, values], option=orjson.OPT_SORT_KEYS)
    try:
        command_id, is_new = commands.reserve(caller().id, key, content, device)
    except KeyReused:
        raise Problem(
            409, "This Idempotency-Key was used with another body: use a fresh one for another command."
        ) from None
    if is_new:
        commands.create(device, action.name, values, caller().name, command_id)
    return command_id


def _waiter() -> CommandWaiter:
    waiter: CommandWaiter = current_app.extensions["waiter"]
    return waiter


def _patience() -> float:
    """How many seconds to wait for the result: by the header Prefer (RFC 7240), else RELAY_COMMAND_WAIT.

    With both `wait` and `respond-async` it is the time after which the answer is 202.
    """
    preferences = ",".join(request.headers.getlist("Prefer")).replace(";", ",").split(",")
    for preference in preferences:
        if match := _WAIT.fullmatch(preference):
            return min(float(match[1]), _LONGEST_WAIT)
    if any(preference.strip().lower() == "respond-async" for preference in preferences):
        return 0.0
    return store().settings.command_wait


def _respond(command: Command | None, command_id: str) -> Response:
    """200 with the result, the problem that the command ended in, or 202 while it runs.

    `status_url`, in `Location` too, is a whole URL, for a platform that can only GET what it is given.
    """
    if command is None:
        raise Problem(404, f"There is no command {command_id[:64]!r} (any more).")
    if command.status == "completed":
        return answer(_with_result(_brief(command), command.result))
    if command.ended:
        return _failed(command)
    status_url = f"{base_url()}/v1/commands/{command.id}"
    return answer(
        {**_brief(command), "status_url": status_url},
        202,
        Location=status_url,
        Retry_After=_RETRY_AFTER,
    )


def _with_result(shown: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The command and its result; a device's own `status` does not replace the command's."""
    return {**{f"device_{name}" if name in shown else name: value for name, value in result.items()}, **shown}


def _brief(command: Command) -> dict[str, Any]:
    shown = command.shown()
    names = ("command_id", "action", "device_id", "user_id", "operation_id", "status")
    return {name: shown[name] for name in (*names, "status_code", "status_name", "message", "gateway_status")}


def _failed(command: Command) -> Response:
    shown = _brief(command)
    status = command.http_status or codes.http_status(command.status_code)
    detail = command.message or codes.advice(command.status_code)
    more = {name: value for name, value in shown.items() if name != "message"}
    # The problem's own `status` is the HTTP status; the command's is beside it.
    more["command_status"] = more.pop("status")
    at_fault = [(command.field or "body", detail)] if status == 422 else None
    return respond(status, detail, at_fault, **more)


# What became of them


@blueprint.get("/commands")
@needs("actions:read")
def show_all() -> Response:
    """Who commanded what, newest first; without data."""
    status = request.args.get("status") or None
    if status not in (None, *STATUSES):
        raise wrong("status", f"is not one of {', '.join(STATUSES)}")
    device_id = request.args.get("device_id") or None
    try:
        rows, more = store().commands.page(device_id, status, limit(), request.args.get("cursor") or None)
    except ValueError:
        raise wrong("cursor", "is not a next_cursor of this list") from None
    return page((row.shown() for row in rows), more)


@blueprint.get("/commands/<command_id>")
@needs("actions:read", "actions:write", "actions:destructive")
def show(command_id: str) -> Response:
    """One command, with its result when it has ended: for who may read, and who may give it."""
    command = _found(command_id)
    check("actions:read", _scope_of(command))
    shown = _with_result(command.shown(), command.result)
    return answer(shown) if command.ended else answer(shown, Retry_After=_RETRY_AFTER)


@blueprint.delete("/commands/<command_id>")
@needs("actions:read", "actions:write", "actions:destructive")
def cancel(command_id: str) -> Response:
    """Cancels a command that was not sent yet: for who may give it."""
    command = _found(command_id)
    check(_scope_of(command))
    if not store().commands.cancel(command):
        raise Problem(409, "It was sent already, or has ended: it can't be cancelled.", command_id=command_id)
    return Response(status=204)


def _found(command_id: str) -> Command:
    command = store().commands.get(command_id)
    if command is None:
        raise Problem(404, "There is no command with this id (any more).")
    return command


def _scope_of(command: Command) -> str:
    return ACTIONS[command.record["action"]].scope
