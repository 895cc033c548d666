"""The reading operations of the node, and how its editor stores a choice."""

from __future__ import annotations

from tests.n8n.n8n import Json

READS = {
    "command": {"cancel", "get", "getAll"},
    "device": {"get", "getAll"},
    "event": {"get", "getAll", "getPhoto"},
    "user": {"get", "getAll", "getCredential"},
}


def chosen(value: str) -> Json:
    """Returns a resource locator's value that selects a device or user by ID."""
    return {"__rl": True, "mode": "id", "value": value}
