"""A deleted API key's subscriptions: `DELETE /v1/api-keys/{id}?subscriptions=keep|delete`."""

from __future__ import annotations

import secrets
from typing import Any

import orjson
import pytest

from app.store.server.keys import SUBSCRIPTIONS
from tests.delivery.tools import client, shown
from tests.harness import Receiver, Relay
from tests.relay.tools import post, problem


def key_of(relay: Relay) -> dict[str, Any]:
    made: dict[str, Any] = post(relay, "/v1/api-keys", {"name": "maker", "scopes": ["subscriptions:write"]})
    return made


def subscribe(relay: Relay, receiver: Receiver, key: dict[str, Any]) -> dict[str, Any]:
    url = f"{receiver.url}/{secrets.token_hex(4)}"  # for the same one, it would be returned
    body = {"target_url": url, "event_types": ["user.deleted"]}
    answer = relay.call("POST", "/v1/subscriptions", key["key"], json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def is_there(relay: Relay, subscription: dict[str, Any]) -> bool:
    return relay.call("GET", f"/v1/subscriptions/{subscription['id']}").status_code == 200


def test_a_subscription_shows_the_key_that_created_it(relay: Relay, receiver: Receiver) -> None:
    key = key_of(relay)
    made = subscribe(relay, receiver, key)
    assert made["created_by"] == key["id"] == shown(relay, made)["created_by"]
    redis = client(relay)
    record = orjson.loads(redis.hget(SUBSCRIPTIONS, made["id"]))
    del record["created_by"]
    redis.hset(SUBSCRIPTIONS, made["id"], orjson.dumps(record))
    assert shown(relay, made)["created_by"] is None, "of an earlier version it is unknown"


@pytest.mark.parametrize("query", ["", "?subscriptions=keep"])
def test_by_default_subscriptions_are_kept(relay: Relay, receiver: Receiver, query: str) -> None:
    key = key_of(relay)
    made = subscribe(relay, receiver, key)
    assert relay.call("DELETE", f"/v1/api-keys/{key['id']}{query}").status_code == 204
    assert is_there(relay, made)


def test_with_delete_the_keys_subscriptions_are_deleted(relay: Relay, receiver: Receiver) -> None:
    key, other = key_of(relay), key_of(relay)
    mine = [subscribe(relay, receiver, key) for _ in range(2)]
    others = [subscribe(relay, receiver, other), relay.subscribe(receiver, events=["user.deleted"])]
    path = f"/v1/api-keys/{key['id']}"
    problem(relay.call("DELETE", f"{path}?subscriptions=all"), 422, "subscriptions")
    assert all(is_there(relay, one) for one in mine)
    assert relay.call("DELETE", f"{path}?subscriptions=delete").status_code == 204
    assert not any(is_there(relay, one) for one in mine)
    assert all(is_there(relay, one) for one in others)
    entries = [(one["action"], one["subject"]) for one in relay.get("/v1/audit")["data"]]
    assert {("subscription.deleted", one["id"]) for one in mine} <= set(entries)
    assert relay.call("DELETE", f"{path}?subscriptions=delete").status_code == 404
