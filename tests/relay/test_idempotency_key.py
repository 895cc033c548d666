"""`Idempotency-Key` for every POST below /v1: a repeated request has no effect, and gets the first response again."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
import requests

from app.settings.table import load
from app.store import Store
from app.store.access.idempotency import Reservation
from app.store.server.connection import make_client
from tests.harness import API_KEY, Relay
from tests.relay.tools import key_with, problem

HOOK = {"target_url": "https://hooks.example/in", "events": ["attendance.punch"]}


@pytest.fixture(autouse=True)
def not_subscribed(relay: Relay) -> None:
    """Delete the subscriptions of earlier tests, which would be returned instead of a new one."""
    for name in ids(relay, "/v1/subscriptions"):
        relay.call("DELETE", f"/v1/subscriptions/{name}?now=true")


@pytest.fixture
def repeated() -> dict[str, Any]:
    """A header with a new key."""
    return {"Idempotency-Key": secrets.token_hex(8)}


def same(first: requests.Response, again: requests.Response) -> None:
    assert again.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("Location", "Content-Type"):
        assert again.headers.get(name) == first.headers.get(name)


def ids(relay: Relay, path: str) -> list[str]:
    return [row["id"] for row in relay.get(f"{path}?limit=200")["data"]]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/subscriptions", HOOK, 201),
        ("/v1/api-keys", {"name": "once", "scopes": ["events:read"]}, 201),
        ("/v1/devices", {"device_id": "ONCE1", "auth_token": "0123456789abcdef0123456789abcdef"}, 201),
        ("/v1/employees", {"employees": [{"user_id": "once", "employee_id": "E1", "name": "Asha"}]}, 200),
    ],
)
def test_a_repeated_request_gets_the_first_response(
    path: str, body: dict[str, Any], status: int, relay: Relay, repeated: dict[str, Any]
) -> None:
    first = relay.call("POST", path, json=body, headers=repeated)
    assert first.status_code == status
    before = relay.get(f"{path}?limit=200")
    # Another order of fields or other whitespace doesn't make it a different request.
    again = relay.call(
        "POST", path, data=json.dumps(dict(reversed(body.items())), indent=1), headers=repeated
    )
    same(first, again)
    assert relay.get(f"{path}?limit=200") == before


def test_a_request_without_a_body_can_be_repeated(relay: Relay, repeated: dict[str, Any]) -> None:
    made = relay.call("POST", "/v1/subscriptions", json=HOOK).json()
    path = f"/v1/subscriptions/{made['id']}/rotate-secret"
    first = relay.call("POST", path, headers=repeated)
    same(first, relay.call("POST", path, headers=repeated))
    assert relay.call("POST", path).json()["secret"] != first.json()["secret"]


def test_another_body_or_path_is_409(relay: Relay, repeated: dict[str, Any]) -> None:
    assert relay.call("POST", "/v1/subscriptions", json=HOOK, headers=repeated).status_code == 201
    before = ids(relay, "/v1/subscriptions")
    for path, body in (
        ("/v1/subscriptions", {**HOOK, "description": "another"}),
        ("/v1/api-keys", HOOK),
        ("/v1/employees", HOOK),
    ):
        answer = relay.call("POST", path, json=body, headers=repeated)
        assert problem(answer, 409)["code"] == "idempotency_key_reused"
    assert ids(relay, "/v1/subscriptions") == before


def test_keys_of_actions_and_other_requests_are_separate(relay: Relay, repeated: dict[str, Any]) -> None:
    device = relay.device(gateway_url="http://127.0.0.1:9/")
    enable = {"device_id": device.id, "user_id": "1"}
    assert relay.call("POST", "/v1/subscriptions", json=HOOK, headers=repeated).status_code == 201
    answer = relay.call("POST", "/v1/actions/enable-user", json=enable, headers=repeated)
    assert problem(answer, 409)["code"] == "idempotency_key_reused"
    other = {"Idempotency-Key": secrets.token_hex(8), "Prefer": "respond-async"}
    assert relay.call("POST", "/v1/actions/enable-user", json=enable, headers=other).status_code == 202
    answer = relay.call("POST", "/v1/subscriptions", json=HOOK, headers=other)
    assert problem(answer, 409)["code"] == "idempotency_key_reused"


def test_keys_of_different_callers_are_separate(relay: Relay, repeated: dict[str, Any]) -> None:
    first = relay.call("POST", "/v1/subscriptions", json=HOOK, headers=repeated).json()
    key = key_with(relay, "subscriptions:write")
    other = relay.call("POST", "/v1/subscriptions", key=key, json=HOOK, headers=repeated)
    assert other.status_code == 201 and other.json()["id"] != first["id"]


def test_a_repeated_invalid_request_gets_the_same_error(relay: Relay, repeated: dict[str, Any]) -> None:
    first = relay.call("POST", "/v1/subscriptions", json={**HOOK, "events": ["x"]}, headers=repeated)
    problem(first, 422)
    same(first, relay.call("POST", "/v1/subscriptions", json={**HOOK, "events": ["x"]}, headers=repeated))


def test_a_401_or_403_is_not_stored(relay: Relay, repeated: dict[str, Any]) -> None:
    key = key_with(relay, "events:read")
    for _ in range(2):
        answer = relay.call("POST", "/v1/subscriptions", key=key, json=HOOK, headers=repeated)
        assert answer.status_code == 403 and "Idempotent-Replayed" not in answer.headers
    assert (
        requests.post(f"{relay.url}/v1/subscriptions", json=HOOK, headers=repeated, timeout=10).status_code
        == 401
    )


def begun(relay: Relay, key: str, body: dict[str, Any]) -> str:
    """Reserve a key as a process does that is killed while it handles a request. Return its name in the store."""
    store = Store(load(relay.environment))
    content = b"POST /v1/subscriptions?\n" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    made = store.idempotency.reserve(relay.get("/v1/me")["id"], key, content)
    assert isinstance(made, Reservation)
    return made.name


def test_a_repeated_request_while_the_first_runs_is_409_with_retry_after(
    relay: Relay, repeated: dict[str, Any]
) -> None:
    begun(relay, repeated["Idempotency-Key"], HOOK)
    answer = relay.call("POST", "/v1/subscriptions", json=HOOK, headers=repeated)
    assert problem(answer, 409)["code"] == "request_in_progress"
    assert int(answer.headers["Retry-After"]) > 0
    other = relay.call("POST", "/v1/subscriptions", json={**HOOK, "description": "b"}, headers=repeated)
    assert problem(other, 409)["code"] == "idempotency_key_reused"


def test_a_request_of_a_killed_process_can_soon_be_sent_again(relay: Relay, repeated: dict[str, Any]) -> None:
    name = begun(relay, repeated["Idempotency-Key"], HOOK)
    client = make_client(load(relay.environment))
    assert 0 < client.ttl(name) <= 60
    client.delete(name)  # as after a minute
    assert relay.call("POST", "/v1/subscriptions", json=HOOK, headers=repeated).status_code == 201
    assert 60 < client.ttl(name) <= 86_400


def test_concurrent_requests_with_the_same_key_are_carried_out_once(
    relay: Relay, repeated: dict[str, Any]
) -> None:
    before = set(ids(relay, "/v1/subscriptions"))

    def post(_: int) -> requests.Response:
        return requests.post(
            f"{relay.url}/v1/subscriptions",
            json=HOOK,
            headers={**repeated, "X-API-Key": API_KEY},
            timeout=30,
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert len(set(ids(relay, "/v1/subscriptions")) - before) == 1


def test_a_key_that_is_too_long_is_refused(relay: Relay) -> None:
    answer = relay.call("POST", "/v1/subscriptions", json=HOOK, headers={"Idempotency-Key": "x" * 256})
    assert problem(answer, 422)["errors"][0]["header"] == "Idempotency-Key"


def test_secrets_are_stored_encrypted(relay: Relay, repeated: dict[str, Any]) -> None:
    made = relay.call("POST", "/v1/subscriptions", json=HOOK, headers=repeated).json()
    key = relay.call(
        "POST", "/v1/api-keys", json={"name": "x", "scopes": ["admin"]}, headers={"Idempotency-Key": "k" + made["id"]}
    ).json()["key"]  # fmt: skip
    store = make_client(load(relay.environment))
    values = [store.get(name) for name in store.scan_iter(match="{g}:idempotency:*")]
    assert len(values) >= 2
    for value in values:
        assert made["secret"].encode() not in value and key.encode() not in value
    assert all(0 < store.ttl(name) <= 86_400 for name in store.scan_iter(match="{g}:idempotency:*"))
