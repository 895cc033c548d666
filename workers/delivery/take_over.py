"""Moves the queue of a deleted subscription to the new one that replaces it and has the same target.

The new subscription's record names the one that it takes over. Each shard's dispatcher then moves the data on its
shard, before it delivers anything to the new one, and queues the events that came after the deletion.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

from redis.exceptions import ResponseError

from app.store.server.keys import SUBSCRIPTION_PARTS
from app.store.subscriptions.moved import TOOK_OVER
from app.store.subscriptions.queueing_position import stored_position
from app.store.subscriptions.records import Subscription
from workers.delivery.lease_errors import LeaseLost
from workers.delivery.results import Settler
from workers.delivery.shard_context import Context
from workers.delivery.target import later

_SCAN = 500
_GRACE_SECONDS = 1.0  # after the timeout of an attempt


class TakeOver:
    """The take-overs of one shard."""

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler
        self._done: set[str] = set()  # new subscriptions for which everything was moved
        self._until: dict[str, float] = {}  # new subscription → the loop time at which it waits no longer
        # New subscriptions whose queues can't be moved yet → those that they take over, with attempts under way
        self.held: dict[str, list[str]] = {}

    async def run(self, subscriptions: Iterable[Subscription], version: str) -> set[str]:
        """Move what hasn't been moved yet. Returns the new subscriptions that this affects, or that need another look.

        If there are any, the version of the subscriptions has changed, and the caller must read them again. Raises
        LeaseLost.

        A queue whose attempts are under way isn't moved before they end, because they would be sent again. `held` then
        has the new subscription, which must get nothing until then.
        """
        self.held = {}
        for subscription in subscriptions:
            if subscription.takes_over and subscription.id not in self._done:
                if await self._take_over(subscription, version):
                    return {subscription.id}
                if subscription.id not in self.held:
                    self._done.add(subscription.id)
        return set()

    async def _take_over(self, new: Subscription, version: str) -> bool:
        """Move the data of one take-over. Returns whether anything was moved, or needs another look."""
        context, shard = self._context, self._context.shard
        waiting = await self._waiting(new)
        if not waiting or self._is_held(new, waiting):
            return False
        for former, _ in waiting:
            target = context.targets.get(former)
            if target is not None:
                await self._settler.write_last(target, version)
        known = context.writes
        position = await asyncio.to_thread(stored_position, context.store.connection, shard)
        if position is None:
            raise ResponseError(
                f"{shard.fanout} is damaged"
            )  # it is repaired soon, and then this is tried again
        missed = await self._missed(new, waiting[0][1].get(str(shard.number), position), position)
        for former, _ in waiting:
            entries = missed if former == waiting[-1][0] else []
            keys = [
                shard.subscription(owner, part) for part in SUBSCRIPTION_PARTS for owner in (former, new.id)
            ]
            answer = await context.scripts.take_over(
                keys=[
                    *(shard.lease, shard.writes, shard.subscriptions_version, shard.fanout, shard.parked),
                    shard.subscription(new.id, "health"),
                    *keys,
                ],
                args=[
                    *(context.token, version, position, former, new.id),
                    1 + secrets.randbits(32),
                    *entries,
                ],
            )
            if answer == b"lease":
                raise LeaseLost
            if answer == b"version":
                return True
            context.note_writes(answer[0], known)
            known = context.writes
            version = (await context.redis.get(shard.subscriptions_version)).decode()
        self._done.add(new.id)
        self._until.pop(new.id, None)
        return True

    def _is_held(self, new: Subscription, waiting: list[tuple[str, dict[str, str]]]) -> bool:
        """Return whether attempts for the deleted ones are under way, and note this in `held`."""
        context = self._context
        timeout = context.store.settings.delivery_timeout + _GRACE_SECONDS
        self._until.setdefault(new.id, context.loop.time() + timeout)
        formers = [former for former, _ in waiting if former in context.targets]
        if self._is_under_way(new.id, formers):
            self.held[new.id] = formers
            return True
        return False

    def _is_under_way(self, new: str, formers: Iterable[str]) -> bool:
        targets, now = self._context.targets, self._context.loop.time()
        return now < self._until[new] and any(
            targets[former].under_way for former in formers if former in targets
        )

    def may_move(self) -> bool:
        """Return whether a queue that was held may be moved now."""
        return any(not self._is_under_way(new, formers) for new, formers in self.held.items())

    async def _waiting(self, new: Subscription) -> list[tuple[str, dict[str, str]]]:
        """Return the subscriptions that it takes over, without those whose keys were already moved on this shard.

        If a new subscription is deleted before any dispatcher has seen it, it is taken over together with its own
        take-overs.
        """
        owners = [*(name for name, _ in new.takes_over[1:]), new.id]
        for place in reversed(range(len(owners))):
            health = self._context.shard.subscription(owners[place], "health")
            moved = await self._context.redis.hget(health, TOOK_OVER)
            if moved is not None and moved.decode() == new.takes_over[place][0]:
                return new.takes_over[place + 1 :]
        return new.takes_over

    async def _missed(self, new: Subscription, since: str, position: str) -> list[str]:
        """Return the events for the new subscription between the deletion and this position of the fan-out."""
        context, found, start = self._context, [], f"({since}"
        if not later(position, since):
            return []
        while rows := await context.redis.xrange(context.shard.events, start, position, count=_SCAN):
            for name, fields in rows:
                event = context.read(name.decode(), fields.get(b"b"))
                if event is not None and new.takes(event):
                    found.append(name.decode())
            start = f"({rows[-1][0].decode()}"
        return found
