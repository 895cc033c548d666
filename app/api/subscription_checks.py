"""Checks that a changed subscription doesn't send header values or card numbers to an unintended target."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.api.auth import caller, store
from app.api.delivery_formats import changes_content
from app.api.id_filters import not_allowed
from app.api.problems import Problem, wrong
from app.schemas.subscriptions import HIDDEN, MOST_HEADERS
from app.store.subscriptions.records import FILTERS, Subscription


def merged_headers(sent: dict[str, str | None] | None, present: dict[str, str]) -> dict[str, str]:
    """Return the headers after a change by RFC 7396: null removes a header, a missing header stays, None removes all.

    A value that is sent back hidden (HIDDEN) doesn't change. Names are case-insensitive. Raises a 422 Problem.
    """
    if sent is None:
        return {}
    left = {name.lower(): (name, text) for name, text in present.items()}
    values = {name.lower(): text for name, text in left.values()}
    left = {lower: found for lower, found in left.items() if lower not in {name.lower() for name in sent}}
    for name, text in sent.items():
        if text == HIDDEN and name.lower() not in values:
            raise wrong(
                "headers",
                f"the value of {name!r} is required. … keeps the current value, but this header has none yet",
            )
        if text is not None:
            left[name.lower()] = (name, values[name.lower()] if text == HIDDEN else text)
    if len(left) > MOST_HEADERS:
        raise wrong(
            "headers",
            f"there would be more than {MOST_HEADERS} headers. Set some of the current ones to null",
        )
    return dict(left.values())


def check_kept_headers(values: dict[str, Any], subscription: Subscription) -> None:
    """Raise a 422 Problem if the target's origin changes while header values are kept.

    Otherwise a caller could read these secret values by changing the target.
    """
    target = values.get("target_url", subscription.target_url)
    # Compare the scheme, and the host with its port. Both URLs are normalised.
    if urlsplit(target)[:2] == urlsplit(subscription.target_url)[:2]:
        return
    sent = values.get("headers", {})
    if sent is None:
        return
    replaced = {name.lower() for name, text in sent.items() if text != HIDDEN}
    kept = [name for name in subscription.headers if name.lower() not in replaced]
    if kept:
        raise wrong(
            "headers",
            f"the values of {', '.join(kept)} are only for the current target. To change the target's host, "
            "port or scheme, send `headers` with all values again, e.g. {'X-Team': 'payroll'}, and null for a header "
            'that you don\'t need, or "headers": null for no headers',
        )


def limit_devices(values: dict[str, Any], subscription: Subscription | None = None) -> None:
    """Limit a new or changed subscription to the devices of the caller's key, if the key is limited.

    Without `filters.device_ids`, a new one gets all devices of the key. Raises a 403 Problem for other devices.
    """
    allowed = caller().device_ids
    filters = values.get("filters")
    if allowed is None or (subscription is not None and (filters is None or "device_ids" not in filters)):
        return
    asked = (filters or {}).get("device_ids") or ()
    others = sorted(set(asked) - allowed)
    if others:
        raise not_allowed(others[0])
    values["filters"] = {**(filters or {}), "device_ids": list(asked) or sorted(allowed)}


def check_card_numbers(values: dict[str, Any], subscription: Subscription | None = None) -> None:
    """Raise a 403 Problem if a caller without templates:read changes which card numbers are sent, or where."""
    if caller().may("templates:read"):
        return
    field = "include_card_numbers" if values.get("include_card_numbers") else None
    if subscription is not None and subscription.include_card_numbers:
        elsewhere = values.get("target_url", subscription.target_url) != subscription.target_url
        if values.get("include_card_numbers") is not False:
            others = _selects_others(values, subscription) or changes_content(values, subscription)
            field = "target_url" if elsewhere else others or field
    if field is not None:
        raise Problem(
            403,
            f"{field}: this changes which card numbers are sent, or where. Use an API key with the scope "
            "templates:read, or set include_card_numbers to false in the same request.",
            [(field, "requires the scope templates:read")],
        )


def _selects_others(values: dict[str, Any], subscription: Subscription) -> str | None:
    """Return the field that changes which events match the subscription (event_types or filters); None if neither."""
    if "events" in values and set(values["events"]) != set(subscription.events):
        return "event_types"
    filters = values.get("filters") or {}
    changed = (name for name in FILTERS if name in filters)
    if any(frozenset(filters[name] or ()) != getattr(subscription, name) for name in changed):
        return "filters"
    return None


def note_card_numbers(values: dict[str, Any], subscription: Subscription) -> None:
    """Write to the audit log who started sending card numbers, and to which host. It is written once, not per event."""
    if subscription.include_card_numbers and values.keys() & {"include_card_numbers", "target_url"}:
        host = urlsplit(subscription.target_url).hostname
        store().audit.record(
            caller().id, "card_numbers.subscribed", subject=subscription.id, detail=f"sent to {host}"
        )
