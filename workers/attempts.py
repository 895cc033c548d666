"""Starts attempts, in the order of receipt and at the target's pace, and says what their answers mean."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import orjson

from app.store.deliveries import new_suffix, order, public_id
from app.store.subscriptions import Subscription
from workers import render
from workers.calls import Request, Response
from workers.context import Context
from workers.http import Client
from workers.live import Live
from workers.loading import Loader
from workers.pace import next_attempt
from workers.settling import Outcome, Settler
from workers.subscribers import Subscribers
from workers.target import Delivery, Stored, Target

log = logging.getLogger("relay.dispatcher")

_HISTORY = 20  # attempts shown of a delivery


class Attempts:
    """The attempts of one shard's deliveries."""

    def __init__(
        self,
        context: Context,
        http: Client,
        live: Live,
        settler: Settler,
        loader: Loader,
        subscribers: Subscribers,
    ) -> None:
        self._context = context
        self._http = http
        self._live = live
        self._settler = settler
        self._loader = loader
        self._subscribers = subscribers
        self._schedule: Sequence[float] = context.store.settings.retry_schedule
        self._timeout = context.store.settings.delivery_timeout
        context.pump = self.pump

    # Starting

    def pump(self, target: Target) -> None:
        """Starts what may start, and has more loaded where that would help."""
        now = self._context.loop.time()
        context = self._context
        while not context.stopping and context.holds_lease and target.may_start(now):
            delivery = target.next_due()
            if delivery is not None:
                if target.subscription.batch_max > 1 and _is_plain(delivery):
                    self._form(target, _plain_due(target, delivery))
                else:
                    self._start(target, delivery)
            elif not (target.may_start_fresh() and target.fresh and self._start_fresh(target, now)):
                break
        if now < target.pace.pause_until:
            self._pump_at(target, target.pace.pause_until)
        self._loader.load_if_needed(target)

    def _start_fresh(self, target: Target, now: float) -> bool:
        """Starts the oldest of the queue, alone or in a batch; False while a batch is waited for."""
        most = target.subscription.batch_max
        if most == 1:
            event = target.fresh.popleft()
            self._start(target, Delivery(event.entry, [event], queued=True))
            return True
        if len(target.fresh) < most and not target.pace.down:
            if target.behind:
                return False  # more is being loaded
            ready_at = target.fresh_since + target.subscription.batch_wait_ms / 1000
            if now < ready_at:
                self._pump_at(target, ready_at)
                return False
        events = [target.fresh.popleft() for _ in range(min(most, len(target.fresh)))]
        target.fresh_since = now
        self._form(target, events)
        return True

    def _form(self, target: Target, events: list[Stored]) -> None:
        """Makes a batch, and starts it once it is written down."""
        name = events[0].entry + new_suffix("b")
        target.under_way[name] = None
        target.due_names.add(name)
        self._context.spawn(self._formed(target, name, events))

    async def _formed(self, target: Target, name: str, events: list[Stored]) -> None:
        context, entries = self._context, [event.entry for event in events]
        keys = [target.key(part) for part in ("queue", "due", "batches")]

        async def write() -> bool:
            return await context.write(context.scripts.form, keys, [name, order(name), *entries]) is not None

        async with context.room:
            while not target.removed and not await context.persist(write):
                pass
        target.due_names.difference_update(entries)
        if target.removed or context.stopping:
            target.under_way.pop(name, None)  # the next worker finds it among what is due
        else:
            self._start(target, Delivery(name, events, batch=True))

    def _pump_at(self, target: Target, when: float) -> None:
        if target.wake is not None:
            set_for = target.wake.when()
            if self._context.loop.time() < set_for <= when and not target.wake.cancelled():
                return
            target.wake.cancel()
        target.wake = self._context.loop.call_at(when, self.pump, target)

    def _start(self, target: Target, delivery: Delivery) -> None:
        """One attempt."""
        subscription = target.subscription
        try:
            request = self._request(subscription, delivery)
        except Exception:
            log.exception("delivery %s can't be put together: a dead letter", delivery.name)
            response = Response(error="protocol_error", detail="It can't be put together.")
            target.under_way[delivery.name] = None
            self._context.loop.call_soon(self._done, target, delivery, response, True)
            return
        target.under_way[delivery.name] = self._http.send(request, partial(self._done, target, delivery))

    def _request(self, subscription: Subscription, delivery: Delivery) -> Request:
        shard, now = self._context.shard.number, time.time()
        delivery.first_at = delivery.first_at or now
        content = render.body(subscription, shard, delivery, self._context.store.codec)
        message_id = public_id(shard, delivery.name)
        headers = render.headers(subscription, message_id, int(now), content, delivery.batch)
        delivery.url = subscription.target_url
        return Request(delivery.url, content, headers, self._timeout)

    # Ending

    def _done(self, target: Target, delivery: Delivery, response: Response, hopeless: bool = False) -> None:
        """The attempt ended: what it means, and what comes next."""
        target.under_way.pop(delivery.name, None)
        if response.error == "closed" or target.removed:
            return
        delivery.attempts += 1
        what, next_ms = "delivered", 0
        if hopeless:
            what = "dead"
        elif response.ok:
            if target.pace.success() and target.retrying:
                self._settler.release_all(target)
        else:
            what, next_ms = self._failed(target, delivery, response)
        self._note(target, delivery, response, what, next_ms)
        self._live.attempt(self._context.shard.number, target.subscription, delivery, what, response)
        if delivery.url != target.subscription.target_url:
            pass  # it has another target by now, of which this says nothing
        elif response.status == 410:
            self._subscribers.end(target, gone=True)
        elif not response.ok and target.pace.given_up(time.time()):
            self._subscribers.end(target, gone=False)
        self.pump(target)

    def _failed(self, target: Target, delivery: Delivery, response: Response) -> tuple[str, int]:
        target.pace.failure(response, time.time(), self._context.loop.time())
        if target.pace.down:
            target.unload()
        following = next_attempt(self._schedule, delivery.step, response)
        too_old = time.time() - delivery.first_at > sum(self._schedule) * 1.2 + 60
        if following is None or too_old:
            return "dead", 0
        delay, delivery.step = following
        target.retrying += 1
        return "retry", int((time.time() + delay) * 1000)

    def _note(self, target: Target, delivery: Delivery, response: Response, what: str, next_ms: int) -> None:
        duration = round(response.duration * 1000)
        error = None if response.ok else response.error or f"http_{response.status}"
        attempts = ""
        if delivery.history or not response.ok:
            delivery.history.append([_iso_now(), response.status, duration, error])
            known = {
                "n": delivery.attempts,
                "step": delivery.step,
                "first_at": delivery.first_at,
                "log": delivery.history[-_HISTORY:],
            }
            attempts = orjson.dumps(known).decode()
        self._settler.note(
            target,
            Outcome(
                what,
                delivery.name,
                int(delivery.queued),
                delivery.attempts,
                response.status,
                duration,
                error or "",
                max(1, len(delivery.events)),
                next_ms,
                attempts,
            ),
        )


def _is_plain(delivery: Delivery) -> bool:
    """An event that is to be delivered anew, and not a batch, a test or a retry."""
    return not delivery.batch and delivery.test is None and not delivery.attempts


def _plain_due(target: Target, first: Delivery) -> list[Stored]:
    """Events to be delivered again that may form a batch."""
    events = list(first.events)
    while target.due and len(events) < target.subscription.batch_max and _is_plain(target.due[0]):
        events += target.due.popleft().events
    return events


def _iso_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
