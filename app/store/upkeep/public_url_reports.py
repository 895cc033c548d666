"""The result of the latest check of the public URL. A worker writes it to the store, and `/health` reads it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson

from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import PUBLIC_URL

_LATEST = 1 << 36  # seconds since 1970 that fit into the calendar


@dataclass(frozen=True, slots=True)
class PublicUrlReport:
    """The latest check. Times are in seconds since 1970.

    `problem` is None if this relay answered at `url`. Otherwise, it is a sentence with the fix, `failing_since` is the
    time of the first such check in a row, and `heard` tells whether a machine's callbacks have arrived since then.
    `answered` tells whether something else than this relay answered.
    """

    at: float
    url: str
    problem: str | None = None
    failing_since: float | None = None
    heard: bool = False
    answered: bool = False

    def check(self) -> None:
        """Raise ValueError for a field of another type or out of range."""
        times = [self.at, *([] if self.failing_since is None else [self.failing_since])]
        if not (
            all(type(one) in (int, float) and 0 <= one < _LATEST for one in times)
            and isinstance(self.url, str)
            and isinstance(self.problem, str | None)
            and (self.problem is None) is (self.failing_since is None)
            and isinstance(self.heard, bool)
            and isinstance(self.answered, bool)
        ):
            raise ValueError("a field has another type")


class PublicUrlReports:
    """The report in the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, report: PublicUrlReport) -> None:
        """Replace the report. Raises redis errors."""
        self._connection.redis.set(PUBLIC_URL, orjson.dumps(asdict(report)))

    def read(self) -> PublicUrlReport | None:
        """Return the report; None if there is none, or it can't be read."""
        with left_out("the report of the public URL"):
            stored = self._connection.redis.get(PUBLIC_URL)
            if stored is not None:
                found = PublicUrlReport(**orjson.loads(stored))
                found.check()
                return found
        return None
