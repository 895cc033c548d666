"""`/v1/actions`, with one endpoint per action, and `/v1/commands`, the commands that actions create. Contract §6."""

from __future__ import annotations

import re
from typing import Any

import orjson
import redis
from flask import Blueprint, Response, current_app, request

from app.api import cursors
from app.api.auth import caller, check, limited_by_device, needs, store
from app.api.find_device import find_device
from app.api.id_filters import device_ids
from app.api.idempotency import HEADER, REPLAYED, idempotency_key, key_reused, repeats_by_itself
from app.api.own_url import base_url
from app.api.problems import Problem, respond, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, limit, page
from app.api.typed_confirmation import check_named
from app.base.problem_document import code_of
from app.gateway import status_codes
from app.gateway.values import identifier
from app.live.command_waiter import CommandWaiter
from app.schemas.actions import ACTIONS, Action, check_fit
from app.schemas.lengths import LARGEST_BODY
from app.store.access.idempotency import KeyReused
from app.store.commands.records import STATUSES, Command, operation_of
from app.store.devices.registry import ATTENDANCE_ONLY_MODES, Device
from app.store.server.connection import is_away

blueprint = Blueprint("actions", __name__, url_prefix="/v1")

_LONGEST_WAIT = 120.0
_RETRY_AFTER = "5"
_RECENT = 50  # commands of a device that are compared with one that must not be sent twice
_WAIT = re.compile(r"\s*wait\s*=\s*\"?(\d{1,6}(?:\.\d+)?)\"?\s*")


@blueprint.post("/actions/<name>")
@needs("actions:read", "actions:write", "actions:destructive")
@limited_by_device
@repeats_by_itself
def act(name: str) -> Response:
    """Sends a command to a device and waits for its result."""
    action = ACTIONS.get(name)
    if action is None:
        raise Problem(404, f"There is no action {name[:64]!r}. The actions are: {', '.join(ACTIONS)}.")
    check(action.scope)
    sent = body(action.schema(), largest=LARGEST_BODY)
    values = {key: value for key, value in sent.items() if value is not None}
    device = _device(action, values.pop("device_id"))
    check_named(action, device)
    check_fit(action, values, device)
    if "user_id" in values:
        values["user_id"] = identifier(values["user_id"])  # the form in which it is sent to the device
    if _is_harmful_twice(action, values) and not request.headers.get(HEADER):
        _check_last_outcome(action, device, values)
    if action.scope == "actions:destructive":
        store().audit.record(caller().id, "action.destructive", device_id=device.id, subject=name)
    try:
        command_id, is_new = _create(action, device, values)
    except redis.RedisError as error:
        if not is_away(error) or not _is_harmful_twice(action, values) or request.headers.get(HEADER):
            raise
        raise _not_confirmed() from None
    seconds, preference = _wait_preference()
    try:
        command = _waiter().wait(command_id, seconds)
    except redis.RedisError as error:
        if not is_away(error):
            raise
        return _accepted(_last_known(action, device, values, command_id))
    response = _respond(command, command_id)
    if preference:
        response.headers["Preference-Applied"] = preference
    if not is_new:
        response.headers[REPLAYED] = "true"
    return response


def _is_harmful_twice(action: Action, values: dict[str, Any]) -> bool:
    return not operation_of(action.name, values).repeatable


def _check_last_outcome(action: Action, device: Device, values: dict[str, Any]) -> None:
    """Raise a 409 Problem if the same command was the last one of its kind on the device, and ended as unknown.

    A client that repeats it blindly might have it carried out twice. An Idempotency-Key shows that it is meant.
    """
    recent, _ = store().commands.page((device.id,), None, _RECENT, None)
    for command in recent:
        if (command.record["action"], command.record["user_id"]) == (action.name, values.get("user_id")):
            if command.status == "unknown":
                raise Problem(
                    409,
                    f"It is not known whether the last {action.name} on this device was carried out. Check the device. "
                    f"To send the command anyway, send an {HEADER}.",
                    code="outcome_unknown",
                    command_id=command.id,
                    command_status=command.shown_status,
                )
            return


def _not_confirmed() -> Problem:
    """Return the problem for a store that went away while queueing a command that must not be sent twice."""
    return Problem(
        422,
        "The store didn't confirm that it saved the command. When the store is back, check whether GET /v1/commands "
        "lists the command before you send it again.",
        code="outcome_unknown",
    )


