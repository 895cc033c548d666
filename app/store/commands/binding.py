"""Binds a command to the registration, AuthToken and gateway of its device when the command was queued.

A command contains PINs and templates. If the device is registered again, or if both AuthToken and origin are replaced,
the person who did that may know none of the device's secrets, so the command isn't sent. A new origin with the same
AuthToken was confirmed with that AuthToken (see `app.api.device_changes`), and with a new AuthToken, commands go to
the same gateway as before.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.base.addresses import UrlRefused, origin
from app.base.vault import Vault
from app.store.devices.record import Device


class Binding:
    """What a command's record contains about its device, and whether that is still true."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def of(self, device: Device) -> dict[str, str]:
        """Return the time of registration, the AuthToken's keyed digest, and the gateway's origin."""
        return {
            "registered_at": device.record["created_at"],
            "token": self._vault.digest("token", device.auth_token),
            "origin": _origin(device.record["gateway_url"]),
        }

    def holds(self, record: dict[str, Any], device: Device) -> bool:
        """Return whether a command may be sent to the device's present gateway."""
        bound: dict[str, str] | None = record.get("bound")
        if bound is None:  # queued by an earlier version
            registered, queued = device.record["created_at"], record["created_at"]
            return datetime.fromisoformat(registered) <= datetime.fromisoformat(queued)
        now = self.of(device)
        same = {name for name in bound if bound[name] == now[name]}
        return "registered_at" in same and bool(same & {"token", "origin"})


def _origin(url: str | None) -> str:
    """Return a URL's origin; if the URL can't be read, the URL itself."""
    try:
        return origin(url or "")
    except UrlRefused:
        return url or ""
