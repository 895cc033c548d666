"""Keeps callbacks on disk, encrypted and synced, while the store is away, and moves them to the store later.

Each process appends to its own segments (`segment`, in the format of `records`). One process of a machine at a time
moves the callbacks of all of them to the store, in order of receipt. If it is frozen, another one takes over. A
callback only leaves the queue when the store has confirmed it. If the store doesn't accept it, it is parked in a
separate segment, and tried again regularly. Storing a callback twice does no harm, because the store detects
duplicates.

The files in the folder: `.spool` for the queue, `.parked` for callbacks that the store didn't accept, `.damaged` for
segments with damage, `.unreadable` for segments that are encrypted with another RELAY_SECRET_KEY.

Failure policy: if an append fails, the answer is 503, and the gateway keeps the callback.
"""

from __future__ import annotations

import heapq
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from app.base.private_folder import make_private
from app.base.throttle import OnceAMinute
from app.base.vault import Vault
from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.drain_lock import DrainTurn
from app.store.spool.items import Sealer, Spooled, Summary, Unstorable, oldest
from app.store.spool.records import UNREADABLE, Damage, Record
from app.store.spool.segment import Segment, free_path
from app.store.spool.writer import SpoolFull, Writer

__all__ = ["Spool", "SpoolFull", "Spooled", "Summary", "Unstorable"]

log = logging.getLogger("relay.spool")

_TRIES = 3
_TRY_AGAIN_SECONDS = 0.05
_SUMMED_SECONDS = 1.0
_SETTLED_NS = 100_000_000  # after a more recent change, the time may stay the same


