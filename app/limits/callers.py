"""Remembers which addresses recently sent genuine callbacks to this process.

All callbacks of a site come from a few addresses of the gateway. Such an address is trusted for ten minutes after each
genuine callback, and the limits for strangers don't apply to it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import lru_cache
from typing import Protocol

from app.store.access.failed_attempts import network_of

_TRUSTED_SECONDS = 600.0
_MOST_REMEMBERED = 10_000

network = lru_cache(maxsize=4_096)(network_of)


class Caller(Protocol):
    """The sender of a callback, by network (see `network`)."""

    address: str

    @property
    def is_trusted(self) -> bool:
        """Return whether genuine callbacks recently came from the same network."""

    def is_genuine(self) -> None:
        """Note that the callback is genuine."""


class Callers:
    """The addresses that sent genuine callbacks, the latest last."""

    def __init__(self) -> None:
        self._genuine: OrderedDict[str, float] = OrderedDict()  # network → when (time.monotonic)

    def note_genuine(self, address: str) -> None:
        """Remember that a genuine callback came from a network."""
        genuine = self._genuine
        genuine[address] = time.monotonic()
        genuine.move_to_end(address)
        if len(genuine) > _MOST_REMEMBERED:
            genuine.popitem(last=False)

    def trusts(self, address: str) -> bool:
        """Return whether a genuine callback came from a network within ten minutes."""
        came = self._genuine.get(address)
        return came is not None and time.monotonic() - came < _TRUSTED_SECONDS


def forwarded_address(peer: str, forwarded_for: str, proxies: int) -> str:
    """Return the caller's address with `proxies` trusted proxies, reading X-Forwarded-For like werkzeug's ProxyFix."""
    values = [part.strip() for part in forwarded_for.split(",")] if proxies and forwarded_for else []
    return values[-proxies] if len(values) >= proxies > 0 and values[-proxies] else peer
