"""The worker's main loop: holds leases of shards, delivers their events, and moves RQ's due jobs into their queue.

RQ's own scheduler keeps a lock for a minute after a kill -9. Here, the dispatcher with shard 0 moves due jobs into
their queue, so that retries are taken over within seconds, like everything else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import resource
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.base.addresses import AddressGuard
from app.base.log import configure
from app.base.loops import LOOPS
from app.base.telemetry import TRACES
from app.settings.table import current
from app.store import Store
from app.store.jobs import enqueue_due
from app.store.server.connection import is_away, make_async_client, note_failure, source
from app.store.server.keys import WORKERS, Shard
from app.store.server.shard_repairs import repair_shard
from workers import metrics_export
from workers.commands.runner import CommandRunner
from workers.delivery.lease_errors import LeaseLost
from workers.delivery.log_lines import Live
from workers.delivery.render import USER_AGENT
from workers.delivery.shard import ShardDispatcher
from workers.delivery.shard_context import Context
from workers.http.client import Client
from workers.rq import jobs

log = logging.getLogger("relay.dispatcher")

LEASE_MS = 4_000
_RENEW_SECONDS = 1.0
_WELL_SECONDS = 10.0  # after this time without an error, deliveries count as healthy again
_TICK_SECONDS = 0.5
_SWEEP_SECONDS = 5.0
_SET_BACK_SECONDS = 2.0
_FINISH_SECONDS = 6.0
_CANCEL_SECONDS = 2.0
_CONNECTIONS = 8_000


class Dispatcher:
    """Delivers the events of all shards whose leases it gets."""

    def __init__(self, store: Store, *, live: bool = False) -> None:
        self._store = store
        self._token = secrets.token_hex(16)
        self._live = Live(live)
        self._stop = asyncio.Event()
        self._redis = make_async_client(
            store.settings,
            socket_timeout=10.0,
            retry=Retry(NoBackoff(), 0),
            # Two per shard always wait for new entries.
            max_connections=max(store.settings.redis_connections, 2 * store.settings.shards + 8),
        )
        self._lease = self._redis.register_script(source("lease"))
        self._workers = self._redis.register_script(source("workers"))
        self._share = len(store.connection.shards)  # our share of the shards
        self._surplus = {shard.number: asyncio.Event() for shard in store.connection.shards}
        self._held: list[Shard] = []
        self._taking = asyncio.Lock()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        _allow_many_sockets()
        guard = AddressGuard(self._store.settings.allow_private_targets)
        http = Client(guard, user_agent=USER_AGENT, max_connections=_CONNECTIONS)
        shards = self._store.connection.shards
        await self._await_admission()
        if len(shards) > 1:
            await self._count_workers()
        keepers = [asyncio.create_task(self._keep(shard, http)) for shard in shards]
        sharing = asyncio.create_task(self._keep_to_share())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        await asyncio.gather(*keepers)
        sharing.cancel()
        with suppress(RedisError, OSError):  # so that the others don't have to wait
            await self._redis.zrem(WORKERS, self._token)
        await http.close()
        await self._redis.aclose()

    async def _await_admission(self) -> None:
        """Return once the store is there and may be used with these settings, or after a signal to stop."""
        while not self._stop.is_set():
            with suppress(RedisError, OSError):
                if await asyncio.to_thread(self._store.admission.look):
                    return
            await self._pause(_RENEW_SECONDS / 2)

    def leads(self) -> bool:
        """Return whether this dispatcher delivers for shard 0, and so has the tasks that only one may have."""
        return any(shard.number == 0 for shard in self._held)

    # Leases

    async def _keep(self, shard: Shard, http: Client) -> None:
        """Deliver a shard's events whenever its lease is available."""
        while not self._stop.is_set():
            async with self._taking:
                until = self._lease_from_now()
                taken = len(self._held) < self._share and await self._take(shard)
                if taken:
                    self._held.append(shard)
            if taken:
                log.info("delivering for shard %d", shard.number)
                await self._dispatch(shard, http, until)
                self._held.remove(shard)
            await self._pause(_RENEW_SECONDS / 2)

    async def _keep_to_share(self) -> None:
        """Release shards when more workers start, so that all have the same number."""
        while len(self._store.connection.shards) > 1:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._count_workers()
            for shard in self._held[self._share :]:
                self._surplus[shard.number].set()

    async def _count_workers(self) -> None:
        """Register this dispatcher, and count all of them."""
        loop = LOOPS.get("leases.sharing")
        try:
            count = int(await self._workers(keys=[WORKERS], args=[self._token, LEASE_MS]))
        except (RedisError, OSError) as error:
            note_failure(loop, error)
            return
        self._share = math.ceil(len(self._store.connection.shards) / max(1, count))
        loop.worked()

    async def _take(self, shard: Shard) -> bool:
        loop = LOOPS.get(f"leases {shard.number}")
        try:
            taken = bool(await self._hold(shard, LEASE_MS))
        except (RedisError, OSError) as error:
            note_failure(loop, error)
            await self._repair(shard, error)
            return False
        loop.worked()
        return taken

    async def _hold(self, shard: Shard, milliseconds: int) -> int:
        """Take or renew a lease; return the number of writes under it, or 0 if another worker has it."""
        return int(await self._lease(keys=[shard.lease, shard.writes], args=[self._token, milliseconds]))

    async def _dispatch(self, shard: Shard, http: Client, until: float) -> None:
        """Deliver as long as the lease is held. It was taken until that loop time."""
        dispatcher = ShardDispatcher(
            self._store, self._redis, http, shard, self._token, self._live, self._schedule_retry
        )
        dispatcher.context.renewed(until)
        commands = CommandRunner(self._store, self._redis, http, shard, self._token, self._schedule_poll)
        work = [
            asyncio.create_task(run)
            for run in (dispatcher.run(), commands.run(), self._renew(shard, dispatcher.context))
        ]
        if shard.number == 0:
            work.append(asyncio.create_task(self._keep_time()))
        surplus = self._surplus[shard.number]
        surplus.clear()
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, surplus)]
        await asyncio.wait([*ends, *work], return_when=asyncio.FIRST_COMPLETED)
        stopped = self._stop.is_set() or surplus.is_set()
        if stopped:
            await asyncio.gather(dispatcher.finish(_FINISH_SECONDS), commands.finish(_FINISH_SECONDS))
        else:
            dispatcher.drop()
            commands.drop()
        for task in (*ends, *work):
            task.cancel()
        ended, _ = await asyncio.wait(work, timeout=_CANCEL_SECONDS)
        for task in ended:
            failure = None if task.cancelled() else _failure(task.exception())
            if failure is not None:
                LOOPS.get(_deliveries_of(shard)).failed(failure)
        if stopped:
            with suppress(RedisError, OSError):  # so that the next worker doesn't have to wait
                await self._hold(shard, 1)

    def _lease_from_now(self) -> float:
        """Return until when a lease that is requested now is ours, by the loop's clock."""
        return asyncio.get_running_loop().time() + LEASE_MS / 1000

    async def _renew(self, shard: Shard, context: Context) -> None:
        """Renew the lease until another worker has it. Raises WritesLost."""
        loop, began = LOOPS.get(f"leases.renewal {shard.number}"), time.monotonic()
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            if time.monotonic() - began > _WELL_SECONDS:
                LOOPS.get(_deliveries_of(shard)).worked()
            try:
                known, until = context.writes, self._lease_from_now()
                writes = await self._hold(shard, LEASE_MS)
                if not writes:
                    log.warning("another worker now delivers for shard %d", shard.number)
                    return
                context.note_writes(writes, known)
                context.renewed(until)
                loop.worked()
            except (RedisError, OSError) as error:
                note_failure(loop, error)  # nobody else can take the lease, either
                await self._repair(shard, error)

    async def _repair(self, shard: Shard, error: Exception) -> None:
        """Repair the shard's keys if they caused this error."""
        if not is_away(error):
            with suppress(RedisError, OSError):
                await asyncio.to_thread(repair_shard, self._store.connection, shard)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    # RQ's clock

    async def _keep_time(self) -> None:
        swept, ahead, set_back = 0.0, _wall_clock_ahead(), False
        while True:
            before, ahead = ahead, _wall_clock_ahead()
            if ahead < before - _SET_BACK_SECONDS:
                log.warning("the clock was set back by %.0f s", before - ahead)
                set_back = True
            if set_back:
                set_back = not await self._quietly("deliveries.clock set back", self._release_all_retries)
            await self._quietly("RQ's clock", self._enqueue_due)
            if time.monotonic() - swept > _SWEEP_SECONDS:
                swept = time.monotonic()
                await self._quietly("deliveries.sweep", self._sweep)
            await asyncio.sleep(_TICK_SECONDS)

    async def _quietly(self, name: str, act: Callable[[], None]) -> bool:
        """Return whether it succeeded. A failure is noted under this name."""
        loop = LOOPS.get(name)
        try:
            await asyncio.to_thread(act)
        except Exception as error:
            note_failure(loop, error)
            return False
        loop.worked()
        return True

    def _enqueue_due(self) -> None:
        enqueue_due(self._store.connection)

    def _sweep(self) -> None:
        jobs.sweep(self._store)

    def _release_all_retries(self) -> None:
        """Release all retries, because their times were set by a clock that was ahead."""
        jobs.release_all(self._store)

    async def _schedule_retry(self, subscription_id: str, shard: int, at_ms: int, before_ms: int) -> None:
        with suppress(RedisError, OSError):  # lost: the sweep finds it
            await asyncio.to_thread(
                jobs.schedule_retry, self._store, subscription_id, shard, at_ms, before_ms
            )

    async def _schedule_poll(self, device_id: str, command_id: str, at: float) -> None:
        with suppress(RedisError, OSError):  # lost: the sweep finds it
            await asyncio.to_thread(
                jobs.schedule_poll, self._store, device_id, command_id, datetime.fromtimestamp(at, UTC)
            )


