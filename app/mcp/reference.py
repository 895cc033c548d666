"""Reference data for models, as resources: the gateway's operations and status codes."""

from __future__ import annotations

import json

from mcp.types import Resource

from app.gateway import status_codes
from app.gateway.operations import OPERATIONS, Operation
from app.mcp.api_client import Json
from app.mcp.commands import fit, tool_name
from app.schemas.actions import ACTIONS

_OPERATIONS = "cams-relay://operations"
_STATUS_CODES = "cams-relay://status-codes"

RESOURCES: tuple[Resource, ...] = (
    Resource(
        uri=_OPERATIONS,
        name="operations",
        title="Gateway operations",
        description="All operations, each with its tool, or the reason why there is none.",
        mime_type="application/json",
    ),
    Resource(
        uri=_STATUS_CODES,
        name="status-codes",
        title="Gateway status codes",
        description="What each StatusCode means, and what to do about it.",
        mime_type="application/json",
    ),
)


def read(uri: str, *, cards_and_pins: bool) -> str | None:
    """Return a resource's JSON; None if there is no resource with this URI."""
    if uri == _OPERATIONS:
        return _json([_operation(operation, cards_and_pins) for operation in OPERATIONS])
    if uri == _STATUS_CODES:
        return _json(
            [
                {
                    "code": number,
                    "name": name,
                    "http_status": status_codes.http_status(number),
                    "what_to_do": status_codes.advice(number),
                }
                for number, name in status_codes.STATUS_NAMES.items()
            ]
        )
    return None


def _operation(operation: Operation, cards_and_pins: bool) -> Json:
    shown: Json = {
        "number": operation.number,
        "name": operation.name,
        "kind": "reported by a device" if operation.kind == "callback" else "a command",
        "effect": operation.effect,
        "description": operation.description,
    }
    if operation.action is not None:
        action = ACTIONS[operation.action]
        kept = fit(action, cards_and_pins=cards_and_pins)
        shown["tool"] = tool_name(action) if kept.is_tool else None
        shown["scope"] = action.scope
        if not kept.is_tool:
            missing = ", ".join(name for name in kept.withheld if name in kept.required)
            shown["why_no_tool"] = (
                f"It requires {missing}, which assistants can't send. Use the relay's API or the console."
            )
    return shown


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)
