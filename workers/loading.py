"""Loads deliveries of a target from the store: the next of its queue, and those that are due again."""

from __future__ import annotations

import time

import orjson

from workers.context import Context
from workers.settling import Settler
from workers.target import Delivery, Stored, Target

_DUE = 128  # deliveries loaded at once


class Loader:
    """Keeps a window of each target's backlog in memory; the rest stays in the store."""

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler

    def load_if_needed(self, target: Target) -> None:
        """Has more loaded where that helps."""
        if self._context.stopping or target.removed or target.loading or not self._needed(target):
            return
        target.loading = True
        self._context.spawn(self._load(target))

    def _needed(self, target: Target) -> bool:
        if target.due_behind and not target.due:
            return True
        if not target.behind or target.subscription.status != "active":
            return False
        if target.pace.down:  # only what is to tell whether it is back
            return target.may_start_fresh() and not target.fresh and not target.under_way
        return len(target.fresh) < max(target.window // 4, target.subscription.batch_max)

    async def _load(self, target: Target) -> None:
        context = self._context
        try:
            async with context.room:
                if target.due_behind and not target.due:
                    await context.persist(lambda: self._load_due(target))
                if target.behind and self._needed(target):
                    await context.persist(lambda: self._load_fresh(target))
        finally:
            target.loading = False
        context.pump(target)

    async def _load_fresh(self, target: Target) -> None:
        passed_by, read_to = target.passed_by, target.read_to
        limit = target.subscription.batch_max if target.pace.down else target.window
        found = await self._context.scripts.load(
            keys=[target.key("queue"), self._context.shard.events], args=[read_to, limit]
        )
        if target.read_to != read_to:
            return  # it was unloaded meanwhile, and begins again further to the front
        if not target.fresh and found:  # they may have waited already, some of them for long
            age = time.time() - int(found[0][0].partition(b"-")[0]) / 1000
            target.fresh_since = self._context.loop.time() - max(0.0, age)
        for row in found:
            entry = row[0].decode()
            target.read_to = entry
            if len(row) == 1:
                self._settler.drop(target, Delivery(entry, [], queued=True))
            else:
                target.fresh.append(Stored(entry, row[1], row[2], row[3]))
        # What was queued while we asked may be missing from the answer.
        target.behind = len(found) == limit or target.passed_by != passed_by

    async def _load_due(self, target: Target) -> None:
        target.due_behind = False
        # As of before we ask: what is settled while we wait for the answer is still in it.
        redis, known = self._context.redis, set(target.due_names)
        most = _DUE + len(known)
        names = [name.decode() for name in await redis.zrange(target.key("due"), 0, most - 1)]
        new = [name for name in names if name not in known and name not in target.due_names][:_DUE]
        target.due_behind |= len(names) == most and bool(new)
        if not new:
            return
        pipeline = redis.pipeline(transaction=False)
        for part in ("state", "batches", "tests"):
            pipeline.hmget(target.key(part), new)
        states, batches, tests = await pipeline.execute()
        entries = [
            entry
            for name, batch, test in zip(new, batches, tests, strict=True)
            if test is None
            for entry in (batch.split() if batch else [name.encode()])
        ]
        events = await self._stored(entries)
        for name, state, batch, test in zip(new, states, batches, tests, strict=True):
            delivery = Delivery(name, [], test=test, batch=":b" in name)
            if state:
                known = orjson.loads(state)
                delivery.attempts, delivery.step = known["n"], known["step"]
                delivery.first_at, delivery.history = known["first_at"], known["log"]
            if test is None:
                wanted = batch.split() if batch else [name.encode()]
                delivery.events = [events[entry] for entry in wanted if entry in events]
            target.due_names.add(name)
            if delivery.events or test is not None:
                target.due.append(delivery)
            else:
                self._settler.drop(target, delivery)

    async def _stored(self, entries: list[bytes]) -> dict[bytes, Stored]:
        if not entries:
            return {}
        bodies = await self._context.scripts.bodies(keys=[self._context.shard.events], args=entries)
        return {
            entry: Stored(entry.decode(), *stored)
            for entry, stored in zip(entries, bodies, strict=True)
            if stored
        }
