"""The simulated world: clock, store, disk, processes, devices and their gateway, and the acknowledged callbacks."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import orjson
import redis

from app.settings.table import Settings, load
from app.store import StoreAway
from app.store.server.keys import SUBSCRIPTIONS, Shard
from app.store.spool.spool import SpoolFull
from tests.simulation.disk import Disk
from tests.simulation.loop import Targets
from tests.simulation.machines import Document, Machine
from tests.simulation.process import Process
from tests.simulation.store import Server

BEGINNING = 1_767_600_000  # the simulation's first second, in January 2026
TRUE_STORE = 8  # the database for the relay's store while a foreign store replaces it


@dataclass
class Ledger:
    """The acknowledged callbacks, and those that the store may have lost with its memory."""

    owed: dict[str, Document] = field(default_factory=dict)  # by OperationID
    acknowledged: dict[str, Document] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    sent: dict[str, Document] = field(default_factory=dict)
    store_losses: int = 0
    destroyed: int = 0  # records on disk that were destroyed from outside
    replays: list[Replay] = field(default_factory=list)

    def acknowledge(self, document: Document) -> None:
        self.owed[document.operation_id] = document
        self.acknowledged[document.operation_id] = document


@dataclass
class Replay:
    """A requested replay: the events it has to send, and how many deliveries there were before it."""

    url: str
    events: set[str]
    after: int


class World:
    """The state of one run."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.now = 0.0
        self.current: Process | None = None
        self.store_away = False
        self.store_epoch = 0
        self.foreign = False
        self.disk = Disk(self)
        self.targets = Targets()
        self.ledger = Ledger()
        self.everyone: list[Process] = []  # also dead ones
        self.machines: dict[str, Machine] = {}
        self.problems: list[str] = []  # errors during the run
        self.output: list[str] = []  # the whole log
        self._expiries: dict[bytes, float] = {}  # when keys in the store expire
        self._expiries_of: dict[int, dict[bytes, float]] = {}  # the same for each copy
        self._last_events: list[tuple[str, dict[str, Any]]] | None = None  # after the run
        self._digest = hashlib.sha256()
        self.traced: list[str] | None = None

    # The clock

    def wall(self) -> float:
        ahead = self.current.clock_ahead if self.current is not None else 0.0
        return BEGINNING + self.now + ahead

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass for everybody, including the store's leases."""
        self._take_expiries()
        self.now += seconds
        for key, when in list(self._expiries.items()):
            if when <= self.now:
                del self._expiries[key]
                self.server.admin.delete(key)

    def _take_expiries(self) -> None:
        for key, left in self.server.take_expiries().items():
            self._expiries[key] = self.now + left

    # The trace

    def trace(self, what: str) -> None:
        """Record an event. The same seed leaves the same trace."""
        self._digest.update(what.encode() + b"\n")
        if self.traced is not None:
            self.traced.append(what)

    def digest(self) -> str:
        return self._digest.hexdigest()

    def problem(self, what: str) -> None:
        if what not in self.problems:
            self.problems.append(what)

    # The store

    @property
    def settings(self) -> Settings:
        return _settings(self.folder)

    def settings_in(self, folder: str | None) -> Settings:
        """Return the settings of a process with this folder, or without a spool."""
        return _settings_in(self.folder, folder)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all stored events with their entries, oldest first."""
        if self._last_events is not None:
            return self._last_events
        found = []
        for entry, fields in self.server.admin.xrange(Shard(0).events):
            with suppress(ValueError):
                found.append((entry.decode(), orjson.loads(fields[b"b"])))
        return found

    def end(self) -> None:
        """End the run: nothing happens any more, so what is read from the store can be cached."""
        self._last_events = self.events()

    def stored(self) -> set[str]:
        """Return the OperationIDs of all callbacks with events in the store."""
        return {event["operation_id"] for _, event in self.events() if event["operation_id"]}

    def stored_callbacks(self) -> set[str]:
        """Return the same, and those that need no event because something newer was stored before."""
        stored, sent = self.stored(), self.ledger.sent
        known = [sent[name] for name in stored if name in sent]
        return stored | {name for name, document in sent.items() if document.is_outdated_by(known)}

    def snapshot(self, slot: int) -> None:
        """Copy the store."""
        self._take_expiries()
        self.server.copy(0, slot)
        self._expiries_of[slot] = dict(self._expiries)

    def _put_back(self, slot: int) -> None:
        self.server.copy(slot, 0)
        self._expiries = dict(self._expiries_of[slot])

    def restore(self, slot: int) -> bool:
        """Restore the store from a copy, if there is one. Anything later is lost."""
        if slot in self._expiries_of and not self.foreign:
            self._lose(self._put_back, slot)
            return True
        return False

    def empty(self) -> None:
        """Empty the store."""
        self._expiries.clear()
        self._lose(self.server.admin.flushdb)

    def _lose(self, act: Any, *arguments: Any) -> None:
        """Let the store lose data through `act`. Lost callbacks don't have to be kept any longer."""
        before = self.stored_callbacks()
        act(*arguments)
        self._forget_connections()
        gone = before - self.stored_callbacks()
        for operation_id in gone:
            self.ledger.owed.pop(operation_id, None)
        self.ledger.lost |= gone
        self.ledger.store_losses += 1
        self.ledger.replays.clear()  # the queue of RQ is lost, too, so these replays are never finished

    def _forget_connections(self) -> None:
        self.store_epoch += 1
        self.server.admin.script_flush()

    def put_foreign_store(self, fill: Any) -> None:
        """Replace the relay's store by another relay's."""
        self.snapshot(TRUE_STORE)
        self._expiries.clear()
        self.server.admin.flushdb()
        self.foreign = True
        self._forget_connections()
        fill()

    def put_true_store(self) -> None:
        """Put the relay's own store back."""
        if self.foreign:
            self._put_back(TRUE_STORE)
            self.foreign = False
            self._forget_connections()

    def progress(self) -> tuple[int, ...]:
        """Return counts that change as long as something is being done."""
        pipeline = self.server.admin.pipeline(transaction=False)
        pipeline.xlen(Shard(0).events)
        for name in self.server.admin.hkeys(SUBSCRIPTIONS):
            of = partial(Shard(0).subscription, name.decode())
            pipeline.xlen(of("queue"))
            pipeline.zcard(of("due"))
            pipeline.zcard(of("retry"))
            pipeline.hlen(of("replays"))
        return len(self.targets.begun), *pipeline.execute()

    def handed_out(self) -> bool:
        """Return whether the dispatchers have passed all events to the webhooks' queues."""
        last = self.server.admin.xrevrange(Shard(0).events, count=1)
        return not last or self.server.admin.get(Shard(0).fanout) == last[0][0]

    def close(self) -> None:
        """Discard everything."""
        for process in self.everyone:
            process.bury()
        self.disk.close_all()


@lru_cache
def _settings(folder: Path) -> Settings:
    return load(
        {
            "RELAY_SECRET_KEY": "made-up-secret-key-of-the-simulation-32",
            "RELAY_API_KEY": "made-up-api-key-of-the-simulation-32",
            "RELAY_RETRY_SCHEDULE": ",".join(["1"] * 40),
            "RELAY_DURABILITY": "os",
            "RELAY_DATA_DIR": str(folder),
        }
    )


@lru_cache
def _settings_in(folder: Path, name: str | None) -> Settings:
    settings = _settings(folder)
    return replace(settings, spool=False) if name is None else replace(settings, data_dir=folder / name)


class Listener(logging.Handler):
    """Records all log output, as it would be printed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.world: World | None = None
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is not None:
            text = self.format(record)
            self.world.output.append(text)


def is_store_error(error: BaseException) -> bool:
    """Return whether the error means that the store is away. Every background loop survives it."""
    return isinstance(error, redis.RedisError | StoreAway | SpoolFull | OSError)
