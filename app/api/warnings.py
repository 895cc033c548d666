"""Warnings in answers, about values that are accepted but match nothing now."""

from __future__ import annotations

from typing import Any

from app.events.types import PUNCH_TYPES
from app.store.subscriptions.records import Subscription

UNKNOWN_DEVICE = "unknown_device"
UNKNOWN_PUNCH_TYPE = "unknown_punch_type"


def unknown_device_in_query(device_id: str) -> dict[str, Any]:
    """Return the warning about a device in the parameter `device_id` that isn't registered."""
    return {"code": UNKNOWN_DEVICE, "parameter": "device_id", "message": _not_registered(device_id)}


def of_subscription(subscription: Subscription, unknown_device_ids: list[str]) -> list[dict[str, Any]]:
    """Return the warnings about a subscription's filters. `unknown_device_ids` are those that aren't registered."""
    devices = [
        {"code": UNKNOWN_DEVICE, "pointer": "/filters/device_ids", "message": _not_registered(device_id)}
        for device_id in unknown_device_ids
    ]
    odd = sorted(set(subscription.punch_types).difference(PUNCH_TYPES))
    punch_types = [
        {
            "code": UNKNOWN_PUNCH_TYPE,
            "pointer": "/filters/punch_types",
            "message": f"{name!r} is not one of the usual punch types, so it only matches if a device sends it. The "
            f"usual ones are {', '.join(PUNCH_TYPES)}.",
        }
        for name in odd
    ]
    return [*devices, *punch_types]


def _not_registered(device_id: str) -> str:
    return f"No device {device_id!r} is registered. Check the spelling, or register it."
