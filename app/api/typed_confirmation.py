"""Commands before which a person at the console types the machine's name. The API takes `confirm: true` instead."""

from __future__ import annotations

from urllib.parse import unquote

from flask import request

from app.api.auth import is_by_session
from app.api.problems import wrong
from app.schemas.actions import Action
from app.store.devices.registry import Device

HEADER = "X-Confirm-Device"  # percent-encoded, for a label may be of any letters


def is_named(action: Action) -> bool:
    """Whether the machine's name has to be typed for it: whatever deletes on the machine."""
    return action.effect == "destructive" or action.name == "delete-user"


def names_of(device: Device) -> list[str]:
    """What may be typed: the machine's label, or its id."""
    return list(dict.fromkeys(name for name in (device.record["label"], device.id) if name))


def check_named(action: Action, device: Device) -> None:
    """Raises a 422 Problem if the call is the console's and doesn't name the machine that it destroys something on."""
    if not is_named(action) or not is_by_session():
        return
    typed = unquote(request.headers.get(HEADER, "")).strip()
    if typed not in (name.strip() for name in names_of(device)):
        raise wrong("confirm", f"must name the device, for example {names_of(device)[0]}")
