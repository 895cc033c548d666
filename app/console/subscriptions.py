"""Subscriptions: creating and trying them, the state of their targets, dead letters."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from app.api import deliveries as deliveries_api
from app.api import subscriptions as subscriptions_api
from app.api.auth import needs, store
from app.api.find_subscription import find_subscription
from app.api.problems import Problem
from app.api.replays import replay_times
from app.api.request_helpers import answer
from app.console.frame import api, page
from app.console.texts import text
from app.events.formats import FORMATS
from app.events.types import EVENT_TYPES, PUNCH_TYPES, matches
from app.store.access.scopes import SUBSCRIPTION_READERS
from app.store.deliveries.lists import DeliveryQuery
from app.store.subscriptions.records import target_origin
from app.store.subscriptions.signing import SIGNATURES

blueprint = Blueprint("subscriptions", __name__, url_prefix="/console/subscriptions")

_DAY_MS = 86_400_000
STEPS = 48  # of half an hour each


@blueprint.get("")
@needs(*SUBSCRIPTION_READERS)
def show_all() -> Response:
    """Show the subscriptions, with the success of their last attempts within a day."""
    found = api(subscriptions_api.show_all)
    since = int(time.time() * 1000) - _DAY_MS
    for subscription in found["data"]:
        subscription["origin"] = target_origin(subscription["target_url"])
        subscription["success"] = store().deliveries.success(subscription["id"], since)
    return page("subscriptions", subscriptions=found["data"], next_cursor=found["next_cursor"])


@blueprint.get("/new")
@needs("subscriptions:write")
def new() -> Response:
    """Show the form to create one."""
    return page("subscription_new", one=None, **_choices())


@blueprint.get("/<subscription_id>/replay")
@needs("subscriptions:write")
def ask_before_replay(subscription_id: str) -> Response:
    """Show how many events a replay would send, as a question; a note if there are none."""
    subscription = store().subscriptions.get(subscription_id)
    if subscription is None:
        raise Problem(404, text("problem.missing"))
    since, until = replay_times(request.args)
    count, is_all = store().replays.count(subscription, since, until)
    if not count and is_all:
        return answer({"note": text("confirm.replay_none")})
    name = "confirm.more_events" if not is_all else "confirm.one_event" if count == 1 else "confirm.events"
    events = text(name, count=f"{count:,}")
    host = urlsplit(subscription.target_url).netloc
    return answer(
        {
            "question": text("confirm.replay", events=events, host=host),
            "button": text("confirm.replay_yes", events=events),
        }
    )


@blueprint.get("/<subscription_id>")
@needs(*SUBSCRIPTION_READERS)
def show(subscription_id: str) -> Response:
    """Show a subscription: its target's success and latency over time, its deliveries, dead letters."""
    subscription = api(subscriptions_api.show, subscription_id=subscription_id)
    deliveries = api(deliveries_api.show_all, subscription_id=subscription_id)
    dead, _ = (
        store().delivery_lists.page(find_subscription(subscription_id), 50, None, DeliveryQuery("dead"))
        if subscription["dead"]
        else ([], None)
    )
    drawn = plot([subscription_id])
    taken = [name for name in EVENT_TYPES if any(matches(one, name) for one in subscription["event_types"])]
    last = deliveries["data"][0] if deliveries["data"] else None
    return page(
        "subscription",
        subscription=subscription,
        host=urlsplit(subscription["target_url"]).netloc,
        origin=target_origin(subscription["target_url"]),
        deliveries=deliveries["data"],
        next_cursor=deliveries["next_cursor"],
        dead=dead,
        webhook_ids=[row["batch_id"] or row["event_id"] for row in dead],
        plot=drawn,
        rate=rate(drawn),
        taken=taken,
        last=last,
        **_choices(subscription),
    )


def _choices(subscription: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the form's choices, including families of types and kinds of punch that the subscription has."""
    events = subscription["event_types"] if subscription else ()
    punch_types = subscription["filters"]["punch_types"] if subscription else ()
    return {
        "types": list(dict.fromkeys((*EVENT_TYPES, *(name for name in events if name != "*")))),
        "punch_types": list(dict.fromkeys((*PUNCH_TYPES, *punch_types))),
        "formats": FORMATS,
        "signatures": SIGNATURES,
        "expires_in": _remaining(subscription["expires_at"]) if subscription else None,
    }


def _remaining(expires_at: str | None) -> int | None:
    """Return the number of seconds until a subscription expires; None if it doesn't."""
    if expires_at is None:
        return None
    return max(0, math.ceil(datetime.fromisoformat(expires_at).timestamp() - time.time()))


def plot(subscription_ids: Sequence[str]) -> dict[str, list[Any]]:
    """Return success and latency of the last day for uPlot: columns, with null if nothing was attempted."""
    now = int(time.time() * 1000)
    found = store().deliveries.series(subscription_ids, now - _DAY_MS, now, STEPS)
    return {
        "at": [step.at for step in found],
        "success": [
            round(100 * step.delivered / step.attempts, 1) if step.attempts else None for step in found
        ],
        "median": [step.median_ms for step in found],
        "p95": [step.p95_ms for step in found],
    }


def rate(drawn: dict[str, list[Any]]) -> float | None:
    """Return the percentage of successful attempts, averaged over the steps with attempts."""
    known = [value for value in drawn["success"] if value is not None]
    return round(sum(known) / len(known), 1) if known else None
