"""The connector's main loop. It handles rows in order, and moves past a row once it is acknowledged or rejected."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from app.connector import callbacks
from app.connector.errors import Away, RowError
from app.connector.memory import Memory
from app.connector.progress import PlaceFile, Rejects
from app.connector.rows import Punch
from app.connector.sender import Sender
from app.connector.targets import Targets

log = logging.getLogger("connector")


@dataclass(frozen=True, slots=True)
class Read:
    """A row that was read: its fields or an error, where it was, and its text. `done` moves the place past it."""

    fields: Mapping[str, object] | RowError | None  # None for a header or a blank line
    where: str
    text: str
    done: Callable[[], None]


class Source(Protocol):
    """A source of rows."""

    def rows(self) -> Iterator[Read]:
        """Yield the new rows in order. Raises Away if they can't be read at the moment."""

    def place(self) -> dict[str, Any]:
        """Return how far the source was read, as JSON."""

    def waiting(self) -> int:
        """Return the number of unread rows; 0 if it is unknown."""


@dataclass(slots=True)
class Counts:
    """The numbers of rows of one run, by result."""

    read: int = 0
    sent: int = 0
    sent_before: int = 0
    put_aside: int = 0
    of_others: int = 0

    def __str__(self) -> str:
        """Return a summary such as "12 rows read: 9 sent, 2 sent before, 1 rejected"."""
        more = {"sent before": self.sent_before, "from other devices": self.of_others}
        said = "".join(f", {count} {what}" for what, count in more.items() if count)
        return f"{self.read} rows read: {self.sent} sent{said}, {self.put_aside} rejected"


class Push:
    """Pushes rows from one source to one receiver. `counts` are the rows so far, by result."""

    def __init__(
        self,
        source: Source,
        targets: Targets,
        sender: Sender,
        place: PlaceFile,
        memory: Memory,
        rejects: Rejects,
        stopping: threading.Event,
    ) -> None:
        self._source = source
        self._targets = targets
        self._sender = sender
        self._place = place
        self._memory = memory
        self._rejects = rejects
        self._stopping = stopping
        self._in_hand = 0  # rows read, but neither acknowledged nor rejected yet
        self.counts = Counts()

    def run(self, poll_seconds: float, *, once: bool = False) -> None:
        """Run until stopped or, with `once`, until there are no new rows. Raises Stop."""
        said = ""
        while not self._stopping.is_set():
            before = replace(self.counts)
            try:
                self._drain()
                said = ""
            except Away as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s; retrying every %g s", said, poll_seconds)
                if once:
                    raise
            if self.counts != before:
                log.info("%s, so far", self.counts)
                if not once:
                    continue
            if once and self._has_ended(before):
                break
            self._stopping.wait(0 if once else poll_seconds)

    def waiting(self) -> int:
        """Return how many rows are neither acknowledged nor rejected yet."""
        return max(self._source.waiting(), self._in_hand)

    def _has_ended(self, before: Counts) -> bool:
        """Return whether the last read found no new rows."""
        now = self.counts
        return (now.sent, now.put_aside, now.of_others) == (before.sent, before.put_aside, before.of_others)

    def _drain(self) -> None:
        moved = False
        try:
            for read in self._source.rows():
                self._in_hand = int(read.fields is not None)
                if not self._take(read):
                    break
                self._in_hand = 0
                read.done()
                moved = True
                if self._place.is_due():
                    self._save()
        finally:
            if moved:
                self._save()

    def _save(self) -> None:
        self._memory.save()
        self._place.save(self._source.place())

    def _take(self, read: Read) -> bool:
        """Handle a row. Return False if it wasn't sent because the connector was stopped."""
        if self._stopping.is_set():
            return False
        if read.fields is None:
            return True
        try:
            if isinstance(read.fields, RowError):
                raise read.fields
            target = self._targets.of(read.fields)
            punch = None if target is None else target.reader.punch(read.fields)
        except RowError as error:
            log.warning("%s: %s; rejected, saved to %s", read.where, error, self._rejects.path)
            self._rejects.put(read.where, str(error), read.text)
            self.counts.read += 1
            self.counts.put_aside += 1
            return True
        if target is None or punch is None:
            self.counts.read += 1
            self.counts.of_others += 1
            return True
        return self._send(target.device, punch)

    def _send(self, device: callbacks.Device, punch: Punch) -> bool:
        said = callbacks.contents(punch)
        if self._memory.has(device.stgid, said):
            self.counts.sent_before += 1
        elif self._sender.send(callbacks.body(device, punch), device.stgid):
            self._memory.add(device.stgid, said)
            self.counts.sent += 1
        else:
            return False
        self.counts.read += 1
        return True
