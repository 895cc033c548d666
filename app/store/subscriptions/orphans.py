"""Subscriptions that may no longer be needed. Only their owner can decide, so the relay reports them and keeps them."""

from __future__ import annotations

from collections.abc import Collection

from app.store.subscriptions.records import Subscription

_NOT_FOUND = 404


def orphan_reason(
    subscription: Subscription, key_ids: Collection[str] | None, last_failure: tuple[int, str] | None
) -> str | None:
    """Return `api_key_deleted` or `target_not_found` if a subscription may no longer be needed, otherwise None.

    `key_ids` are the IDs of all API keys, or None if they aren't known. `last_failure` is the status and error of the
    last attempt if the target is failing, otherwise None. A target that answers 404 is usually the webhook of a
    workflow that was deleted or is not active. After a 410, the subscription is disabled.
    """
    if last_failure is not None and last_failure[0] == _NOT_FOUND:
        return "target_not_found"
    if key_ids is None or subscription.created_by is None or subscription.created_by in key_ids:
        return None
    return "api_key_deleted"
