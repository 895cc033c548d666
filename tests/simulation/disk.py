"""The simulated disk: real files in a folder, reached through an `os` module that fails on command.

It knows which data of each file has been flushed, so that a loss of power can remove the rest.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class Disk:
    """Replaces the module `os` in the code that writes to the disk."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._opened: dict[int, Process] = {}
        self._safe: dict[int, int] = {}  # inode → bytes that survive a power loss
        self._written: set[int] = set()  # inodes
        self._lost_from: dict[int, int] = {}  # inode → offset of the data that a failed sync has lost

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__[name] = getattr(os, name)
        return found

    # Operations that can fail

    def open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        process = self._process()
        if process is not None and process.dead:
            raise OSError(errno.EIO, "the process is dead")
        descriptor = os.open(path, flags, *arguments, **named)
        if process is not None:
            self._opened[descriptor] = process
        return descriptor

    def close(self, descriptor: int) -> None:
        self._opened.pop(descriptor, None)
        os.close(descriptor)

    def fdopen(self, descriptor: int, *arguments: Any, **named: Any) -> Any:
        self._opened.pop(descriptor, None)  # the file closes it
        return os.fdopen(descriptor, *arguments, **named)

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        self._written.add(self._opened_inode(descriptor))
        fault, half = self._fault("write"), max(1, len(data) // 2)
        if fault == "short":
            return os.pwrite(descriptor, data[:half], offset)
        if fault == "full":
            os.pwrite(descriptor, data[:half], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwrite(descriptor, data, offset)

    def fsync(self, descriptor: int) -> None:
        inode, size = self._opened_inode(descriptor), os.fstat(descriptor).st_size
        safe = self._safe.get(inode, 0)
        if self._fault("sync"):
            # The kernel drops the pages, so a later successful sync doesn't mean that they were written.
            self._lost_from.setdefault(inode, safe)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._safe[inode] = size

    fdatasync = fsync

    # Faults from outside

    def power_lost(self, folder: Path) -> None:
        """Remove everything that wasn't synced from all files of a folder."""
        for path in sorted(folder.glob("*")):
            found = path.stat()
            if found.st_ino not in self._written:
                continue
            safe = min(self._safe.get(found.st_ino, 0), self._lost_from.get(found.st_ino, found.st_size))
            if path.is_file() and safe < found.st_size:
                os.truncate(path, safe)

    def process_died(self, process: Process) -> None:
        """Release the process's locks. Its descriptors are closed at the end of the run."""
        for descriptor, owner in self._opened.items():
            if owner is process:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close_all(self) -> None:
        for descriptor in list(self._opened):
            with suppress(OSError):
                os.close(descriptor)
        self._opened.clear()

    def _process(self) -> Process | None:
        return self._world.current

    def _opened_inode(self, descriptor: int) -> int:
        process = self._process()
        if process is not None and process.dead:
            raise OSError(errno.EIO, "the process is dead")
        return os.fstat(descriptor).st_ino

    def _fault(self, what: str) -> str | None:
        process = self._process()
        return process.disk_fault(what) if process is not None else None


def sync_of(disk: Disk) -> Callable[[int], None]:
    """Return the sync function for a spool."""
    return disk.fsync
