"""One API key: reading, renaming and rotating it, and when it was last used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from app.settings.table import load
from app.store import Store
from app.store.server.keys import API_KEYS_PREVIOUS, API_KEYS_USED
from tests.harness import Relay, wait_for
from tests.relay.tools import post, problem

FIELDS = {
    "id",
    "name",
    "scopes",
    "key_hint",
    "created_at",
    "device_ids",
    "expires_at",
    "last_used_at",
    "previous_key_hint",
    "previous_key_expires_at",
}


def made_with(relay: Relay, **fields: Any) -> tuple[str, str]:
    """Create a key; return its path and the key itself."""
    made = post(relay, "/v1/api-keys", {"name": "n8n", "scopes": ["events:read"], **fields})
    return f"/v1/api-keys/{made['id']}", made["key"]


def status_of(relay: Relay, key: str) -> int:
    """Return the status that a key gets over a new connection."""
    return requests.get(f"{relay.url}/v1/me", headers={"X-API-Key": key}, timeout=10).status_code


def rotated(relay: Relay, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = relay.call("POST", f"{path}/rotate", json=body or {})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def last_used(relay: Relay, path: str) -> Any:
    return relay.get(path)["last_used_at"]


def test_one_key_is_read_as_the_list_shows_it(relay: Relay) -> None:
    path, key = made_with(relay)
    shown = relay.get(path)
    assert set(shown) == FIELDS and shown["key_hint"] == key[-4:]
    assert shown in relay.get("/v1/api-keys", params={"limit": 200})["data"]
    problem(relay.call("GET", "/v1/api-keys/key_nobody"), 404)
    problem(relay.call("GET", path, key=key), 403)


def test_a_key_shows_when_it_was_last_used(relay: Relay) -> None:
    path, key = made_with(relay)
    assert last_used(relay, path) is None
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert status_of(relay, key) == 200
    used = datetime.fromisoformat(last_used(relay, path))
    assert before <= used <= datetime.now(UTC)
    assert last_used(relay, path).endswith("Z")


def test_a_renamed_key_keeps_working_under_its_new_name(relay: Relay) -> None:
    path, key = made_with(relay, expires_at="2036-11-24T00:00:00Z")
    changed = relay.call("PATCH", path, json={"name": "Payroll"})
    assert changed.status_code == 200 and changed.json()["name"] == "Payroll"
    assert changed.json()["expires_at"] == "2036-11-24T00:00:00.000Z"  # fields that aren't sent don't change
    assert relay.get(path) == changed.json()
    assert relay.get("/v1/me", key=key)["name"] == "Payroll"
    assert relay.call("PATCH", path, json={"expires_at": None}).json()["expires_at"] is None
    assert ("api_key.changed", path.rpartition("/")[2]) in audited(relay)


@pytest.mark.parametrize(
    "body, fields",
    [
        ({"name": ""}, {"name"}),
        ({"name": None}, {"name"}),
        ({"name": "x" * 101}, {"name"}),
        ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at"}),
        ({"scopes": ["admin"]}, {"scopes"}),
    ],
)
def test_an_invalid_change_of_a_key_is_422(relay: Relay, body: dict[str, Any], fields: set[str]) -> None:
    path, _ = made_with(relay)
    problem(relay.call("PATCH", path, json=body), 422, *fields)
    assert relay.get(path)["name"] == "n8n"


def test_after_a_rotation_both_keys_work_until_the_previous_one_expires(relay: Relay) -> None:
    path, old = made_with(relay)
    shown = rotated(relay, path, {"previous_key_expires_in": 2})
    new = shown.pop("key")
    assert new != old and relay.get(path) == shown | {"last_used_at": last_used(relay, path)}
    assert (shown["key_hint"], shown["previous_key_hint"]) == (new[-4:], old[-4:])
    assert relay.get("/v1/me", key=new) == relay.get("/v1/me", key=old)  # the same key, with the same scopes
    wait_for(lambda: status_of(relay, old) == 401, 5)
    assert datetime.now(UTC) >= datetime.fromisoformat(shown["previous_key_expires_at"])
    assert status_of(relay, new) == 200
    after = relay.get(path)
    assert after["previous_key_hint"] is None and after["previous_key_expires_at"] is None
    assert ("api_key.rotated", path.rpartition("/")[2]) in audited(relay)


def test_without_a_time_the_previous_key_works_for_a_day(relay: Relay) -> None:
    path, old = made_with(relay)
    shown = rotated(relay, path)
    until = datetime.fromisoformat(shown["previous_key_expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < until <= timedelta(hours=24)
    assert status_of(relay, old) == 200


def test_a_leaked_key_can_be_replaced_immediately(relay: Relay) -> None:
    path, leaked = made_with(relay)
    shown = rotated(relay, path, {"previous_key_expires_in": 0})
    assert status_of(relay, leaked) == 401 and status_of(relay, shown["key"]) == 200
    assert shown["previous_key_expires_at"] is None and shown["previous_key_hint"] is None


def test_only_the_two_newest_keys_work(relay: Relay) -> None:
    path, first = made_with(relay)
    second = rotated(relay, path)["key"]
    third = rotated(relay, path)["key"]
    assert [status_of(relay, key) for key in (first, second, third)] == [401, 200, 200]


def test_a_previous_key_ends_with_its_key(relay: Relay) -> None:
    path, old = made_with(relay)
    new = rotated(relay, path)["key"]
    assert relay.call("DELETE", path).status_code == 204
    assert [status_of(relay, key) for key in (old, new)] == [401, 401]
    with_end, old = made_with(relay, expires_at=(datetime.now(UTC) + timedelta(seconds=3)).isoformat())
    shown = rotated(relay, with_end)
    assert shown["previous_key_expires_at"] == shown["expires_at"]
    wait_for(lambda: status_of(relay, old) == 401, 6)
    problem(relay.call("POST", f"{with_end}/rotate"), 409)  # a new key would have expired, too


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, "60", None])
def test_an_overlap_that_is_not_possible_is_422(relay: Relay, seconds: Any) -> None:
    path, key = made_with(relay)
    answer = relay.call("POST", f"{path}/rotate", json={"previous_key_expires_in": seconds})
    problem(answer, 422, "previous_key_expires_in")
    assert status_of(relay, key) == 200
    problem(relay.call("POST", "/v1/api-keys/key_nobody/rotate"), 404)


def test_a_repeated_rotation_returns_the_same_key(relay: Relay) -> None:
    path, _ = made_with(relay)
    headers = {"Idempotency-Key": f"rotate {path}"}
    answers = [relay.call("POST", f"{path}/rotate", headers=headers).json() for _ in range(2)]
    assert answers[0] == answers[1]


def test_no_key_is_stored_and_the_upkeep_removes_what_has_ended(relay: Relay) -> None:
    path, old = made_with(relay)
    new = rotated(relay, path, {"previous_key_expires_in": 1})["key"]
    gone, key = made_with(relay)
    assert status_of(relay, key) == 200 and relay.call("DELETE", gone).status_code == 204
    store = Store(load(relay.environment))
    redis = store.connection.redis
    redis.hset(API_KEYS_USED, gone.rpartition("/")[2], "1")  # written by another process at the same moment
    for name in (API_KEYS_PREVIOUS, API_KEYS_USED):
        stored = b" ".join(part for pair in redis.hgetall(name).items() for part in pair)
        assert old.encode() not in stored and new.encode() not in stored
    wait_for(lambda: status_of(relay, old) == 401, 5)
    digest = store.api_keys.digest(old)
    assert redis.hexists(API_KEYS_PREVIOUS, digest)
    store.api_keys.remove_expired()
    assert not redis.hexists(API_KEYS_PREVIOUS, digest)
    assert not redis.hexists(API_KEYS_USED, gone.rpartition("/")[2])
    assert status_of(relay, new) == 200


def audited(relay: Relay) -> list[tuple[str, str]]:
    rows = relay.get("/v1/audit", params={"limit": 200})["data"]
    return [(row["action"], row["subject"]) for row in rows]
