"""Delivers for one shard: fan-out of stored events to the subscriptions' queues, and first and later attempts.

Only the worker that holds the shard's lease does so; every script checks it. What is under way is known here only:
an event stays in its queue, or in `due`, until its attempt is settled. So after a kill -9 the next worker begins
with exactly what was not settled, and a success that could not be written down yet is kept until it can.

The parts: `fanout` queues events, `loading` fetches them, `attempts` sends them, `settling` writes down what came of
it, `subscribers` follows what is subscribed to; `context` is what they share.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.exceptions import RedisError

from app.store import Store
from app.store.keys import Shard
from workers.attempts import Attempts
from workers.context import Context
from workers.fanout import FanOut
from workers.http import Client
from workers.lease import LeaseLost
from workers.live import Live
from workers.loading import Loader
from workers.settling import Schedule, Settler
from workers.subscribers import Subscribers

log = logging.getLogger("relay.dispatcher")

_LAST_WRITE_SECONDS = 1.0


class ShardDispatcher:
    """The deliveries of one shard, for as long as the lease is held."""

    def __init__(
        self,
        store: Store,
        client: Any,
        http: Client,
        shard: Shard,
        token: str,
        live: Live,
        schedule: Schedule,
    ) -> None:
        """`schedule` has an RQ job come for a subscription's retries."""
        self._http = http
        self._context = context = Context(store, client, shard, token)
        self._settler = Settler(context, schedule)
        self._subscribers = Subscribers(context, http, self._settler)
        self._fan_out = FanOut(context, live, self._settler, self._subscribers)
        Attempts(context, http, live, self._settler, Loader(context, self._settler), self._subscribers)

    @property
    def context(self) -> Context:
        """What its parts share."""
        return self._context

    async def run(self) -> None:
        """Until cancelled, or until LeaseLost."""
        await self._context.persist(self._fan_out.begin)
        await self._context.persist(self._subscribers.reload)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fan_out.run())
            group.create_task(self._fan_out.check())
            group.create_task(self._settler.run())

    async def finish(self, seconds: float) -> None:
        """Starts nothing more, waits for what is under way, and writes it down."""
        context = self._context
        context.stopping = True
        deadline = context.loop.time() + seconds
        while context.loop.time() < deadline and any(target.under_way for target in context.targets.values()):
            await asyncio.sleep(0.02)
        self._cancel_attempts()
        try:
            async with asyncio.timeout(_LAST_WRITE_SECONDS):
                await self._settler.settle()
        except (TimeoutError, RedisError, OSError, LeaseLost):
            log.warning("the last attempts could not be written down; they will be made again")
        context.cancel_tasks()

    def drop(self) -> None:
        """Forgets everything at once: another worker has taken over."""
        self._context.stopping = True
        self._cancel_attempts()
        self._context.cancel_tasks()

    def _cancel_attempts(self) -> None:
        for target in self._context.targets.values():
            for handle in target.under_way.values():
                if handle is not None:
                    self._http.cancel(handle)
            if target.wake is not None:
                target.wake.cancel()
