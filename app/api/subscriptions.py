"""`/v1/subscriptions`: REST hooks. Contract §4."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from app.api.auth import audited, caller, needs, store
from app.api.io import answer, body, created, limit, page, parse_moment
from app.api.problems import Problem, wrong
from app.api.subscription_bodies import HIDDEN, ReplayBody, SubscriptionBody, TestBody
from app.events.types import EVENT_TYPES, matches, sample
from app.store.jobs import enqueue_replay, enqueue_test
from app.store.subscriptions import FILTERS, Subscription

blueprint = Blueprint("subscriptions", __name__, url_prefix="/v1/subscriptions")

STATUSES = ("delivered", "retrying", "dead", "dropped")


def _fields(values: dict[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Attributes of a Subscription from a checked body; with `partial` only those filters that were sent."""
    if "filters" in values:
        filters = values.pop("filters")
        for name in FILTERS:
            if not partial or name in filters:
                values[name] = frozenset(filters.get(name) or ())
    if "events" in values:
        values["events"] = tuple(dict.fromkeys(values["events"]))
    return values


def _shown(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "target_url": subscription.target_url,
        "events": list(subscription.events),
        "filters": {name: sorted(getattr(subscription, name)) for name in FILTERS},
        "format": subscription.format,
        "description": subscription.description,
        "headers": dict.fromkeys(subscription.headers, HIDDEN),  # their values may be secrets
        "max_in_flight": subscription.max_in_flight,
        "batch_max": subscription.batch_max,
        "batch_wait_ms": subscription.batch_wait_ms,
        "include_card_numbers": subscription.include_card_numbers,
        "status": subscription.status,
        "disabled_reason": subscription.disabled_reason,
        "created_at": subscription.created_at,
        **store().deliveries.health(subscription.id),
    }


def _found(subscription_id: str) -> Subscription:
    subscription = store().subscriptions.get(subscription_id)
    if subscription is None:
        raise _not_there()
    return subscription


def _changed(subscription_id: str, how: Callable[[Subscription], None]) -> Subscription:
    subscription = store().subscriptions.change(subscription_id, how)
    if subscription is None:
        raise _not_there()
    return subscription


def _not_there() -> Problem:
    return Problem(404, "There is no subscription with this id.")


def _revealed(headers: dict[str, str], present: dict[str, str]) -> dict[str, str]:
    """Headers with the values of those that came back hidden."""
    for name, text in headers.items():
        if text == HIDDEN and name not in present:
            raise wrong("headers", f"the value of {name!r} is needed: … stands only for one that is kept")
    return {name: present[name] if text == HIDDEN else text for name, text in headers.items()}


def _check_kept_headers(values: dict[str, Any], subscription: Subscription) -> None:
    """Values of headers that are kept go nowhere but where they were meant for: nobody can read them here either."""
    target = values.get("target_url", subscription.target_url)
    if (
        urlsplit(target)[:2] == urlsplit(subscription.target_url)[:2]
    ):  # scheme, and host with port, both normalised
        return
    sent = values.get("headers")
    kept = list(subscription.headers) if sent is None else [name for name in sent if sent[name] == HIDDEN]
    if kept:
        raise wrong(
            "headers",
            f"the values of {', '.join(kept)} are kept for the present target; for one with another host, port or "
            "scheme send `headers` with their values again, e.g. {'X-Team': 'payroll'}, or {} for none",
        )


def _check_card_numbers(values: dict[str, Any], subscription: Subscription | None = None) -> None:
    """Card numbers are sent only where a key with templates:read wanted them to be."""
    if caller().may("templates:read"):
        return
    field = "include_card_numbers" if values.get("include_card_numbers") else None
    if subscription is not None and subscription.include_card_numbers:
        elsewhere = values.get("target_url", subscription.target_url) != subscription.target_url
        if elsewhere and values.get("include_card_numbers") is not False:
            field = "target_url"
    if field is not None:
        raise Problem(
            403,
            f"{field}: sending card numbers there needs an API key with the scope templates:read.",
            [(field, "needs the scope templates:read")],
        )


def _note_card_numbers(values: dict[str, Any], subscription: Subscription) -> None:
    """Once for all that will be delivered: who had card numbers sent, and to where."""
    if subscription.include_card_numbers and values.keys() & {"include_card_numbers", "target_url"}:
        host = urlsplit(subscription.target_url).hostname
        store().audit.record(
            caller().id, "card_numbers.subscribed", subject=subscription.id, detail=f"sent to {host}"
        )


@blueprint.post("")
@needs("subscriptions:write")
@audited("subscription.created")
def create() -> Response:
    """Subscribes a URL to events; its secret is shown this once."""
    values = body(SubscriptionBody())
    _check_card_numbers(values)
    values["headers"] = _revealed(values["headers"], {})
    subscription = store().subscriptions.create(_fields(values), store().events.last_entries())
    _note_card_numbers(values, subscription)
    shown = {**_shown(subscription), "secret": subscription.secrets[0][0]}
    return created(shown, f"/v1/subscriptions/{subscription.id}")


@blueprint.get("")
@needs("subscriptions:write")
def show_all() -> Response:
    """The subscriptions, oldest first."""
    count, after = limit(), request.args.get("cursor")
    subscriptions = store().subscriptions.all()
    if after:
        names = [subscription.id for subscription in subscriptions]
        subscriptions = subscriptions[names.index(after) + 1 :] if after in names else []
    more = subscriptions[count - 1].id if len(subscriptions) > count else None
    return page([_shown(subscription) for subscription in subscriptions[:count]], more)


