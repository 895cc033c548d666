"""The confirmation before a destructive command, or before a device is removed: which device, and how many people.

People type the device's name. The console sends it with the call, which is refused without it: see `check_named`.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from app.api.auth import check, needs, store
from app.api.find_device import find_device
from app.api.problems import Problem, wrong
from app.api.request_helpers import answer
from app.api.typed_confirmation import is_named, names_of
from app.console.texts import text
from app.schemas.actions import ACTIONS, Action
from app.store.devices.registry import Device

blueprint = Blueprint("confirm", __name__, url_prefix="/console/confirm")


@blueprint.get("/<name>")
@needs("actions:write", "actions:destructive")
def show(name: str) -> Response:
    """Show the question, the device's names that may be typed, and the button's text."""
    action = ACTIONS.get(name)
    if action is None or not is_named(action):
        raise Problem(404, text("actions.unknown"))
    check(action.scope)
    device = _device()
    user_id = request.args.get("user_id") or None
    return answer({**_texts(action, device, user_id), "names": names_of(device)})


@blueprint.get("/remove-device")
@needs("devices:write")
def show_removal() -> Response:
    """Show the same for the removal of a device from the relay."""
    device = _device()
    shown = {"question": text("confirm.remove_device", **_values(device)), "names": names_of(device)}
    return answer({**shown, "button": text("device.remove_yes", device=device.id)})


def _device() -> Device:
    device = find_device(request.args.get("device_id", ""))
    if device is None:
        raise wrong("device_id", "is not a registered device")
    return device


def _values(device: Device) -> dict[str, Any]:
    count = store().users.count(device)
    label = device.record["label"] or device.id
    return {
        "machine": label if label == device.id else f"{label} ({device.id})",
        "count": f"{count:,}",
        "users": text("confirm.one_user" if count == 1 else "confirm.users", count=f"{count:,}"),
    }


def _texts(action: Action, device: Device, user_id: str | None) -> dict[str, Any]:
    values = {
        **_values(device),
        "summary": action.summary,
        "user": _user(device, user_id) if user_id else "",
    }
    if action.name == "delete-user":
        return {
            "question": text("confirm.delete_user", **values),
            "button": text("confirm.delete_user_yes", **values),
        }
    question = text("confirm.question", **values)
    if action.name == "delete-all-user":
        yes = "confirm.delete_all_yes" if values["count"] not in ("0", "1") else "confirm.delete_every_yes"
        return {"question": question, "button": text(yes, **values)}
    return {"question": question, "button": text("confirm.other_yes", **values)}


def _user(device: Device, user_id: str) -> str:
    (known,) = store().users.show(device, [user_id])
    name = known["full_name"] if known else None
    return f"{name} ({user_id})" if name else user_id
