"""Reports about automatic backups. The process that makes them writes these to the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import orjson

from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import BACKUPS

_LATEST = 1 << 36  # seconds since 1970 that fit into the calendar
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class BackupReport:
    """The last report. Times are in seconds since 1970.

    `newest_at` is None if there is no backup, and `error` is None unless the last attempt failed. `began_at` is the
    beginning of an attempt that hasn't ended, `interrupted` how many in a row never ended, and `ahead` the names of
    backups that are dated in the future.
    """

    at: float
    folder: str
    every: float
    newest_at: float | None
    failing_since: float | None
    error: str | None
    began_at: float | None = None
    interrupted: int = 0
    ahead: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise ValueError for a field of another type or out of range."""
        times = [one for one in (self.newest_at, self.failing_since, self.began_at) if one is not None]
        numbers = [self.at, self.every, self.interrupted, *times]
        texts = [self.folder, *self.ahead, *([] if self.error is None else [self.error])]
        if not (
            isinstance(self.ahead, list)
            and all(type(one) in (int, float) and 0 <= one < _LATEST for one in numbers)
            and all(isinstance(one, str) and len(one) < _LONGEST_TEXT for one in texts)
        ):
            raise ValueError("a field has another type")


class BackupReports:
    """The report in the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, report: BackupReport) -> None:
        """Replace the report. Raises redis errors."""
        self._connection.redis.set(BACKUPS, orjson.dumps(asdict(report)))

    def read(self) -> BackupReport | None:
        """Return the report; None if there is none, or it can't be read."""
        with left_out("the report of backups"):
            stored = self._connection.redis.get(BACKUPS)
            if stored is not None:
                found = BackupReport(**orjson.loads(stored))
                found.check()
                return found
        return None
