"""One call of ingest.lua: the callback, and the call's keys and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from app.events import flatten
from app.gateway.callbacks import Callback
from app.store.devices.registry import Device
from app.store.people.device_timestamps import device_ms
from app.store.server.keys import Shard


@dataclass(slots=True)  # creating a frozen one takes three times as long
class Received:
    """A callback that is being stored."""

    device: Device
    callback: Callback
    receipt: flatten.Receipt
    at: str  # the time, as in events
    received_ms: int
    default_ms: int  # time of facts without their own: the envelope's, or else the receipt

    @classmethod
    def of(cls, device: Device, callback: Callback, receipt: flatten.Receipt) -> Received:
        received_ms = int(receipt.received_at.timestamp() * 1000)
        default_ms = device_ms((callback.time,), received_ms, receipt.retention)
        at = flatten.received_iso(receipt.received_at)
        return cls(device, callback, receipt, at, received_ms, default_ms)

    def device_ms(self, at: datetime | None) -> int:
        """Return when something happened by the device's clock, in ms since 1970, if that is plausible."""
        if at is None:
            return self.default_ms
        return device_ms((at, self.callback.time), self.received_ms, self.receipt.retention)

    @property
    def shard(self) -> Shard:
        return self.device.shard


@dataclass(slots=True)
class Call:
    """Keys and arguments of one script call, which are added item by item."""

    keys: list[Any]
    items: list[Any] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, keys: Sequence[str], *arguments: Any) -> None:
        self.keys.extend(keys)
        self.items.append(kind)
        self.items.extend(arguments)

    def add_event(self, device: Device, event: dict[str, Any], raw: bytes, extra: bytes = b"") -> None:
        """Add an event other than a punch, with the gateway's JSON, and data that only some API keys may read."""
        user_id = event.get("user_id")
        keys = [device.shard.by_type(event["type"]), device.shard.by_device(device.id)]
        if user_id is not None:
            keys.append(device.shard.by_user(user_id))
        self.add("event", keys, int(user_id is not None), orjson.dumps(event), raw, extra)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
