"""Delivers one shard's events: the fan-out to the subscriptions' queues, and all attempts.

Only the worker that holds the shard's lease does this. `fanout`, `form`, `settle` and `take_over` check the lease.
Attempts under way are only known here: an event stays in its queue, or in `due`, until its attempt is settled. So
after a kill -9, the next worker begins with exactly the deliveries that weren't settled. A result that can't be saved
yet is kept until it can be.

The parts: `fanout` queues events, `loading` loads them, `attempts` sends them, `results` saves the results, and
`subscribers` follows the subscriptions. They share `shard_context`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from redis.exceptions import RedisError

from app.store import Store
from app.store.server.keys import Shard
from workers.delivery.attempts import Attempts
from workers.delivery.fanout import FanOut
from workers.delivery.lease_errors import LeaseLost
from workers.delivery.loading import Loader
from workers.delivery.log_lines import Live
from workers.delivery.parking import Parking
from workers.delivery.results import Schedule, Settler
from workers.delivery.shard_context import Context
from workers.delivery.subscribers import Subscribers
from workers.http.client import Client

log = logging.getLogger("relay.dispatcher")

_LAST_WRITE_SECONDS = 1.0


class ShardDispatcher:
    """The deliveries of one shard, as long as its lease is held."""

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
        """`schedule` schedules an RQ job for a subscription's retries."""
        self._http = http
        self._context = context = Context(store, client, shard, token)
        self._settler = Settler(context, schedule)
        self._subscribers = Subscribers(context, http, self._settler)
        self._fan_out = FanOut(
            context, live, self._settler, self._subscribers, Parking(context, self._settler)
        )
        Attempts(context, http, live, self._settler, Loader(context, self._settler), self._subscribers)

    @property
    def context(self) -> Context:
        """The context that the parts share."""
        return self._context

    async def run(self) -> None:
        """Run until cancelled, or until LeaseLost is raised."""
        await self._context.persist(self._fan_out.begin)
        await self._context.persist(self._subscribers.reload)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fan_out.run())
            group.create_task(self._fan_out.check())
            group.create_task(self._settler.run())

    async def finish(self, seconds: float) -> None:
        """Start no more attempts, wait for those under way, and save their results."""
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
            log.warning(
                "the results of the last attempts could not be recorded; these attempts will be made again"
            )
        context.cancel_tasks()

    def drop(self) -> None:
        """Forget everything at once, because another worker has taken over."""
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