@blueprint.get("/<subscription_id>")
@needs("subscriptions:write")
def show(subscription_id: str) -> Response:
    """One subscription, with the state of its deliveries."""
    return answer(_shown(_found(subscription_id)))


@blueprint.patch("/<subscription_id>")
@needs("subscriptions:write")
@audited("subscription.changed", "subscription_id")
def change(subscription_id: str) -> Response:
    """Changes what is sent of it; a target on another host needs its headers sent again."""
    _found(subscription_id)  # 404 comes before what is wrong with the body
    values = body(SubscriptionBody(exclude=("secret",)), partial=True)

    def how(subscription: Subscription) -> None:
        _check_card_numbers(values, subscription)
        _check_kept_headers(values, subscription)
        changed = dict(values)
        if "headers" in values:
            changed["headers"] = _revealed(values["headers"], subscription.headers)
        for name, value in _fields(changed, partial=True).items():
            setattr(subscription, name, value)

    subscription = _changed(subscription_id, how)
    _note_card_numbers(values, subscription)
    return answer(_shown(subscription))


@blueprint.delete("/<subscription_id>")
@needs("subscriptions:write")
@audited("subscription.deleted", "subscription_id")
def delete(subscription_id: str) -> Response:
    """Unsubscribes."""
    if store().subscriptions.delete(subscription_id) is None:
        raise _not_there()
    return Response(status=204)


@blueprint.post("/<subscription_id>/test")
@needs("subscriptions:write")
def send_test(subscription_id: str) -> Response:
    """Sends a made-up event, with `test` true, of the first type that is subscribed to, or of a given one."""
    subscription = _found(subscription_id)
    values = body(TestBody())
    if subscription.status != "active":
        raise Problem(409, "The subscription is disabled: enable it first.")
    taken = [name for name in EVENT_TYPES if any(matches(pattern, name) for pattern in subscription.events)]
    event_type = values.get("event_type", taken[0])
    if event_type not in taken:
        raise wrong("event_type", f"is not subscribed to; there are {', '.join(taken)}")
    event = sample(event_type)
    if values["delay_seconds"]:
        enqueue_test(store().connection.rq, subscription.id, event, values["delay_seconds"])
        event["id"] = None  # it gets one when it is sent
    else:
        store().deliveries.send_test(subscription, event)
    return answer({"status": "queued", "event_id": event["id"], "event": event}, 202)


@blueprint.post("/<subscription_id>/replay")
@needs("subscriptions:write")
def replay(subscription_id: str) -> Response:
    """Delivers stored events again: those of a time range that it takes, or those with the given ids."""
    _found(subscription_id)
    values = body(ReplayBody())
    event_ids = values.get("event_ids")
    if event_ids is not None:
        kept = store()
        for public in event_ids:
            if not kept.deliveries.has_batch(subscription_id, public) and kept.events.get(public) is None:
                raise wrong("event_ids", f"there is no event {public[:64]!r} (any more)")
        count = kept.deliveries.replay_ids(subscription_id, event_ids)
        return answer({"status": "queued", "event_count": count}, 202)
    if "since" not in values:
        raise wrong("since", "is needed, or event_ids, e.g. 2026-11-24T00:00:00Z")
    since = parse_moment("since", values["since"])
    until = parse_moment("until", values["until"]) if "until" in values else int(time.time() * 1000)
    if since > until:
        raise wrong("until", "is before since")
    enqueue_replay(store().connection.rq, subscription_id, since, until)
    return answer({"status": "queued", "event_count": None}, 202)


@blueprint.post("/<subscription_id>/rotate-secret")
@needs("subscriptions:write")
@audited("subscription.secret_rotated", "subscription_id")
def rotate_secret(subscription_id: str) -> Response:
    """Makes a new secret, shown this once; both sign for 24 hours."""
    subscription = _changed(subscription_id, Subscription.rotate_secret)
    return answer({**_shown(subscription), "secret": subscription.secrets[0][0]})


@blueprint.post("/<subscription_id>/enable")
@needs("subscriptions:write")
@audited("subscription.enabled", "subscription_id")
def enable(subscription_id: str) -> Response:
    """Lets a disabled subscription take events again; what waited for a retry goes first."""
    subscription = _found(subscription_id)
    if subscription.status != "active":
        store().deliveries.forgive(subscription_id)

    def how(subscription: Subscription) -> None:
        subscription.status, subscription.disabled_reason = "active", None

    return answer(_shown(_changed(subscription_id, how)))


@blueprint.get("/<subscription_id>/deliveries")
@needs("subscriptions:write")
def deliveries(subscription_id: str) -> Response:
    """Deliveries with their attempts, latest first."""
    _found(subscription_id)
    status = request.args.get("status") or None
    if status not in (None, *STATUSES):
        raise wrong("status", f"is not one of {', '.join(STATUSES)}")
    try:
        rows, more = store().deliveries.log(
            subscription_id, limit(), request.args.get("cursor") or None, status
        )
    except ValueError:
        raise wrong("cursor", "is not a next_cursor of this list") from None
    return page(rows, more)
