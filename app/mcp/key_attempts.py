"""Which API keys worked, and how many others were tried within the last minute.

The relay limits wrong keys by address (`app.store.access.failed_attempts`), and of those that are tried over HTTP it
sees only the MCP server's own: without a limit here, anybody could have
it bar this server, and what else calls it from this machine.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import deque

WINDOW_SECONDS = 60
_MOST_UNKNOWN = 100  # half of what the relay lets one address fail in that time


class KeyTries:
    """For all callers of one server together."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._working: set[bytes] = set()  # digests
        self._unknown: deque[float] = deque()  # when each was tried (time.monotonic)

    def may_be_tried(self, key: str) -> bool:
        """Whether the relay may be asked of it; where it never worked, that counts as a try."""
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
