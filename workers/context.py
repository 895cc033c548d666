"""What the parts of a shard's dispatcher share: the store, the lease, the targets, and how to go on when the store is
away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.exceptions import RedisError

from app.store import Store
from app.store.connection import source
from app.store.keys import Shard
from workers.lease import LeaseLost
from workers.target import Target

T = TypeVar("T")
log = logging.getLogger("relay.dispatcher")

_PATIENCE = 0.25  # seconds before the store is asked again after a failure
_AT_ONCE = 128  # calls of the store that may be under way for single targets


class Scripts:
    """The dispatcher's Lua scripts on its asyncio connection."""

    def __init__(self, client: Any) -> None:
        self.fanout = client.register_script(source("fanout"))
        self.load = client.register_script(source("load"))
        self.bodies = client.register_script(source("bodies"))
        self.form = client.register_script(source("form"))
        self.settle = client.register_script(source("settle"))
        self.release = client.register_script(source("release"))


class Context:
    """One shard, for as long as its lease is held."""

    # How the parts call each other; set by the parts themselves.
    pump: Callable[[Target], None]
    reload: Callable[[], Awaitable[None]]

    def __init__(self, store: Store, client: Any, shard: Shard, token: str) -> None:
        self.store = store
        self.redis = client
        self.shard = shard
        self.token = token
        self.scripts = Scripts(client)
        self.loop = asyncio.get_running_loop()
        self.targets: dict[str, Target] = {}
        self.version = ""  # of the subscriptions that `targets` follows
        self.stopping = False
        self.room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def persist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Repeats until the store takes it. What can't be done now must not be lost, so there is no limit."""
        while True:
            try:
                return await act()
            except (RedisError, OSError) as error:
                await self.be_patient(error)

    async def be_patient(self, error: Exception) -> None:
        """The store is away: waits a moment."""
        log.warning("the store is away (%s); asking again", type(error).__name__)
        await asyncio.sleep(_PATIENCE)

    def spawn(self, work: Awaitable[None]) -> None:
        """Runs beside everything else; ended by `cancel_tasks`."""

        async def guarded() -> None:
            try:
                await work
            except LeaseLost:
                pass  # the lease's keeper ends the run
            except Exception:
                log.exception("a dispatcher task failed")

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def is_current(self, answer: Any) -> bool:
        """Whether a script was carried out; where subscriptions have changed meanwhile they are read again.

        Raises LeaseLost.
        """
        if answer == b"lease":
            raise LeaseLost
        if answer == b"version":
            await self.reload()
            return False
        return True
