"""One file of the spool.

A process keeps the segments that it writes locked as long as it lives. Other processes read the heads, to know which
devices have callbacks waiting, and may move the callbacks to the store. The header contains the progress. Only the
process that has the lock removes a segment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.records import DAMAGED, HEAD, HEADER, Damage, Progress, Record

log = logging.getLogger("relay.spool")


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
        self._pruned = 0  # no held record ends before this
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
        self.progress()
        self._absorb()
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
        found = max(found, self._progress)
        if found.reached > self._pruned:  # another process may have settled records that were held here
            self._pruned = found.reached
            self._held = {end: None for end in self._held if end > found.reached}
            self._ahead = {end: count for end, count in self._ahead.items() if end > found.reached}
        return found

    def advance(self, reached: int, flags: int = 0, *, count: int = 1) -> None:
        """Note that everything before an offset is in the store, or kept elsewhere. This never goes back."""
        before = self.progress()
        if reached <= before.reached:
            reached, count = before.reached, 0
        self._progress = Progress(reached, before.stored + count, before.flags | flags)
        self._write_progress()

    def settle(self, end: int, flags: int = 0, *, count: int = 1) -> None:
        """Note that the record with this end is in the store, or kept elsewhere.

        After a held record, this is only noted in memory: if the process dies, the record is stored again.
        """
        reached = self.progress().reached
        self._held.pop(end, None)
        if end > reached:
            self._ahead[end] = count
        if flags:
            self.flag(flags)
        first = next(iter(self._held), None)
        if first is None or end < first:
            self._absorb()

    def _absorb(self) -> None:
        """Advance over what was settled ahead, as far as the first held record."""
        first = next(iter(self._held), None)
        done = {end: count for end, count in self._ahead.items() if first is None or end < first}
        for end in done:
            del self._ahead[end]
        if done:
            self.advance(max(done), count=sum(done.values()))

    def hold(self, record: Record) -> None:
        """Keep a record in this file, because it is neither in the store nor anywhere else. Later ones may settle."""
        if record.end > self.progress().reached:  # otherwise, another process has settled it
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
