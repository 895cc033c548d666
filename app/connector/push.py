"""The loop: rows in their order, each acknowledged or put aside before the place moves past it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.connector import callbacks
from app.connector.errors import Away, RowError
from app.connector.place import PlaceFile, Rejects
from app.connector.rows import Reader
from app.connector.sender import Sender

log = logging.getLogger("connector")


@dataclass(frozen=True, slots=True)
class Read:
    """A row as read: its fields or why it has none, where it was, how it looked. `done` moves the place past it."""

    fields: Mapping[str, object] | RowError | None  # None: nothing to send (a header, a blank line)
    where: str
    text: str
    done: Callable[[], None]


class Source(Protocol):
    """Where rows come from."""

    def rows(self) -> Iterator[Read]:
        """What is new now, in order. Raises Away where it can't be read just now."""

    def place(self) -> dict[str, Any]:
        """How far it has come, as JSON."""


class Push:
    """One source, one receiver."""

    def __init__(
        self,
        source: Source,
        reader: Reader,
        device: callbacks.Device,
        sender: Sender,
        place: PlaceFile,
        rejects: Rejects,
        stopping: threading.Event,
    ) -> None:
        self._source = source
        self._reader = reader
        self._device = device
        self._sender = sender
        self._place = place
        self._rejects = rejects
        self._stopping = stopping
        self.sent = 0
        self.put_aside = 0

    def run(self, poll_seconds: float, *, once: bool = False) -> None:
        """Until told to stop; with `once`, until there is nothing new. Raises Stop."""
        said = ""
        while not self._stopping.is_set():
            before = self.sent + self.put_aside
            try:
                self._drain()
                said = ""
            except Away as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s; tried again every %g s", said, poll_seconds)
                if once:
                    raise
            if self.sent + self.put_aside > before:
                log.info("%d rows sent so far, %d put aside", self.sent, self.put_aside)
                continue
            if once:
                break
            self._stopping.wait(poll_seconds)

    def _drain(self) -> None:
        moved = False
        try:
            for read in self._source.rows():
                if not self._take(read):
                    break
                read.done()
                moved = True
                if self._place.is_due():
                    self._place.save(self._source.place())
        finally:
            if moved:
                self._place.save(self._source.place())

    def _take(self, read: Read) -> bool:
        """False where the row is still to be sent, since we were told to stop."""
        if read.fields is None:
            return not self._stopping.is_set()
        try:
            if isinstance(read.fields, RowError):
                raise read.fields
            punch = self._reader.punch(read.fields)
        except RowError as error:
            log.warning("%s: %s; put aside into %s", read.where, error, self._rejects.path)
            self._rejects.put(read.where, str(error), read.text)
            self.put_aside += 1
            return True
        if not self._sender.send(callbacks.body(self._device, punch)):
            return False
        self.sent += 1
        return True
