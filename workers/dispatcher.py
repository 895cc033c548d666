"""The worker's main loop: holds the leases of shards, dispatches for them, and keeps RQ's clock.

RQ's own scheduler keeps a lock for a minute after a kill -9; here whoever holds shard 0 moves due jobs into their
queue, so that retries are taken over within seconds like everything else.
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
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from rq.scheduler import RQScheduler

from app.addresses import AddressGuard
from app.log import configure
from app.settings import current
from app.store import Store
from app.store.connection import make_async_client, source
from app.store.jobs import QUEUE, queue
from app.store.keys import WORKERS, Shard
from workers import jobs
from workers.commands import CommandRunner
from workers.context import Context
from workers.http import Client
from workers.lease import LeaseLost
from workers.live import Live
from workers.render import USER_AGENT
from workers.shard import ShardDispatcher

log = logging.getLogger("relay.dispatcher")

LEASE_MS = 4_000
_RENEW_SECONDS = 1.0
_TICK_SECONDS = 0.5
_SWEEP_SECONDS = 5.0
_SET_BACK_SECONDS = 2.0
_FINISH_SECONDS = 6.0
_CANCEL_SECONDS = 2.0
_CONNECTIONS = 8_000


class Dispatcher:
    """Delivers for all shards whose lease it gets."""

    def __init__(self, store: Store, *, live: bool = False) -> None:
        self._store = store
        self._token = secrets.token_hex(16)
        self._live = Live(live)
        self._stop = asyncio.Event()
        self._redis = make_async_client(
            store.settings,
            socket_timeout=10.0,
            retry=Retry(NoBackoff(), 0),
            # Two a shard wait for what comes, all the time.
            max_connections=max(store.settings.redis_connections, 2 * store.settings.shards + 8),
        )
        self._lease = self._redis.register_script(source("lease"))
        self._workers = self._redis.register_script(source("workers"))
        self._share = len(
            store.connection.shards
        )  # how many shards are ours, of those that all workers share
        self._surplus = {shard.number: asyncio.Event() for shard in store.connection.shards}
        self._held: list[Shard] = []
        self._taking = asyncio.Lock()
        self._queue = queue(store.connection.rq)
        # Idle, it is never started: only its way of enqueuing what is due is used.
        self._clock: Any = RQScheduler([QUEUE], connection=store.connection.rq, logging_level="WARNING")

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        _allow_many_sockets()
        guard = AddressGuard(self._store.settings.allow_private_targets)
        http = Client(guard, user_agent=USER_AGENT, max_connections=_CONNECTIONS)
        shards = self._store.connection.shards
        if len(shards) > 1:
            await self._count_workers()
        keepers = [asyncio.create_task(self._keep(shard, http)) for shard in shards]
        sharing = asyncio.create_task(self._keep_to_share())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        await asyncio.gather(*keepers)
        sharing.cancel()
        with suppress(RedisError, OSError):  # so that the others need not wait
            await self._redis.zrem(WORKERS, self._token)
        await http.close()
        await self._redis.aclose()

    # Leases

    async def _keep(self, shard: Shard, http: Client) -> None:
        """Dispatches for a shard whenever its lease can be had."""
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
        """Lets go of shards when more workers come: each has as many as the others."""
        while len(self._store.connection.shards) > 1:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._count_workers()
            for shard in self._held[self._share :]:
                self._surplus[shard.number].set()

    async def _count_workers(self) -> None:
        """Says that we are here, and learns how many are."""
        with suppress(RedisError, OSError):
            count = int(await self._workers(keys=[WORKERS], args=[self._token, LEASE_MS]))
            self._share = math.ceil(len(self._store.connection.shards) / max(1, count))

    async def _take(self, shard: Shard) -> bool:
        with suppress(RedisError, OSError):
            return bool(await self._hold(shard, LEASE_MS))
        return False

    async def _hold(self, shard: Shard, milliseconds: int) -> int:
        """Takes or keeps a lease; how many writes there were under it, or 0 where it is another's."""
        return int(await self._lease(keys=[shard.lease, shard.writes], args=[self._token, milliseconds]))

    async def _dispatch(self, shard: Shard, http: Client, until: float) -> None:
        """For as long as the lease is held, which was taken till that loop time."""
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
                log.error("dispatching for shard %d failed; starting over", shard.number, exc_info=failure)
        if stopped:
            with suppress(RedisError, OSError):  # so that the next worker need not wait
                await self._hold(shard, 1)

    def _lease_from_now(self) -> float:
        """Till when a lease is ours that is asked for now, by the loop's clock."""
        return asyncio.get_running_loop().time() + LEASE_MS / 1000

    async def _renew(self, shard: Shard, context: Context) -> None:
        """Ends when another worker has the lease. Raises WritesLost."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                known, until = context.writes, self._lease_from_now()
                writes = await self._hold(shard, LEASE_MS)
                if not writes:
                    log.warning("another worker delivers for shard %d now", shard.number)
                    return
                context.note_writes(writes, known)
                context.renewed(until)
            except (RedisError, OSError):
                continue  # away: nobody else can take the lease either

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
                set_back = not await self._quietly(self._release_all_retries)
            await self._quietly(self._enqueue_due)
            if time.monotonic() - swept > _SWEEP_SECONDS:
                swept = time.monotonic()
                await self._quietly(self._sweep)
            await asyncio.sleep(_TICK_SECONDS)

    async def _quietly(self, act: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            await asyncio.to_thread(act)
            return True
        except (RedisError, OSError) as error:
            log.debug("RQ's clock waits for the store (%s)", type(error).__name__)
        except Exception:
            log.exception("RQ's clock stumbled")
        return False

    def _enqueue_due(self) -> None:
        self._clock.prepare_registries([QUEUE])
        self._clock.enqueue_scheduled_jobs()

    def _sweep(self) -> None:
        jobs.sweep(self._store)

    def _release_all_retries(self) -> None:
        """Their times were set by a clock that was ahead."""
        jobs.release_all(self._store)

    async def _schedule_retry(self, subscription_id: str, shard: int, at_ms: int, before_ms: int) -> None:
        with suppress(RedisError, OSError):  # lost: the sweep finds it
            await asyncio.to_thread(
                jobs.schedule_retry, self._store, self._queue, subscription_id, shard, at_ms, before_ms
            )

    async def _schedule_poll(self, device_id: str, command_id: str, at: float) -> None:
        with suppress(RedisError, OSError):  # lost: the sweep finds it
            await asyncio.to_thread(
                jobs.schedule_poll, self._queue, device_id, command_id, datetime.fromtimestamp(at, UTC)
            )


def _wall_clock_ahead() -> float:
    """Seconds that it is ahead of the clock that nobody sets."""
    return time.time() - time.monotonic()


def _failure(result: object) -> BaseException | None:
    """What of a task's result is a mistake of ours; None where there is nothing."""
    if isinstance(result, BaseExceptionGroup):
        return result.subgroup(lambda error: not isinstance(error, LeaseLost | asyncio.CancelledError))
    if isinstance(result, BaseException) and not isinstance(result, LeaseLost | asyncio.CancelledError):
        return result
    return None


def _allow_many_sockets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))


def main() -> None:
    """The dispatcher's process."""
    settings = current()
    configure(settings.log_level, settings.log_format)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(Dispatcher(Store(settings), live=os.environ.get("RELAY_LIVE") == "1").run())
    logging.shutdown()
    # All is written down. asyncio.run would wait for tasks that a dead connection keeps from being cancelled.
    os._exit(0)


if __name__ == "__main__":
    main()
