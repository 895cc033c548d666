"""Follows the stored subscriptions: a target for each, changed as they change, ended when their targets are gone."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from app.store import Store
from app.store.keys import SUBSCRIPTIONS
from app.store.subscriptions import Matcher, Subscription
from workers.context import Context
from workers.http import Client
from workers.pace import Pace
from workers.settling import Settler
from workers.target import Target

log = logging.getLogger("relay.dispatcher")

_GONE = "The target answered 410 Gone: removed."
_FAILED = "The target failed for 5 days running."


class Subscribers:
    """The targets of one shard, and which of them take an event."""

    def __init__(self, context: Context, http: Client, settler: Settler) -> None:
        self._context = context
        self._http = http
        self._settler = settler
        self._lock = asyncio.Lock()
        self._read: dict[str, tuple[bytes, Subscription]] = {}  # as stored, and what that says
        self.matcher = Matcher(())
        context.reload = self.reload

    async def reload(self) -> None:
        """Reads the subscriptions again, and the state of new targets."""
        context = self._context
        async with self._lock:
            version = await context.redis.get(context.shard.subscriptions_version)
            found = self._unpacked(await context.redis.hgetall(SUBSCRIPTIONS))
            new = {name: self._new_target(found[name]) for name in found.keys() - context.targets.keys()}
            await self._load_health(list(new.values()))
            # From here on nothing waits: targets, matcher and version change together.
            for gone in context.targets.keys() - found.keys():
                self._remove(context.targets.pop(gone))
            for name, target in context.targets.items():
                self._change(target, found[name])
            context.targets.update(new)
            self.matcher = Matcher(found.values())
            context.version = (version or b"0").decode()
            for target in list(context.targets.values()):
                context.pump(target)

    async def check(self) -> None:
        """Reads them again if they have changed."""
        version = await self._context.redis.get(self._context.shard.subscriptions_version)
        if (version or b"0").decode() != self._context.version:
            await self.reload()

    def _unpacked(self, stored: dict[bytes, bytes]) -> dict[str, Subscription]:
        """Each is opened once, until it changes: there may be thousands."""
        read: dict[str, tuple[bytes, Subscription]] = {}
        for key, value in stored.items():
            name = key.decode()
            known = self._read.get(name)
            if known is None or known[0] != value:
                known = value, self._context.store.subscriptions.unpack(name, value)
            read[name] = known
        self._read = read
        return {name: subscription for name, (_, subscription) in read.items()}

    def _new_target(self, subscription: Subscription) -> Target:
        return Target(subscription, self._context.shard, Pace(subscription.max_in_flight))

    async def _load_health(self, targets: list[Target]) -> None:
        if not targets:
            return
        pipeline = self._context.redis.pipeline(transaction=False)
        for target in targets:
            pipeline.hmget(target.key("health"), "failures", "failing_since", "paused_until")
            pipeline.zcard(target.key("retry"))
        answers = await pipeline.execute()
        for target, health, retrying in zip(targets, answers[::2], answers[1::2], strict=True):
            failures, since, paused_until = health
            target.pace.remember(failures, since, paused_until, self._context.loop.time())
            target.retrying = retrying

    def _change(self, target: Target, subscription: Subscription) -> None:
        before, target.subscription = target.subscription, subscription
        if before is subscription:
            return
        if before.max_in_flight != subscription.max_in_flight:
            target.pace.most = subscription.max_in_flight
            target.pace.allowed = float(subscription.max_in_flight)
        enabled = before.status != "active" and subscription.status == "active"
        if enabled or before.target_url != subscription.target_url:
            target.pace = Pace(subscription.max_in_flight)
            self._settler.release_all(target)

    def _remove(self, target: Target) -> None:
        target.removed = True
        for handle in target.under_way.values():
            if handle is not None:
                self._http.cancel(handle)
        target.under_way.clear()
        if target.wake is not None:
            target.wake.cancel()

    # The end of a subscription

    def end(self, target: Target, *, gone: bool) -> None:
        """Removes a subscription whose target is gone (410), or disables one that failed for too long."""
        if not target.ending:
            target.ending = True
            self._context.spawn(self._end(target, target.subscription, gone))

    async def _end(self, target: Target, ended: Subscription, gone: bool) -> None:
        context = self._context
        await context.persist(self._settler.settle)
        await context.persist(lambda: asyncio.to_thread(_end_subscription, context.store, ended, gone))
        target.subscription = replace(target.subscription, status="disabled")
        target.ending = False
        await context.persist(self.reload)


def _end_subscription(store: Store, ended: Subscription, gone: bool) -> None:
    def is_meant(stored: Subscription) -> bool:
        return stored.status == "active" and stored.target_url == ended.target_url

    def disable(stored: Subscription) -> None:
        stored.status, stored.disabled_reason = "disabled", _FAILED

    if gone:
        subscription = store.subscriptions.delete(ended.id, is_meant)
    else:
        subscription = store.subscriptions.change(ended.id, disable, is_meant)
    if subscription is not None:
        store.relay_events.subscription_disabled(subscription, _GONE if gone else _FAILED)
