"""The context that the parts of a shard's dispatcher share: the store, the lease, the targets and the tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.base.loops import LOOPS
from app.base.outage_log import Absence
from app.store import Store
from app.store.server.connection import is_away, source
from app.store.server.keys import Shard
from app.store.server.shard_repairs import repair_shard
from app.store.subscriptions.signing_keys import SigningKey
from workers.delivery.lease_errors import LeaseLost, WritesLost
from workers.delivery.target import Target

T = TypeVar("T")
log = logging.getLogger("relay.dispatcher")

_PATIENCE = 0.25  # seconds until the next try after a failure of the store
_CONFIRM_MS = 500  # longer than a healthy replica takes; the longest delay without one
_AT_ONCE = 128  # simultaneous calls of the store for single targets


async def await_replica(store: Store, shard: Shard) -> int:
    """Wait a moment until a replica has everything stored so far, or in vain. Returns the number of writes.

    Otherwise, after a failover, an event that was sent could be stored again under another ID, or be sent twice.
    """

    def write_and_wait() -> int:
        pipeline = store.connection.at(shard.writes).pipeline(transaction=False)
        pipeline.incr(shard.writes)  # WAIT is about the writes of its own connection
        pipeline.execute_command("WAIT", 1, _CONFIRM_MS)
        return int(pipeline.execute()[0])

    return await asyncio.to_thread(write_and_wait)


class Parked(Exception):
    """A target's stored data can't be used. Its deliveries wait, and those of others continue."""


def is_transient(error: Exception) -> bool:
    """Return whether an error of the store goes away by itself, so that a repetition helps."""
    return is_away(error) or isinstance(error, NoScriptError)


class Scripts:
    """The dispatcher's Lua scripts on its asyncio connection."""

    def __init__(self, client: Any) -> None:
        self.fanout = client.register_script(source("fanout"))
        self.load = client.register_script(source("load"))
        self.bodies = client.register_script(source("bodies"))
        self.form = client.register_script(source("form"))
        self.settle = client.register_script(source("settle"))
        self.release = client.register_script(source("release"))
        self.take_over = client.register_script(source("take_over"))


