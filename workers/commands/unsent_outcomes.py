"""Outcomes of commands that weren't sent, or whose answer the relay doesn't have, and why."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import orjson

from app.gateway import status_codes
from app.store.commands.outcomes import Outcome
from app.store.commands.records import Command
from app.store.devices.registry import ATTENDANCE_ONLY_MODES, Device


def readable_record(stored: bytes | None, device_id: str) -> dict[str, Any]:
    """Return a command's record; if it is damaged, only what its event needs."""
    least = {"device_id": device_id, "user_id": None, "operation": "", "operation_id": "", "action": ""}
    try:
        record = orjson.loads(stored or b"")
    except orjson.JSONDecodeError:
        return least
    return least | record | {"device_id": device_id} if isinstance(record, dict) else least


def failed_in_relay(fields: dict[bytes, bytes]) -> Outcome:
    """Return the outcome of a command that failed for a reason within the relay."""
    if fields.get(b"status") == b"queued":
        message = (
            "An internal error stopped this command before it was sent. See the relay's log for details."
        )
        return Outcome("failed", None, None, message, 502)
    message = (
        "An internal error occurred during this command. It may have been carried out. See the relay's "
        "log for details."
    )
    return Outcome("unknown", None, None, message, 422)


DEVICE_GONE = Outcome("failed", None, None, "The device was removed from the relay, or replaced.", 404)
STOPPED_BETWEEN = Outcome(
    "unknown",
    None,
    None,
    "The relay stopped before it could record the gateway's answer. The command may have been carried out. "
    "Check the device before you send it again.",
    422,
)


def gone(command: Command) -> Outcome:
    """Return the outcome of a command whose device is gone, or is another one with the same ID."""
    if command.status == "queued":
        return DEVICE_GONE
    message = (
        "The device was removed from the relay, or replaced. The command may already have been carried out."
    )
    return Outcome("unknown", command.status_code, None, message, 422)


def refusal_of(command: Command, device: Device | None) -> Outcome | None:
    """Return why a command must not be sent (now or ever); None if it may be sent."""
    if device is None:
        return gone(command)
    if command.status != "queued":
        return None
    if time.time() > datetime.fromisoformat(command.record["expires_at"]).timestamp():
        message = (
            "The command was not sent, because no worker was running for a day. It won't be sent any more."
        )
        return Outcome("failed", None, None, message, 503)
    mode = device.record["mode"]
    if mode in ATTENDANCE_ONLY_MODES:
        message = (
            f"The command was not sent, because the device is in mode {mode}, which only reports attendance."
        )
        return Outcome("failed", status_codes.NOT_SUPPORTED, None, message, 422)
    if not device.record["gateway_url"]:
        message = "The command was not sent, because the device no longer has a gateway_url."
        return Outcome("failed", None, None, message, 422, field="gateway_url")
    return None
