"""Checks of automatic backups, for `/health` and `doctor`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from app.events.flatten import received_iso
from app.health.findings import Problem
from app.settings.running_up import LOCK
from app.store import Store
from app.store.upkeep.backup_reports import BackupReport

_STOPPED_SECONDS = 900.0  # the process reports every minute, and a large backup takes a while
_STARTING_SECONDS = 180.0  # in which the processes of `cams-relay up` start
_LATE = 2.0  # times the interval
_NAMED = 5  # files


def backup_warnings(store: Store, now: float | None = None) -> list[str]:
    """Warn if backups fail, are late, or aren't made although RELAY_BACKUP_TO is set, with what to do.

    Anyone may read this, so folders, files and the system's messages are only in `backup_details`.
    """
    return _found(store, now, details=False)


def backup_details(store: Store, now: float | None = None) -> list[str]:
    """Warn in the same way, with folders, files and the system's messages, for the machine's operator."""
    return _found(store, now, details=True)


def backups_fail(store: Store, now: float | None = None) -> bool:
    """Return whether `backup_warnings` has a problem: backups fail, are late, or aren't made."""
    return any(isinstance(one, Problem) for one in backup_warnings(store, now))


def _found(store: Store, now: float | None, *, details: bool) -> list[str]:
    now = time.time() if now is None else now
    report, wanted = store.backup_reports.read(), store.settings.backups.to
    if isinstance(wanted, Path) and (report is None or report.folder != str(wanted)) and not wanted.is_dir():
        return [_without_folder(wanted, details=details)]
    stopped = report is None or now - report.at > _STOPPED_SECONDS
    if stopped and (wanted is None or _is_starting(store, now)):
        return []  # they were turned off, or aren't made yet
    if report is None:
        return [_not_made("No backup has been made yet")]
    return [*_troubles(report, now, details=details), *_ahead(report, details=details)]


def _troubles(report: BackupReport, now: float, *, details: bool) -> list[str]:
    newest = _newest(report.newest_at, now)
    if report.error is not None and report.failing_since is not None:
        since = f"{datetime.fromtimestamp(report.failing_since, UTC):%Y-%m-%d %H:%M} UTC"
        if details:
            return [Problem(f"Backups have failed since {since}: {report.error}. {newest}.")]
        return [Problem(f"Backups have failed since {since}. {newest}. `cams-relay doctor` shows the error.")]
    if now - report.at > max(_STOPPED_SECONDS, _LATE * report.every):
        return [_not_made(newest)]
    if report.newest_at is not None and now - report.newest_at > _LATE * report.every:
        return [Problem(f"Backups are late. {newest}. See the log of the process that makes backups.")]
    return []


def _ahead(report: BackupReport, *, details: bool) -> list[str]:
    count = len(report.ahead)
    if not count:
        return []
    many = "1 backup is" if count == 1 else f"{count} backups are"
    if not details:
        return [f"{many} dated in the future. `cams-relay doctor` shows the names."]
    names = ", ".join(report.ahead[:_NAMED]) + (" and others" if count > _NAMED else "")
    return [
        f"{many} dated in the future, in {report.folder}: {names}. The clock was wrong when they were made, or is "
        "wrong now. They count as the oldest backups. If the clock is right, remove or rename them."
    ]


def _without_folder(folder: Path, *, details: bool) -> Problem:
    """Say that the folder isn't there on this machine; for anyone, without its name."""
    if details:
        return Problem(
            f"RELAY_BACKUP_TO={folder}: this folder doesn't exist, so no backups are made. Create it, or mount the "
            "disk that it is on."
        )
    return Problem(
        "The folder in RELAY_BACKUP_TO doesn't exist, so no backups are made. `cams-relay doctor` shows its name."
    )


def _is_starting(store: Store, now: float) -> bool:
    """Return whether `cams-relay up` was started on this data folder within the last minutes."""
    try:
        started_at = (store.settings.data_dir / LOCK).stat().st_mtime
    except OSError:
        return False
    return 0 <= now - started_at < _STARTING_SECONDS


def newest_backup(store: Store) -> str | None:
    """Return when the newest backup was made, in ISO 8601; None if none is known."""
    report = store.backup_reports.read()
    if report is None or report.newest_at is None:
        return None
    return received_iso(datetime.fromtimestamp(report.newest_at, UTC))


def newest_backup_seconds(store: Store, now: float | None = None) -> float | None:
    """Return the age of the newest backup in seconds; None if none is known."""
    report = store.backup_reports.read()
    if report is None or report.newest_at is None:
        return None
    return max(0.0, (time.time() if now is None else now) - report.newest_at)


def backup_age(store: Store, now: float | None = None) -> str | None:
    """Return a sentence about the age of the newest backup and its folder; None if no backups are made."""
    report = store.backup_reports.read()
    if report is None:
        return None
    return f"{_newest(report.newest_at, time.time() if now is None else now)}, in {report.folder}"


def _newest(at: float | None, now: float) -> str:
    if at is None:
        return "There is no backup"
    minutes = max(0.0, now - at) / 60
    age = (
        f"{minutes:.0f} min"
        if minutes < 120
        else f"{minutes / 60:.0f} h"
        if minutes < 2_880
        else f"{minutes / 1_440:.0f} days"
    )
    return f"The newest backup is {age} old"


def _not_made(newest: str) -> Problem:
    return Problem(
        f"RELAY_BACKUP_TO is set, but no process makes backups. {newest}. Run `cams-relay up`, or `cams-relay backup "
        "--every 1d` in addition to the other processes."
    )
