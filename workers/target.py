"""What a worker holds of one subscription on one shard: what is loaded, what is under way, and its pace."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from app.store.keys import Shard
from app.store.subscriptions import Subscription
from workers.http import Handle
from workers.pace import Pace

if TYPE_CHECKING:
    from workers.settling import Outcome


class Stored(NamedTuple):
    """An event as stored: its entry, flat body, raw body (deflated), sealed extras."""

    entry: str
    body: bytes
    raw: bytes
    extra: bytes | None


@dataclass(slots=True, eq=False)
class Delivery:
    """One delivery: an event, a batch, or a test send."""

    name: str
    events: list[Stored]
    queued: bool = False  # still in the queue: its first attempt
    test: bytes | None = None
    batch: bool = False
    attempts: int = 0
    step: int = 0
    history: list[list[Any]] = field(default_factory=list)
    first_at: float = 0.0  # wall clock of its first attempt
    url: str = ""  # where its last attempt went


@dataclass(slots=True, eq=False)
class Target:
    """One subscription's deliveries on one shard."""

    subscription: Subscription
    shard: Shard
    pace: Pace
    read_to: str = "0-0"  # the last entry of the queue that was taken into `fresh`
    fresh: deque[Stored] = field(default_factory=deque)
    fresh_since: float = 0.0  # loop time at which `fresh` began to wait for a full batch
    behind: bool = True  # the queue holds more than `fresh`
    due: deque[Delivery] = field(default_factory=deque)
    due_names: set[str] = field(default_factory=set)  # in `due` or under way
    due_behind: bool = True
    retrying: int = 0  # deliveries that wait for a retry
    releasing: int = 0  # under way: what waits for a retry is being made due
    under_way: dict[str, Handle | None] = field(default_factory=dict)  # None while a batch is formed
    outcomes: list[Outcome] = field(default_factory=list)  # to be written down
    loading: bool = False
    passed_by: int = 0  # events queued that were not taken into `fresh`
    wake: asyncio.TimerHandle | None = None
    ending: bool = False  # it is being removed or disabled
    removed: bool = False

    @property
    def id(self) -> str:
        return self.subscription.id

    @property
    def strict(self) -> bool:
        """Whether each delivery waits for the one before to be settled."""
        return self.subscription.max_in_flight == 1

    def key(self, part: str) -> str:
        return self.shard.subscription(self.id, part)

    def may_start(self, loop_time: float) -> bool:
        """Whether another attempt may start now."""
        return (
            not self.removed
            and not self.ending
            and self.subscription.status == "active"
            and len(self.under_way) < self.pace.in_flight
            and loop_time >= self.pace.pause_until
        )

    def next_due(self) -> Delivery | None:
        """Takes the next that is due. In strict order nothing passes what waits for a retry, but a test send may."""
        if not self.due or self.releasing:
            return None
        if self.strict and self.retrying:
            test = next((delivery for delivery in self.due if delivery.test is not None), None)
            if test is not None:
                self.due.remove(test)
            return test
        return self.due.popleft()

    def may_start_fresh(self) -> bool:
        """Whether it may be one from the queue: not past a failed one in strict order, nor to a target that is down,
        unless nothing is left that tells whether it is back."""
        if self.due or self.due_behind or self.releasing:
            return False
        if self.strict or self.pace.down:
            return self.retrying == 0
        return True

    @property
    def window(self) -> int:
        """How many events are held in memory; the rest of a backlog stays in the store."""
        subscription = self.subscription
        return max(64, 4 * subscription.max_in_flight, 2 * subscription.batch_max)

    def offer(self, event: Stored, loop_time: float) -> None:
        """Takes an event that was just queued, if nothing before it is left in the store."""
        if not later(event.entry, self.read_to):
            return  # it was loaded before we came to know that it is queued
        if self.behind or len(self.fresh) >= self.window or self.pace.down:
            self.behind = True
            self.passed_by += 1
            return
        if not self.fresh:
            self.fresh_since = loop_time
        self.fresh.append(event)
        self.read_to = event.entry

    def unload_due(self) -> None:
        """Leaves what is due to the store, to be read again in its order."""
        self.due_names.difference_update(delivery.name for delivery in self.due)
        self.due.clear()
        self.due_behind = True

    def unload(self) -> None:
        """Leaves the events of a target that is down to the store."""
        if self.fresh:
            self.read_to = _just_before(self.fresh[0].entry)
            self.fresh.clear()
            self.behind = True


def later(entry: str, than: str) -> bool:
    """Whether an entry of a stream comes after another."""
    ms, _, sequence = entry.partition("-")
    than_ms, _, than_sequence = than.partition("-")
    return (int(ms), int(sequence)) > (int(than_ms), int(than_sequence))


def _just_before(entry: str) -> str:
    ms, _, sequence = entry.partition("-")
    return f"{ms}-{int(sequence) - 1}" if int(sequence) else f"{int(ms) - 1}-{2**64 - 1}"
