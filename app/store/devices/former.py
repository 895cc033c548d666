"""Data about removed devices that is needed to check whoever registers one of them again.

Without it, somebody with only `devices:write` could remove a device, register it again with their own gateway, and get
the PINs in later commands.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from app.base.addresses import UrlRefused, origin
from app.store.devices.record import Device
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import FORMER_DEVICES


class Former(NamedTuple):
    """A removed device: its AuthToken's keyed digest (empty: it proves nothing) and its gateway's origin."""

    token: str
    origin: str


class FormerDevices:
    """The stored data about removed devices."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def note(self, device: Device) -> None:
        """Save data about a device that is being removed."""
        token = "" if device.auth_token_unproven else self.digest(device.auth_token)
        noted = Former(token, origin_or_empty(device.record.get("gateway_url")))
        self._connection.redis.hset(FORMER_DEVICES, device.id, orjson.dumps(noted._asdict()))

    def of(self, device_id: str) -> Former | None:
        """Return the device last removed with this ID; None if there was none. A damaged one proves nothing."""
        stored = self._connection.redis.hget(FORMER_DEVICES, device_id)
        if not stored:
            return None
        with left_out(f"the removed device {device_id}"):
            return Former(**orjson.loads(stored))
        return Former("", "")

    def digest(self, auth_token: str) -> str:
        """Return the keyed digest of an AuthToken."""
        return self._connection.vault.digest("token", auth_token)


def origin_or_empty(url: str | None) -> str:
    """Return the origin of a gateway's URL; empty without one, or if it can't be read."""
    try:
        return origin(url) if url else ""
    except UrlRefused:
        return ""
