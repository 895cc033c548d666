"""Adds stored events to the queues of the subscriptions that match them, and handles notifications of changes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError, ResponseError

from app.base.loops import LOOPS
from app.store.server.repairs import note_repair
from app.store.server.shard_repairs import repair_shard
from app.store.subscriptions.queueing_position import find_position, stored_position
from workers.delivery.log_lines import Live
from workers.delivery.parking import Parking
from workers.delivery.results import Settler
from workers.delivery.shard_context import Context, is_transient
from workers.delivery.subscribers import Subscribers
from workers.delivery.target import Stored, later

_READ = 500  # events per fan-out
_PAIRS = 5_000  # (event, subscription) pairs per script call
_BLOCK_MS = 1_000
_CHECK_SECONDS = 10.0
_STALLED_SECONDS = 120.0
_BUSY_SECONDS = 0.01
_GATHER_SECONDS = 0.005
_GATHER_MANY_SECONDS = 0.01
_MANY = 20  # events in one read

Event = tuple[Stored, dict[str, Any]]


class FanOut:
    """Reads one shard's stream of events, and the stream that wakes the dispatcher."""

    def __init__(
        self, context: Context, live: Live, settler: Settler, subscribers: Subscribers, parking: Parking
    ) -> None:
        self._context = context
        self._live = live
        self._settler = settler
        self._subscribers = subscribers
        self._parking = parking
        self._pokes = "0-0"  # the last entry read from the wake stream
        self._position = "0-0"  # the last event that is in all matching queues
        self._perhaps_queued = (
            "0-0"  # the last event that an earlier worker may have queued, although it is later
        )

    async def begin(self) -> None:
        """Notice all changes from now on, and find the position. Call this before the subscriptions are read."""
        context, shard = self._context, self._context.shard
        await self._repair()
        newest = await context.redis.xrevrange(shard.wake, count=1)
        self._pokes = newest[0][0].decode() if newest else "0-0"
        found = await asyncio.to_thread(find_position, context.store.connection, shard)
        self._position, self._perhaps_queued = found.position, found.queued
        if found.was_damaged:
            await context.redis.set(shard.fanout, found.position)
            await self._note_repair()

    async def run(self) -> None:
        """Run until the context is stopping, the task is cancelled, or LeaseLost is raised."""
        context, shard = self._context, self._context.shard
        read, many = 0.0, False
        loop = LOOPS.get(f"deliveries.queueing {shard.number}", _STALLED_SECONDS)
        while not context.stopping:
            if many or context.loop.time() - read < _BUSY_SECONDS:
                # A read costs the same for one event as for many. An event that comes alone doesn't wait.
                await asyncio.sleep(_GATHER_MANY_SECONDS if many else _GATHER_SECONDS)
            try:
                answer = await context.redis.xread(
                    {shard.events: self._position, shard.wake: self._pokes}, count=_READ, block=_BLOCK_MS
                )
                loop.worked()
                if not answer:  # once a second, in case a notification was missed
                    await self._subscribers.check()
                    continue
                read = context.loop.time()
                for name, entries in answer:
                    if name.decode() == shard.wake:
                        await self._poked(entries)
                        self._pokes = entries[-1][0].decode()
                    else:
                        self._position, many = await self._queue(entries), len(entries) > _MANY
            except (RedisError, OSError) as error:
                if is_transient(error):
                    loop.waited()
                else:
                    loop.failed(error)
                    with suppress(RedisError, OSError):
                        await self._repair()
                await context.be_patient(error)

    # Other work

    async def _poked(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if any(b"subscription" in fields for _, fields in entries):
            await self._subscribers.reload()
        for name in {fields[b"due"].decode() for _, fields in entries if b"due" in fields}:
            await self._look_again(name)
        for name in {fields[b"forgotten"].decode() for _, fields in entries if b"forgotten" in fields}:
            self._read_again(name)

    def _read_again(self, name: str) -> None:
        """Forget the waiting events that are in memory, because events were erased."""
        target = self._context.targets.get(name)
        if target is not None:
            target.unload()
            target.unload_due()
            self._context.pump(target)

    async def _look_again(self, name: str) -> None:
        target = self._context.targets.get(name)
        if target is None or target.parked:
            return
        target.unload_due()
        try:
            await self._settler.count_retrying(target)
        except RedisError as error:
            if is_transient(error):
                raise
            self._context.park(target, error)
        self._context.pump(target)

    async def check(self) -> None:
        """Find due deliveries whose notification was missed, and parked targets that can be used again."""
        context = self._context
        loop = LOOPS.get(f"deliveries.checking {context.shard.number}", _STALLED_SECONDS)
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                await self._repair()
                await self._check_position()
                await self._parking.look()
                await self._check_due()
                loop.worked()
            except (RedisError, OSError) as error:
                if is_transient(error):
                    loop.waited()
                else:
                    loop.failed(error)

    async def _repair(self) -> None:
        await asyncio.to_thread(repair_shard, self._context.store.connection, self._context.shard)

    async def _check_position(self) -> None:
        """Repair the stored position if it is damaged, because other processes read it, too."""
        context = self._context
        stored = await asyncio.to_thread(stored_position, context.store.connection, context.shard)
        if stored is None:
            await self._run_script(context.version, "", [], [])

    async def _note_repair(self) -> None:
        await asyncio.to_thread(note_repair, self._context.store.connection, self._context.shard.fanout)

    async def _check_due(self) -> None:
        context = self._context
        names = list(context.targets)
        pipeline = context.redis.pipeline(transaction=False)
        for name in names:
            pipeline.zcard(context.shard.subscription(name, "due"))
            pipeline.zcard(context.shard.subscription(name, "retry"))
        counts = await pipeline.execute(raise_on_error=False) if names else []
        for name, due, retrying in zip(names, counts[::2], counts[1::2], strict=True):
            target = context.targets.get(name)
            if target is None:
                continue
            errors = [answer for answer in (due, retrying) if isinstance(answer, Exception)]
            if errors and is_transient(errors[0]):
                raise errors[0]
            if errors:
                context.park(target, errors[0])
            elif target.due_behind:
                continue
            elif due > len(target.due_names) or (not retrying and target.retrying):
                await self._look_again(name)

    # Events

    async def _queue(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> str:
        """Add events to all matching queues, and start attempts. Returns the position after these events."""
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
                continue  # it was just removed
            for one in stored:
                if later(one.entry, self._perhaps_queued):
                    target.offer(one, now)
                else:
                    target.leave_to_store()
            context.pump(target)
        for one, event in events:
            self._live.event(context.shard.number, one.entry, event)
        return last

    def _read(self, entry: str, fields: dict[bytes, bytes]) -> Event | None:
        """Read an event; None if the store is damaged, so that it doesn't hold up later events."""
        event = self._context.read(entry, fields.get(b"b"))
        if event is None:
            return None
        return Stored(entry, fields[b"b"], fields.get(b"r", b""), fields.get(b"x")), event

    def _match(self, events: list[Event]) -> dict[str, list[Stored]]:
        matched: dict[str, list[Stored]] = {}
        shard = str(self._context.shard.number)
        for stored, event in events:
            for subscription in self._subscribers.matcher.find(event):
                if later(stored.entry, subscription.after.get(shard, "0-0")):
                    matched.setdefault(subscription.id, []).append(stored)
        return matched

    async def _queue_matched(self, matched: dict[str, list[Stored]], last: str, version: str) -> bool:
        """Add events to the queues; False if subscriptions have changed meanwhile."""
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
        names = [key.split(":")[2] for key in keys]  # the subscriptions of the queues
        keys = [context.shard.fanout, context.shard.parked, *keys]
        arguments = [position, self._position, *arguments]
        answer = await context.write(context.scripts.fanout, keys, arguments, version)
        if answer and answer[1]:
            await self._note_repair()
        for number, error in answer[0] if answer else ():
            target = context.targets.get(names[number - 1])
            if target is not None:
                context.park(target, ResponseError(error.decode(errors="replace")))
        return answer is not None