class Context:
    """The state of one shard, as long as its lease is held."""

    # Functions by which the parts call each other, set by the parts themselves.
    pump: Callable[[Target], None]
    reload: Callable[[], Awaitable[None]]
    park: Callable[[Target, Exception], None]

    def __init__(self, store: Store, client: Any, shard: Shard, token: str) -> None:
        self.store = store
        self.redis = client
        self.shard = shard
        self.token = token
        self.scripts = Scripts(client)
        self.loop = asyncio.get_running_loop()
        self.targets: dict[str, Target] = {}
        self.signing_keys: Sequence[SigningKey] = ()  # read if a subscription needs them
        self.noted: set[str] = set()  # subscriptions that are noted as parked in the store
        self.version = ""  # of the subscriptions in `targets`
        self.writes = 0  # the number last reported by the store
        self._writes_lost = False
        self.lease_until = 0.0  # loop time; later, another worker may hold the lease
        self.stopping = False
        self.room = asyncio.Semaphore(_AT_ONCE)
        self._absence = Absence(log)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def persist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Repeat an action while the store is away. There is no limit, because the action must not be lost.

        Raises errors of the store that a repetition doesn't solve.
        """
        while True:
            try:
                found = await act()
            except (RedisError, OSError) as error:
                if not is_transient(error):
                    raise
                await self.be_patient(error)
            else:
                self._absence.end()
                return found

    async def persist_for(self, target: Target, act: Callable[[], Awaitable[T]]) -> T:
        """Do the same for a single target. Raises Parked if its stored state is damaged."""
        try:
            return await self.persist(act)
        except RedisError as error:
            self.park(target, error)
            raise Parked from error

    @property
    def holds_lease(self) -> bool:
        """Return whether the lease is still ours, so that attempts may begin."""
        return self.loop.time() < self.lease_until

    def renewed(self, until: float) -> None:
        """Note that the lease is ours until that loop time, and start what had to wait meanwhile."""
        lapsed = not self.holds_lease
        self.lease_until = until
        if lapsed:
            for target in list(self.targets.values()):
                self.pump(target)

    async def confirm(self) -> None:
        """With RELAY_DURABILITY=replica, wait until all writes so far survive a failover. Raises WritesLost."""
        if self.store.settings.durability == "replica":
            known = self.writes
            self.note_writes(await await_replica(self.store, self.shard), known)

    async def be_patient(self, error: Exception) -> None:
        """Wait a moment, because the store is away."""
        self._absence.note(error)
        await asyncio.sleep(_PATIENCE)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work in the background until it ends, or until `cancel_tasks`."""

        async def guarded() -> None:
            try:
                await work
            except (LeaseLost, Parked):
                pass  # the task that keeps the lease ends the run; a parked target is resumed
            except Exception as error:
                LOOPS.get("deliveries.tasks").failed(error)

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step never awaits `work`, and Python would warn about that.
        task.add_done_callback(lambda _: work.close())

    def read(self, entry: str, body: bytes | None) -> dict[str, Any] | None:
        """Read a stored event. Returns None if it can't be read, which is noted in the background."""
        event = self.store.event_reader.decoded(body)
        if event is None:
            self.note_unreadable(entry)
        return event

    def note_unreadable(self, entry: str) -> None:
        """Note in the background that an event can't be read. If the store is away, the next reader does this."""

        async def noted() -> None:
            try:
                await asyncio.to_thread(self.store.event_reader.note, self.shard, entry)
            except (RedisError, OSError) as error:
                if not is_away(error):
                    raise

        self.spawn(noted())

    def cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def write(
        self,
        script: Any,
        keys: Sequence[str],
        arguments: Sequence[Any],
        version: str | None = None,
        *,
        target: Target | None = None,
        reload: bool = True,
    ) -> list[Any] | None:
        """Run a script of the lease's holder, with the keys of one target if `target` names it.

        Returns its answer, or None if subscriptions have changed meanwhile. They have then been read again, unless
        `reload` is false. Nothing is written for a target that was removed, because its keys are gone and would be
        created again under the present version. Raises LeaseLost, and WritesLost.
        """
        if target is not None and target.removed:
            return None
        known, shard = self.writes, self.shard
        keys = [shard.lease, shard.writes, shard.subscriptions_version, *keys]
        arguments = [self.token, self.version if version is None else version, *arguments]
        try:
            answer = await script(keys=keys, args=arguments)
        except ResponseError as error:
            # Perhaps it isn't the target's data that is damaged, so that it must not be parked.
            if is_transient(error) or not await asyncio.to_thread(repair_shard, self.store.connection, shard):
                raise
            answer = await script(keys=keys, args=arguments)
        if answer == b"lease":
            raise LeaseLost
        if answer == b"version":
            if reload:
                await self._reload()
            return None
        self.note_writes(answer[0], known)
        rest: list[Any] = answer[1:]
        return rest

    async def _reload(self) -> None:
        """Reload the subscriptions. Errors here aren't caused by the target whose write noticed the change."""
        loop = LOOPS.get("deliveries.subscriptions")
        try:
            await self.reload()
            loop.worked()
        except RedisError as error:
            if is_transient(error):
                raise
            loop.failed(error)
            await asyncio.sleep(_PATIENCE)

    def note_writes(self, writes: int, known: int) -> None:
        """Note the number of writes after one of ours; `known` was the number before it. Raises WritesLost.

        If the store has lost writes, the state of deliveries in memory is wrong, for example a retry that was saved.
        """
        if writes <= known or self._writes_lost:
            if not self._writes_lost:
                log.warning("the store has lost its latest writes; deliveries continue with its current data")
            self._writes_lost = True  # from now on, because other writes may hide the loss
            raise WritesLost
        self.writes = max(self.writes, writes)
