"""The worker's report about the archive, which `/health`, `/metrics` and `doctor` read in any process."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace

import orjson

from app.store.server.connection import Connection
from app.store.server.keys import ARCHIVE


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """When a worker last tried to write the archive (s), and how far it was behind the store then (ms).

    `failing_since` and `error` are None if it could be written.
    """

    at: float
    behind_ms: int
    failing_since: float | None = None
    error: str | None = None


class ArchiveReports:
    """Writes and reads the report."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def succeeded(self, behind_ms: int) -> None:
        """Report that the archive was written just now."""
        self._write(ArchiveReport(time.time(), max(0, behind_ms)))

    def failed(self, error: str) -> None:
        """Report that it could not be written. Raises redis errors."""
        now = time.time()
        before = self.read() or ArchiveReport(now, 0)
        since = now if before.failing_since is None else before.failing_since
        self._write(replace(before, at=now, failing_since=since, error=error))

    def _write(self, report: ArchiveReport) -> None:
        self._connection.redis.set(ARCHIVE, orjson.dumps(asdict(report)))

    def read(self) -> ArchiveReport | None:
        """Return the latest report; None if there is none, or it can't be read. Raises redis errors."""
        stored = self._connection.redis.get(ARCHIVE)
        try:
            return ArchiveReport(**orjson.loads(stored)) if stored else None
        except (ValueError, TypeError):
            return None
