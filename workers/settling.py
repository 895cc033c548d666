"""Writes down what became of attempts, and lets go what waits for a retry when its target is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from workers.context import Context
from workers.target import Delivery, Target

_ATTEMPTS = 256  # a script call
_TARGETS = 64  # at once

# (subscription, shard, at, at before): has a job come at that time instead (ms since 1970; 0 for none)
Schedule = Callable[[str, int, int, int], Awaitable[None]]


class Outcome(NamedTuple):
    """What became of an attempt: the arguments of settle.lua, in its order."""

    what: str  # delivered, retry, dead or dropped
    delivery: str
    from_queue: int
    attempt: int
    status: int
    duration_ms: int
    error: str
    events: int
    next_ms: int
    attempts: str  # so far, JSON


class Settler:
    """Outcomes wait at their targets until the store has them: what is under way is written down in the end."""

    def __init__(self, context: Context, schedule: Schedule) -> None:
        self._context = context
        self._schedule = schedule
        self._dirty: set[Target] = set()  # with outcomes to write down
        self._some = asyncio.Event()
        self._lock = asyncio.Lock()  # one writes at a time: what is written is taken off the front

    def note(self, target: Target, outcome: Outcome) -> None:
        """An attempt ended."""
        target.outcomes.append(outcome)
        self._dirty.add(target)
        self._some.set()

    def drop(self, target: Target, delivery: Delivery) -> None:
        """Its event is older than the retention and gone."""
        queued = int(delivery.queued)
        self.note(target, Outcome("dropped", delivery.name, queued, 0, 0, 0, "event_expired", 1, 0, ""))

    async def run(self) -> None:
        """Until cancelled, or until LeaseLost."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self._context.persist(self.settle)

    async def settle(self) -> None:
        """Writes all outcomes down; what fails stays to be written again, which does no harm."""
        async with self._lock:
            while self._dirty:
                targets = [target for target in self._dirty if not target.removed]
                self._dirty.clear()
                try:
                    for start in range(0, len(targets), _TARGETS):
                        await asyncio.gather(*map(self._settle, targets[start : start + _TARGETS]))
                finally:
                    self._dirty.update(target for target in targets if target.outcomes and not target.removed)

    async def _settle(self, target: Target) -> None:
        context, pace = self._context, target.pace
        outcomes = target.outcomes[:_ATTEMPTS]
        parts = ("queue", "due", "retry", "dead", "state", "batches", "tests", "health", "log")
        answer = await context.write(
            context.scripts.settle,
            [target.key(part) for part in parts],
            [
                time.time_ns() // 1_000_000,
                pace.failures,
                "" if pace.failing_since is None else repr(pace.failing_since),
                pace.paused_until(time.time(), context.loop.time()),
                *(part for outcome in outcomes for part in outcome),
            ],
        )
        if answer is None:
            return  # still dirty, unless it was removed
        del target.outcomes[: len(outcomes)]
        for outcome in outcomes:
            if not outcome.from_queue:
                target.due_names.discard(outcome.delivery)
        at, before = answer
        if at:
            context.spawn(self._schedule(target.id, context.shard.number, at, before))
        context.pump(target)

    async def count_retrying(self, target: Target) -> None:
        """Notes how many deliveries wait for a retry; exact, for nothing is written down meanwhile."""
        async with self._lock:
            stored = await self._context.redis.zcard(target.key("retry"))
            target.retrying = stored + sum(outcome.what == "retry" for outcome in target.outcomes)

    def release_all(self, target: Target) -> None:
        """The target is back: what waits for a retry goes first."""
        target.releasing += 1
        self._context.spawn(self._release_all(target))

    async def _release_all(self, target: Target) -> None:
        context = self._context
        try:
            await context.persist(self.settle)
            keys = [target.key(part) for part in ("retry", "due", "health")]
            _, before = await context.persist(
                lambda: context.scripts.release(keys=[*keys, context.shard.wake], args=["+inf", target.id])
            )
            if before:
                context.spawn(self._schedule(target.id, context.shard.number, 0, before))
            target.unload_due()
            await context.persist(lambda: self.count_retrying(target))
        finally:
            target.releasing -= 1
        context.pump(target)
