"""Stores when each API key was last used. Each process writes this at most once a minute for each key."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime

import redis

from app.events.flatten import received_iso
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number
from app.store.server.keys import API_KEYS_USED

_SECONDS_BETWEEN = 60
_MOST_REMEMBERED = 10_000


class ApiKeyUse:
    """The times at which API keys were last used."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._written: dict[str, float] = {}  # key's ID → when its use was last written (monotonic)

    def note(self, key_id: str) -> None:
        """Store that a key is being used now. Does nothing if the store is away."""
        now = time.monotonic()
        if now - self._written.get(key_id, -_SECONDS_BETWEEN) < _SECONDS_BETWEEN:
            return
        if len(self._written) >= _MOST_REMEMBERED:
            self._written.clear()
        self._written[key_id] = now
        with suppress(redis.RedisError, OSError):  # the request itself must not fail
            self._connection.redis.hset(API_KEYS_USED, key_id, str(int(time.time() * 1000)))

    def all(self) -> dict[str, str]:
        """Return when each key was last used, by ID."""
        found: dict[str, str] = {}
        with left_out("when API keys were last used"):
            stored = self._connection.redis.hgetall(API_KEYS_USED)
            for key_id, ms in stored.items():
                with left_out("when an API key was last used"):
                    at = datetime.fromtimestamp(number(ms) / 1000, UTC)
                    found[key_id.decode()] = received_iso(at)
        return found

    def forget(self, key_id: str) -> None:
        """Remove the time of a deleted key."""
        with left_out("when an API key was last used"):
            self._connection.redis.hdel(API_KEYS_USED, key_id)

    def remove_others(self, key_ids: Collection[str]) -> None:
        """Remove the times of keys that are not among these."""
        with left_out("when API keys were last used"):
            gone = [
                name for name in self._connection.redis.hkeys(API_KEYS_USED) if name.decode() not in key_ids
            ]
            if gone:
                self._connection.redis.hdel(API_KEYS_USED, *gone)
