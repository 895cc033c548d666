"""One file of the spool, and the writer of a process's files.

A process keeps the segments that it writes locked as long as it lives. Other processes read the heads, to know which
devices have callbacks waiting, and may move the callbacks to the store. The header contains the progress. Only the
process that has the lock removes a segment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.records import DAMAGED, HEAD, HEADER, Damage, Progress, Record

log = logging.getLogger("relay.spool")

LARGEST = (
    64 * 1024 * 1024
)  # bytes after which a new segment begins, so that the disk gets space while it is drained


class SpoolFull(Exception):
    """The disk is full, or can't be written."""


class Segment:
    """An open file of the spool."""

    def __init__(self, disk: Disk, path: Path, descriptor: int, opens: Callable[[bytes], bool]) -> None:
        """`opens` returns whether bytes can be decrypted. It is needed to read files from old versions."""
        self._disk = disk
        self._opens = opens
        self._replaced: list[int] = []  # former descriptors that a reader may still use
        self.path = path
        self.descriptor = descriptor
        self.locked = False
        size = disk.size(descriptor)
        self.old = records.is_old(self.read, size)
        self.written = size  # in our own segment: where the next record begins
        self.synced = size
        self.ended = False  # nothing more is written to it
        self.failed = False  # a sync of it failed
        self.syncing = False
        self.oldest: int | None = None  # time of receipt of the first record, µs since 1970
        self._counted = 0
        self._scanned = HEADER
        self._last: dict[bytes, int] = {}  # device → the end of its last record
        self.beginning = 0 if self.old else HEADER  # where the first record is
        self._progress = Progress(self.beginning)  # in an old file, it isn't saved
        self._held: dict[int, None] = {}  # ends of records that stay here; ascending
        self._ahead: dict[int, int] = {}  # end of a settled record after the first held one → what it counts
        self._damage_told = False

    # Reading

    def read(self, at: int, count: int) -> bytes:
        return self._disk.read(self.descriptor, at, count)

    def size(self) -> int:
        return self._disk.size(self.descriptor)

    def leads(self) -> bool:
        """Return whether the path still leads to this file."""
        return self._disk.leads_to(self.path, self.descriptor)

    def lock(self) -> bool:
        """Take the lock; False if the process that writes it is alive."""
        self.locked = self.locked or self._disk.lock(self.descriptor)
        return self.locked

    def records(self, start: int | None = None) -> Iterator[Record | Damage]:
        """Yield its content from an offset; by default everything that isn't in the store yet."""
        start = self.progress().reached if start is None else start
        size = min(self.size(), self.written) if self.ended else self.size()
        if self.old:
            return records.old_records(self.read, start, size, self._opens)
        return records.records(self.read, start, size)

    def pending(self) -> Iterator[tuple[int, Segment, Record]]:
        """Yield the records that aren't in the store yet, with their times of receipt. Damage is skipped."""
        for found in self.records():
            if found.end in self._ahead or found.end <= self._progress.reached:
                continue
            if isinstance(found, Damage):
                self.note_damage(found)
                self.settle(found.end, DAMAGED, count=0)
            else:
                yield found.received, self, found

    def note_damage(self, damage: Damage) -> None:
        """Log damage, once per segment."""
        if not self._damage_told:
            self._damage_told = True
            log.error(
                "%s is damaged from byte %d to %d; its readable callbacks are stored, and the file is renamed to "
                "*.damaged",
                *(self.path, damage.start, damage.end),
            )

    def is_drained(self) -> bool:
        """Return whether all of it is in the store, apart from an incomplete record at its end."""
        return next(iter(self.records()), None) is None

    # Devices with callbacks in it

    def holds(self, device: bytes) -> bool:
        """Return whether callbacks of the device (by its digest) aren't in the store yet."""
        self.scan()
        last = self._last.get(device)
        return last is not None and last > self.progress().reached and last not in self._ahead

    def scan(self) -> None:
        """Read the heads that were added since the last scan."""
        if self.old:
            return
        size = self.size()
        if size < self._scanned + HEAD:
            return
        for head in records.heads(self.read, self._scanned, size):
            self._last[head.device] = self._scanned = head.end
            self._counted += 1
            self.oldest = head.received if self.oldest is None else min(self.oldest, head.received)

    def waiting(self) -> int:
        """Return how many callbacks in it aren't in the store yet; in an old file, the number is unknown (1)."""
        if self.old:
            return 1
        self.scan()
        return max(0, self._counted - self.progress().stored - sum(self._ahead.values()))

    def oldest_waiting(self) -> float | None:
        """Return when the first callback that isn't in the store yet was received, in seconds since 1970."""
        if self.old:
            changed = self._disk.changed(self.path)
            return None if changed is None else changed[1] / 1e9
        head = next(records.heads(self.read, self.progress().reached, self.size()), None)
        return None if head is None else head.received / 1e6

    # Progress

    def progress(self) -> Progress:
        if self.old:
            return self._progress
        found = records.progress_in(self.read(0, HEADER))
        # The progress saved by another process may be behind that of this one.
        return max(found, self._progress)

    def advance(self, reached: int, flags: int = 0, *, count: int = 1) -> None:
        """Note that everything before an offset is in the store, or kept elsewhere."""
        before = self.progress()
        self._progress = Progress(reached, before.stored + count, before.flags | flags)
        self._write_progress()

    def settle(self, end: int, flags: int = 0, *, count: int = 1) -> None:
        """Note that the record with this end is in the store, or kept elsewhere.

        After a held record, this is only noted in memory: if the process dies, the record is stored again.
        """
        first = next(iter(self._held), end)
        self._held.pop(end, None)
        if end != first:
            self._ahead[end] = count
            if flags:
                self.flag(flags)
            return
        next_held = next(iter(self._held), None)
        done = {one: number for one, number in self._ahead.items() if next_held is None or one < next_held}
        for one in done:
            del self._ahead[one]
        self.advance(max(done, default=end), flags, count=count + sum(done.values()))

    def hold(self, record: Record) -> None:
        """Keep a record in this file, because it is neither in the store nor anywhere else. Later ones may settle."""
        self._held[record.end] = None

    def begin_again(self) -> None:
        """Note that nothing of it is in the store, and that nothing is wrong with it."""
        self._progress = Progress(self.beginning)
        self._write_progress()

    def _write_progress(self) -> None:
        """Save the progress for other processes. If the disk can't be written, they store some callbacks again."""
        if not self.old:
            with suppress(OSError):
                self._disk.write(self.descriptor, 0, records.header(self._progress))

    def flag(self, flags: int) -> None:
        """Note that it must not be removed: see `remove`."""
        before = self.progress()
        self.advance(before.reached, flags, count=0)

    # Removing it

    def remove(self) -> None:
        """Remove a segment that is completely in the store, or rename it if it is damaged or can't be decrypted."""
        flags = self.progress().flags
        if self.leads():
            if flags:
                suffix = ".unreadable" if flags & records.UNREADABLE else ".damaged"
                self._disk.rename(self.path, free_path(self._disk, self.path.with_suffix(suffix)))
            else:
                self._disk.unlink(self.path)
        self.close()

    def replace(self, path: Path, descriptor: int) -> None:
        """Continue with a copy of the same bytes. The old descriptor stays open for current readers."""
        self._replaced.append(self.descriptor)
        self.path, self.descriptor = path, descriptor

    def close(self) -> None:
        for descriptor in (self.descriptor, *self._replaced):
            with suppress(OSError):
                self._disk.close(descriptor)
        self.descriptor = -1  # so that nobody reads another file with the same number
        self._replaced.clear()


def free_path(disk: Disk, path: Path) -> Path:
    """Return the path, or a similar one that doesn't exist."""
    found, number = path, 1
    while disk.exists(found):
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


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
