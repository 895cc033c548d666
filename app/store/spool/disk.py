"""The file operations of the spool, in one place so that a test can simulate a faulty disk."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.base.private_folder import make_private


class Disk:
    """Files on the local disk. Every method raises OSError."""

    def __init__(self, sync: Callable[[int], Any] = os.fsync) -> None:
        """`sync` flushes a descriptor to the disk; a web worker passes one that lets other requests run meanwhile."""
        self.sync = sync

    def create(self, path: Path) -> int:
        """Create a file that only we may read, and return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def open(self, path: Path) -> int:
        """Open an existing file, for reading and for noting progress in it."""
        return os.open(path, os.O_RDWR)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def read(self, descriptor: int, at: int, count: int) -> bytes:
        """Read up to `count` bytes from offset `at`; fewer only at the end of the file."""
        data = os.pread(descriptor, count, at)
        while data and len(data) < count:
            more = os.pread(descriptor, count - len(data), at + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, descriptor: int, at: int, data: bytes) -> None:
        """Write all of `data` at offset `at`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(descriptor, view, at)
            view, at = view[written:], at + written

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def size(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def leads_to(self, path: Path, descriptor: int) -> bool:
        """Return whether `path` still leads to the file of `descriptor`."""
        own = os.fstat(descriptor)
        try:
            found = os.stat(path)
        except OSError:
            return False
        return own.st_nlink > 0 and (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    def lock(self, descriptor: int) -> bool:
        """Take the file's lock; False if another process holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def touch(self, path: Path) -> None:
        os.utime(path)

    def changed(self, path: Path) -> tuple[int, int] | None:
        """Return inode and time of the last change (ns since 1970) of a file or folder; None if it doesn't exist."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def now(self) -> int:
        """Return the current time of the clock that `changed` uses, in ns since 1970."""
        return time.time_ns()

    def rename(self, path: Path, to: Path) -> None:
        os.rename(path, to)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted; none if it doesn't exist."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(folder))
        return []

    def make_folder(self, folder: Path) -> None:
        """Make a folder that only we may read, so that it survives a power loss."""
        if not folder.is_dir():
            make_private(folder)
            self.sync_folder(folder.parent)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder survive a power loss."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)
