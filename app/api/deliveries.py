"""`/v1/deliveries`, the deliveries of a subscription, and test events. Contract §4 and §8."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from flask import Blueprint, Response, request

from app.api import cursors
from app.api.auth import caller, limited_by_device, needs, store
from app.api.find_subscription import find_subscription, may_access
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, limit, page, time_range
from app.events.samples import sample
from app.events.types import EVENT_TYPES, matches
from app.schemas.subscriptions import TestBody
from app.store.access.scopes import SUBSCRIPTION_READERS
from app.store.deliveries.delivery_ids import DeliveryPlace, delivery_id, delivery_place, names_of_event
from app.store.deliveries.lists import STATUSES, DeliveryQuery
from app.store.deliveries.rows import Sees
from app.store.jobs import enqueue_at
from app.store.subscriptions.records import Subscription

blueprint = Blueprint("deliveries", __name__, url_prefix="/v1")


@blueprint.get("/deliveries/<delivery_id>")
@needs(*SUBSCRIPTION_READERS)
@limited_by_device
def show(delivery_id: str) -> Response:
    """Returns a delivery with its attempts."""
    return answer(_found(delivery_id)[1])


@blueprint.post("/deliveries/<delivery_id>/retry")
@needs("subscriptions:write")
@limited_by_device
def retry(delivery_id: str) -> Response:
    """Attempts a delivery again now, followed by the whole retry schedule. This also works for dead letters."""
    place, shown = _found(delivery_id)
    subscription = find_subscription(place.subscription_id)
    if subscription.status != "active":
        raise Problem(409, "The subscription is disabled. Enable it first.")
    if shown["status"] == "pending":  # it is attempted as soon as the subscription isn't paused
        return answer(shown, 202)
    if shown["status"] not in ("retrying", "dead"):
        _check_made_again(subscription, shown)
    shard = store().connection.shards[place.shard]
    store().deliveries.replay(place.subscription_id, shard, [place.name], why="retry")
    return answer(_found(delivery_id)[1], 202)


def _found(public: str) -> tuple[DeliveryPlace, dict[str, Any]]:
    """Return the place and the state of the delivery with this ID. Raises a 404 Problem."""
    place = delivery_place(public)
    subscription = None if place is None else store().subscriptions.get(place.subscription_id)
    if place is None or subscription is None or not may_access(subscription):
        raise Problem(404, "There is no delivery with this ID, or it has been removed.")
    shown = store().delivery_lists.find(place, _sees())
    if shown is None:
        raise Problem(404, "There is no delivery with this ID, or it has been removed.")
    return place, shown


def _sees() -> Sees:
    """Return how much of the targets' responses the caller may read. They often contain the URL, which is secret."""
    if caller().may("admin"):
        return "all"
    return "public" if caller().may("subscriptions:write") else "none"


def _check_made_again(subscription: Subscription, shown: dict[str, Any]) -> None:
    """Raise a 409 Problem unless a delivery can be repeated.

    If it has ended, it must be of a single event that is still stored and still matches the subscription.
    """
    single = shown["batch_id"] is None and shown["trigger"] != "test"
    event = store().events.stored(shown["event_id"]) if single else None
    if event is None:
        raise Problem(
            409,
            "The content of this delivery is no longer stored. Use POST /v1/subscriptions/{id}/replay for its events.",
        )
    if not subscription.takes(event):
        raise Problem(
            409, f"Event {shown['event_id']!r} doesn't match this subscription's event types and filters."
        )


@blueprint.post("/subscriptions/<subscription_id>/test")
@needs("subscriptions:write")
@limited_by_device
def send_test(subscription_id: str) -> Response:
    """Sends a sample event with `test` set to true, of a given type or the subscription's first type."""
    subscription = find_subscription(subscription_id)
    values = body(TestBody())
    if subscription.status != "active":
        raise Problem(409, "The subscription is disabled. Enable it first.")
    taken = [name for name in EVENT_TYPES if any(matches(pattern, name) for pattern in subscription.events)]
    event_type = values.get("event_type", taken[0])
    if event_type not in taken:
        raise wrong("event_type", f"is not one of this subscription's event types: {', '.join(taken)}")
    event = sample(event_type)
    if values["delay_seconds"]:
        delivery = store().deliveries.plan_test(subscription, event, values["delay_seconds"])
        # RQ may use another server, which can be away. The periodic sweep then finds the delivery.
        with suppress(redis.RedisError, OSError):
            at = datetime.now(UTC) + timedelta(seconds=values["delay_seconds"])
            enqueue_at(store().connection, at, "release_test", subscription.id, delivery)
        event["id"] = None  # assigned when it is sent
    else:
        delivery = store().deliveries.send_test(subscription, event)
    public = delivery_id(subscription.id, store().connection.shards[0].number, delivery)
    told = {"status": "queued", "delivery_id": public, "event_id": event["id"], "event": event}
    return answer(told, 202)


@blueprint.get("/subscriptions/<subscription_id>/deliveries")
@needs(*SUBSCRIPTION_READERS)
@limited_by_device
@takes("status", "event_id", "since", "until", "limit", "cursor")
def show_all(subscription_id: str) -> Response:
    """Lists attempted deliveries with their attempts, latest first, or with status=pending those not attempted yet."""
    subscription = find_subscription(subscription_id)
    try:
        rows, more = store().delivery_lists.page(
            subscription,
            limit(),
            cursors.after(),
            _query(),
            _sees(),
        )
    except ValueError:
        raise cursors.invalid() from None
    return page(rows, more)


def _query() -> DeliveryQuery:
    """Return the filters in the request. Raises a 422 Problem."""
    status, event_id = request.args.get("status") or None, request.args.get("event_id") or None
    since, until = time_range()
    if status not in (None, *STATUSES):
        raise wrong("status", f"must be one of {', '.join(STATUSES)}")
    if event_id is not None and names_of_event(event_id) is None:
        raise wrong("event_id", "is not an event's ID, e.g. evt_01kay8ds0r000000")
    return DeliveryQuery(status, since or 0, until, event_id)
