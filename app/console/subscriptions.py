"""Subscriptions: making and trying them, how their targets do, dead letters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from app.api import subscriptions as subscriptions_api
from app.api.auth import needs, store
from app.api.subscription_bodies import FORMATS
from app.console.frame import api, page
from app.events.types import EVENT_TYPES, PUNCH_TYPES, matches

blueprint = Blueprint("subscriptions", __name__, url_prefix="/console/subscriptions")

_DAY_MS = 86_400_000
STEPS = 48  # of half an hour


@blueprint.get("")
@needs("subscriptions:write")
def show_all() -> Response:
    """The subscriptions, with how their targets did in the last day."""
    found = api(subscriptions_api.show_all)
    for subscription in found["data"]:
        subscription["rate"] = rate(plot([subscription["id"]], steps=6))
    return page("subscriptions", subscriptions=found["data"], next_cursor=found["next_cursor"])


@blueprint.get("/new")
@needs("subscriptions:write")
def new() -> Response:
    """The form to make one."""
    return page("subscription_new", one=None, **_choices())


@blueprint.get("/<subscription_id>")
@needs("subscriptions:write")
def show(subscription_id: str) -> Response:
    """One subscription: its target's success and latency over time, its deliveries, dead letters."""
    subscription = api(subscriptions_api.show, subscription_id=subscription_id)
    deliveries = api(subscriptions_api.deliveries, subscription_id=subscription_id)
    dead, _ = (
        store().deliveries.log(subscription_id, 50, None, "dead") if subscription["dead"] else ([], None)
    )
    drawn = plot([subscription_id])
    taken = [name for name in EVENT_TYPES if any(matches(one, name) for one in subscription["events"])]
    last = deliveries["data"][0] if deliveries["data"] else None
    return page(
        "subscription",
        subscription=subscription,
        deliveries=deliveries["data"],
        next_cursor=deliveries["next_cursor"],
        dead=dead,
        plot=drawn,
        rate=rate(drawn),
        taken=taken,
        last=last,
        **_choices(subscription),
    )


def _choices(subscription: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the form offers; also families of types, and other kinds of punch, that the subscription has."""
    events = subscription["events"] if subscription else ()
    punch_types = subscription["filters"]["punch_types"] if subscription else ()
    return {
        "types": list(dict.fromkeys((*EVENT_TYPES, *(name for name in events if name != "*")))),
        "punch_types": list(dict.fromkeys((*PUNCH_TYPES, *punch_types))),
        "formats": FORMATS,
    }


def plot(subscription_ids: Sequence[str], steps: int = STEPS) -> dict[str, list[Any]]:
    """Success and latency of the last day for uPlot: columns, null where nothing was attempted."""
    now = int(time.time() * 1000)
    found = store().deliveries.series(subscription_ids, now - _DAY_MS, now, steps)
    return {
        "at": [step.at for step in found],
        "success": [
            round(100 * step.delivered / step.attempts, 1) if step.attempts else None for step in found
        ],
        "median": [step.median_ms for step in found],
        "p95": [step.p95_ms for step in found],
    }


def rate(drawn: dict[str, list[Any]]) -> float | None:
    """Percent of attempts that succeeded, on the average of the steps that had any."""
    known = [value for value in drawn["success"] if value is not None]
    return round(sum(known) / len(known), 1) if known else None
