"""One call of ingest.lua: what it is about, and its keys and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.events import flatten
from app.gateway.callbacks import Callback
from app.store.devices import Device
from app.store.keys import Shard


@dataclass(slots=True)  # a frozen one takes three times as long to make
class Received:
    """A callback that is being stored."""

    device: Device
    callback: Callback
    receipt: flatten.Receipt
    at: str  # when, as events say it

    @property
    def shard(self) -> Shard:
        return self.device.shard


@dataclass(slots=True)
class Call:
    """Keys and arguments of one script call, growing item by item."""

    keys: list[Any]
    items: list[Any] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, keys: Sequence[str], *arguments: Any) -> None:
        self.keys.extend(keys)
        self.items.append(kind)
        self.items.extend(arguments)

    def add_event(self, device: Device, event: dict[str, Any], raw: bytes, extra: bytes = b"") -> None:
        """An event that is no punch, with the gateway's own JSON and what only some keys may read."""
        user_id = event.get("user_id")
        keys = [device.shard.by_type(event["type"]), device.shard.by_device(device.id)]
        if user_id is not None:
            keys.append(device.shard.by_user(user_id))
        self.add("event", keys, int(user_id is not None), orjson.dumps(event), raw, extra)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
