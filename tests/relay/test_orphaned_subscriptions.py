"""Subscriptions whose API key was deleted, or whose target answers 404: in the API, the console and `doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.console.tools import Client
from tests.harness import API_KEY, Device, Receiver, Relay, wait_for


@pytest.fixture
def target() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def reason(relay: Relay, subscription: str) -> str | None:
    """Return the reason, which the list and the single subscription must agree on."""

    def listed() -> str | None:
        rows = relay.get("/v1/subscriptions", params={"limit": 200})["data"]
        (found,) = (row["orphan_reason"] for row in rows if row["id"] == subscription)
        return None if found is None else str(found)

    before, found = listed(), relay.get(f"/v1/subscriptions/{subscription}")["orphan_reason"]
    assert found in (before, listed()), "it may change between two calls"
    return None if found is None else str(found)


def warnings(relay: Relay) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "app", "doctor", "--json"],
        cwd=relay.folder,
        env=relay.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = json.loads(ran.stdout)
    return [*told["warnings"], *told["problems"]]


def pages(relay: Relay, subscription: str) -> str:
    """Return the console's list of subscriptions, and the page of this one."""
    console = Client(relay)
    console.sign_in(API_KEY)
    return "".join(
        console.get(path).text
        for path in ("/console/subscriptions", f"/console/subscriptions/{subscription}")
    )


def test_a_subscription_of_a_deleted_api_key_is_shown(relay: Relay, target: Receiver) -> None:
    key = {"name": "n8n", "scopes": ["subscriptions:write", "events:read"]}
    made = relay.call("POST", "/v1/api-keys", json=key).json()
    body = {"target_url": target.url, "event_types": ["*"]}
    headers = {"Authorization": f"Bearer {made['key']}"}
    subscription = relay.call("POST", "/v1/subscriptions", json=body, headers=headers).json()
    assert subscription["orphan_reason"] is None and reason(relay, subscription["id"]) is None
    assert relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    assert reason(relay, subscription["id"]) == "api_key_deleted"
    (warning,) = (one for one in warnings(relay) if subscription["id"] in one)
    assert warning.startswith("The API keys that created these subscriptions were deleted: ")
    assert "The API key that created this subscription was deleted." in pages(relay, subscription["id"])
    assert "API key deleted" in pages(relay, subscription["id"])
    adopted = relay.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json={}).json()
    assert (adopted["created_by"], adopted["orphan_reason"]) == ("key_first", None)


def test_a_subscription_of_the_first_key_is_not_orphaned(relay: Relay, target: Receiver) -> None:
    body = {"target_url": target.url, "event_types": ["*"]}
    made = relay.call("POST", "/v1/subscriptions", json=body).json()
    assert made["created_by"] == "key_first" and made["orphan_reason"] is None


def test_a_target_that_answers_404_is_shown_until_it_accepts(
    relay: Relay, device: Device, target: Receiver
) -> None:
    target.answer = lambda _: (404, {}, b"")
    made = relay.subscribe(target, device)
    device.send_done(device.punch())
    wait_for(lambda: reason(relay, made["id"]) == "target_not_found")
    (warning,) = (one for one in warnings(relay) if made["id"] in one)
    assert "the workflow was deleted or isn't active" in warning
    assert "The target answers 404." in pages(relay, made["id"])
    target.answer = lambda _: (500, {}, b"")
    device.send_done(device.punch())
    wait_for(lambda: reason(relay, made["id"]) is None)
    target.answer = lambda _: (200, {}, b"")
