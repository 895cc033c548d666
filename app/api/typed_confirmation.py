"""What a user of the console confirms by typing the device's name: destructive commands, and removing a device.

For commands, the API requires `confirm: true` instead.
"""

from __future__ import annotations

from urllib.parse import unquote

from flask import request

from app.api.auth import is_by_session
from app.api.problems import wrong
from app.schemas.actions import Action
from app.store.devices.registry import Device

HEADER = "X-Confirm-Device"  # percent-encoded, because a label may contain any characters


def is_named(action: Action) -> bool:
    """Return whether the device's name must be typed, which is the case for actions that delete data on it."""
    return action.effect == "destructive" or action.name == "delete-user"


def names_of(device: Device) -> list[str]:
    """Return the accepted names: the device's label and its ID."""
    return list(dict.fromkeys(name for name in (device.record["label"], device.id) if name))


def check_named(action: Action, device: Device) -> None:
    """Raise a 422 Problem if the console calls a destructive action without the device's name."""
    if is_named(action):
        check_typed(names_of(device))


def check_typed(names: list[str]) -> None:
    """Raise a 422 Problem if the console calls without one of these names of the device."""
    if not is_by_session():
        return
    typed = unquote(request.headers.get(HEADER, "")).strip()
    if typed not in (name.strip() for name in names):
        raise wrong("confirm", f"must be the device's label or ID, for example {names[0]}")
