"""Actions: a form and a JSON editor for each command, and the results of commands that were sent."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from app.api import actions as actions_api
from app.api.auth import caller, check, needs, store
from app.api.problems import Problem
from app.api.typed_confirmation import is_named
from app.console.frame import api, page
from app.console.texts import text
from app.schemas.actions import ACTIONS, Action
from app.store.devices.registry import ATTENDANCE_ONLY_MODES
from app.store.server.damage import left_out

blueprint = Blueprint("actions", __name__, url_prefix="/console/actions")

_EFFECTS = ("write", "read", "destructive")
_NOT_TYPED = ("device_id", "confirm")  # chosen above the form, and requested in a dialog


@blueprint.get("")
@needs("actions:read", "actions:write", "actions:destructive")
def show_all() -> Response:
    """Show the actions to choose from, and recent commands."""
    return _page(None)


@blueprint.get("/<name>")
@needs("actions:read", "actions:write", "actions:destructive")
def show(name: str) -> Response:
    """Show the form of an action."""
    action = ACTIONS.get(name)
    if action is None:
        raise Problem(404, text("actions.unknown"))
    check(action.scope)
    return _page(action)


@blueprint.get("/commands/<command_id>")
@needs("actions:read", "actions:write", "actions:destructive")
def command(command_id: str) -> Response:
    """Show a command that was sent, with its result."""
    found = api(actions_api.show, command_id=command_id)
    return page("command", command=found)


def _page(action: Action | None) -> Response:
    groups = {
        effect: [each for each in ACTIONS.values() if each.effect == effect and caller().may(each.scope)]
        for effect in _EFFECTS
    }
    return page(
        "actions",
        action=action,
        named=action is not None and is_named(action),
        groups=groups,
        inputs=_inputs(action.schema()) if action is not None else [],
        devices=_devices(),
        chosen_device=request.args.get("device_id"),
        history=api(actions_api.show_all) if caller().may("actions:read") else None,
    )


def _devices() -> list[dict[str, Any]]:
    """Return the devices that accept commands."""
    found = []
    for device_id in store().devices.ids():
        with left_out(f"device {device_id}"):
            device = store().devices.get(device_id)
            if device is not None and device.record["mode"] not in ATTENDANCE_ONLY_MODES:
                found.append(device.record)
    return found


def _inputs(schema: Schema) -> list[dict[str, Any]]:
    """Return the fields of an action's body, each with its input element."""
    rows = []
    for name, field in schema.fields.items():
        if name in _NOT_TYPED:
            continue
        choices = field.validate.choices if isinstance(field.validate, validate.OneOf) else None
        rows.append(
            {
                "name": name,
                "required": field.required,
                "description": field.metadata["description"],
                "example": field.metadata["examples"][0],
                "choices": choices,
                "kind": _kind(name, field),
            }
        )
    return rows


def _kind(name: str, field: fields.Field[Any]) -> str:
    if isinstance(field, fields.Boolean):
        return "boolean"
    if isinstance(field, fields.Integer):
        return "integer"
    if name.endswith("_data"):
        return "file"
    return "moment" if name in ("start_time", "end_time", "start", "end") else "text"
