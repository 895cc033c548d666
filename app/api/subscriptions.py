"""`/v1/subscriptions`: webhooks, managed as REST hooks. Contract §4."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from flask import Blueprint, Response, request

from app.api import cursors, etags, warnings
from app.api.auth import audited, caller, check_all_devices, limited_by_device, needs, store
from app.api.delivery_formats import check_format, merged_mapping
from app.api.find_subscription import find_subscription, may_access, no_subscription
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.repeated_subscriptions import new_token, one_at_a_time, subscribed_again
from app.api.request_helpers import answer, body, created, existed, limit, page
from app.api.subscription_checks import (
    check_card_numbers,
    check_kept_headers,
    limit_devices,
    merged_headers,
    note_card_numbers,
)
from app.events import delivery_bodies
from app.events.samples import sample
from app.schemas.subscriptions import HIDDEN, PreviewBody, SubscriptionBody
from app.store.access.scopes import SUBSCRIPTION_READERS
from app.store.deliveries.parked import Note
from app.store.deliveries.rows import iso
from app.store.subscriptions.orphans import orphan_reason
from app.store.subscriptions.records import FILTERS, Subscription, Unreadable
from app.store.subscriptions.signing import SIGNATURES

_BY_REQUEST = "It was disabled by a request."

PATH = "/v1/subscriptions"

blueprint = Blueprint("subscriptions", __name__, url_prefix=PATH)


def _fields(values: dict[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Return the attributes of a Subscription from a checked body; with `partial`, only the filters that were sent."""
    if "filters" in values:
        filters = values.pop("filters")
        for name in FILTERS:
            if not partial or name in filters:
                values[name] = frozenset(filters.get(name) or ())
    if "expires_in" in values:
        seconds = values.pop("expires_in")
        values["expires_at"] = None if seconds is None else time.time() + seconds
    if "signatures" in values:
        values["signatures"] = tuple(name for name in SIGNATURES if name in values["signatures"])
    if "events" in values:
        values["events"] = tuple(dict.fromkeys(values["events"]))
    return values


