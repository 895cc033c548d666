"""The operations of the node that send no command to a device, and how its editor stores a choice."""

from __future__ import annotations

from typing import Any

from tests.n8n.n8n import Execution, Json, N8n

READS = {
    "attendance": {"export", "getAll", "getMonth"},
    "command": {"cancel", "get", "getAll"},
    "delivery": {"get", "getAll", "retry"},
    "device": {"get", "getAll"},
    "employee": {"create", "delete", "get", "getAll", "update", "upsert"},
    "event": {"get", "getAll", "getPhoto"},
    "subscription": {"get", "getAll", "replay"},
    "user": {"get", "getAll", "getCredential"},
}


def read(n8n: N8n, resource: str, operation: str, **more: Any) -> Execution:
    """Run one of these operations, which must succeed, with all fields of the results unless `simplify` is given."""
    assert operation in READS[resource]
    execution = n8n.run({"resource": resource, "operation": operation, "simplify": False, **more})
    assert execution.status == "success", execution.error
    return execution


def chosen(value: str) -> Json:
    """Returns a resource locator's value that selects a device or user by ID."""
    return {"__rl": True, "mode": "id", "value": value}
