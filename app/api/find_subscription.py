"""Finds the subscription for a path parameter."""

from __future__ import annotations

from app.api.auth import caller, store
from app.api.problems import Problem
from app.store.subscriptions.records import Subscription


def find_subscription(subscription_id: str) -> Subscription:
    """Return the subscription with this ID. Raises a 404 Problem."""
    subscription = store().subscriptions.get(subscription_id)
    if subscription is None or not may_access(subscription):
        raise no_subscription()
    return subscription


def may_access(subscription: Subscription) -> bool:
    """Return whether the caller's key may access a subscription: if it is limited, only one for its own devices."""
    allowed = caller().device_ids
    return allowed is None or (bool(subscription.device_ids) and subscription.device_ids <= allowed)


def no_subscription() -> Problem:
    """Return the 404 Problem for a subscription that doesn't exist."""
    return Problem(404, "There is no subscription with this ID.")
