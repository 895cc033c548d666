"""Determines which process of a machine moves spooled callbacks to the store: one at a time, to keep their order.

This is a lock on a file. The process that has it regularly changes the file's time. If it doesn't, for example because
it was suspended, another process doesn't wait for it. If two processes continue at once, this does no harm, because
the store detects duplicates.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.store.spool.disk import Disk

FROZEN_SECONDS = 5.0
_KEEP_SECONDS = 0.5


class DrainTurn:
    """The lock, as one process sees it."""

    def __init__(self, disk: Disk, path: Path, monotonic: Callable[[], float]) -> None:
        self._disk = disk
        self._path = path
        self._monotonic = monotonic
        self._descriptor: int | None = None
        self._seen: tuple[tuple[int, int] | None, float] = (
            None,
            0.0,
        )  # the file's state, and since when
        self._kept_at = 0.0

    def take(self) -> bool:
        """Return whether it is our turn now. Raises OSError."""
        if self._descriptor is None or not self._disk.leads_to(self._path, self._descriptor):
            self.close()
            if not self._disk.exists(self._path.parent):
                return True  # without a folder, no other process can be moving callbacks
            self._descriptor = self._open()
        if self._disk.lock(self._descriptor):
            self.keep()
            return True
        state, now = self._disk.changed(self._path), self._monotonic()
        if state != self._seen[0]:
            self._seen = (state, now)
        return now - self._seen[1] > FROZEN_SECONDS

    def keep(self) -> None:
        """Show that this process is still active."""
        now = self._monotonic()
        if now - self._kept_at >= _KEEP_SECONDS:
            self._kept_at = now
            with suppress(OSError):
                self._disk.touch(self._path)

    def release(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                self._disk.unlock(self._descriptor)

    def close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                self._disk.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        with suppress(FileExistsError):
            return self._disk.create(self._path)
        return self._disk.open(self._path)
