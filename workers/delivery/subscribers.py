"""Keeps a target for each stored subscription, applies changes, and disables subscriptions whose targets are gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import replace

from app.store import Store
from app.store.server.keys import FAILURES, SUBSCRIPTIONS
from app.store.subscriptions.matching import Matcher
from app.store.subscriptions.queueing_position import find_position
from app.store.subscriptions.records import Subscription, Unreadable
from app.store.subscriptions.signing_keys import UnreadableSigningKeys
from workers.delivery.pace import Pace
from workers.delivery.results import Settler
from workers.delivery.shard_context import Context, is_transient
from workers.delivery.take_over import TakeOver
from workers.delivery.target import Target
from workers.http.client import Client

log = logging.getLogger("relay.dispatcher")

_LOOK_SECONDS = 0.05  # between looks whether attempts have ended

_GONE = "The target answered 410 Gone."
_FAILED = "The target failed for 5 days running."


class Subscribers:
    """The targets of one shard, and the matcher that finds those for an event."""

    def __init__(self, context: Context, http: Client, settler: Settler) -> None:
        self._context = context
        self._http = http
        self._settler = settler
        self._take_over = TakeOver(context, settler)
        self._lock = asyncio.Lock()
        self._awaits_ends = False  # attempts for deleted subscriptions that are taken over
        self._unreadable: set[str] = set()
        self._noted_unreadable: set[str] = set()
        self._read: dict[str, tuple[bytes, Subscription]] = {}  # stored bytes, and what they decode to
        self.matcher = Matcher(())
        context.reload = self.reload

    async def reload(self) -> None:
        """Read the subscriptions again, and the state of new targets."""
        context = self._context
        taken_over: set[str] = set()
        async with self._lock:
            while True:
                version = await context.redis.get(context.shard.subscriptions_version)
                found = self._unpacked(await context.redis.hgetall(SUBSCRIPTIONS))
                await self._note_unreadable()
                await self._read_signing_keys(found.values())
                taking = await self._take_over.run(found.values(), (version or b"0").decode())
                if not taking:
                    break
                taken_over |= taking
            self._hold(found)
            new = {name: self._new_target(found[name]) for name in found.keys() - context.targets.keys()}
            await self._load_health(list(new.values()))
            # From here on, nothing is awaited, so targets, matcher and version change together.
            for gone in context.targets.keys() - found.keys():
                self._remove(context.targets.pop(gone))
            for name, target in context.targets.items():
                self._change(target, found[name])
            context.targets.update(new)
            self.matcher = Matcher(found.values())
            context.version = (version or b"0").decode()
            for name in taken_over & context.targets.keys():
                self._settler.release_all(context.targets[name])
            for target in list(context.targets.values()):
                context.pump(target)

    def _hold(self, found: dict[str, Subscription]) -> None:
        """Let attempts for deleted subscriptions end before their queues are moved to the new ones."""
        for name, formers in self._take_over.held.items():
            found.pop(name, None)
            for former in formers:
                found[former] = replace(self._context.targets[former].subscription, status="deleted")
        if self._take_over.held and not self._awaits_ends:
            self._awaits_ends = True
            self._context.spawn(self._await_ends())

    async def _await_ends(self) -> None:
        """Read the subscriptions again as soon as a held queue may be moved."""
        try:
            while self._take_over.held:
                await asyncio.sleep(_LOOK_SECONDS)
                if self._take_over.may_move():
                    await self._context.persist(self.reload)
        finally:
            self._awaits_ends = False

    async def check(self) -> None:
        """Read the subscriptions again if they have changed."""
        version = await self._context.redis.get(self._context.shard.subscriptions_version)
        if (version or b"0").decode() != self._context.version:
            await self.reload()

    def _unpacked(self, stored: dict[bytes, bytes]) -> dict[str, Subscription]:
        """Decode each subscription only once, until it changes, because there may be thousands."""
        read: dict[str, tuple[bytes, Subscription]] = {}
        self._unreadable = set()
        for key, value in stored.items():
            name = key.decode(errors="replace")
            known = self._read.get(name)
            try:
                if known is None or known[0] != value:
                    known = value, self._context.store.subscriptions.unpack(name, value)
                read[name] = known
            except Unreadable:
                self._unreadable.add(name)
        self._read = read
        return {name: subscription for name, (_, subscription) in read.items()}

    async def _read_signing_keys(self, subscriptions: Iterable[Subscription]) -> None:
        """Read the signing keys if a subscription needs them.

        If they are damaged, those that were read before still sign. Without any, deliveries lack that signature.
        """
        context = self._context
        if not any("ed25519" in subscription.signed_with for subscription in subscriptions):
            return
        try:
            context.signing_keys = await asyncio.to_thread(context.store.signing_keys.all)
        except UnreadableSigningKeys:
            log.error("the signing keys can't be read. Rotate them (POST /v1/signing-keys/rotate)")

    async def _note_unreadable(self) -> None:
        """Note the position from which subscriptions that can't be read will need events once they are repaired."""
        context = self._context
        self._noted_unreadable &= self._unreadable
        for name in self._unreadable - self._noted_unreadable:
            log.error("subscription %s can't be read and is parked", name)
            found = await asyncio.to_thread(find_position, context.store.connection, context.shard)
            await asyncio.to_thread(context.store.parked.note_unreadable, context.shard, name, found.position)
            self._noted_unreadable.add(name)

    def _new_target(self, subscription: Subscription) -> Target:
        return Target(subscription, self._context.shard, Pace(subscription.max_in_flight))

    async def _load_health(self, targets: list[Target]) -> None:
        if not targets:
            return
        pipeline = self._context.redis.pipeline(transaction=False)
        for target in targets:
            pipeline.hmget(target.key("health"), *FAILURES)
            pipeline.zcard(target.key("retry"))
        answers = await pipeline.execute(raise_on_error=False)
        context = self._context
        noted = await asyncio.to_thread(context.store.parked.on, context.shard)
        for target, health, retrying in zip(targets, answers[::2], answers[1::2], strict=True):
            errors = [answer for answer in (health, retrying) if isinstance(answer, Exception)]
            if errors and is_transient(errors[0]):
                raise errors[0]
            if target.id in noted:  # by an earlier worker: it is checked like any parked target
                target.parked = True
                context.noted.add(target.id)
            if errors:
                context.park(target, errors[0])
                continue
            try:
                target.pace.remember(health, time.time(), context.loop.time())
            except ValueError:
                log.error("the failure history of subscription %s can't be read", target.id)
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

    # Disabling a subscription

    def end(self, target: Target, *, gone: bool) -> None:
        """Disable a subscription whose target is gone (410) or has failed for too long. Its queue is kept."""
        if not target.ending:
            target.ending = True
            self._context.spawn(self._end(target, target.subscription, _GONE if gone else _FAILED))

    async def _end(self, target: Target, ended: Subscription, reason: str) -> None:
        context = self._context
        try:
            await context.persist(self._settler.settle)
            await context.persist_for(
                target, lambda: asyncio.to_thread(_disable, context.store, ended, reason)
            )
            target.subscription = replace(target.subscription, status="disabled")
        finally:
            target.ending = False
        await context.persist(self.reload)


def _disable(store: Store, ended: Subscription, reason: str) -> None:
    def is_meant(stored: Subscription) -> bool:
        return stored.status == "active" and stored.target_url == ended.target_url

    def disable(stored: Subscription) -> None:
        stored.status, stored.disabled_reason = "disabled", reason

    subscription = store.subscriptions.change(ended.id, disable, is_meant)
    if subscription is not None:
        store.relay_events.subscription_disabled(subscription, reason)
