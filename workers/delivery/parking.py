"""Parks a subscription whose stored state can't be used, so that all others continue, and later resumes it."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from workers.delivery.results import Settler
from workers.delivery.shard_context import Context, is_transient
from workers.delivery.target import Target

log = logging.getLogger("relay.dispatcher")


class Parking:
    """The parked targets of one shard."""

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler
        context.park = self.park

    def park(self, target: Target, error: Exception) -> None:
        """Make a target's deliveries wait, as its stored data is damaged. It is checked again every few seconds."""
        if not target.parked and not target.removed:
            target.parked = True
            self._context.spawn(self._note(target, f"{type(error).__name__}: {error}"))

    async def _note(self, target: Target, error: str) -> None:
        context = self._context
        parked = context.store.parked
        reason = await context.persist(
            lambda: asyncio.to_thread(parked.note, context.shard, target.id, error)
        )
        if target.id not in context.noted:
            context.noted.add(target.id)
            log.error("subscription %s is parked: %s", target.id, reason)

    async def look(self) -> None:
        """Resume the targets that can be used again. One that fails again is parked again."""
        context = self._context
        for name in await asyncio.to_thread(context.store.parked.on, context.shard) - context.noted:
            if name in context.targets:  # another process has found the damage
                log.error(
                    "subscription %s is parked, because another process found its stored data damaged", name
                )
                context.noted.add(name)
                context.targets[name].parked = True
        for target in list(context.targets.values()):
            if not target.parked and target.id in context.noted:  # it has worked in the meantime
                await asyncio.to_thread(context.store.parked.clear, context.shard, target.id)
                context.noted.discard(target.id)
                log.warning("subscription %s is no longer parked; deliveries resume", target.id)
            elif target.parked and target.id in context.noted and not target.under_way:
                await self._take_up(target)

    async def _take_up(self, target: Target) -> None:
        context, kept = self._context, self._context.store.parked
        try:
            if await asyncio.to_thread(kept.damage, context.shard, target.id) is not None:
                return
            await asyncio.to_thread(kept.queue_missed, context.shard, target.subscription)
            await self._settler.settle_parked(target)
            target.read_anew()
            await self._settler.count_retrying(target)
        except RedisError as error:
            if is_transient(error):
                raise
            return  # it stays parked
        target.parked = False
        context.pump(target)