def _last_known(action: Action, device: Device, values: dict[str, Any], command_id: str) -> dict[str, Any]:
    """Return what is known about a command that was queued just before the store went away."""
    names = ("operation_id", "status_code", "status_name", "message", "gateway_status")
    shown = {"id": command_id, "command_id": command_id, "action": action.name, "device_id": device.id}
    return {**shown, "user_id": values.get("user_id"), "status": "queued", **dict.fromkeys(names)}


def _device(action: Action, device_id: str) -> Device:
    device = find_device(device_id)
    if device is None:
        raise wrong("device_id", f"{device_id[:64]!r} is not a registered device")
    mode = device.record["mode"]
    if mode in ATTENDANCE_ONLY_MODES:
        raise Problem(
            422,
            f"Device {device.id} is connected in mode {mode}. In this mode, a device only reports "
            "attendance and accepts no commands.",
            [("device_id", f"the device is connected in mode {mode}")],
            code=status_codes.problem_code(status_codes.NOT_SUPPORTED),
            status_code=status_codes.NOT_SUPPORTED,
            status_name=status_codes.status_name(status_codes.NOT_SUPPORTED),
            gateway_status=None,
            command_id=None,
        )
    if not device.record["gateway_url"]:
        raise wrong(
            "device_id",
            "this device has no gateway_url. Set it with PATCH to the RESTful endpoint URL from the API "
            "Monitor",
        )
    return device


def _create(action: Action, device: Device, values: dict[str, Any]) -> tuple[str, bool]:
    """Create a command, or find that of an earlier request with the same Idempotency-Key.

    Return the command's ID, and whether it is new.
    """
    commands, key = store().commands, idempotency_key()
    if not key:
        return commands.create(device, action.name, values, caller().name), True
    content = orjson.dumps([action.name, device.id, values], option=orjson.OPT_SORT_KEYS)
    try:
        command_id, is_new = commands.reserve(caller().id, key, content, device)
    except KeyReused:
        raise key_reused() from None
    if is_new:
        commands.create(device, action.name, values, caller().name, command_id)
    return command_id, is_new


def _waiter() -> CommandWaiter:
    waiter: CommandWaiter = current_app.extensions["waiter"]
    return waiter


def _wait_preference() -> tuple[float, str]:
    """Return how many seconds to wait for the result, and the preference in the header Prefer (RFC 7240) that sets it.

    The default is RELAY_COMMAND_WAIT. If `wait` and `respond-async` are both sent, the response is 202 after `wait`
    seconds.
    """
    preferences = ",".join(request.headers.getlist("Prefer")).replace(";", ",").split(",")
    for preference in preferences:
        if match := _WAIT.fullmatch(preference):
            seconds = min(float(match[1]), _LONGEST_WAIT)
            return seconds, f"wait={seconds:g}"
    if any(preference.strip().lower() == "respond-async" for preference in preferences):
        return 0.0, "respond-async"
    return store().settings.command_wait, ""


def _respond(command: Command | None, command_id: str) -> Response:
    """Return 200 with the result, the problem if the command failed, or 202 while it runs.

    `status_url`, which is also in `Location`, is an absolute URL, because some platforms can't resolve a path.
    """
    if command is None:
        raise Problem(404, f"There is no command {command_id[:64]!r}, or it has been removed.")
    if command.status == "completed":
        return answer(_with_result(_brief(command), command.result))
    if command.ended:
        return _failed(command)
    return _accepted(_brief(command))


def _accepted(shown: dict[str, Any]) -> Response:
    status_url = f"{base_url()}/v1/commands/{shown['command_id']}"
    return answer(
        {**shown, "status_url": status_url},
        202,
        Location=status_url,
        Retry_After=_RETRY_AFTER,
    )


