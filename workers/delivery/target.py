"""A worker's state of one subscription on one shard: loaded deliveries, attempts under way, and the pace."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from app.store.server.keys import Shard
from app.store.subscriptions.records import Subscription
from workers.delivery.pace import Pace
from workers.http.easy_handle import Call

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from workers.delivery.results import Outcome


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
    waited: float = 0.0  # seconds by which its attempts were delayed
    scheduled_ms: int = 0  # when the schedule planned its next attempt, which may be made earlier
    trigger: str = ""  # `replay` or `retry` if somebody asked for the next attempt
    sent_by: Subscription | None = None  # the subscription as it was when its last attempt began
    span: Span | None = None  # of the attempt that is under way, if traces are recorded

    @property
    def url(self) -> str:
        """The URL of its last attempt."""
        return self.sent_by.target_url if self.sent_by else ""


@dataclass(slots=True, eq=False)
class Target:
    """One subscription's deliveries on one shard."""

    subscription: Subscription
    shard: Shard
    pace: Pace
    read_to: str = "0-0"  # the last entry of the queue that was loaded into `fresh`
    fresh: deque[Stored] = field(default_factory=deque)
    fresh_since: float = 0.0  # loop time at which `fresh` began to wait for a full batch
    behind: bool = True  # the queue has more events than `fresh`
    due: deque[Delivery] = field(default_factory=deque)
    due_names: set[str] = field(default_factory=set)  # in `due` or under way
    due_behind: bool = True
    due_loading: bool = False  # while loading, `due` may be empty although deliveries are due
    retrying: int = 0  # deliveries waiting for a retry
    releasing: int = 0  # calls under way that make waiting retries due
    under_way: dict[str, Call | None] = field(default_factory=dict)  # None while a batch is formed
    outcomes: list[Outcome] = field(default_factory=list)  # to be saved
    loading: bool = False
    passed_by: int = 0  # queued events that were not added to `fresh`
    wake: asyncio.TimerHandle | None = None
    ending: bool = False  # it is being disabled
    removed: bool = False
    parked: bool = False  # its stored data is damaged, so it waits

    @property
    def id(self) -> str:
        return self.subscription.id

    @property
    def strict(self) -> bool:
        """Return whether each delivery waits until the previous one is settled."""
        return self.subscription.max_in_flight == 1

    def key(self, part: str) -> str:
        return self.shard.subscription(self.id, part)

    def leaves_out(self, entry: str, event: dict[str, Any]) -> bool:
        """Return whether an event came with a queue that was taken over, but doesn't match this subscription."""
        taken_over_to = self.subscription.taken_over_to.get(str(self.shard.number))
        return (
            taken_over_to is not None
            and not later(entry, taken_over_to)
            and not self.subscription.takes(event)
        )

    def may_start(self, loop_time: float) -> bool:
        """Return whether another attempt may start now."""
        return (
            not self.removed
            and not self.parked
            and not self.ending
            and self.subscription.status == "active"
            and not self.subscription.is_expired
            and len(self.under_way) < self.pace.in_flight
            and loop_time >= self.pace.pause_until
        )

    def next_due(self) -> Delivery | None:
        """Take the next due delivery. In strict order, only a test may overtake a delivery that waits for a retry."""
        if not self.due or self.releasing:
            return None
        if self.strict and self.retrying:
            test = next((delivery for delivery in self.due if delivery.test is not None), None)
            if test is not None:
                self.due.remove(test)
            return test
        return self.due.popleft()

    def may_start_fresh(self) -> bool:
        """Return whether the next attempt may be one from the queue.

        In strict order, it may not overtake a failed one. If the target is down, it may only be one if no retry is left
        that would show whether the target is back.
        """
        if self.due or self.due_behind or self.due_loading or self.releasing:
            return False
        if self.strict or self.pace.down:
            return self.retrying == 0
        return True

    @property
    def window(self) -> int:
        """Return how many events are kept in memory. The rest of a backlog stays in the store."""
        subscription = self.subscription
        return max(64, 4 * subscription.max_in_flight, 2 * subscription.batch_max)

    def offer(self, event: Stored, loop_time: float) -> None:
        """Take an event that was just queued, unless earlier ones are still in the store."""
        if not later(event.entry, self.read_to):
            return  # it was already loaded
        if self.behind or len(self.fresh) >= self.window or self.pace.down:
            self.behind = True
            self.passed_by += 1
            return
        if not self.fresh:
            self.fresh_since = loop_time
        self.fresh.append(event)
        self.read_to = event.entry

    def leave_to_store(self) -> None:
        """Note that an event which may have been queued before is read from the queue, if it is still there."""
        self.behind = True
        self.passed_by += 1

    def unload_due(self) -> None:
        """Leave the due deliveries to the store, to be read again in order."""
        self.due_names.difference_update(delivery.name for delivery in self.due)
        self.due.clear()
        self.due_behind = True

    def read_anew(self) -> None:
        """Leave everything to the store. Call this only if nothing is under way."""
        self.unload_due()
        self.due_names.clear()
        self.fresh.clear()
        self.read_to, self.behind = "0-0", True

    def unload(self) -> None:
        """Leave the events of a target that is down to the store."""
        if self.fresh:
            self.read_to = _just_before(self.fresh[0].entry)
            self.fresh.clear()
            self.behind = True


def later(entry: str, than: str) -> bool:
    """Return whether an entry of a stream comes after another one."""
    ms, _, sequence = entry.partition("-")
    than_ms, _, than_sequence = than.partition("-")
    return (int(ms), int(sequence)) > (int(than_ms), int(than_sequence))


def _just_before(entry: str) -> str:
    ms, _, sequence = entry.partition("-")
    return f"{ms}-{int(sequence) - 1}" if int(sequence) else f"{int(ms) - 1}-{2**64 - 1}"
