"""Saves the results of attempts, and releases the deliveries that wait for a retry when their target is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from app.base.loops import LOOPS
from app.store.server.repairs import note_repair
from workers.delivery.shard_context import Context, is_transient
from workers.delivery.target import Delivery, Target

_ATTEMPTS = 256  # per script call
_TARGETS = 64  # at once
_PATIENCE = 1.0  # seconds after an error that a repetition doesn't solve

# (subscription, shard, at, at before): moves the retry job to the time `at` (ms since 1970; 0 for none)
Schedule = Callable[[str, int, int, int], Coroutine[Any, Any, None]]


class Outcome(NamedTuple):
    """The result of an attempt: the arguments of settle.lua, in its order."""

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
    mark: str = ""  # why it was made: replay, retry, or test and a type
    answer: str = ""  # what the target answered, JSON


class Settler:
    """Saves outcomes. They wait at their targets until the store has them, so every attempt is saved in the end."""

    def __init__(self, context: Context, schedule: Schedule) -> None:
        self._context = context
        self._schedule = schedule
        self._dirty: dict[Target, None] = {}  # with outcomes to save, in the order of their first one
        self._some = asyncio.Event()
        self._lock = asyncio.Lock()  # one writes at a time, because saved outcomes are removed from the front

    def note(self, target: Target, outcome: Outcome) -> None:
        """Add the outcome of an attempt."""
        target.outcomes.append(outcome)
        self._dirty.setdefault(target)
        self._some.set()

    def drop(self, target: Target, delivery: Delivery, error: str = "event_expired") -> None:
        """Drop a delivery whose event is older than the retention and gone, or has another `error`."""
        queued = int(delivery.queued)
        self.note(target, Outcome("dropped", delivery.name, queued, 0, 0, 0, error, 1, 0, ""))

    async def run(self) -> None:
        """Run until cancelled, or until LeaseLost is raised."""
        loop = LOOPS.get(f"deliveries.settling {self._context.shard.number}")
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self._context.persist(self.settle)
                loop.worked()
            except RedisError as error:
                loop.failed(error)
                self._some.set()
                await asyncio.sleep(_PATIENCE)

    async def settle(self) -> None:
        """Save all outcomes. If saving fails, they are saved again later, which does no harm.

        The outcomes of a parked target wait until it is resumed.
        """
        async with self._lock:
            while self._dirty:
                targets = [target for target in self._dirty if not target.removed and not target.parked]
                self._dirty.clear()
                try:
                    for start in range(0, len(targets), _TARGETS):
                        await asyncio.gather(*map(self._settle, targets[start : start + _TARGETS]))
                finally:
                    self._dirty |= dict.fromkeys(
                        target
                        for target in targets
                        if target.outcomes and not target.removed and not target.parked
                    )

    async def _settle(self, target: Target) -> None:
        try:
            await self._write(target)
        except RedisError as error:
            if is_transient(error):
                raise
            self._context.park(target, error)

    async def settle_parked(self, target: Target) -> None:
        """Save the outcomes of a parked target. Raises redis errors."""
        async with self._lock:
            while target.outcomes and not target.removed:
                await self._write(target)

    async def write_last(self, target: Target, version: str) -> None:
        """Save the outcomes of a deleted subscription before its queue is taken over.

        It is called while the subscriptions are read, so nobody else can write. If the store refuses outcomes, they
        stay.
        """
        while target.outcomes and not target.parked:
            before = len(target.outcomes)
            await self._write(target, version, reload=False)
            if len(target.outcomes) == before:
                return

    async def _write(self, target: Target, version: str | None = None, *, reload: bool = True) -> None:
        context, pace = self._context, target.pace
        outcomes = target.outcomes[:_ATTEMPTS]
        parts = (
            "queue",
            "due",
            "retry",
            "dead",
            "state",
            "batches",
            "tests",
            "health",
            "log",
            "answers",
            "settled",
        )
        answer = await context.write(
            context.scripts.settle,
            [target.key(part) for part in parts],
            [
                time.time_ns() // 1_000_000,
                *pace.written(time.time(), context.loop.time()),
                *(part for outcome in outcomes for part in outcome),
            ],
            version,
            target=target,
            reload=reload,
        )
        if answer is None:
            return  # its outcomes still have to be saved, unless it was removed
        del target.outcomes[: len(outcomes)]
        for outcome in outcomes:
            if not outcome.from_queue:
                target.due_names.discard(outcome.delivery)
        at, before, damaged = answer
        if damaged:
            context.spawn(self._note_repair(target.key("health")))
        if at:
            context.spawn(self._schedule(target.id, context.shard.number, at, before))
        context.pump(target)

    async def _note_repair(self, key: str) -> None:
        await asyncio.to_thread(note_repair, self._context.store.connection, key)

    async def count_retrying(self, target: Target) -> None:
        """Note how many deliveries wait for a retry. The count is exact, because nothing is saved meanwhile."""
        async with self._lock:
            stored = await self._context.redis.zcard(target.key("retry"))
            target.retrying = stored + sum(outcome.what == "retry" for outcome in target.outcomes)

    def release_all(self, target: Target) -> None:
        """Release all deliveries that wait for a retry, because the target is back. They go first."""
        target.releasing += 1
        self._context.spawn(self._release_all(target))

    async def _release_all(self, target: Target) -> None:
        context = self._context
        try:
            await context.persist(self.settle)
            keys = [target.key(part) for part in ("retry", "due", "health")]
            _, before = await context.persist_for(
                target,
                lambda: context.scripts.release(keys=[*keys, context.shard.wake], args=["+inf", target.id]),
            )
            if before:
                context.spawn(self._schedule(target.id, context.shard.number, 0, before))
            target.unload_due()
            await context.persist_for(target, lambda: self.count_retrying(target))
        finally:
            target.releasing -= 1
        context.pump(target)
