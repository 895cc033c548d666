"""Loads a target's deliveries from the store: the next events of its queue, and those that are due again."""

from __future__ import annotations

import logging
import time

import orjson

from workers.delivery.results import Settler
from workers.delivery.shard_context import Context
from workers.delivery.target import Delivery, Stored, Target

log = logging.getLogger("relay.dispatcher")

_DUE = 128  # deliveries loaded at once


class Loader:
    """Keeps a window of each target's backlog in memory; the rest stays in the store."""

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler

    def load_if_needed(self, target: Target) -> None:
        """Start loading more if that helps."""
        if self._context.stopping or target.removed or target.loading or not self._needed(target):
            return
        target.loading = True
        self._context.spawn(self._load(target))

    def _needed(self, target: Target) -> bool:
        if target.parked:
            return False
        if target.due_behind and not target.due:
            return True
        if not target.behind or target.subscription.status != "active":
            return False
        if target.pace.down:  # only what is needed to find out whether it is back
            return target.may_start_fresh() and not target.fresh and not target.under_way
        return len(target.fresh) < max(target.window // 4, target.subscription.batch_max)

    async def _load(self, target: Target) -> None:
        context = self._context
        try:
            async with context.room:
                if target.due_behind and not target.due:
                    target.due_loading = True
                    try:
                        await context.persist_for(target, lambda: self._load_due(target))
                    finally:
                        target.due_loading = False
                if target.behind and self._needed(target):
                    await context.persist_for(target, lambda: self._load_fresh(target))
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
            return  # it was unloaded meanwhile, and starts again from an earlier position
        if not target.fresh and found:  # they may already have waited for a long time
            age = time.time() - int(found[0][0].partition(b"-")[0]) / 1000
            target.fresh_since = self._context.loop.time() - max(0.0, age)
        for row in found:
            entry = row[0].decode()
            target.read_to = entry
            if len(row) == 1:
                self._settler.drop(target, Delivery(entry, [], queued=True))
            elif (event := self._context.read(entry, row[1])) is None:
                self._settler.drop(target, Delivery(entry, [], queued=True), "event_unreadable")
            elif target.leaves_out(entry, event):
                self._settler.drop(target, Delivery(entry, [], queued=True), "not_subscribed")
            else:
                target.fresh.append(Stored(entry, row[1], row[2], row[3]))
        # Events that were queued during the call may be missing from the answer.
        target.behind = len(found) == limit or target.passed_by != passed_by

    async def _load_due(self, target: Target) -> None:
        target.due_behind = False
        # Read before the call: the answer still contains deliveries that are settled while we wait for it.
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
        events, left_out = await self._stored(target, entries)
        for name, state, batch, test in zip(new, states, batches, tests, strict=True):
            delivery = Delivery(name, [], test=test, batch=":b" in name)
            if state:
                _remember(delivery, state)
            elif ":" not in name:
                delivery.trigger = "replay"  # a first attempt would be in the queue
            wanted = batch.split() if batch else [name.encode()]
            if test is None:
                delivery.events = [events[entry] for entry in wanted if entry in events]
            target.due_names.add(name)
            if delivery.events or test is not None:
                target.due.append(delivery)
            elif left_out.intersection(wanted):
                self._settler.drop(target, delivery, "not_subscribed")
            else:
                self._settler.drop(target, delivery)

    async def _stored(self, target: Target, entries: list[bytes]) -> tuple[dict[bytes, Stored], set[bytes]]:
        """Return the stored events that can be read, and the entries that the target leaves out."""
        found: dict[bytes, Stored] = {}
        left_out: set[bytes] = set()
        if not entries:
            return found, left_out
        bodies = await self._context.scripts.bodies(keys=[self._context.shard.events], args=entries)
        for entry, stored in zip(entries, bodies, strict=True):
            event = self._context.read(entry.decode(), stored[0]) if stored else None
            if event is not None and target.leaves_out(entry.decode(), event):
                left_out.add(entry)
            elif event is not None:
                found[entry] = Stored(entry.decode(), *stored)
        return found, left_out


def _remember(delivery: Delivery, state: bytes) -> None:
    """Restore a delivery's earlier attempts from its stored state. If that can't be read, the delivery starts over."""
    try:
        known = orjson.loads(state)
        delivery.attempts, delivery.step = int(known["n"]), int(known["step"])
        delivery.waited, delivery.history = float(known.get("waited", 0)), list(known["log"])
        delivery.trigger, delivery.scheduled_ms = str(known.get("by", "")), int(known.get("due", 0))
    except (ValueError, LookupError, TypeError, AttributeError):
        log.error(
            "the earlier attempts of delivery %s can't be read, so its retry schedule starts again",
            delivery.name,
        )
        delivery.attempts, delivery.step, delivery.waited, delivery.history = 0, 0, 0.0, []
