"""Checks for targets that accept no deliveries, and devices that send no callbacks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from app.base.addresses import UrlRefused, origin
from app.health.findings import Problem
from app.store import Store
from app.store.subscriptions.orphans import orphan_reason
from app.store.subscriptions.records import Subscription
from app.store.subscriptions.signing_keys import UnreadableSigningKeys
from app.store.upkeep.hold import is_held

_MOST_NAMED = 5
_ERRORS = {
    "connect_failed": "no connection",
    "dns_failed": "the host name was not found",
    "tls_failed": "the TLS connection failed",
    "timeout": "no response in time",
    "refused_address": "the address isn't allowed",
}
_DOWN_SECONDS = 120.0  # a target that fails for less time is only a warning
_SET_UP_SECONDS = 600.0  # the time to set a new device's Callback URL


def target_problems(store: Store) -> list[str]:
    """Return disabled and orphaned subscriptions and those whose targets are down, only with ID and origin."""
    subscriptions = store.subscriptions.all()
    held = [one for one in subscriptions if is_held(one)]
    subscriptions = [one for one in subscriptions if not is_held(one)]
    counts = store.delivery_counts.overview([one.id for one in subscriptions], time.time())
    keys = store.api_keys.ids()
    found: list[str] = [
        *_held_warnings(len(held)),
        *_without_key_warnings(subscriptions, keys),
        *_signing_key_problems(store, subscriptions),
    ]
    for subscription in subscriptions:
        name = f"Subscription {subscription.id} ({_origin(subscription.target_url)})"
        since = counts[subscription.id]["failing_since"]
        if subscription.status != "active":
            found.append(
                Problem(
                    f"{name} is disabled, so no events are sent to it. Repair the target, then enable the "
                    "subscription in the console or with POST /v1/subscriptions/{id}/enable, or delete it."
                )
            )
        elif since:
            lasts = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
            waiting = counts[subscription.id]["pending"] + counts[subscription.id]["retrying"]
            failure = store.deliveries.last_failure(subscription.id)
            text = (
                f"{name}: the target has been failing since {since}{_last_failure(failure)}. Deliveries "
                f"waiting for an attempt or a retry: {waiting}. The subscription's page in the console shows each "
                "response."
            )
            if orphan_reason(subscription, keys, failure) == "target_not_found":
                text += (
                    " A 404 usually means that the workflow was deleted or isn't active. Activate it, or delete the "
                    "subscription."
                )
            found.append(Problem(text) if lasts > _DOWN_SECONDS else text)
    return found


def _last_failure(found: tuple[int, str] | None) -> str:
    """Return how the last attempt failed, in parentheses; an empty text if it is unknown."""
    if found is None:
        return ""
    status, error = found
    return f" (last response: HTTP {status})" if status else f" (last attempt: {_ERRORS.get(error, error)})"


def _without_key_warnings(subscriptions: list[Subscription], keys: set[str] | None) -> list[str]:
    """Return which subscriptions were created with API keys that don't exist any more."""
    found = [one for one in subscriptions if orphan_reason(one, keys, None) == "api_key_deleted"]
    if not found:
        return []
    named = ", ".join(f"{one.id} ({_origin(one.target_url)})" for one in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return [
        f"The API keys that created these subscriptions were deleted: {named}{more}. They still receive events. "
        "Delete those that aren't needed, in the console or with DELETE /v1/subscriptions/{id}."
    ]


def _signing_key_problems(store: Store, subscriptions: list[Subscription]) -> list[str]:
    """Return that the signing keys can't be read, if a subscription needs them."""
    if not any("ed25519" in one.signed_with for one in subscriptions):
        return []
    try:
        store.signing_keys.all()
    except UnreadableSigningKeys:
        return [
            Problem(
                "The stored signing keys can't be read, so deliveries may lack the Ed25519 signature, and receivers "
                "can't read the public keys. Replace them with POST /v1/signing-keys/rotate."
            )
        ]
    return []


def _held_warnings(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"This relay was restored with --hold, so its subscriptions ({count} of them) are disabled. To use this relay, "
        "stop the one that made the backup, and run `cams-relay subscriptions enable --held`, or enable single "
        "subscriptions in the console."
    ]


def unheard_warnings(store: Store) -> list[str]:
    """Return how many devices have never sent a callback, without IDs, because `/health` requires no key."""
    found = unheard(store)
    if not found:
        return []
    return [
        f"{len(found)} registered device{'s have' if len(found) > 1 else ' has'} never sent a callback. "
        "`cams-relay doctor` and the console name them."
    ]


def unheard_details(store: Store) -> list[str]:
    """Return for `doctor` which devices have never sent a callback, and what to do."""
    found = unheard(store)
    if not found:
        return []
    named = ", ".join(found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return [
        f"Never heard from: {named}{more}. In the API Monitor, set the Callback URL that the device's page in the "
        "console shows, and punch on the device. That page also shows which step fails."
    ]


def unheard(store: Store) -> list[str]:
    """Return the IDs of devices that were registered more than ten minutes ago and have sent nothing yet."""
    return store.devices.unheard(datetime.now(UTC) - timedelta(seconds=_SET_UP_SECONDS))


def _origin(url: str) -> str:
    try:
        return origin(url)
    except UrlRefused:
        return "unknown target"
