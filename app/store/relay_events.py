"""Events that the relay itself makes, and what it counts without a device."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from app import ids
from app.events.flatten import received_iso
from app.store.connection import Connection
from app.store.keys import COUNTERS
from app.store.subscriptions import Subscription


class RelayEvents:
    """Publishes what didn't come from a device."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._script = connection.script("publish")

    def publish(self, event_type: str, fields: dict[str, Any]) -> str:
        """Stores an event of the relay's own in shard 0; its id."""
        now = datetime.now(UTC)
        received = received_iso(now)
        common = dict.fromkeys(("device_id", "device_label", "device_serial", "operation", "operation_id"))
        event = {
            "type": event_type,
            "occurred_at": received,
            "occurred_at_utc": received,
            "received_at": received,
            **common,
            "test": False,
            **fields,
        }
        shard = self._connection.shards[0]
        entry = self._script(keys=[shard.events, shard.by_type(event_type)], args=[orjson.dumps(event)])
        return ids.event_id(shard.number, entry.decode())

    def subscription_disabled(self, subscription: Subscription, reason: str) -> str:
        """Says that a subscription was disabled or removed, and why."""
        return self.publish(
            "subscription.disabled",
            {
                "subscription_id": subscription.id,
                "target_url": subscription.target_url.partition("?")[0],  # a query may hold a secret
                "reason": reason,
            },
        )

    def count(self, name: str, by: int = 1) -> None:
        """Counts what has no device, say a callback with a wrong token."""
        self._connection.redis.hincrby(COUNTERS, name, by)

    def counters(self) -> dict[str, int]:
        """What was counted."""
        stored = self._connection.redis.hgetall(COUNTERS)
        return {name.decode(): int(value) for name, value in stored.items()}
