"""Attempts with wrong keys are limited by address, without effect on other callers. Contract §5."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import requests

from app.store.access.failed_attempts import MOST, WINDOW_SECONDS, network_of
from tests.console.tools import Client
from tests.harness import Relay
from tests.relay.tools import key_with, post, problem


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay behind one proxy. The tests act as the proxy, and set the address of each request."""
    made = Relay(tmp_path_factory.mktemp("proxied"), RELAY_TRUSTED_PROXIES="1").start("store", "web")
    yield made
    made.stop()


def status_from(relay: Relay, address: str, key: str | None, path: str = "/v1/me") -> int:
    return relay.call("GET", path, key=key, headers={"X-Forwarded-For": address}).status_code


def barred(relay: Relay, address: str) -> None:
    """Send wrong keys from an address until all web processes refuse it."""
    statuses = []
    while statuses[-20:] != [429] * 20:
        # separate connections reach both processes
        answer = requests.get(
            f"{relay.url}/v1/me",
            headers={"X-API-Key": secrets.token_urlsafe(24), "X-Forwarded-For": address},
            timeout=10,
        )
        statuses.append(answer.status_code)
        assert len(statuses) < 2 * MOST
    assert statuses[:MOST] == [401] * MOST and set(statuses[MOST:]) == {429}
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS
    problem(answer, 429)


def test_wrong_keys_are_limited_by_address_without_effect_on_others(proxied: Relay) -> None:
    fresh = key_with(proxied, "events:read")
    barred(proxied, "198.51.100.1")
    for key in (secrets.token_urlsafe(24), fresh):  # keys aren't even checked, so that guessing is useless
        assert status_from(proxied, "198.51.100.1", key) == 429
    assert status_from(proxied, "198.51.100.1", None) == 401  # a request without a key isn't an attempt
    assert status_from(proxied, "198.51.100.1", None, "/health") == 200
    assert status_from(proxied, "198.51.100.2", secrets.token_urlsafe(24)) == 401
    assert status_from(proxied, "198.51.100.2", fresh) == 200


def test_callers_who_share_a_guessers_address_can_continue_for_now(proxied: Relay) -> None:
    made = post(proxied, "/v1/api-keys", {"name": "n8n", "scopes": ["events:read"]})
    for _ in range(20):  # both processes have seen that the key works
        requests.get(f"{proxied.url}/v1/me", headers={"X-API-Key": made["key"]}, timeout=10)
    barred(proxied, "198.51.100.3")
    for _ in range(20):
        answer = requests.get(
            f"{proxied.url}/v1/me",
            headers={"X-API-Key": made["key"], "X-Forwarded-For": "198.51.100.3"},
            timeout=10,
        )
        assert answer.status_code == 200
    assert proxied.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    assert status_from(proxied, "198.51.100.3", made["key"]) in (401, 429)


def test_guessing_keys_at_the_consoles_sign_in_counts_like_all_attempts(proxied: Relay) -> None:
    client = Client(proxied)
    client.session.headers["X-Forwarded-For"] = "198.51.100.5"
    assert client.sign_in(secrets.token_urlsafe(24)).status_code == 401
    statuses = [status_from(proxied, "198.51.100.5", secrets.token_urlsafe(24)) for _ in range(MOST + 20)]
    assert statuses[-1] == 429
    answer = client.sign_in(secrets.token_urlsafe(24))
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS


def test_callbacks_are_never_limited(proxied: Relay) -> None:
    """All devices share a few addresses of the gateway, which would hold back all their callbacks after a 429."""
    device = proxied.device()
    unknown_token = {**device.punch()["RealTime"], "AuthToken": "0" * 32}
    barred(proxied, "198.51.100.4")
    headers = {"X-Forwarded-For": "198.51.100.4"}
    for _ in range(MOST + 10):
        assert device.send({"RealTime": unknown_token}, headers=headers).status_code == 401
    assert device.send(device.punch(), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "address, network",
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("_hidden", "unknown"),
        ("x" * 5000, "unknown"),
        ("1.2.3.4.5}:other:key", "unknown"),
    ],
)
def test_addresses_in_a_customers_network_count_as_one(address: str, network: str) -> None:
    assert network_of(address) == network