class Spool:
    """The spool as one process sees it."""

    def __init__(
        self,
        folder: Path,
        vault: Vault,
        sync: Callable[[int], Any] = os.fsync,
        *,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`sync` flushes a file to the disk. A web worker passes one that lets other requests run meanwhile."""
        self._folder = folder
        self._sealer = Sealer(vault)
        self._disk = disk or Disk(sync)
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._queue = Writer(self._disk, folder, ".spool", self._name)
        self._parked = Writer(self._disk, folder, ".parked", self._name)
        self._turn = DrainTurn(self._disk, folder / "drain.lock", monotonic)
        self._draining = threading.Lock()
        self._others: dict[str, Segment] = {}  # name → segment of another process, or of a dead one
        self._seen: tuple[int, int] | None = None  # the folder's state when `_others` was read
        self._adopted = False
        self._summed: tuple[float, Summary] | None = None
        self._once = OnceAMinute(monotonic)
        self._refused: set[str] = set()  # devices whose callbacks the store refused in this pass
        self._not_parked: SpoolFull | None = None  # why a callback couldn't be parked in this pass

    # Appending callbacks

    def append(self, item: Spooled) -> None:
        """Append a callback, and return once it is on the disk. Raises SpoolFull."""
        self._queue.append(self._sealer.record(item))

    def park(self, item: Spooled, reason: str) -> None:
        """Do the same for a callback that the store doesn't accept. Raises SpoolFull."""
        self._parked.append(self._sealer.record(replace(item, reason=reason)))
        log.log(
            logging.WARNING if self._once.may_say("parked") else logging.DEBUG,
            "a callback from device %s is parked: %s; `cams-relay spool` lists all parked callbacks",
            *(item.device_id, reason),
        )

    def holds(self, device_id: str) -> bool:
        """Return whether callbacks of a device wait in any process's queue, so that later ones must queue behind them.

        If nothing is spooled, this costs one look at the folder.
        """
        self._look()
        if not self._others and not self._queue.segments:
            return False
        device = self._sealer.digest(device_id)
        return any(segment.holds(device) for segment in self._segments())

    def writable(self) -> bool:
        """Return whether the disk accepts a file right now."""
        probe = self._folder / f".probe-{secrets.token_hex(4)}"
        with suppress(OSError):
            make_private(self._folder)
            probe.write_bytes(b"1")
            probe.unlink()
            return True
        with suppress(OSError):
            probe.unlink()
        return False

    def check(self) -> None:
        """Check the files. Call this about twice a second. Raises SpoolFull and OSError.

        Unlinked files are written again, and files that are in the store are removed.
        """
        self._queue.check()
        self._parked.check()
        if not self._adopted:
            self._adopt()
        if self._draining.acquire(blocking=False):
            try:
                self._queue.retire()
            finally:
                self._draining.release()

    def _adopt(self) -> None:
        """Put back files marked as unreadable that can be read again, because the right RELAY_SECRET_KEY is set."""
        self._adopted = True
        for name in self._names(".unreadable"):
            path = self._folder / name
            segment = self._opened(path)
            if segment is None:
                continue
            try:
                found = [one for one in segment.records(segment.beginning) if isinstance(one, Record)]
                if found and segment.lock() and all(self._sealer.opens(one.sealed) for one in found):
                    segment.begin_again()
                    self._disk.rename(path, free_path(self._disk, path.with_suffix(".spool")))
            finally:
                segment.close()

    def close(self) -> None:
        """Close all files, as if the process died."""
        self._queue.close()
        self._parked.close()
        for segment in self._others.values():
            segment.close()
        self._others.clear()
        self._seen = None
        self._turn.close()

    # Moving callbacks to the store

    def replay(self, store: Callable[[Spooled], object]) -> int:
        """Pass every waiting callback of all processes to `store`, oldest first; return how many there were.

        `store` returns once the callback is stored. If it raises Unstorable, the callback is parked. If it can't be
        parked, it stays in the queue, the others are stored, and SpoolFull is raised at the end. Any other error stops
        the pass, and the next call begins at the same callback. Returns 0 while another process does this.
        """
        with self._draining:
            if not self._turn.take():
                return 0
            try:
                self._refused.clear()
                self._not_parked = None
                count = 0
                while found := self._drain_once(store):
                    count += found
                self._remove_left_over()
                self._queue.retire()
            finally:
                self._turn.release()
        if self._not_parked is not None:
            raise self._not_parked
        return count

    def retry_parked(self, store: Callable[[Spooled], object]) -> int:
        """Pass every parked callback of this process and of dead ones to `store`; return how many were stored.

        If the store refuses a device's first callback, its others aren't tried.
        """
        with self._draining:
            count = sum(self._retry(segment, store) for segment in list(self._parked.segments))
            for name in self._names(".parked"):
                segment = None if self._is_own(name) else self._opened(self._folder / name)
                if segment is not None:
                    try:
                        if segment.lock():
                            count += self._retry(segment, store)
                    finally:
                        segment.close()
        return count

    def _drain_once(self, store: Callable[[Spooled], object]) -> int:
        self._look()
        sources = [segment for segment in self._segments() if not segment.old or segment.lock()]
        count = 0
        # By time of receipt; if two came in the same microsecond, by segment.
        for _, segment, record in heapq.merge(*(segment.pending() for segment in sources), key=itemgetter(0)):
            count += self._settle(segment, record, store)
            self._turn.keep()
        return count

    def _settle(self, segment: Segment, record: Record, store: Callable[[Spooled], object]) -> bool:
        """Store or park a callback; return whether it left the queue."""
        item = self._sealer.item(record)
        if item is None:
            if self._once.may_say("unreadable"):
                log.error(
                    "a spooled callback can't be decrypted, perhaps because RELAY_SECRET_KEY was changed; the file %s "
                    "is kept as .unreadable",
                    segment.path,
                )
            segment.settle(record.end, UNREADABLE)
            return True
        try:
            self._store(item, store)
        except Unstorable as error:
            self._refused.add(item.device_id)
            try:
                self.park(item, str(error))
            except SpoolFull as full:
                self._not_parked = full
                segment.hold(record)
                return False
        segment.settle(record.end)
        return True

    def _store(self, item: Spooled, store: Callable[[Spooled], object]) -> None:
        tries = 1 if item.device_id in self._refused else _TRIES
        for left in reversed(range(tries)):
            try:
                store(item)
                return
            except Unstorable as error:
                if not left or not error.try_again:
                    raise
                self._sleep(_TRY_AGAIN_SECONDS)

    def _remove_left_over(self) -> None:
        """Remove segments of dead processes that are completely in the store."""
        for name, segment in list(self._others.items()):
            if segment.lock() and segment.is_drained():
                segment.remove()
                del self._others[name]

    def _retry(self, segment: Segment, store: Callable[[Spooled], object]) -> int:
        """Try a parked segment. Callbacks that stay parked are written to another one before this one is removed."""
        refused: set[bytes] = set()
        still: list[Record] = []
        count, reached = 0, records.HEADER
        for found in segment.records(records.HEADER):
            reached = found.end
            if isinstance(found, Damage):
                segment.note_damage(found)
                segment.flag(records.DAMAGED)
            elif found.device in refused or not self._take(found, segment, store):
                refused.add(found.device)
                still.append(found)
            else:
                count += 1
        if still and not count:
            return 0
        own = segment in self._parked.segments
        if own:
            self._parked.end(segment)
            still += [one for one in segment.records(reached) if isinstance(one, Record)]
        for record in still:
            self._parked.append(records.record(record.sealed, record.received, record.device))
        if own:
            self._parked.drop(segment)
        else:
            segment.remove()
        return count

    def _take(self, record: Record, segment: Segment, store: Callable[[Spooled], object]) -> bool:
        """Pass a parked callback to `store`; return whether it was stored. An undecryptable one stays for `rekey`."""
        item = self._sealer.item(record)
        if item is None:
            segment.flag(UNREADABLE)
            return False
        try:
            store(replace(item, reason=""))
        except Unstorable:
            return False
        return True

    # Content

    def size(self) -> int:
        """Return the size of the queue in bytes, of all processes."""
        total = 0
        for name in self._names(".spool"):
            with suppress(OSError):
                total += (self._folder / name).stat().st_size
        return total

    def summary(self) -> Summary:
        """Return what waits, is parked or can't be read, of all processes, at most a second old. Raises OSError."""
        now = self._monotonic()
        if self._summed is None or now - self._summed[0] > _SUMMED_SECONDS:
            self._summed = (now, self._sum())
        return self._summed[1]

    def _sum(self) -> Summary:
        self._look()
        parked = [*self._parked.segments]
        parked += [
            segment
            for name in self._names(".parked")
            if not self._is_own(name) and (segment := self._opened(self._folder / name)) is not None
        ]
        try:
            queue = [segment for segment in self._segments() if not segment.is_drained()]
            return Summary(
                waiting=sum(segment.waiting() for segment in queue),
                oldest_waiting=oldest(segment.oldest_waiting() for segment in queue),
                parked=sum(segment.waiting() for segment in parked),
                oldest_parked=oldest(segment.oldest_waiting() for segment in parked),
                damaged=tuple(self._names(".damaged")),
                unreadable=tuple(self._names(".unreadable")),
            )
        finally:
            for segment in parked[len(self._parked.segments) :]:
                segment.close()

    def listed(self, suffix: str) -> Iterator[Spooled]:
        """Yield the readable callbacks in files with this suffix: `.spool` or `.parked`."""
        for name in self._names(suffix):
            segment = self._opened(self._folder / name)
            if segment is None:
                continue
            try:
                for found in segment.records():
                    item = None if isinstance(found, Damage) else self._sealer.item(found)
                    if item is not None:
                        yield item
            finally:
                segment.close()

    # Segments

    def _segments(self) -> list[Segment]:
        """Return the queue's segments: those of other processes, in order of their names, then our own."""
        return [*self._others.values(), *self._queue.segments]

    def _is_own(self, name: str) -> bool:
        return name in self._queue.names or name in self._parked.names

    def _names(self, *suffixes: str) -> list[str]:
        with suppress(OSError):
            return [name for name in self._disk.names(self._folder) if name.endswith(suffixes)]
        return []

    def _look(self) -> None:
        """Find the segments of other processes, if the folder has changed since the last time."""
        seen = self._disk.changed(self._folder)
        if (seen is not None and seen == self._seen) or (seen is None and not self._others):
            return
        names = [name for name in self._names(".spool") if not self._is_own(name)]
        for name in self._others.keys() - set(names):
            self._others.pop(name).close()
        for name in names:
            known = self._others.get(name)
            if known is not None and known.leads():
                continue
            if known is not None:
                known.close()
            opened = self._opened(self._folder / name)
            if opened is None:
                self._others.pop(name, None)
            else:
                self._others[name] = opened
        self._others = dict(sorted(self._others.items()))
        settled = seen is not None and self._disk.now() - seen[1] > _SETTLED_NS
        self._seen = seen if settled else None

    def _opened(self, path: Path) -> Segment | None:
        try:
            return Segment(self._disk, path, self._disk.open(path), self._sealer.opens)
        except OSError:
            return None  # another process has just removed it

    def _name(self) -> str:
        return f"{int(self._clock() * 1e9):020d}-{secrets.token_hex(4)}"
