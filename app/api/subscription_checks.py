"""What a change of a subscription must not do: send header values or card numbers where they weren't meant to go."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.api.auth import caller, store
from app.api.delivery_formats import changes_content
from app.api.problems import Problem, wrong
from app.schemas.subscriptions import HIDDEN, MOST_HEADERS
from app.store.subscriptions.records import FILTERS, Subscription


def merged_headers(sent: dict[str, str | None] | None, present: dict[str, str]) -> dict[str, str]:
    """Headers after a change by RFC 7396: null removes one, those that aren't sent stay, None removes all.

    A value that came back hidden stays. Names are compared as HTTP does, whatever their case. Raises a 422 Problem.
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
            f"there would be more than {MOST_HEADERS} headers. Set some of the present ones to null",
        )
    return dict(left.values())


def check_kept_headers(values: dict[str, Any], subscription: Subscription) -> None:
    """Values of headers that are kept go nowhere but where they were meant for: nobody can read them here either."""
    target = values.get("target_url", subscription.target_url)
    if (
        urlsplit(target)[:2] == urlsplit(subscription.target_url)[:2]
    ):  # scheme, and host with port, both normalised
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


def check_card_numbers(values: dict[str, Any], subscription: Subscription | None = None) -> None:
    """Card numbers are sent only where a key with templates:read wanted them to be."""
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
    """The field that makes a subscription take other events than before; None if neither does."""
    if "events" in values and set(values["events"]) != set(subscription.events):
        return "event_types"
    filters = values.get("filters") or {}
    changed = (name for name in FILTERS if name in filters)
    if any(frozenset(filters[name] or ()) != getattr(subscription, name) for name in changed):
        return "filters"
    return None


def note_card_numbers(values: dict[str, Any], subscription: Subscription) -> None:
    """Once for all that will be delivered: who had card numbers sent, and to where."""
    if subscription.include_card_numbers and values.keys() & {"include_card_numbers", "target_url"}:
        host = urlsplit(subscription.target_url).hostname
        store().audit.record(
            caller().id, "card_numbers.subscribed", subject=subscription.id, detail=f"sent to {host}"
        )
