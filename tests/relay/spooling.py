"""Helpers for the tests of the spool: sample callbacks, a folder's files, and a disk that fails."""

from __future__ import annotations

import errno
from pathlib import Path

from app.base.vault import Vault
from app.store.spool.disk import Disk
from app.store.spool.spool import Spool, Spooled

VAULT = Vault("made-up-key-of-the-spool-tests-0123456789")


def item(number: int, device: str = "DEV1", size: int = 10) -> Spooled:
    return Spooled(device, 1_000.0 + number, "http://relay", b"%d " % number + b"x" * size)


def segments(folder: Path, suffix: str = "spool") -> list[Path]:
    return sorted(folder.glob(f"*.{suffix}"))


def brought_in(folder: Path) -> list[Spooled]:
    """Return what a process that starts now would drain to the store."""
    found: list[Spooled] = []
    spool = Spool(folder, VAULT)
    spool.replay(found.append)
    spool.close()
    return found


class FaultyDisk(Disk):
    """A disk whose syncs and writes can be made to fail. A failed sync loses what wasn't synced, as in Linux."""

    def __init__(self) -> None:
        super().__init__(self._sync)
        self.failing: set[str] = set()
        self.syncs = 0

    def _sync(self, descriptor: int) -> None:
        self.syncs += 1
        if "sync" in self.failing:
            raise OSError(errno.EIO, "made-up I/O error")

    def write(self, descriptor: int, at: int, data: bytes) -> None:
        if "write" in self.failing:
            super().write(descriptor, at, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "made-up full disk")
        super().write(descriptor, at, data)

    def create(self, path: Path) -> int:
        if "create" in self.failing and path.suffix == ".new":
            raise OSError(errno.EACCES, "made-up refusal")
        return super().create(path)
