"""Finds the subscription for a path parameter."""

from __future__ import annotations

from app.api.auth import store
from app.api.problems import Problem
from app.store.subscriptions.records import Subscription


def find_subscription(subscription_id: str) -> Subscription:
    """Return the subscription with this ID. Raises a 404 Problem."""
    subscription = store().subscriptions.get(subscription_id)
    if subscription is None:
        raise no_subscription()
    return subscription


def no_subscription() -> Problem:
    """Return the 404 Problem for a subscription that doesn't exist."""
    return Problem(404, "There is no subscription with this ID.")
