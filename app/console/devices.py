"""Devices: adding one, how it has been doing, what it says of itself."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api import devices as devices_api
from app.api.auth import needs, store
from app.api.io import base_url
from app.console.frame import api, page
from app.store.devices import ATTENDANCE_ONLY_MODES, MODES

blueprint = Blueprint("devices", __name__, url_prefix="/console/devices")

_INFORMATION = "load-device-information"
_SEARCHED = 50  # commands of a device, newest first


@blueprint.get("")
@needs("devices:write", "events:read", "actions:read")
def show_all() -> Response:
    """The devices, with when they were last heard of."""
    found = api(devices_api.show_all)
    for device in found["data"]:
        device["queued"] = store().commands.queued(device["device_id"])
    return page("devices", devices=found["data"], next_cursor=found["next_cursor"])


@blueprint.get("/new")
@needs("devices:write")
def new() -> Response:
    """The form to add one, which says where each value is found."""
    return page("device_new", modes=MODES, callback_url=f"{base_url()}/callback")


@blueprint.get("/<device_id>")
@needs("devices:write", "events:read", "actions:read")
def show(device_id: str) -> Response:
    """One device."""
    device = api(devices_api.show, device_id=device_id)
    return page(
        "device",
        device=device,
        queued=store().commands.queued(device_id),
        information=_information(device_id),
        takes_commands=device["mode"] not in ATTENDANCE_ONLY_MODES,
        modes=MODES,
        local=base_url().startswith(("http://127.", "http://localhost", "http://[::1]")),
        local_url=base_url(),
    )


def _information(device_id: str) -> tuple[dict[str, Any], str | None] | None:
    """What the device last said of itself, and when."""
    commands, _ = store().commands.page(device_id, "completed", _SEARCHED, None)
    for command in commands:
        if command.record["action"] == _INFORMATION:
            whole = store().commands.get(command.id)
            return (whole.result, whole.ended_at) if whole is not None else None
    return None
