"""Made-up events of each type, from the examples of its schema."""

from __future__ import annotations

from typing import Any

from app.base import ids
from app.events.types import EVENT_TYPES, SCHEMAS

_ENDED_OTHERWISE: dict[str, dict[str, Any]] = {
    "command.failed": {
        "status": "failed",
        "status_code": 9,
        "status_name": "User Not Found",
        "message": "No user has this ID on the device.",
    },
    "command.unknown": {
        "action": "delete-user",
        "status": "unknown",
        "status_code": 6,
        "status_name": "Operation Timeout",
        "message": "Operation Timeout. The command may still be carried out, so the relay didn't send it again. Check "
        "the device before you send it again.",
    },
    "command.cancelled": {
        "status": "cancelled",
        "status_code": None,
        "status_name": None,
        "message": "Cancelled before it was sent.",
    },
}


def sample(event_type: str) -> dict[str, Any]:
    """A made-up event of a type, from the examples of its schema; `test` is true."""
    schema = SCHEMAS[event_type]
    event = {name: field.metadata["examples"][0] for name, field in schema().fields.items()}
    event |= {
        "id": event["id"][:-1] + ids.encode(EVENT_TYPES.index(event_type), 1),  # no two samples share an id
        "type": event_type,
        "operation": schema.from_operation,
        "test": True,
    }
    event |= _ENDED_OTHERWISE.get(event_type, {})
    if event["operation"] is None:
        event["operation_id"] = None
    if not schema.of_device:
        event |= {"device_id": None, "device_label": None, "device_serial": None}
    return event
