"""Publishes the events that the relay itself creates, and counts what belongs to no device."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from app.base import ids
from app.events.flatten import received_iso
from app.store.devices.registry import Device
from app.store.server.connection import Connection
from app.store.server.damage import number
from app.store.server.keys import COUNTERS
from app.store.subscriptions.records import Subscription

# Notes that an event was published: the key of a hash, a field, its required value before, and its value after.
# An empty value means that the field is missing.
Note: TypeAlias = tuple[str, str, bytes, str | bytes]


class RelayEvents:
    """Publishes events that didn't come from a device."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._script = connection.script("publish")
        self._once = connection.script("publish_once")

    def publish(self, event_type: str, fields: dict[str, Any]) -> str:
        """Store one of the relay's own events in shard 0; return its ID."""
        shard, body = self._connection.shards[0], orjson.dumps(_event(event_type, fields))
        entry = self._script(keys=[shard.events, shard.by_type(event_type)], args=[body])
        return ids.event_id(shard.number, entry.decode())

    def publish_once(
        self,
        event_type: str,
        fields: dict[str, Any],
        note: Note,
        keep: int | None = None,
        device: Device | None = None,
    ) -> str | None:
        """Store an event with a note; return its ID, or None if the note no longer has its required value.

        `keep` is for how many seconds the note is kept. An event about a device is stored in the device's shard, which
        must also contain its note; any other event is stored in shard 0.
        """
        shard = device.shard if device else self._connection.shards[0]
        keys = [note[0], shard.events, shard.by_type(event_type)]
        if device is not None:
            keys.append(shard.by_device(device.id))
            fields = {
                "device_id": device.id,
                "device_label": device.record["label"],
                "device_serial": device.record["serial_number"],
                **fields,
            }
        if "user_id" in fields:
            keys.append(shard.by_user(fields["user_id"]))
        body = orjson.dumps(_event(event_type, fields))
        entry = self._once(keys=keys, args=[*note[1:], "" if keep is None else keep, body])
        return ids.event_id(shard.number, entry.decode()) if entry else None

    def subscription_disabled(self, subscription: Subscription, reason: str) -> str:
        """Publish that a subscription was disabled, and why."""
        return self.publish(
            "subscription.disabled",
            {
                "subscription_id": subscription.id,
                "target_url": subscription.target_origin,
                "reason": reason,
            },
        )

    def count(self, name: str, by: int = 1) -> None:
        """Count something that belongs to no device, such as a callback with a wrong token."""
        self._connection.redis.hincrby(COUNTERS, name, by)

    def counters(self) -> dict[str, int]:
        """Return the counters."""
        stored = self._connection.redis.hgetall(COUNTERS)
        return {name.decode(): int(number(value)) for name, value in stored.items()}


def _event(event_type: str, fields: dict[str, Any]) -> dict[str, Any]:
    now = received_iso(datetime.now(UTC))
    common = dict.fromkeys(("device_id", "device_label", "device_serial", "operation", "operation_id"))
    return {
        "type": event_type,
        "occurred_at": now,
        "occurred_at_utc": now,
        "received_at": now,
        **common,
        "test": False,
        **fields,
    }
