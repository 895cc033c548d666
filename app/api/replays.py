"""Replays, which deliver stored events again. Contract §4 and §8."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import redis
from flask import Blueprint, Response

from app.api import cursors
from app.api.auth import limited_by_device, needs, store
from app.api.find_subscription import find_subscription, may_access
from app.api.own_url import base_url
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, limit, page, parse_moment
from app.schemas.subscriptions import ReplayBody
from app.store.access.scopes import SUBSCRIPTION_READERS
from app.store.deliveries.replay_records import subscription_of
from app.store.jobs import enqueue
from app.store.subscriptions.records import Subscription

blueprint = Blueprint("replays", __name__, url_prefix="/v1")


@blueprint.post("/subscriptions/<subscription_id>/replay")
@needs("subscriptions:write")
@limited_by_device
def replay(subscription_id: str) -> Response:
    """Delivers stored events again, from a time range or with the given IDs."""
    subscription = find_subscription(subscription_id)
    values = body(ReplayBody())
    event_ids = values.get("event_ids")
    if event_ids is not None:
        for public in event_ids:
            _check_replayed(subscription, public)
        replay_id = store().replays.replay_ids(subscription_id, event_ids)
    else:
        since, until = replay_times(values)
        replay_id = store().replays.begin(subscription_id, since, until)
        # RQ may use another server, which can be away; the periodic sweep then finds the replay
        with suppress(redis.RedisError, OSError):
            enqueue(store().connection, "advance_replay", subscription_id, replay_id)
    shown = store().replay_records.get(subscription_id, replay_id)
    if shown is None:
        raise _not_there()  # the subscription has just been deleted
    return answer(shown, 202, Location=f"{base_url()}/v1/replays/{replay_id}")


@blueprint.get("/subscriptions/<subscription_id>/replays")
@needs(*SUBSCRIPTION_READERS)
@limited_by_device
@takes("limit", "cursor")
def show_all(subscription_id: str) -> Response:
    """Lists the replays of a subscription, latest first."""
    find_subscription(subscription_id)
    rows, more = store().replay_records.page(subscription_id, limit(), _after())
    return page(rows, f"{more[0]}~{more[1]}" if more else None)


def _after() -> tuple[int, str] | None:
    """Return the time and ID of the replay after which the page begins. Raises a 422 Problem."""
    cursor = cursors.after()
    if not cursor:
        return None
    at, _, replay_id = cursor.partition("~")
    if not (at.isascii() and at.isdecimal() and len(at) < 20) or subscription_of(replay_id) is None:
        raise cursors.invalid()
    return int(at), replay_id


@blueprint.get("/replays/<replay_id>")
@needs(*SUBSCRIPTION_READERS)
@limited_by_device
def show(replay_id: str) -> Response:
    """Returns a replay with its progress."""
    return answer(_found(replay_id))


@blueprint.post("/replays/<replay_id>/cancel")
@needs("subscriptions:write")
@limited_by_device
def cancel(replay_id: str) -> Response:
    """Stops a replay. A replay that has ended isn't changed."""
    subscription_id = _found(replay_id)["subscription_id"]
    store().replays.cancel(subscription_id, replay_id)
    return answer(_found(replay_id))


def _found(replay_id: str) -> dict[str, Any]:
    """Return the replay with this ID. Raises a 404 Problem."""
    subscription_id, shown = subscription_of(replay_id), None
    known = store().subscriptions
    if subscription_id is not None and known.get(subscription_id) is None:
        subscription_id = store().replay_records.owner(replay_id, [one.id for one in known.all()])
    subscription = None if subscription_id is None else known.get(subscription_id)
    if subscription is not None and not may_access(subscription):
        raise _not_there()
    if subscription_id is not None:
        shown = store().replay_records.get(subscription_id, replay_id)
    if shown is None:
        raise _not_there()
    return shown


def _not_there() -> Problem:
    return Problem(404, "There is no replay with this ID, or it has been removed.")


def replay_times(values: Mapping[str, Any]) -> tuple[int, int]:
    """Return the range of the times of receipt to replay, in ms since 1970. Without `until`, it ends now."""
    if not values.get("since"):
        raise wrong("since", "is required unless you send event_ids, e.g. 2026-11-24T00:00:00Z")
    since, now = parse_moment("since", values["since"]), int(time.time() * 1000)
    if since > now:
        raise wrong(
            "since",
            f"is in the future. It is now {datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%dT%H:%M:%SZ} in UTC. Add an "
            "offset such as +05:30 if you mean local time",
        )
    until = parse_moment("until", values["until"]) if values.get("until") else now
    if since > until:
        raise wrong("until", "must not be before since")
    return since, until


def _check_replayed(subscription: Subscription, public: str) -> None:
    """Raise a 422 Problem unless the event matches the subscription or is already waiting to be sent to it."""
    kept = store()
    if kept.deliveries.has_batch(subscription.id, public):
        return
    event = kept.events.stored(public)
    if event is None:
        raise wrong("event_ids", f"there is no event {public[:64]!r}, or it has been removed")
    if not subscription.takes(event) and not kept.deliveries.is_waiting(subscription.id, public):
        raise wrong(
            "event_ids", f"event {public[:64]!r} doesn't match this subscription's event types and filters"
        )
