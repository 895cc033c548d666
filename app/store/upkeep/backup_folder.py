"""The folder with the relay's automatic backups. Only this store's backups in it are touched (see `backup_names`)."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.settings.s3_url import S3Url
from app.store.upkeep.backup_file import BackupError
from app.store.upkeep.backup_names import BackupNames, Kept, newest_of, surplus
from app.store.upkeep.backup_partial import is_partial_of, remove_abandoned

_ROOM = 1.1  # times the size of the newest backup


class FolderBusy(BackupError):
    """Another process makes or removes backups in the folder."""


class BackupFolder:
    """The backups of one store in a folder."""

    def __init__(self, folder: Path, store_id: str, origin: str) -> None:
        self._folder = folder
        self._names = BackupNames(store_id, origin)

    def newest(self, now: float) -> Kept | None:
        """Return the newest backup, except those dated ahead. Raises BackupError if there is no folder, and OSError."""
        return newest_of(self._all(), now)

    def ahead(self, now: float) -> list[str]:
        """Return the names of the backups that are dated in the future. Raises BackupError and OSError."""
        return sorted(kept.path.name for kept in self._all() if kept.is_ahead(now))

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

    def save(self, write: Callable[[Path], int], now: float) -> tuple[Path, int]:
        """Make a backup with `write`; return its path, and what `write` returned.

        Raises BackupError if the disk has too little room for it, OSError, and what `write` raises.
        """
        newest = max(self._files(), key=lambda found: found[0], default=None)
        if newest is not None:
            size, free = newest[1].stat().st_size, shutil.disk_usage(self._folder).free
            if free < size * _ROOM:
                raise BackupError(
                    f"the disk of {self._folder} has {free >> 20} MiB left, and the latest backup is {size >> 20} "
                    "MiB. Free up space, or keep fewer backups"
                )
        path = self._folder / self._names.new(now)
        return path, write(path)

    def remove_abandoned(self) -> None:
        """Remove this store's copies that were never completed and that no process writes. Raises OSError."""
        for path in self._folder.iterdir():
            name = self._names.begins_one(path.name)
            if name is not None and is_partial_of(path.name, name):
                remove_abandoned(path)

    def remove_all_but(self, count: int, new: Path | S3Url, now: float) -> list[str]:
        """Remove this store's oldest backups, so that `count` are left; return their names. See `surplus`.

        Those of another user than the new one's stay. Raises OSError once all were tried.
        """
        owner = (
            (self._folder / new.name).lstat().st_uid
        )  # not ours: network file systems may give all files to one
        removed, failed = [], None
        for kept in surplus(self._all(), count, new, now):
            path = self._folder / kept.path.name
            try:
                if path.lstat().st_uid == owner:
                    path.unlink()
                    removed.append(path.name)
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
        return (Kept(made_at, path) for made_at, path in self._files())

    def _files(self) -> Iterator[tuple[float, Path]]:
        self._check()
        for path in self._folder.iterdir():
            made_at = self._names.made_at(path.name)
            with suppress(FileNotFoundError):
                if made_at is not None and stat.S_ISREG(path.lstat().st_mode):
                    yield made_at, path
