"""The writer of a process's own segments: it appends records, syncs them, and keeps the files in place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.records import Progress
from app.store.spool.segment import Segment, free_path

log = logging.getLogger("relay.spool")

LARGEST = (
    64 * 1024 * 1024
)  # bytes after which a new segment begins, so that the disk gets space while it is drained


class SpoolFull(Exception):
    """The disk is full, or can't be written."""


class Writer:
    """Appends to this process's segments. Once `append` returns, the record is on the disk and can be found."""

    def __init__(self, disk: Disk, folder: Path, suffix: str, name: Callable[[], str]) -> None:
        """`name` creates names of files, which sort by the time of their beginning."""
        self._disk = disk
        self._folder = folder
        self._suffix = suffix
        self._name = name
        self._turn = threading.Condition(threading.Lock())
        self.segments: list[Segment] = []
        self.names: set[str] = set()  # names of all files that were begun

    def append(self, record: bytes) -> None:
        """Append a record, and return once it is on the disk. Raises SpoolFull.

        Appends that arrive during a sync share the next one. If a sync fails, all appends that wait for it fail, and
        the segment ends, because the kernel may discard data that it couldn't write, and the next sync of the same
        file would not report this.
        """
        try:
            with self._turn:
                segment = self._to_write_to()
                end = self._write(segment, record)
                while segment.synced < end:
                    if segment.failed:
                        raise SpoolFull("the spool can't be synced")
                    if segment.syncing:
                        self._turn.wait()
                    else:
                        self._sync(segment)
                self._check()
        except OSError as error:
            raise SpoolFull(f"the spool can't be written: {error.strerror or error}") from error

    def check(self) -> None:
        """Make sure that each segment exists under its name. One that was unlinked is written again.

        Raises SpoolFull if this fails: then nothing may be acknowledged.
        """
        try:
            with self._turn:
                self._check()
        except OSError as error:
            raise SpoolFull(f"the spool can't be written again: {error.strerror or error}") from error

    def retire(self) -> None:
        """Remove the segments that are completely in the store. Raises OSError."""
        with self._turn:
            for segment in list(self.segments):
                at_rest = not segment.syncing and segment.synced >= segment.written
                if at_rest and segment.progress().reached >= segment.written:
                    segment.remove()
                    self.segments.remove(segment)

    def end(self, segment: Segment) -> None:
        """Write nothing more to a segment, and sync it. Raises OSError."""
        with self._turn:
            segment.ended = True
            while segment.syncing or (segment.synced < segment.written and not segment.failed):
                if segment.syncing:
                    self._turn.wait()
                else:
                    self._sync(segment)

    def drop(self, segment: Segment) -> None:
        """Remove a segment that was ended, whatever its header says. Raises OSError."""
        with self._turn:
            segment.remove()
            self.segments.remove(segment)

    def close(self) -> None:
        """Close the files, as if the process died."""
        with self._turn:
            for segment in self.segments:
                segment.close()
            self.segments.clear()

    def _to_write_to(self) -> Segment:
        last = self.segments[-1] if self.segments else None
        if last is not None and not last.ended and last.written < LARGEST:
            return last
        descriptor, path = self._create(f"{self._name()}{self._suffix}", b"")
        segment = Segment(self._disk, path, descriptor, lambda _: False)
        segment.locked = True
        self.segments.append(segment)
        return segment

    def _write(self, segment: Segment, record: bytes) -> int:
        try:
            self._disk.write(segment.descriptor, segment.written, record)
        except OSError:
            self._cut(segment, segment.written)  # no incomplete record before later ones
            raise
        segment.written += len(record)
        return segment.written

    def _sync(self, segment: Segment) -> None:
        """Sync everything written so far, without the lock, for all that wait."""
        segment.syncing = True
        upto, descriptor = segment.written, segment.descriptor
        self._turn.release()
        failed: OSError | None = None
        try:
            self._disk.sync(descriptor)
        except OSError as error:
            failed = error
        finally:
            self._turn.acquire()
            segment.syncing = False
            self._turn.notify_all()
        if failed is not None:
            segment.failed = segment.ended = True
            self._cut(segment, segment.synced)
            raise failed
        segment.synced = max(segment.synced, upto)

    def _cut(self, segment: Segment, size: int) -> None:
        """Cut off bytes that were never acknowledged. If this fails, nothing more is written to the file."""
        segment.written = size
        try:
            self._disk.truncate(segment.descriptor, size)
        except OSError:
            segment.ended = True

    def _create(self, name: str, content: bytes) -> tuple[int, Path]:
        """Create a file, synced if it has content. It gets its name once locked, so that nobody takes it over."""
        self._disk.make_folder(self._folder)
        path = free_path(self._disk, self._folder / name)
        unnamed = path.with_suffix(".new")
        with suppress(FileNotFoundError):
            self._disk.unlink(unnamed)  # from a failed try: nothing in it was acknowledged
        descriptor = self._disk.create(unnamed)
        try:
            self._disk.lock(descriptor)
            self._disk.write(descriptor, 0, content or records.header(Progress()))
            if content:
                self._disk.sync(descriptor)
            self.names.add(path.name)
            self._disk.rename(unnamed, path)
            self._disk.sync_folder(self._folder)
        except BaseException:
            self._disk.close(descriptor)
            for left in (unnamed, path):
                with suppress(OSError):
                    self._disk.unlink(left)
            raise
        return descriptor, path

    def _check(self) -> None:
        for segment in list(self.segments):
            if segment.leads():
                continue
            while segment.syncing:
                self._turn.wait()
            if segment not in self.segments:
                continue
            content = segment.read(0, segment.written)
            descriptor, path = self._create(segment.path.name, content)
            log.error(
                "%s was removed while callbacks were waiting in it; they were written again to %s",
                segment.path,
                path,
            )
            segment.replace(path, descriptor)
            segment.synced = segment.written
