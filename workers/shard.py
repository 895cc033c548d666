"""Delivers for one shard: fan-out of stored events to the subscriptions' queues, and first and later attempts.

Only the worker that holds the shard's lease does so; every script checks it. What is under way is known here only:
an event stays in its queue, or in `due`, until its attempt is settled. So after a kill -9 the next worker begins
with exactly what was not settled, and a success that could not be written down yet is kept until it can.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import orjson
from redis.exceptions import RedisError

from app.store import Store
from app.store.connection import source
from app.store.deliveries import new_suffix, order, public_id
from app.store.keys import SUBSCRIPTIONS, Shard
from app.store.subscriptions import Matcher, Subscription
from workers import render
from workers.http import Client, Request, Response
from workers.live import Live
from workers.pace import Pace, next_attempt
from workers.target import Delivery, Stored, Target

T = TypeVar("T")
log = logging.getLogger("relay.dispatcher")

_READ = 500  # events a fan-out
_PAIRS = 5_000  # (event, subscription) pairs a script call
_SETTLE = 256  # attempts a script call
_DUE = 128  # deliveries loaded at once
_PATIENCE = 0.25  # seconds before the store is asked again after a failure
_BLOCK_MS = 1_000
_HISTORY = 20  # attempts shown of a delivery


class LeaseLost(Exception):
    """Another worker delivers for the shard now."""


class Scripts:
    """The dispatcher's Lua scripts on its asyncio connection."""

    def __init__(self, client: Any) -> None:
        self.fanout = client.register_script(source("fanout"))
        self.load = client.register_script(source("load"))
        self.bodies = client.register_script(source("bodies"))
        self.form = client.register_script(source("form"))
        self.settle = client.register_script(source("settle"))


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
        schedule_retry: Callable[[str, int, float], Awaitable[None]],
    ) -> None:
        """`schedule_retry(subscription, shard, at)` has an RQ job come at that time (s since 1970)."""
        self._store = store
        self._redis = client
        self._http = http
        self._shard = shard
        self._token = token
        self._live = live
        self._schedule_retry = schedule_retry
        self._scripts = Scripts(client)
        self._targets: dict[str, Target] = {}
        self._matcher = Matcher(())
        self._version = ""
        self._pokes = "0-0"  # the newest of the wake stream that was read
        self._dirty: set[Target] = set()  # with outcomes to write down
        self._settle_now = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._schedule = store.settings.retry_schedule
        self._timeout = store.settings.delivery_timeout
        self._stopping = False

    # Running

    async def run(self) -> None:
        """Until cancelled, or until LeaseLost."""
        newest = await self._persist(lambda: self._redis.xrevrange(self._shard.wake, count=1))
        self._pokes = newest[0][0].decode() if newest else "0-0"
        await self._persist(self._reload)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fan_out())
            group.create_task(self._settle_for_ever())

    async def finish(self, seconds: float) -> None:
        """Starts nothing more, waits for what is under way, and writes it down."""
        self._stopping = True
        deadline = self._loop.time() + seconds
        while self._loop.time() < deadline and any(target.under_way for target in self._targets.values()):
            await asyncio.sleep(0.02)
        for target in self._targets.values():
            for handle in target.under_way.values():
                if handle is not None:
                    self._http.cancel(handle)
        try:
            async with asyncio.timeout(1.0):
                await self._settle_all()
        except (TimeoutError, RedisError, OSError, LeaseLost):
            log.warning("the last attempts could not be written down; they will be made again")

    def drop(self) -> None:
        """Forgets everything at once: another worker has taken over."""
        self._stopping = True
        for target in self._targets.values():
            for handle in target.under_way.values():
                if handle is not None:
                    self._http.cancel(handle)
            if target.wake is not None:
                target.wake.cancel()
        for task in self._tasks:
            task.cancel()

    async def _persist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Repeats until the store takes it. What can't be done now must not be lost, so there is no limit."""
        while True:
            try:
                return await act()
            except (RedisError, OSError) as error:
                log.warning("the store is away (%s); asking again", type(error).__name__)
                await asyncio.sleep(_PATIENCE)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except LeaseLost:
                pass  # the lease's keeper ends the run
            except Exception:
                log.exception("a dispatcher task failed")

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Subscriptions

    async def _reload(self) -> None:
        """Reads the subscriptions again, and the state of new targets."""
        version = await self._redis.get(self._shard.subscriptions_version)
        stored = await self._redis.hgetall(SUBSCRIPTIONS)
        subscriptions = self._store.subscriptions
        found: dict[str, Subscription] = {}
        for name, value in stored.items():
            subscription = subscriptions.unpack(name.decode(), value)
            found[subscription.id] = subscription
        for gone in self._targets.keys() - found.keys():
            self._remove(self._targets.pop(gone))
        new = []
        for subscription in found.values():
            target = self._targets.get(subscription.id)
            if target is None:
                target = Target(subscription, self._shard, Pace(subscription.max_in_flight))
                self._targets[subscription.id] = target
                new.append(target)
            else:
                self._change(target, subscription)
        await self._load_health(new)
        self._matcher = Matcher(found.values())
        self._version = (version or b"0").decode()
        for target in self._targets.values():
            self._pump(target)

    def _change(self, target: Target, subscription: Subscription) -> None:
        before, target.subscription = target.subscription, subscription
        if before.max_in_flight != subscription.max_in_flight:
            target.pace.most = subscription.max_in_flight
            target.pace.allowed = float(subscription.max_in_flight)
        if before.status != "active" and subscription.status == "active":
            target.pace = Pace(subscription.max_in_flight)
            self._spawn(self._release_all(target))
        if before.target_url != subscription.target_url:
            target.pace.failures, target.pace.pause_until = 0, 0.0
            self._spawn(self._release_all(target))

    async def _load_health(self, targets: list[Target]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for target in targets:
            pipeline.hmget(target.key("health"), "failures", "failing_since")
            pipeline.zcard(target.key("retry"))
        answers = await pipeline.execute() if targets else []
        for target, (failures, since), retrying in zip(targets, answers[::2], answers[1::2], strict=True):
            target.pace.failures = int(failures or 0)
            target.pace.failing_since = float(since) if since else None
            target.retrying = retrying

    def _remove(self, target: Target) -> None:
        target.removed = True
        for handle in target.under_way.values():
            if handle is not None:
                self._http.cancel(handle)
        self._dirty.discard(target)

    # Fan-out

    async def _fan_out(self) -> None:
        position = await self._persist(lambda: self._redis.get(self._shard.fanout))
        after = (position or b"0-0").decode()
        while not self._stopping:
            try:
                answer = await self._redis.xread(
                    {self._shard.events: after, self._shard.wake: self._pokes}, count=_READ, block=_BLOCK_MS
                )
                if not answer:  # once a second, should a poke have been missed
                    await self._check_version()
                    continue
                for name, entries in answer:
                    if name.decode() == self._shard.wake:
                        self._pokes = entries[-1][0].decode()
                        await self._poked(entries)
                    else:
                        after = await self._queue(entries)
            except (RedisError, OSError) as error:
                log.warning("the store is away (%s); asking again", type(error).__name__)
                await asyncio.sleep(_PATIENCE)

    async def _check_version(self) -> None:
        version = await self._redis.get(self._shard.subscriptions_version)
        if (version or b"0").decode() != self._version:
            await self._reload()

    async def _poked(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if any(b"subscription" in fields for _, fields in entries):
            await self._reload()
        for name in {fields[b"due"].decode() for _, fields in entries if b"due" in fields}:
            target = self._targets.get(name)
            if target is not None:
                target.due_behind = True
                noted = sum(outcome[0] == "retry" for outcome in target.outcomes)
                target.retrying = noted + await self._redis.zcard(target.key("retry"))
                self._pump(target)

    async def _queue(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> str:
        """Queues events at all that take them, and starts what may start; the position after them."""
        events = [
            (Stored(entry.decode(), fields[b"b"], fields[b"r"], fields.get(b"x")), orjson.loads(fields[b"b"]))
            for entry, fields in entries
        ]
        last = events[-1][0].entry
        while True:
            matched = self._match(events)
            if await self._queue_matched(matched, last):
                break
            await self._reload()
        now = self._loop.time()
        for name, stored in matched.items():
            target = self._targets[name]
            for event in stored:
                target.offer(event, now)
            self._pump(target)
        for stored_event, event in events:
            self._live.event(self._shard.number, stored_event.entry, event)
        return last

    def _match(self, events: list[tuple[Stored, dict[str, Any]]]) -> dict[str, list[Stored]]:
        matched: dict[str, list[Stored]] = {}
        shard = str(self._shard.number)
        for stored, event in events:
            for subscription in self._matcher.find(event):
                if _later(stored.entry, subscription.after.get(shard, "0-0")):
                    matched.setdefault(subscription.id, []).append(stored)
        return matched

    async def _queue_matched(self, matched: dict[str, list[Stored]], last: str) -> bool:
        """Whether they are queued; False when subscriptions have changed meanwhile."""
        keys: list[str] = []
        arguments: list[Any] = []
        pairs = 0
        for name, stored in matched.items():
            keys.append(self._shard.subscription(name, "queue"))
            arguments += [len(stored), *(event.entry for event in stored)]
            pairs += len(stored)
            if pairs >= _PAIRS:
                if not await self._run_fanout(keys, arguments, ""):
                    return False
                keys, arguments, pairs = [], [], 0
        return await self._run_fanout(keys, arguments, last)

    async def _run_fanout(self, keys: list[str], arguments: list[Any], position: str) -> bool:
        fixed = [self._shard.lease, self._shard.fanout, self._shard.subscriptions_version]
        answer = await self._scripts.fanout(
            keys=fixed + keys, args=[self._token, self._version, position, *arguments]
        )
        if answer == b"lease":
            raise LeaseLost
        return bool(answer == b"ok")

    # Starting attempts

    def _pump(self, target: Target) -> None:
        """Starts what may start, and has more loaded where that would help."""
        now = self._loop.time()
        while not self._stopping and target.may_start(now):
            if target.due:
                delivery = target.due.popleft()
                if self._wants_batch(target) and _is_plain(delivery):
                    self._form(target, self._plain_due(target, delivery))
                else:
                    self._start(target, delivery)
            elif target.may_start_fresh() and target.fresh:
                if not self._start_fresh(target, now):
                    break
            else:
                break
        if now < target.pace.pause_until:
            self._pump_at(target, target.pace.pause_until)
        if not self._stopping and not target.removed and not target.loading and self._should_load(target):
            target.loading = True
            self._spawn(self._load(target))

    def _start_fresh(self, target: Target, now: float) -> bool:
        """Starts the oldest of the queue, alone or in a batch; False while a batch is waited for."""
        subscription = target.subscription
        if not self._wants_batch(target):
            event = target.fresh.popleft()
            self._start(target, Delivery(event.entry, [event], queued=True))
            return True
        full = len(target.fresh) >= subscription.batch_max
        ready_at = target.fresh_since + subscription.batch_wait_ms / 1000
        if not full and not target.behind and now < ready_at:
            self._pump_at(target, ready_at)
            return False
        if not full and target.behind:
            return False  # more is being loaded
        events = [target.fresh.popleft() for _ in range(min(subscription.batch_max, len(target.fresh)))]
        target.fresh_since = now
        self._form(target, events)
        return True

    def _wants_batch(self, target: Target) -> bool:
        return target.subscription.batch_max > 1

    def _plain_due(self, target: Target, first: Delivery) -> list[Stored]:
        """Events to be delivered again that may form a batch."""
        events = list(first.events)
        while target.due and len(events) < target.subscription.batch_max and _is_plain(target.due[0]):
            events += target.due.popleft().events
        return events

    def _form(self, target: Target, events: list[Stored]) -> None:
        name = events[0].entry + new_suffix("b")
        target.under_way[name] = None
        target.due_names.add(name)

        async def form() -> None:
            answer = await self._persist(
                lambda: self._scripts.form(
                    keys=[self._shard.lease, target.key("queue"), target.key("due"), target.key("batches")],
                    args=[self._token, name, order(name), *(event.entry for event in events)],
                )
            )
            if answer == b"lease":
                raise LeaseLost
            for event in events:
                target.due_names.discard(event.entry)
            if not target.removed and not self._stopping:
                self._start(target, Delivery(name, events, batch=True))

        self._spawn(form())

    def _pump_at(self, target: Target, when: float) -> None:
        if target.wake is not None:
            if (
                target.wake.when() <= when
                and not target.wake.cancelled()
                and target.wake.when() > self._loop.time()
            ):
                return
            target.wake.cancel()
        target.wake = self._loop.call_at(when, self._pump, target)

    def _start(self, target: Target, delivery: Delivery) -> None:
        """One attempt."""
        subscription = target.subscription
        message_id = public_id(self._shard.number, delivery.name)
        now = time.time()
        delivery.first_at = delivery.first_at or now
        content = render.body(subscription, self._shard.number, delivery, self._store.codec)
        headers = render.headers(subscription, message_id, int(now), content, delivery.batch)
        target.under_way[delivery.name] = self._http.send(
            Request(subscription.target_url, content, headers, self._timeout),
            partial(self._done, target, delivery),
        )

    # Settling

    def _done(self, target: Target, delivery: Delivery, response: Response) -> None:
        """The attempt ended: what it means, and what comes next."""
        target.under_way.pop(delivery.name, None)
        if response.error == "closed" or target.removed:
            return
        delivery.attempts += 1
        duration = round(response.duration * 1000)
        error = None if response.ok else response.error or f"http_{response.status}"
        if response.ok:
            what, next_ms = "delivered", 0
            came_back = target.pace.success()
            if came_back and target.retrying:
                self._spawn(self._release_all(target))
        else:
            what, next_ms = self._failed(target, delivery, response)
        at = _iso_now()
        attempts = ""
        if delivery.history or not response.ok:
            delivery.history.append([at, response.status, duration, error])
            attempts = orjson.dumps(
                {
                    "n": delivery.attempts,
                    "step": delivery.step,
                    "first_at": delivery.first_at,
                    "log": delivery.history[-_HISTORY:],
                }
            ).decode()
        self._note(target, delivery, what, response.status, duration, error or "", next_ms, attempts)
        self._live.attempt(target.subscription, delivery, what, response)
        if response.status == 410:
            self._spawn(self._end(target, gone=True))
        elif not response.ok and target.pace.given_up(time.time()):
            self._spawn(self._end(target, gone=False))
        self._pump(target)

    def _failed(self, target: Target, delivery: Delivery, response: Response) -> tuple[str, int]:
        target.pace.failure(response, time.time(), self._loop.time())
        if target.pace.down:
            target.unload()
        following = next_attempt(self._schedule, delivery.step, response)
        too_old = time.time() - delivery.first_at > sum(self._schedule) * 1.2 + 60
        if following is None or too_old:
            return "dead", 0
        delay, delivery.step = following
        target.retrying += 1
        return "retry", int((time.time() + delay) * 1000)

    def _note(
        self,
        target: Target,
        delivery: Delivery,
        what: str,
        status: int,
        duration: int,
        error: str,
        next_ms: int,
        attempts: str,
    ) -> None:
        target.outcomes.append(
            (
                what,
                delivery.name,
                int(delivery.queued),
                delivery.attempts,
                status,
                duration,
                error,
                max(1, len(delivery.events)),
                next_ms,
                attempts,
            )
        )
        self._dirty.add(target)
        self._settle_now.set()

    async def _settle_for_ever(self) -> None:
        while True:
            await self._settle_now.wait()
            self._settle_now.clear()
            await self._persist(self._settle_all)

    async def _settle_all(self) -> None:
        """Writes all outcomes down; what fails stays to be written again, which does no harm."""
        while self._dirty:
            targets = [target for target in self._dirty if not target.removed]
            self._dirty.clear()
            try:
                for start in range(0, len(targets), 64):
                    await asyncio.gather(*(self._settle(target) for target in targets[start : start + 64]))
            finally:
                self._dirty.update(target for target in targets if target.outcomes and not target.removed)

    async def _settle(self, target: Target) -> None:
        outcomes = target.outcomes[:_SETTLE]
        keys = [self._shard.lease]
        keys += [
            target.key(part)
            for part in ("queue", "due", "retry", "dead", "state", "batches", "tests", "health", "log")
        ]
        pace = target.pace
        since = "" if pace.failing_since is None else repr(pace.failing_since)
        answer = await self._scripts.settle(
            keys=keys,
            args=[
                self._token,
                time.time_ns() // 1_000_000,
                pace.failures,
                since,
                *(part for outcome in outcomes for part in outcome),
            ],
        )
        if answer == b"lease":
            raise LeaseLost
        del target.outcomes[: len(outcomes)]
        for outcome in outcomes:
            if not outcome[2]:
                target.due_names.discard(outcome[1])
        if answer:
            self._spawn(self._schedule_retry(target.id, self._shard.number, answer / 1000))
        self._pump(target)

    async def _release_all(self, target: Target) -> None:
        """The target is back: what waits for a retry goes first."""
        await self._persist(self._settle_all)
        await asyncio.to_thread(self._store.deliveries.release, target.id, self._shard, float("inf"))

    async def _end(self, target: Target, *, gone: bool) -> None:
        """Removes a subscription whose target is gone (410), or disables one that failed for too long."""
        await self._persist(self._settle_all)
        await asyncio.to_thread(_end_subscription, self._store, target.id, gone)

    # Loading from the store

    def _should_load(self, target: Target) -> bool:
        if target.due_behind and not target.due:
            return True
        if not target.behind or target.subscription.status != "active":
            return False
        if target.pace.down:  # only what is to tell whether it is back
            return target.may_start_fresh() and not target.fresh and not target.under_way
        return len(target.fresh) < max(target.window // 4, target.subscription.batch_max)

    async def _load(self, target: Target) -> None:
        try:
            if target.due_behind and not target.due:
                await self._persist(lambda: self._load_due(target))
            if target.behind and self._should_load(target):
                await self._persist(lambda: self._load_fresh(target))
        finally:
            target.loading = False
        self._pump(target)

    async def _load_fresh(self, target: Target) -> None:
        passed_by = target.passed_by
        limit = 1 if target.pace.down else target.window
        found = await self._scripts.load(
            keys=[target.key("queue"), self._shard.events], args=[target.read_to, limit]
        )
        if not target.fresh:
            target.fresh_since = 0.0  # they have waited already
        for row in found:
            entry = row[0].decode()
            target.read_to = entry
            if len(row) == 1:
                self._drop(target, Delivery(entry, [], queued=True))
            else:
                target.fresh.append(Stored(entry, row[1], row[2], row[3]))
        # What was queued while we asked may be missing from the answer.
        target.behind = len(found) == limit or target.passed_by != passed_by

    async def _load_due(self, target: Target) -> None:
        target.due_behind = False
        names = await self._redis.zrange(target.key("due"), 0, _DUE + len(target.due_names) - 1)
        fresh_names = [name.decode() for name in names if name.decode() not in target.due_names][:_DUE]
        target.due_behind |= len(names) == _DUE + len(target.due_names) and bool(fresh_names)
        if not fresh_names:
            return
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hmget(target.key("state"), fresh_names)
        pipeline.hmget(target.key("batches"), fresh_names)
        pipeline.hmget(target.key("tests"), fresh_names)
        states, batches, tests = await pipeline.execute()
        for name, state, batch, test in zip(fresh_names, states, batches, tests, strict=True):
            delivery = Delivery(name, [], test=test, batch=":b" in name)
            if state:
                known = orjson.loads(state)
                delivery.attempts, delivery.step = known["n"], known["step"]
                delivery.first_at, delivery.history = known["first_at"], known["log"]
            if test is None:
                entries = batch.split() if batch else [name.encode()]
                delivery.events = await self._stored(entries)
            target.due_names.add(name)
            if delivery.events or test is not None:
                target.due.append(delivery)
            else:
                self._drop(target, delivery)

    async def _stored(self, entries: list[bytes]) -> list[Stored]:
        bodies = await self._scripts.bodies(keys=[self._shard.events], args=entries)
        return [
            Stored(entry.decode(), *stored) for entry, stored in zip(entries, bodies, strict=True) if stored
        ]

    def _drop(self, target: Target, delivery: Delivery) -> None:
        """Its event is older than the retention and gone."""
        self._note(target, delivery, "dropped", 0, 0, "event_expired", 0, "")


def _is_plain(delivery: Delivery) -> bool:
    """An event that is to be delivered anew, and not a batch, a test or a retry."""
    return not delivery.batch and delivery.test is None and not delivery.attempts


def _later(entry: str, than: str) -> bool:
    ms, _, sequence = entry.partition("-")
    than_ms, _, than_sequence = than.partition("-")
    return (int(ms), int(sequence)) > (int(than_ms), int(than_sequence))


def _iso_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"


def _end_subscription(store: Store, subscription_id: str, gone: bool) -> None:
    subscription = store.subscriptions.get(subscription_id)
    if subscription is None or subscription.status != "active":
        return
    if gone:
        store.subscriptions.delete(subscription_id)
        store.relay_events.subscription_disabled(subscription, "The target answered 410 Gone: removed.")
        return
    subscription.status = "disabled"
    subscription.disabled_reason = "The target failed for 5 days running."
    store.subscriptions.save(subscription)
    store.relay_events.subscription_disabled(subscription, subscription.disabled_reason)
