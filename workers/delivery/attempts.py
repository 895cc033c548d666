"""Starts attempts, in the order of receipt and at the target's pace, and evaluates their answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import orjson

from app.base import telemetry
from app.base.ids import event_id
from app.base.telemetry import TRACES
from app.base.throttle import OnceAMinute
from app.store.deliveries.delivery_ids import order, public_id
from app.store.deliveries.records import new_suffix
from app.store.subscriptions.records import Subscription
from workers.delivery import render
from workers.delivery.answers import answer_to_keep
from workers.delivery.loading import Loader
from workers.delivery.log_lines import Live
from workers.delivery.results import Outcome, Settler
from workers.delivery.retry_schedule import next_attempt, retry_after
from workers.delivery.shard_context import Context, Parked
from workers.delivery.subscribers import Subscribers
from workers.delivery.target import Delivery, Stored, Target
from workers.http.client import Client
from workers.http.messages import Request, Response

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_once = OnceAMinute()
log = logging.getLogger("relay.dispatcher")

_EARLY = 1.0  # seconds; less may be the rounding of clocks
_AFTER_GONE = 5  # seconds until the next attempt is possible after a target answered 410
_HISTORY = 20  # attempts that are shown for a delivery


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
        """Start all attempts that may start now, and load more deliveries if that helps."""
        now = self._context.loop.time()
        context = self._context
        while not context.stopping and context.holds_lease and target.may_start(now):
            delivery = target.next_due()
            if delivery is not None:
                if target.subscription.batch_max > 1 and _is_plain(delivery):
                    self._form(target, _plain_due(target, delivery), delivery.trigger)
                else:
                    self._start(target, delivery)
            elif not (target.may_start_fresh() and target.fresh and self._start_fresh(target, now)):
                break
        if now < target.pace.pause_until:
            self._pump_at(target, target.pace.pause_until)
        self._loader.load_if_needed(target)

    def _start_fresh(self, target: Target, now: float) -> bool:
        """Start the oldest events of the queue, one or a batch; False while waiting for a full batch."""
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

    def _form(self, target: Target, events: list[Stored], trigger: str = "") -> None:
        """Make a batch, and start its delivery once the batch is saved."""
        name = events[0].entry + new_suffix("b")
        target.under_way[name] = None
        target.due_names.add(name)
        self._context.spawn(self._formed(target, name, events, trigger))

    async def _formed(self, target: Target, name: str, events: list[Stored], trigger: str = "") -> None:
        context, entries = self._context, [event.entry for event in events]
        keys = [target.key(part) for part in ("queue", "due", "batches")]

        async def write() -> bool:
            arguments = [name, order(name), *entries]
            return await context.write(context.scripts.form, keys, arguments, target=target) is not None

        try:
            async with context.room:
                while not target.removed and not await context.persist_for(target, write):
                    pass
        except Parked:
            target.under_way.pop(name, None)
            raise
        target.due_names.difference_update(entries)
        if target.removed or context.stopping or target.subscription.has_ended:
            target.under_way.pop(name, None)  # the next dispatcher finds it among the due deliveries
        else:
            self._start(target, Delivery(name, events, batch=True, trigger=trigger))

    def _pump_at(self, target: Target, when: float) -> None:
        if target.wake is not None:
            set_for = target.wake.when()
            if self._context.loop.time() < set_for <= when and not target.wake.cancelled():
                return
            target.wake.cancel()
        target.wake = self._context.loop.call_at(when, self.pump, target)

    def _start(self, target: Target, delivery: Delivery) -> None:
        """Start an attempt."""
        subscription = target.subscription
        try:
            request = self._request(subscription, delivery)
        except Exception as error:
            what = f"a delivery of subscription {subscription.id} can't be built and becomes a dead letter"
            _once.say_failure(log, error, what)
            response = Response(error="protocol_error", detail="The delivery's body could not be built.")
            target.under_way[delivery.name] = None
            self._context.loop.call_soon(self._done, target, delivery, response, True)
            return
        target.under_way[delivery.name] = self._http.send(request, partial(self._done, target, delivery))

    def _request(self, subscription: Subscription, delivery: Delivery) -> Request:
        shard, now = self._context.shard.number, time.time()
        content = render.body(subscription, shard, delivery, self._context.store.codec)
        message_id = public_id(shard, delivery.name)
        headers = render.headers(
            subscription, message_id, int(now), content, delivery.batch, self._context.signing_keys
        )
        delivery.sent_by = subscription
        if TRACES.on:
            delivery.span = self._begin_span(subscription, delivery)
            if "traceparent" not in {name.lower() for name in subscription.headers}:
                headers.append(telemetry.traceparent(delivery.span))
        return Request(subscription.target_url, content, headers, self._timeout)

    def _begin_span(self, subscription: Subscription, delivery: Delivery) -> Span:
        """Begin the attempt's span."""
        shard = self._context.shard.number
        events = [] if delivery.test is not None else [event_id(shard, one.entry) for one in delivery.events]
        return TRACES.begin_delivery(events, subscription.id, subscription.target_url, delivery.attempts + 1)

    # Ending

    def _done(self, target: Target, delivery: Delivery, response: Response, hopeless: bool = False) -> None:
        """Handle the end of an attempt: evaluate the answer, and determine the next step."""
        target.under_way.pop(delivery.name, None)
        if delivery.span is not None:
            error = None if response.ok else response.error or str(response.status)
            telemetry.end_delivery(delivery.span, response.status, error)
            delivery.span = None
        if response.error == "closed" or target.removed:
            return
        delivery.attempts += 1
        what, next_ms = "delivered", 0
        is_former = delivery.url != target.subscription.target_url  # its result doesn't affect the pace
        if hopeless:
            what = "dead"
        elif response.ok:
            now = self._context.loop.time()
            if not is_former and target.pace.success(response.duration, now, has_waiting=target.retrying > 0):
                self._settler.release_all(target)
        elif is_former:
            what, next_ms = self._try_present_url(target)
        else:
            what, next_ms = self._failed(target, delivery, response)
        self._note(target, delivery, response, what, next_ms)
        self._live.attempt(self._context.shard.number, target.subscription, delivery, what, response)
        if is_former:
            pass
        elif response.status == 410:
            self._subscribers.end(target, gone=True)
        elif not response.ok and target.pace.given_up:
            self._subscribers.end(target, gone=False)
        self.pump(target)

    def _try_present_url(self, target: Target) -> tuple[str, int]:
        """Try again at once at the present URL, because an attempt at a former URL failed. It uses up no retry."""
        target.retrying += 1
        return "retry", int(time.time() * 1000)

    def _failed(self, target: Target, delivery: Delivery, response: Response) -> tuple[str, int]:
        target.pace.failure(response, time.time(), self._context.loop.time())
        if target.pace.down:
            target.unload()
        if (
            response.status == 410
        ):  # it is disabled: deliveries wait until it is enabled, and no retry is used up
            target.retrying += 1
            return "retry", int((time.time() + _AFTER_GONE) * 1000)
        left = self._left_of_delay(delivery, response)
        if left:
            target.retrying += 1
            return "retry", int((time.time() + left) * 1000)
        following = next_attempt(self._schedule, delivery.step, response)
        # The wall clock isn't used, because it may have been set in the meantime.
        if following is None or delivery.waited > sum(self._schedule) * 1.2 + 60:
            return "dead", 0
        delay, delivery.step = following
        delivery.waited += delay
        target.retrying += 1
        delivery.scheduled_ms = int((time.time() + delay) * 1000)
        return "retry", delivery.scheduled_ms

    def _left_of_delay(self, delivery: Delivery, response: Response) -> float:
        """Return the seconds until the attempt that the schedule planned, if this one was made earlier; 0 if not.

        So an attempt made because the target seemed to be back uses up no retry.
        """
        if delivery.trigger or not delivery.step or retry_after(response) is not None:
            return 0.0
        left = delivery.scheduled_ms / 1000 - time.time()
        return (
            min(left, self._schedule[min(delivery.step, len(self._schedule)) - 1]) if left > _EARLY else 0.0
        )

    def _note(self, target: Target, delivery: Delivery, response: Response, what: str, next_ms: int) -> None:
        duration = round(response.duration * 1000)
        error = None if response.ok else response.error or f"http_{response.status}"
        attempts, mark, answer = "", _mark(delivery), ""
        if delivery.history or not response.ok:
            at = _iso_now()
            delivery.history.append([at, response.status, duration, error])
            if not response.ok:
                answer = answer_to_keep(delivery.sent_by or target.subscription, response, at)
            known = {
                "n": delivery.attempts,
                "step": delivery.step,
                "waited": round(delivery.waited, 3),
                "log": delivery.history[-_HISTORY:],
                "due": delivery.scheduled_ms,
                **({"was": mark} if mark else {}),
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
                mark,
                answer,
            ),
        )


def _mark(delivery: Delivery) -> str:
    """Why an attempt was made, where its number doesn't say so: `test` and the event's type, `replay` or `retry`."""
    if delivery.test is None:
        return delivery.trigger
    try:
        return f"test {orjson.loads(delivery.test)['type']}"
    except (ValueError, LookupError, TypeError):
        return "test"


def _is_plain(delivery: Delivery) -> bool:
    """Return whether a delivery is a replayed event, and not a batch, a test or a retry."""
    return not delivery.batch and delivery.test is None and not delivery.attempts


def _plain_due(target: Target, first: Delivery) -> list[Stored]:
    """Take replayed events that may form a batch."""
    events = list(first.events)
    while target.due and len(events) < target.subscription.batch_max and _is_plain(target.due[0]):
        events += target.due.popleft().events
    return events


def _iso_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
