"""Limits failed authentication by the caller's address: 200 attempts per minute in all web processes together.

Each process remembers addresses above the limit, so that their further attempts cause no calls of the store. While the
store is away, each process counts separately.
"""

from __future__ import annotations

import time
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import redis

from app.store.server.connection import Connection
from app.store.server.keys import failed_tries

MOST = 200
WINDOW_SECONDS = 60
_IPV6_PREFIX = 64  # the smallest network of a customer, who can use any address in it
_MOST_REMEMBERED = 10_000
_ALL_OTHERS = "others"  # counted together if this many networks fail at a time


class TooManyTries(Exception):
    """An address has failed too often; `seconds` until it may try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong API keys were sent from this address. Try again in {seconds} s.")
        self.seconds = seconds


class FailedTries:
    """The failed attempts of the last minute, by address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._barred: dict[str, float] = {}  # network → when it may try again (time.monotonic)
        self._counted_here: dict[str, tuple[int, float]] = {}  # network → failures, and until when they count

    def check(self, address: str) -> None:
        """Raises TooManyTries if this process knows that the address is above the limit."""
        network = network_of(address)
        left = self._barred.get(network, 0.0) - time.monotonic()
        if left > 0:
            raise TooManyTries(int(left) + 1)
        self._barred.pop(network, None)

    def count(self, address: str) -> None:
        """Count a failure. Raises TooManyTries if it is one too many."""
        network = network_of(address)
        key = failed_tries(network)
        pipeline = self._connection.redis.pipeline(transaction=True)
        pipeline.set(key, 0, ex=WINDOW_SECONDS, nx=True)
        pipeline.incr(key)
        pipeline.ttl(key)
        try:
            _, failures, seconds = pipeline.execute()
        except (redis.RedisError, OSError):  # failures must count even if the store can't count them now
            self.count_here(address)
            return
        if failures > MOST:
            self._bar(network, max(1, seconds))
            raise TooManyTries(max(1, seconds))

    def count_here(self, address: str) -> None:
        """Count a failure in this process only. Raises TooManyTries if it is one too many."""
        network, now = network_of(address), time.monotonic()
        if network not in self._counted_here and len(self._counted_here) >= _MOST_REMEMBERED:
            self._counted_here = {
                name: counted for name, counted in self._counted_here.items() if counted[1] > now
            }
            if len(self._counted_here) >= _MOST_REMEMBERED:
                network = _ALL_OTHERS
        failures, until = self._counted_here.get(network, (0, 0.0))
        if until <= now:
            failures, until = 0, now + WINDOW_SECONDS
        self._counted_here[network] = (failures + 1, until)
        if failures + 1 > MOST:
            seconds = int(until - now) + 1
            self._bar(network, seconds)
            raise TooManyTries(seconds)

    def _bar(self, network: str, seconds: int) -> None:
        now = time.monotonic()
        if len(self._barred) >= _MOST_REMEMBERED:
            self._barred = {name: until for name, until in self._barred.items() if until > now}
        if len(self._barred) < _MOST_REMEMBERED:  # otherwise, the store is asked each time
            self._barred[network] = now + seconds


def network_of(address: str) -> str:
    """Return the network that an address counts as: IPv4 itself, the /64 for IPv6, `unknown` for an invalid one."""
    ip = _parsed(address)
    if ip is None:
        return "unknown"
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    if isinstance(ip, IPv4Address) or mapped is not None:
        return str(mapped or ip)
    return str(ip_network((int(ip), _IPV6_PREFIX), strict=False))


def plain_address(address: str) -> str:
    """Return an address without port and zone; `unknown` if it isn't one."""
    ip = _parsed(address)
    return "unknown" if ip is None else str(ip)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """Parse an address. Some proxies add the port: `203.0.113.7:4711`, `[2001:db8::1]:4711`."""
    bare = address.partition("]")[0].removeprefix("[") if address.startswith("[") else address
    for text in (bare.partition("%")[0], bare.partition(":")[0]):
        with suppress(ValueError):
            return ip_address(text)
    return None
