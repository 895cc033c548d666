"""What a model may want to look up, as resources: the gateway's operations and its status codes."""

from __future__ import annotations

import json

from mcp.types import Resource

from app.actions import ACTIONS
from app.gateway import codes
from app.gateway.operations import OPERATIONS, Operation
from app.mcp.commands import fit, tool_name
from app.mcp.relay import Json

_OPERATIONS = "cams-relay://operations"
_STATUS_CODES = "cams-relay://status-codes"

RESOURCES: tuple[Resource, ...] = (
    Resource(
        uri=_OPERATIONS,
        name="operations",
        title="Operations of the gateway",
        description="All 38 operations, which tool does each, and why some have none.",
        mime_type="application/json",
    ),
    Resource(
        uri=_STATUS_CODES,
        name="status-codes",
        title="Status codes of the gateway",
        description="What each StatusCode means, and what to do about it.",
        mime_type="application/json",
    ),
)


def read(uri: str, *, cards_and_pins: bool) -> str | None:
    """A resource's JSON; None where there is none of this URI."""
    if uri == _OPERATIONS:
        return _json([_operation(operation, cards_and_pins) for operation in OPERATIONS])
    if uri == _STATUS_CODES:
        return _json(
            [
                {
                    "code": number,
                    "name": name,
                    "http_status": codes.http_status(number),
                    "what_to_do": codes.advice(number),
                }
                for number, name in codes.STATUS_NAMES.items()
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
                f"It needs {missing}, which an assistant is not given: use the relay's API or a form."
            )
    return shown


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)
