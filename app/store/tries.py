"""Failed tries to authenticate, limited by the caller's address: 200 a minute for all web processes together.

An address past the limit is remembered by each process that hears of it, so that its further tries cost the store
nothing.
"""

from __future__ import annotations

import time
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import redis

from app.store.connection import Connection
from app.store.keys import failed_tries

MOST = 200
WINDOW_SECONDS = 60
_IPV6_PREFIX = 64  # what a customer has at least: one may call from any address in it
_MOST_REMEMBERED = 10_000


class TooManyTries(Exception):
    """An address has failed too often; `seconds` until it may try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong API keys came from this address; try again in {seconds} s.")
        self.seconds = seconds


class FailedTries:
    """The failed tries of the last minute, by address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._barred: dict[str, float] = {}  # network → when it may try again (time.monotonic)

    def check(self, address: str) -> None:
        """Raises TooManyTries where the address is known here to be past the limit."""
        network = network_of(address)
        left = self._barred.get(network, 0.0) - time.monotonic()
        if left > 0:
            raise TooManyTries(int(left) + 1)
        self._barred.pop(network, None)

    def count(self, address: str) -> None:
        """Counts a failure. Raises TooManyTries where it is one too many."""
        network = network_of(address)
        key = failed_tries(network)
        pipeline = self._connection.redis.pipeline(transaction=True)
        pipeline.set(key, 0, ex=WINDOW_SECONDS, nx=True)
        pipeline.incr(key)
        pipeline.ttl(key)
        with suppress(redis.RedisError, OSError):  # a store that can't count now must not let a failure pass
            _, failures, seconds = pipeline.execute()
            if failures > MOST:
                self._bar(network, max(1, seconds))
                raise TooManyTries(max(1, seconds))

    def _bar(self, network: str, seconds: int) -> None:
        now = time.monotonic()
        if len(self._barred) >= _MOST_REMEMBERED:
            self._barred = {name: until for name, until in self._barred.items() if until > now}
        if len(self._barred) < _MOST_REMEMBERED:  # else the store is asked each time
            self._barred[network] = now + seconds


def network_of(address: str) -> str:
    """The network that an address counts as: IPv4 itself, IPv6 its /64; what proxies say that is none, `unknown`."""
    ip = _parsed(address)
    if ip is None:
        return "unknown"
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    if isinstance(ip, IPv4Address) or mapped is not None:
        return str(mapped or ip)
    return str(ip_network((int(ip), _IPV6_PREFIX), strict=False))


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """Some proxies add the port: `203.0.113.7:4711`, `[2001:db8::1]:4711`."""
    bare = address.partition("]")[0].removeprefix("[") if address.startswith("[") else address
    for text in (bare.partition("%")[0], bare.partition(":")[0]):
        with suppress(ValueError):
            return ip_address(text)
    return None
