"""Concurrent changes of a subscription are all stored, and don't restore a deleted subscription."""

from __future__ import annotations

import pytest

from app.settings.table import load
from app.store import Store
from app.store.subscriptions.records import Subscription
from tests.harness import Device, Receiver, Relay


@pytest.fixture
def subscription_id(relay: Relay, device: Device, receiver: Receiver) -> str:
    return str(relay.subscribe(receiver, device)["id"])


def test_a_change_is_applied_to_the_latest_stored_version(relay: Relay, subscription_id: str) -> None:
    store, secrets = Store(load(relay.environment)), []

    def describe(subscription: Subscription) -> None:
        subscription.description = "changed"
        if not secrets:
            path = f"/v1/subscriptions/{subscription_id}/rotate-secret"
            secrets.append(relay.call("POST", path).json()["secret"])

    changed = store.subscriptions.change(subscription_id, describe)
    stored = store.subscriptions.get(subscription_id)
    assert changed is not None and stored is not None
    assert stored.description == "changed"
    assert changed.secrets == stored.secrets
    assert [secret for secret, _ in stored.secrets][:1] == secrets


def test_a_change_does_not_restore_a_deleted_subscription(relay: Relay, subscription_id: str) -> None:
    store = Store(load(relay.environment))

    def remove(_: Subscription) -> None:
        assert relay.call("DELETE", f"/v1/subscriptions/{subscription_id}").status_code == 204

    assert store.subscriptions.change(subscription_id, remove) is None
    assert relay.call("GET", f"/v1/subscriptions/{subscription_id}").status_code == 404


def test_a_change_is_checked_again_after_a_concurrent_change(relay: Relay, subscription_id: str) -> None:
    store, looked = Store(load(relay.environment)), []

    def is_meant(subscription: Subscription) -> bool:
        looked.append(subscription.description)
        if len(looked) == 1:
            body = {"description": "moved"}
            relay.call("PATCH", f"/v1/subscriptions/{subscription_id}", json=body)
        return subscription.description != "moved"

    def disable(subscription: Subscription) -> None:
        subscription.status = "disabled"

    assert store.subscriptions.change(subscription_id, disable, is_meant) is None
    assert looked[1:] == ["moved"]
    assert relay.get(f"/v1/subscriptions/{subscription_id}")["status"] == "active"
