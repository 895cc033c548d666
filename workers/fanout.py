"""Hands stored events to the queues of the subscriptions that take them, and hears what else there is to do."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
from redis.exceptions import RedisError

from app import ids
from workers.context import Context
from workers.live import Live
from workers.settling import Settler
from workers.subscribers import Subscribers
from workers.target import Stored, later

log = logging.getLogger("relay.dispatcher")

_READ = 500  # events a fan-out
_PAIRS = 5_000  # (event, subscription) pairs a script call
_BLOCK_MS = 1_000
_CHECK_SECONDS = 10.0
_BUSY_SECONDS = 0.01
_GATHER_SECONDS = 0.005
_GATHER_MANY_SECONDS = 0.01
_MANY = 20  # events a read

Event = tuple[Stored, dict[str, Any]]


class FanOut:
    """The reader of one shard's stream of events, and of the stream that wakes the dispatcher."""

    def __init__(self, context: Context, live: Live, settler: Settler, subscribers: Subscribers) -> None:
        self._context = context
        self._live = live
        self._settler = settler
        self._subscribers = subscribers
        self._pokes = "0-0"  # the newest of the wake stream that was read

    async def begin(self) -> None:
        """To be called before the subscriptions are read: what changes from now on is heard."""
        newest = await self._context.redis.xrevrange(self._context.shard.wake, count=1)
        self._pokes = newest[0][0].decode() if newest else "0-0"

    async def run(self) -> None:
        """Until the context is stopping, cancelled, or LeaseLost."""
        context, shard = self._context, self._context.shard
        position = await context.persist(lambda: context.redis.get(shard.fanout))
        after = (position or b"0-0").decode()
        read, many = 0.0, False
        while not context.stopping:
            if many or context.loop.time() - read < _BUSY_SECONDS:
                # A read costs the same for one event as for many; one that comes alone waits for none.
                await asyncio.sleep(_GATHER_MANY_SECONDS if many else _GATHER_SECONDS)
            try:
                answer = await context.redis.xread(
                    {shard.events: after, shard.wake: self._pokes}, count=_READ, block=_BLOCK_MS
                )
                if not answer:  # once a second, should a poke have been missed
                    await self._subscribers.check()
                    continue
                read = context.loop.time()
                for name, entries in answer:
                    if name.decode() == shard.wake:
                        await self._poked(entries)
                        self._pokes = entries[-1][0].decode()
                    else:
                        after, many = await self._queue(entries), len(entries) > _MANY
            except (RedisError, OSError) as error:
                await context.be_patient(error)

    # What else there is to do

    async def _poked(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if any(b"subscription" in fields for _, fields in entries):
            await self._subscribers.reload()
        for name in {fields[b"due"].decode() for _, fields in entries if b"due" in fields}:
            await self._look_again(name)
        for name in {fields[b"forgotten"].decode() for _, fields in entries if b"forgotten" in fields}:
            self._read_again(name)

    def _read_again(self, name: str) -> None:
        """Events were erased: of what waits nothing is kept in memory."""
        target = self._context.targets.get(name)
        if target is not None:
            target.unload()
            target.unload_due()
            self._context.pump(target)

    async def _look_again(self, name: str) -> None:
        target = self._context.targets.get(name)
        if target is not None:
            target.unload_due()
            await self._settler.count_retrying(target)
            self._context.pump(target)

    async def check(self) -> None:
        """Finds deliveries that are due without our having heard of it."""
        context = self._context
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await context.persist(self._check_due)

    async def _check_due(self) -> None:
        context = self._context
        names = list(context.targets)
        pipeline = context.redis.pipeline(transaction=False)
        for name in names:
            pipeline.zcard(context.shard.subscription(name, "due"))
            pipeline.zcard(context.shard.subscription(name, "retry"))
        counts = await pipeline.execute() if names else []
        for name, due, retrying in zip(names, counts[::2], counts[1::2], strict=True):
            target = context.targets.get(name)
            if target is None or target.due_behind:
                continue
            if due > len(target.due_names) or (not retrying and target.retrying):
                await self._look_again(name)

    # Events

    async def _queue(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> str:
        """Queues events at all that take them, and starts what may start; the position after them."""
        context = self._context
        read = [self._read(entry.decode(), fields) for entry, fields in entries]
        events = [found for found in read if found is not None]
        last = entries[-1][0].decode()
        while True:
            version, matched = context.version, self._match(events)
            if await self._queue_matched(matched, last, version):
                break
        if matched:
            await context.persist(context.confirm)
        now = context.loop.time()
        for name, stored in matched.items():
            target = context.targets.get(name)
            if target is None:
                continue  # removed this moment
            for one in stored:
                target.offer(one, now)
            context.pump(target)
        for one, event in events:
            self._live.event(context.shard.number, one.entry, event)
        return last

    def _read(self, entry: str, fields: dict[bytes, bytes]) -> Event | None:
        """None of an event of a damaged store, lest it hold up all that came after it."""
        try:
            event = orjson.loads(fields[b"b"])
            stored = Stored(entry, fields[b"b"], fields[b"r"], fields.get(b"x"))
        except (ValueError, LookupError):
            name = ids.event_id(self._context.shard.number, entry)
            log.error("event %s can't be read, so nobody is sent it; was the store damaged?", name)
            return None
        return stored, event

    def _match(self, events: list[Event]) -> dict[str, list[Stored]]:
        matched: dict[str, list[Stored]] = {}
        shard = str(self._context.shard.number)
        for stored, event in events:
            for subscription in self._subscribers.matcher.find(event):
                if later(stored.entry, subscription.after.get(shard, "0-0")):
                    matched.setdefault(subscription.id, []).append(stored)
        return matched

    async def _queue_matched(self, matched: dict[str, list[Stored]], last: str, version: str) -> bool:
        """Whether they are queued; False when subscriptions have changed meanwhile."""
        keys: list[str] = []
        arguments: list[Any] = []
        pairs = 0
        for name, stored in matched.items():
            keys.append(self._context.shard.subscription(name, "queue"))
            arguments += [len(stored), *(event.entry for event in stored)]
            pairs += len(stored)
            if pairs >= _PAIRS:
                if not await self._run_script(version, "", keys, arguments):
                    return False
                keys, arguments, pairs = [], [], 0
        return await self._run_script(version, last, keys, arguments)

    async def _run_script(self, version: str, position: str, keys: list[str], arguments: list[Any]) -> bool:
        context = self._context
        keys, arguments = [context.shard.fanout, *keys], [position, *arguments]
        return await context.write(context.scripts.fanout, keys, arguments, version) is not None
