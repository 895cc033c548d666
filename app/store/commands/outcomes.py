"""The outcome of a command, and the arguments of the script that ends it. The layout is in `records`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from app.events.flatten import received_iso
from app.events.types import COMMAND_ENDS
from app.gateway import clock, status_codes
from app.store.commands.keys import CommandKeys


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    `http_status` is only 5xx if the gateway certainly didn't take the command, so that a repetition is safe.
    """

    status: str
    status_code: int | None
    gateway_status: str | None
    message: str
    http_status: int
    result: dict[str, Any] | None = None
    field: str | None = None  # field of the request that is at fault


def end_call(
    keys: CommandKeys, record: dict[str, Any], command_id: str, outcome: Outcome, token: str, keep: int
) -> tuple[list[str], list[Any]]:
    """Return the keys and arguments of command_end.lua."""
    shard, device_id, user_id = keys.shard, record["device_id"], record["user_id"]
    now = datetime.now(UTC)
    received = received_iso(now)
    event_type = COMMAND_ENDS[outcome.status]
    event = {
        "type": event_type,
        "occurred_at": clock.iso(now.astimezone(ZoneInfo(record.get("timezone", "UTC")))),
        "occurred_at_utc": clock.iso_utc(now),
        "received_at": received,
        "device_id": device_id,
        "device_label": record.get("device_label"),
        "device_serial": record.get("device_serial"),
        "operation": record["operation"],
        "operation_id": record["operation_id"],
        "test": False,
        "command_id": command_id,
        "action": record["action"],
        "user_id": user_id,
        "status": outcome.status,
        "status_code": outcome.status_code,
        "status_name": status_codes.status_name(outcome.status_code)
        if outcome.status_code is not None
        else None,
        "message": outcome.message,
    }
    names = [
        shard.lease,
        keys.command(command_id),
        keys.queue(device_id),
        keys.busy,
        keys.waiting,
        shard.events,
        shard.by_type(event_type),
        shard.by_device(device_id),
    ]
    if user_id is not None:
        names.append(shard.by_user(user_id))
    code = "" if outcome.status_code is None else outcome.status_code
    arguments: list[Any] = [token, command_id, device_id, keep, orjson.dumps(event), keys.channel]
    arguments += ["status", outcome.status, "status_code", code, "message", outcome.message]
    arguments += ["gateway_status", outcome.gateway_status or "", "http_status", outcome.http_status]
    arguments += [
        "field",
        outcome.field or "",
        "ended_at",
        received,
        "result",
        orjson.dumps(outcome.result or {}),
    ]
    return names, arguments
