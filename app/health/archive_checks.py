"""Checks of the archive, for `/health` and `doctor`."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from app.health.findings import Problem
from app.store import Store

_STOPPED_SECONDS = 900.0  # a worker reports every few seconds
_TOLERATED_SECONDS = 60.0  # for the restart of a database
_BEHIND_MS = 3_600_000
_KEPT = "The events stay in the store until they are archived."


def archive_warnings(store: Store, now: float | None = None) -> list[str]:
    """Report that the archive can't be written, or is far behind, without the database's message."""
    return _found(store, now, details=False)


def archive_details(store: Store, now: float | None = None) -> list[str]:
    """Report the same, with the database's message, for the machine's operator."""
    return _found(store, now, details=True)


def _found(store: Store, now: float | None, *, details: bool) -> list[str]:
    now = time.time() if now is None else now
    report = store.archive_reports.read()
    if store.past.archive is None or report is None:
        return []  # there is none, or no worker has started yet
    if report.failing_since is not None and now - report.failing_since > _TOLERATED_SECONDS:
        since = f"{datetime.fromtimestamp(report.failing_since, UTC):%Y-%m-%d %H:%M} UTC"
        shown = report.error if details else "`cams-relay doctor` shows the error"
        return [Problem(f"Writing to the archive has failed since {since}: {shown}. {_KEPT}")]
    if now - report.at > _STOPPED_SECONDS:
        return [
            Problem(f"No worker has written to the archive for {(now - report.at) / 60:.0f} min. {_KEPT}")
        ]
    if report.behind_ms > _BEHIND_MS:
        return [f"The archive is {report.behind_ms / 3_600_000:.0f} h behind the store. {_KEPT}"]
    return []
