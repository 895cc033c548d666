"""Makes a backup in a folder or on S3 whenever one is due, and removes the oldest ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from app.base.loops import LOOPS
from app.base.outage_log import Absence
from app.settings.s3_url import S3Url
from app.store import Store
from app.store.access.audit import COMMAND_LINE
from app.store.server.connection import is_away
from app.store.upkeep.backup import backup
from app.store.upkeep.backup_file import BackupError
from app.store.upkeep.backup_folder import BackupFolder, FolderBusy
from app.store.upkeep.backup_names import Kept
from app.store.upkeep.backup_origin import backup_origin
from app.store.upkeep.backup_reports import BackupReport
from app.store.upkeep.backup_s3 import S3Backups

log = logging.getLogger("relay.backup")

LOOP = "backups"
TURN_SECONDS = 60.0
_LONGEST_PAUSE = 3_600.0  # after failures
_LONGEST_TEXT = 500

Target = BackupFolder | S3Backups


class BackupSchedule:
    """The backups of one store."""

    def __init__(
        self,
        store: Store,
        folder: Path | S3Url,
        every: float,
        keep: int | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`every` is in seconds; with `keep` None, no backup is removed."""
        self.removal_error: OSError | BackupError | None = None
        """Why older backups couldn't be removed; None if they were."""
        self._store = store
        self._folder = folder
        self._target: tuple[tuple[str, str], Target] | None = None  # with the store's ID and origin
        self._every = every
        self._keep = keep
        self._clock = clock
        self._loop = LOOPS.get(LOOP)
        self._absence = Absence(log, "backups are waiting")
        self._newest_at: float | None = None  # as last read, for times when the place can't be read
        self._failing_since: float | None = None
        self._error: str | None = None
        self._interrupted: int | None = None  # None until the previous process's report was read
        self._failed_at, self._pause = 0.0, 0.0

    def turn(self) -> Path | S3Url | None:
        """Make a backup if one is due; return where it is. A failure is counted, logged once a minute and reported."""
        try:
            if not self._store.admission.look():
                return None  # the admission logs why, and `/health` reports it
            folder = self.folder()
            self._absence.end()
            return None if folder is None else self._turn(folder)
        except redis.RedisError as error:
            if not is_away(error):
                raise
            self._absence.note(error)
            self._loop.waited()
            return None

    def folder(self) -> Target | None:
        """Return this store's part of the folder or bucket; None if the store has no ID yet. Raises redis errors."""
        store_id = self._store.identity.store_id()
        if store_id is None:
            return None
        name = (store_id, backup_origin(self._store.connection))
        if self._target is None or self._target[0] != name:
            self._target = (name, self._make_target(*name))
        return self._target[1]

    def _make_target(self, store_id: str, origin: str) -> Target:
        if isinstance(self._folder, S3Url):
            return S3Backups(self._folder, store_id, origin, self._store.settings.data_dir)
        return BackupFolder(self._folder, store_id, origin)

    def _turn(self, folder: Target) -> Path | S3Url | None:
        made, newest_at, now = None, self._newest_at, self._clock()
        ahead: list[str] = []
        try:
            self._note_interruption(now)
            newest = folder.newest(now)
            self._newest_at = newest_at = None if newest is None else newest.made_at
            ahead = folder.ahead(now)
            if newest is not None and now - newest.made_at < self._every:
                self._rest(folder, newest, now)
            elif not 0 <= now - self._failed_at < self._pause:
                self._report(now, newest_at, ahead, began_at=now)  # shows a crash
                made = self.make(folder)
                self._newest_at = newest_at = now
                self._note_success(now)
        except FolderBusy:
            self._loop.waited()
        except (SystemExit, KeyboardInterrupt):
            with suppress(redis.RedisError):
                self._report(now, newest_at, ahead)
            raise
        except Exception as error:
            if is_away(error):
                raise
            self._note_failure(error, now)
        self._report(now, newest_at, ahead)
        return made

    def make(self, folder: Target) -> Path | S3Url:
        """Make a backup now, and remove the oldest ones; return where it is. Raises BackupError, OSError and redis
        errors.

        If older ones can't be removed, `removal_error` says why.
        """
        kept, now = self._store, self._clock()
        with folder.locked():
            folder.remove_abandoned()
            path, count = folder.save(
                lambda path: backup(kept.connection, path, kept.past, kept.api_keys.first_record()), now
            )
            kept.audit.record(COMMAND_LINE, "store.backed_up", detail=f"{count} keys in {path.name}")
            self._remove(folder, path, now)
        return path

    def _rest(self, folder: Target, newest: Kept, now: float) -> None:
        """Remove backups that couldn't be removed before, while no backup is due."""
        if self.removal_error is not None:
            with folder.locked():
                self._remove(folder, newest.path, now)
        self._note_success(now)

    def _remove(self, folder: Target, new: Path | S3Url, now: float) -> None:
        self.removal_error = None
        if self._keep is None:
            return
        try:
            for removed in folder.remove_all_but(self._keep, new, now):
                log.info("the backup %s is removed, because newer ones are kept", removed)
        except (OSError, BackupError) as error:
            self.removal_error = error

    def _report(
        self, now: float, newest_at: float | None, ahead: list[str], began_at: float | None = None
    ) -> None:
        self._store.backup_reports.write(
            BackupReport(
                *(now, str(self._folder), self._every, newest_at, self._failing_since, self._error),
                *(began_at, self._interrupted or 0, ahead),
            )
        )

    def _note_interruption(self, now: float) -> None:
        """Wait before the next attempt if the previous process died in one, as the next might end the same way."""
        if self._interrupted is not None:
            return
        report = self._store.backup_reports.read()
        if report is None or report.began_at is None:
            self._interrupted = 0
            return
        self._interrupted = report.interrupted + 1
        self._failing_since = report.failing_since or report.began_at
        self._error = "the process was killed or crashed while it made a backup"
        self._failed_at, self._pause = min(report.began_at, now), self._pause_after(self._interrupted)

    def _note_success(self, now: float) -> None:
        self._interrupted, self._pause = 0, 0.0
        if self.removal_error is None:
            self._failing_since, self._error = None, None
            self._loop.worked()
        else:
            self._failing_since = self._failing_since or now
            self._error = f"older backups can't be removed: {explained(self.removal_error)}"
            self._loop.failed(self.removal_error, explained=True)

    def _note_failure(self, error: Exception, now: float) -> None:
        self._interrupted = 0
        self._failing_since = self._failing_since or now
        self._error = explained(error)
        self._loop.failed(error, explained=isinstance(error, (BackupError, OSError, redis.ResponseError)))
        self._failed_at, self._pause = now, self._pause_after(self._loop.failures_in_a_row)

    def _pause_after(self, failures: int) -> float:
        return min(TURN_SECONDS * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE, self._every)


def explained(error: Exception) -> str:
    """Return a readable error: for an OSError, the file and the system's message."""
    if isinstance(error, BackupError):
        return str(error)
    if isinstance(error, redis.ResponseError):
        return f"the store answered: {str(error)[:_LONGEST_TEXT]}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}. See the log of the process that makes backups"
