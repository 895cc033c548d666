"""The folder with the relay's automatic backups.

A file's name has the beginning of the store's ID, and its origin (see `backup_origin`), so that several relays, and
copies of one, can share a folder. Nothing else in the folder is touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from app.store.upkeep.backup_file import BackupError
from app.store.upkeep.backup_partial import is_partial_of, remove_abandoned

_TIME = "%Y%m%dT%H%M%SZ"
_ROOM = 1.1  # times the size of the newest backup
_AHEAD_SECONDS = 300.0  # a name dated later than this was written when a clock was wrong


class FolderBusy(BackupError):
    """Another process makes or removes backups in the folder."""


class Kept(NamedTuple):
    """A backup in the folder; `made_at` is in seconds since 1970, by its name."""

    made_at: float
    path: Path


class BackupFolder:
    """The backups of one store in a folder."""

    def __init__(self, folder: Path, store_id: str, origin: str) -> None:
        """`origin` tells copies of a store apart; names without one are of an earlier version."""
        self._folder = folder
        self._prefix = f"cams-relay-{store_id[:8]}-{origin}-"
        self._pattern = re.compile(
            rf"cams-relay-{re.escape(store_id[:8])}-(?:{re.escape(origin)}-)?(\d{{8}}T\d{{6}}Z)-[0-9a-f]{{4}}\.backup",
            re.ASCII,
        )

    def newest(self, now: float) -> Kept | None:
        """Return the newest backup, except those dated ahead. Raises BackupError if there is no folder, and OSError."""
        return max((kept for kept in self._all() if not _is_ahead(kept, now)), default=None)

    def ahead(self, now: float) -> list[Path]:
        """Return the backups that are dated in the future, by name. Raises BackupError and OSError."""
        return sorted(kept.path for kept in self._all() if _is_ahead(kept, now))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from making and removing backups meanwhile. Raises BackupError and OSError."""
        self._check()
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy(
                    f"another process makes a backup in {self._folder}. Try again when it is done"
                ) from None
            except OSError:
                pass  # some network file systems can't lock a folder
            yield
        finally:
            os.close(descriptor)

    def next_path(self, now: float) -> Path:
        """Return a new backup's path. Raises BackupError if the disk has too little room for it, and OSError."""
        newest = self.newest(now)
        if newest is not None:
            size, free = newest.path.stat().st_size, shutil.disk_usage(self._folder).free
            if free < size * _ROOM:
                raise BackupError(
                    f"the disk of {self._folder} has {free >> 20} MiB left, and the latest backup is {size >> 20} "
                    "MiB. Free up space, or keep fewer backups"
                )
        name = f"{self._prefix}{datetime.fromtimestamp(now, UTC):{_TIME}}-{secrets.token_hex(2)}.backup"
        return self._folder / name

    def remove_abandoned(self) -> None:
        """Remove this store's copies that were never completed and that no process writes. Raises OSError."""
        for path in self._folder.iterdir():
            found = self._pattern.match(path.name)
            if found is not None and is_partial_of(path.name, found[0]):
                remove_abandoned(path)

    def remove_all_but(self, count: int, new: Path, now: float) -> list[Path]:
        """Remove this store's oldest backups, so that `count` are left; which ones.

        The new backup stays, whatever the clock said when it was made. Backups dated in the future count as the
        oldest: the clock was wrong when they were made. Those of another user than the new one's stay. Raises OSError
        once all were tried.
        """
        owner = new.lstat().st_uid  # not our user: network file systems may give all files to one
        others = [kept for kept in self._all() if kept.path != new]
        others.sort(key=lambda kept: (not _is_ahead(kept, now), kept), reverse=True)
        removed, failed = [], None
        for kept in others[count - 1 :]:
            try:
                if kept.path.lstat().st_uid == owner:
                    kept.path.unlink()
                    removed.append(kept.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed
        return removed

    def _check(self) -> None:
        if self._folder.is_dir():
            return
        if self._folder.exists() or self._folder.is_symlink():
            raise BackupError(f"{self._folder} is not a folder. Set RELAY_BACKUP_TO to a folder")
        raise BackupError(
            f"the folder {self._folder} doesn't exist. Create it, or mount the disk that it is on"
        )

    def _all(self) -> Iterator[Kept]:
        self._check()
        for path in self._folder.iterdir():
            found = self._pattern.fullmatch(path.name)
            if found is None:
                continue
            with suppress(FileNotFoundError, ValueError):
                if stat.S_ISREG(path.lstat().st_mode):
                    made_at = datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)
                    yield Kept(made_at.timestamp(), path)


def _is_ahead(kept: Kept, now: float) -> bool:
    return kept.made_at > now + _AHEAD_SECONDS
