"""Limits how many unknown API keys can be tried per minute.

The relay limits wrong keys by address (`app.store.access.failed_attempts`), and all requests of the MCP server come
from one address. Without this limit, anybody could make the relay block this server and other callers on this machine.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import deque

WINDOW_SECONDS = 60
_MOST_UNKNOWN = 100  # half of the failed attempts that the relay allows per address


class KeyAttempts:
    """The keys that worked, and the recent attempts with other keys, for all callers of a server."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._working: set[bytes] = set()  # digests
        self._unknown: deque[float] = deque()  # the time of each attempt (time.monotonic)

    def may_be_tried(self, key: str) -> bool:
        """Return whether the relay may be asked about a key. If the key hasn't worked before, count an attempt."""
        if self._digest(key) in self._working:
            return True
        now = time.monotonic()
        while self._unknown and self._unknown[0] <= now - WINDOW_SECONDS:
            self._unknown.popleft()
        if len(self._unknown) >= _MOST_UNKNOWN:
            return False
        self._unknown.append(now)
        return True

    def worked(self, key: str) -> None:
        self._working.add(self._digest(key))

    def failed(self, key: str) -> None:
        self._working.discard(self._digest(key))

    def _digest(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode(errors="surrogatepass"), key=self._salt, digest_size=16).digest()