def _wall_clock_ahead() -> float:
    """Return by how many seconds the wall clock is ahead of the monotonic clock."""
    return time.time() - time.monotonic()


def _deliveries_of(shard: Shard) -> str:
    return f"deliveries {shard.number}"


def _failure(result: object) -> BaseException | None:
    """Return an unexpected error from a task's result; None if there is none."""
    if isinstance(result, BaseExceptionGroup):
        return result.split((LeaseLost, asyncio.CancelledError))[1]
    if isinstance(result, BaseException) and not isinstance(result, LeaseLost | asyncio.CancelledError):
        return result
    return None


def _allow_many_sockets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))


def main() -> None:
    """Run the dispatcher's process."""
    settings = current()
    configure(settings.log_level, settings.log_format)
    store = Store(settings)
    LOOPS.start(store.loop_reports.write)
    loop = asyncio.new_event_loop()
    dispatcher = Dispatcher(store, live=os.environ.get("RELAY_LIVE") == "1")
    TRACES.start("dispatcher", store.vault)
    metrics_export.start(store, dispatcher.leads)
    loop.run_until_complete(dispatcher.run())
    TRACES.stop()
    logging.shutdown()
    # Everything is saved. asyncio.run would wait for tasks that can't be cancelled because of a dead connection.
    os._exit(0)


if __name__ == "__main__":
    main()
