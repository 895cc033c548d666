"""Devices: adding a device, its state, and its own information."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api import devices as devices_api
from app.api.auth import caller, needs, store
from app.api.own_url import base_url
from app.console.device_steps import steps
from app.console.frame import api, page
from app.gateway.legacy_callbacks import CHOICES
from app.store.access.scopes import DEVICE_READERS
from app.store.devices.registry import ATTENDANCE_ONLY_MODES, DIRECTIONS, MODES

blueprint = Blueprint("devices", __name__, url_prefix="/console/devices")

_INFORMATION = "load-device-information"
_SEARCHED = 50  # commands of a device, newest first


@blueprint.get("")
@needs(*DEVICE_READERS)
def show_all() -> Response:
    """Show the devices, with their last contact."""
    found = api(devices_api.show_all)
    for device in found["data"]:
        device["queued"] = store().commands.queued(device["device_id"])
    simulated = store().devices.simulated.ids()
    return page(
        "devices",
        devices=found["data"],
        next_cursor=found["next_cursor"],
        simulated=[device_id for device_id in store().devices.ids() if device_id in simulated],
    )


@blueprint.get("/new")
@needs("devices:write")
def new() -> Response:
    """Show the form to add a device, which says where to find each value."""
    return page(
        "device_new",
        modes=MODES,
        directions=DIRECTIONS,
        legacy_callbacks=CHOICES,
        callback_url=f"{base_url()}/callback",
    )


@blueprint.get("/<device_id>")
@needs(*DEVICE_READERS)
def show(device_id: str) -> Response:
    """Show a device."""
    device = api(devices_api.show, device_id=device_id)
    return page(
        "device",
        device=device,
        queued=store().commands.queued(device_id),
        information=_information(device_id) if caller().may("actions:read") else None,
        takes_commands=device["mode"] not in ATTENDANCE_ONLY_MODES,
        modes=MODES,
        directions=DIRECTIONS,
        legacy_callbacks=CHOICES,
        steps=steps(store(), device, base_url()),
        local=base_url().startswith(("http://127.", "http://localhost", "http://[::1]")),
        local_url=base_url(),
    )


def _information(device_id: str) -> tuple[dict[str, Any], str | None] | None:
    """Return the device's latest information about itself, and when it was received."""
    commands, _ = store().commands.page([device_id], "completed", _SEARCHED, None)
    for command in commands:
        if command.record["action"] == _INFORMATION:
            whole = store().commands.get(command.id)
            return (whole.result, whole.ended_at) if whole is not None else None
    return None