def _shown(
    subscription: Subscription,
    parked: dict[str, Note] | None = None,
    devices: Collection[str] | None = None,
    keys: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return a subscription as the API shows it.

    `parked` are the notes about all subscriptions, `devices` the IDs of all devices, and `keys` those of all API keys,
    if they were read already.
    """
    health = store().delivery_counts.health(subscription.id)
    failure = store().deliveries.last_failure(subscription.id) if health["failing_since"] else None
    note = (store().parked.all() if parked is None else parked).get(subscription.id)
    status = subscription.status
    unknown = _unknown_device_ids(subscription, devices)
    return {
        "id": subscription.id,
        "target_url": subscription.target_url
        if caller().may("subscriptions:write")
        else subscription.target_origin,
        "event_types": list(subscription.events),
        "filters": {name: sorted(getattr(subscription, name)) for name in FILTERS},
        "unknown_device_ids": unknown,
        "warnings": warnings.of_subscription(subscription, unknown),
        "format": subscription.format,
        "field_mapping": subscription.field_mapping,
        "template": subscription.template,
        "description": subscription.description,
        "headers": dict.fromkeys(subscription.headers, HIDDEN),  # their values may be secrets
        "max_in_flight": subscription.max_in_flight,
        "batch_max": subscription.batch_max,
        "batch_wait_ms": subscription.batch_wait_ms,
        "signatures": list(subscription.signed_with),
        "include_card_numbers": subscription.include_card_numbers,
        "status": "parked" if note and status == "active" else status,
        "parked_reason": note.reason if note else None,
        "disabled_reason": subscription.disabled_reason,
        "created_at": subscription.created_at,
        "created_by": subscription.created_by,
        "expires_at": None if subscription.expires_at is None else iso(subscription.expires_at * 1000),
        "orphan_reason": orphan_reason(
            subscription, store().api_keys.ids() if keys is None else keys, failure
        ),
        **health,
    }


def _unknown_device_ids(subscription: Subscription, devices: Collection[str] | None) -> list[str]:
    """Return the IDs in the filter that belong to no registered device, so that no events can match them."""
    if not subscription.device_ids:
        return []
    return sorted(subscription.device_ids.difference(store().devices.ids() if devices is None else devices))


def _check_match(subscription: Subscription) -> None:
    if not may_access(subscription):
        raise no_subscription()
    if etags.is_conditional():
        etags.check(etags.of_subscription(subscription))


def _changed(subscription_id: str, how: Callable[[Subscription], None]) -> Subscription:
    def checked(subscription: Subscription) -> None:
        if not may_access(subscription):
            raise no_subscription()
        how(subscription)

    subscription = store().subscriptions.change(subscription_id, checked)
    if subscription is None:
        raise no_subscription()
    return subscription


@blueprint.post("")
@needs("subscriptions:write")
@limited_by_device
def create() -> Response:
    """Subscribes a URL to events. The secret, and the token for `token_header`, are shown only once.

    Answers 200 if the caller's key already has the same subscription.
    """
    values = body(SubscriptionBody())
    check_card_numbers(values)
    limit_devices(values)
    token_header = values.pop("token_header")
    values["headers"] = merged_headers(values["headers"], {})
    values["field_mapping"] = merged_mapping(values, None)
    check_format(values["format"], values["batch_max"], values["field_mapping"], values["template"])
    fields = {**_fields(values), "created_by": caller().id}
    token = new_token() if token_header else None
    with one_at_a_time(fields["target_url"]):
        existing = subscribed_again(fields, token_header, token)
        if existing is not None:
            shown = {**_shown(existing), "secret": None, "token": token}
            return existed(shown, f"{PATH}/{existing.id}")
        if token_header:
            fields["headers"][token_header] = token
        subscription = _create(fields)
    note_card_numbers(values, subscription)
    shown = {**_shown(subscription), "secret": subscription.secrets[0][0], "token": token}
    return created(shown, f"{PATH}/{subscription.id}")


def _create(fields: dict[str, Any]) -> Subscription:
    """Create a subscription, which is audited. Raises a Problem if there are too many."""
    most = store().settings.limits.most_subscriptions
    if store().subscriptions.count() >= most:
        raise Problem(
            409,
            f"There are already {most} subscriptions, the maximum set by RELAY_MOST_SUBSCRIPTIONS. Delete "
            "unused subscriptions or raise the limit.",
        )
    subscription = store().subscriptions.create(fields, store().events.last_entries(), may_access)
    store().audit.record(caller().id, "subscription.created", subject=subscription.id)
    return subscription


@blueprint.post("/preview")
@needs("subscriptions:write")
@limited_by_device
def preview() -> Response:
    """Returns the body that a delivery of a sample event would have. Nothing is sent or stored."""
    values = body(PreviewBody())
    mapping = merged_mapping(values, None)
    check_format(values["format"], 1, mapping, values["template"])
    event = sample(values["event_type"])
    content = delivery_bodies.preview(values["format"], event, mapping, values["template"])
    media_type, _ = delivery_bodies.CONTENT_TYPES[values["format"]]
    return answer({"content_type": media_type, "body": content.decode(), "event": event})


@blueprint.get("")
@needs(*SUBSCRIPTION_READERS)
@limited_by_device
@takes("limit", "cursor")
def show_all() -> Response:
    """Lists the subscriptions, oldest first."""
    count, after = limit(), cursors.after()
    subscriptions = [one for one in store().subscriptions.all() if may_access(one)]
    if after:
        subscriptions = [one for one in subscriptions if _place(one) > after]
    shown, parked = subscriptions[:count], store().parked.all()
    more = _place(shown[-1]) if len(subscriptions) > count else None
    devices = set(store().devices.ids()) if any(one.device_ids for one in shown) else ()
    keys = store().api_keys.ids()
    return page([_shown(subscription, parked, devices, keys) for subscription in shown], more)


def _place(subscription: Subscription) -> str:
    """Return a subscription's place in the list."""
    return f"{subscription.created_at}~{subscription.id}"


@blueprint.get("/<subscription_id>")
@needs(*SUBSCRIPTION_READERS)
@limited_by_device
def show(subscription_id: str) -> Response:
    """Returns a subscription with the state of its deliveries."""
    subscription = find_subscription(subscription_id)
    return etags.shown(_shown(subscription), etags.of_subscription(subscription))


@blueprint.patch("/<subscription_id>")
@needs("subscriptions:write")
@limited_by_device
@audited("subscription.changed", "subscription_id")
def change(subscription_id: str) -> Response:
    """Changes the fields that you send (RFC 7396). If the target's host changes, send the headers again.

    If the API key that created it was deleted, the caller's key takes its place.
    """
    find_subscription(subscription_id)  # a 404 takes precedence over errors in the body
    values = body(SubscriptionBody(exclude=SubscriptionBody.ONCE), partial=True)
    keys = store().api_keys.ids()

    def how(subscription: Subscription) -> None:
        _check_match(subscription)
        limit_devices(values, subscription)
        check_card_numbers(values, subscription)
        check_kept_headers(values, subscription)
        changed = dict(values)
        if "headers" in values:
            changed["headers"] = merged_headers(values["headers"], subscription.headers)
        changed["field_mapping"] = merged_mapping(values, subscription.field_mapping)
        for name, value in _fields(changed, partial=True).items():
            setattr(subscription, name, value)
        if orphan_reason(subscription, keys, None) == "api_key_deleted":
            subscription.created_by = caller().id
        check_format(
            subscription.format, subscription.batch_max, subscription.field_mapping, subscription.template
        )

    subscription = _changed(subscription_id, how)
    note_card_numbers(values, subscription)
    return etags.shown(_shown(subscription), etags.of_subscription(subscription))


@blueprint.delete("/<subscription_id>")
@needs("subscriptions:write")
@limited_by_device
@takes("now")
@audited("subscription.deleted", "subscription_id")
def delete(subscription_id: str) -> Response:
    """Deletes a subscription. Its queue is kept for 60 s for a new one with the same target, unless `now` is true."""
    now = request.args.get("now", "false")
    if now not in ("true", "false"):
        raise wrong("now", "must be true or false, e.g. now=true")
    known = store().subscriptions
    try:
        deleted = (known.delete if now == "true" else known.retire)(subscription_id, _check_match)
        may_delete_kept = now == "true" and caller().device_ids is None
        if deleted is None and not (may_delete_kept and known.delete_kept(subscription_id)):
            raise no_subscription()
    except Unreadable:
        check_all_devices()
        store().subscriptions.delete_unreadable(subscription_id)
    return Response(status=204)


@blueprint.post("/<subscription_id>/rotate-secret")
@needs("subscriptions:write")
@limited_by_device
@audited("subscription.secret_rotated", "subscription_id")
def rotate_secret(subscription_id: str) -> Response:
    """Creates a new secret, which is shown only once. Deliveries are signed with both secrets for 24 hours."""
    subscription = _changed(subscription_id, Subscription.rotate_secret)
    return answer({**_shown(subscription), "secret": subscription.secrets[0][0]})


@blueprint.post("/<subscription_id>/disable")
@needs("subscriptions:write")
@limited_by_device
@audited("subscription.disabled", "subscription_id")
def disable(subscription_id: str) -> Response:
    """Disables a subscription, and keeps its queue until it is enabled."""

    def how(subscription: Subscription) -> None:
        if subscription.status == "active":
            subscription.status, subscription.disabled_reason = "disabled", _BY_REQUEST

    return answer(_shown(_changed(subscription_id, how)))


@blueprint.post("/<subscription_id>/enable")
@needs("subscriptions:write")
@limited_by_device
@audited("subscription.enabled", "subscription_id")
def enable(subscription_id: str) -> Response:
    """Enables a disabled subscription. Deliveries that were waiting for a retry are sent first."""
    subscription = find_subscription(subscription_id)
    if subscription.status != "active":
        store().deliveries.forgive(subscription_id)

    def how(subscription: Subscription) -> None:
        subscription.status, subscription.disabled_reason = "active", None

    return answer(_shown(_changed(subscription_id, how)))
