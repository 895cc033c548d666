"""A request for a subscription that its caller already has, e.g. because somebody pressed Subscribe twice."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis

from app.api.auth import caller, store
from app.api.problems import Problem
from app.store.access.idempotency import Reservation, StillRunning
from app.store.subscriptions.records import FILTERS, Subscription

_COMPARED = (
    "target_url",
    *FILTERS,
    "format",
    "field_mapping",
    "template",
    "max_in_flight",
    "batch_max",
    "batch_wait_ms",
    "include_card_numbers",
)
_WAIT_SECONDS = 10.0
_BETWEEN_SECONDS = 0.05


@contextmanager
def one_at_a_time(target_url: str) -> Iterator[None]:
    """Let the caller's requests for a URL wait for each other, so that simultaneous ones create one subscription.

    Raises a 409 Problem after ten seconds, for example if the process that handled the other request was killed.
    """
    reservation = _reserved(target_url)
    try:
        yield
    finally:
        with suppress(redis.RedisError, OSError):  # it expires
            store().idempotency.release(reservation)


def _reserved(target_url: str) -> Reservation:
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            # No client's Idempotency-Key contains a line break.
            found = store().idempotency.reserve(caller().id, f"subscribe\n{target_url}", b"")
        except StillRunning:
            if time.monotonic() > deadline:
                raise Problem(
                    409, "Another request to subscribe this URL is still in progress. Try again in a minute."
                ) from None
            time.sleep(_BETWEEN_SECONDS)
            continue
        assert isinstance(found, Reservation)
        return found


def new_token() -> str:
    """Return a random value for a header."""
    return secrets.token_urlsafe(32)


def subscribed_again(
    fields: dict[str, Any], token_header: str | None, token: str | None
) -> Subscription | None:
    """Return the caller's active subscription that has the fields of a new one; None if there is none.

    The description isn't compared. If the request contains another secret, or asks for a token, these replace the
    present ones. The expiry changes to that of the request, unless the subscription doesn't expire.
    """
    for found in store().subscriptions.all(fields["target_url"]):
        if _is_same(found, fields, token_header):
            break
    else:
        return None

    def how(subscription: Subscription) -> None:
        secret = fields["secret"]
        if secret is not None and secret != subscription.secrets[0][0]:
            subscription.rotate_secret(secret)
        if token_header is not None and token is not None:
            subscription.headers = {**_without(subscription.headers, token_header), token_header: token}
        if subscription.expires_at is not None:
            subscription.expires_at = fields["expires_at"]

    changed = store().subscriptions.change(found.id, how, lambda now: _is_same(now, fields, token_header))
    if changed is not None and changed != found:
        store().audit.record(caller().id, "subscription.changed", subject=changed.id)
    return changed


def _is_same(subscription: Subscription, fields: dict[str, Any], token_header: str | None) -> bool:
    headers = subscription.headers
    if token_header is not None:
        headers = _without(headers, token_header)
        if len(headers) == len(subscription.headers):
            return False
    return (
        subscription.status == "active"
        and subscription.created_by == caller().id
        and set(subscription.events) == set(fields["events"])
        and subscription.signed_with == fields["signatures"]
        and all(getattr(subscription, name) == fields[name] for name in _COMPARED)
        and _lower(headers) == _lower(fields["headers"])
    )


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() != name.lower()}


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}