def _with_result(shown: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return the command merged with its result. A `status` from the device doesn't replace the command's."""
    return {**{f"device_{name}" if name in shown else name: value for name, value in result.items()}, **shown}


def _brief(command: Command) -> dict[str, Any]:
    shown = command.shown()
    names = ("id", "command_id", "action", "device_id", "user_id", "operation_id", "status")
    return {name: shown[name] for name in (*names, "status_code", "status_name", "message", "gateway_status")}


def _failed(command: Command) -> Response:
    shown = _brief(command)
    status = _http_status(command)
    detail = command.message or status_codes.advice(command.status_code)
    more = {name: value for name, value in shown.items() if name not in ("id", "message")}
    # In a problem, `status` is the HTTP status, so the command's status has another name.
    more["command_status"] = more.pop("status")
    refused = command.status_code in status_codes.VALUE_REFUSED
    at_fault = [(command.field or "body", detail)] if command.field or refused else None
    return respond(status, detail, at_fault, code=_problem_code(command), **more)


def _http_status(command: Command) -> int:
    """Return the HTTP status for a failed command: 4xx if the gateway accepted it or may have accepted it.

    Clients that retry on 5xx must not send such a command again. Commands that ended before version 1.0 are stored
    with other statuses.
    """
    stored = command.http_status or 502
    if command.status == "unknown":
        return 422
    if stored >= 500 and command.status_code is not None:
        stored = status_codes.http_status(command.status_code)
    return 422 if stored >= 500 and command.attempts > 1 else stored


def _problem_code(command: Command) -> str | None:
    """Return the code of the failure; None if the HTTP status is enough."""
    if command.status == "unknown":
        return "outcome_unknown"
    if command.status_code is not None:
        return status_codes.problem_code(command.status_code)
    if command.status == "cancelled":
        return "command_cancelled"
    return "command_failed" if command.http_status == 422 and not command.field else None


# The status of commands


def _with_code(command: Command) -> dict[str, Any]:
    """Return a command with its `code`, which is that of the action's error; null unless it ended badly."""
    ended_badly = command.ended and command.status != "completed"
    code = (_problem_code(command) or code_of(_http_status(command))) if ended_badly else None
    return {**command.shown(), "code": code}


@blueprint.get("/commands")
@needs("actions:read")
@limited_by_device
@takes("device_id", "status", "limit", "cursor")
def show_all() -> Response:
    """Lists commands and who sent them, newest first, without their data."""
    status = request.args.get("status") or None
    if status not in (None, *STATUSES):
        raise wrong("status", f"must be one of {', '.join(STATUSES)}")
    try:
        rows, more = store().commands.page(device_ids(), status, limit(), cursors.after())
    except ValueError:
        raise cursors.invalid() from None
    return page((_with_code(row) for row in rows), more)


@blueprint.get("/commands/<command_id>")
@needs("actions:read", "actions:write", "actions:destructive")
@limited_by_device
def show(command_id: str) -> Response:
    """Returns a command, with its result once it has ended."""
    command = _found(command_id)
    check("actions:read", _scope_of(command))
    return _shown(command)


def _shown(command: Command) -> Response:
    shown = _with_result(_with_code(command), command.result)
    return answer(shown) if command.ended else answer(shown, Retry_After=_RETRY_AFTER)


@blueprint.post("/commands/<command_id>/cancel")
@needs("actions:read", "actions:write", "actions:destructive")
@limited_by_device
def cancel(command_id: str) -> Response:
    """Cancels a command that has not been sent yet, or stops asking the gateway for its result."""
    return _shown(_cancelled(command_id))


@blueprint.delete("/commands/<command_id>")
@needs("actions:read", "actions:write", "actions:destructive")
@limited_by_device
def remove(command_id: str) -> Response:
    """Cancels a command like `POST /v1/commands/{command_id}/cancel`, and returns no body."""
    _cancelled(command_id)
    return Response(status=204)


def _cancelled(command_id: str) -> Command:
    """Cancel a command, unless it has been cancelled before, and return it. Raises a 409 Problem if it is too late."""
    command = _found(command_id)
    check(_scope_of(command))
    if not command.was_cancelled:
        store().commands.cancel(command)
        command = _found(command_id)
    if command.was_cancelled:
        return command
    if command.ended:
        detail, code = (
            f"The command can't be cancelled, because it has ended as {command.status}.",
            "command_ended",
        )
    else:
        detail, code = "The command can't be cancelled, because it is being sent.", "command_being_sent"
    raise Problem(409, detail, code=code, command_id=command_id, command_status=command.shown_status)


def _found(command_id: str) -> Command:
    command = store().commands.get(command_id)
    if command is None or not caller().sees(command.record["device_id"]):
        raise Problem(404, "There is no command with this ID, or it has been removed.")
    return command


def _scope_of(command: Command) -> str:
    return ACTIONS[command.record["action"]].scope
