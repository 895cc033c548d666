"""What the parts of a shard's dispatcher share: the store, the lease, the targets, and how to go on when the store is
away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from app.store import Store
from app.store.connection import source
from app.store.keys import Shard
from workers.lease import LeaseLost, WritesLost
from workers.target import Target

T = TypeVar("T")
log = logging.getLogger("relay.dispatcher")

_PATIENCE = 0.25  # seconds before the store is asked again after a failure
_CONFIRM_MS = 500  # longer than a healthy replica takes; without one nothing is held up for longer
_AT_ONCE = 128  # calls of the store that may be under way for single targets


async def await_replica(store: Store, shard: Shard) -> int:
    """Returns once a replica has what was stored so far, or in vain after a moment; how many writes there were.

    What is sent before that could be stored anew under another id after a failover, or be sent twice.
    """

    def write_and_wait() -> int:
        pipeline = store.connection.at(shard.writes).pipeline(transaction=False)
        pipeline.incr(shard.writes)  # WAIT is about what its own connection wrote
        pipeline.execute_command("WAIT", 1, _CONFIRM_MS)
        return int(pipeline.execute()[0])

    return await asyncio.to_thread(write_and_wait)


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
        self.writes = 0  # as many as the store has told us of
        self._writes_lost = False
        self.lease_until = 0.0  # loop time; later nothing is begun, for another worker may have begun it
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

    @property
    def holds_lease(self) -> bool:
        """Whether the lease is still ours, so that attempts may be begun."""
        return self.loop.time() < self.lease_until

    def renewed(self, until: float) -> None:
        """The lease was taken or renewed, till that loop time; what was held up meanwhile begins."""
        lapsed = not self.holds_lease
        self.lease_until = until
        if lapsed:
            for target in list(self.targets.values()):
                self.pump(target)

    async def confirm(self) -> None:
        """With RELAY_DURABILITY=replica, what was written so far outlives a failover. Raises WritesLost."""
        if self.store.settings.durability == "replica":
            known = self.writes
            self.note_writes(await await_replica(self.store, self.shard), known)

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

    async def write(
        self, script: Any, keys: Sequence[str], arguments: Sequence[Any], version: str | None = None
    ) -> list[Any] | None:
        """Runs a script of the lease's holder; its answer, or None where subscriptions have changed meanwhile: then
        they have been read again. Raises LeaseLost, and WritesLost.
        """
        known, shard = self.writes, self.shard
        answer = await script(
            keys=[shard.lease, shard.writes, shard.subscriptions_version, *keys],
            args=[self.token, self.version if version is None else version, *arguments],
        )
        if answer == b"lease":
            raise LeaseLost
        if answer == b"version":
            await self.reload()
            return None
        self.note_writes(answer[0], known)
        rest: list[Any] = answer[1:]
        return rest

    def note_writes(self, writes: int, known: int) -> None:
        """Notes how many writes there were after one of ours, before which so many were known. Raises WritesLost.

        What is known here of each delivery is wrong once the store has lost some: a retry that was written down, say.
        """
        if writes <= known or self._writes_lost:
            if not self._writes_lost:
                log.warning("the store has lost what was written last; going on with what is there")
            self._writes_lost = True  # from now on: others may have made up the difference
            raise WritesLost
        self.writes = max(self.writes, writes)
