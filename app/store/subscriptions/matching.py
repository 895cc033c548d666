"""Finding the subscriptions that match an event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from app.events.types import EVENT_TYPES, matches
from app.store.subscriptions.records import Subscription

_PAIR_LIMIT = 1_000  # (device, user) pairs indexed for one subscription


class Matcher:
    """Finds the active subscriptions for an event, at a cost that doesn't grow with their number.

    Each is indexed by its narrowest filter: commands, pairs of device and user, users, devices, or event types.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._filed: dict[tuple[str, ...], list[Subscription]] = defaultdict(list)
        for subscription in subscriptions:
            if subscription.status == "active":
                for place in _places(subscription):
                    self._filed[place].append(subscription)

    def find(self, event: dict[str, Any]) -> list[Subscription]:
        """Return the subscriptions that match an event."""
        device, user = event["device_id"] or "", event.get("user_id") or ""
        command = event.get("command_id") or ""
        filed = self._filed
        return [
            subscription
            for place in (
                ("command", command),
                ("pair", device, user),
                ("user", user),
                ("device", device),
                ("type", event["type"]),
            )
            if place in filed
            for subscription in filed[place]
            if subscription.takes(event) and not subscription.is_expired
        ]


def _places(subscription: Subscription) -> list[tuple[str, ...]]:
    if subscription.command_ids:
        return [("command", command) for command in subscription.command_ids]
    devices, users = subscription.device_ids, subscription.user_ids
    if devices and users and len(devices) * len(users) <= _PAIR_LIMIT:
        return [("pair", device, user) for device in devices for user in users]
    if users:
        return [("user", user) for user in users]
    if devices:
        return [("device", device) for device in devices]
    return [
        ("type", event_type)
        for event_type in EVENT_TYPES
        if any(matches(pattern, event_type) for pattern in subscription.events)
    ]
