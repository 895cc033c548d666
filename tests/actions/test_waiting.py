"""How long a call waits, the content of a 202, Idempotency-Key, and the list of commands."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.actions.tools import Machine, Maker, events_of, key_with, problem
from tests.harness import API_KEY, Receiver, Relay, wait_for


@pytest.fixture
def slow(make: Maker) -> Machine:
    return make({"delay_seconds": 1.0})


def test_200_has_what_the_contract_lists(one: Machine) -> None:
    answer = one.done("add-user", user_id="55")
    assert answer["command_id"].startswith("cmd_") and answer["operation_id"]
    assert (answer["action"], answer["device_id"], answer["user_id"]) == ("add-user", one.id, "55")


NOT_TO_WAIT = (
    *("respond-async", "Respond-Async", "wait=0", "wait=0.2"),
    *("handling=lenient, wait=0", "respond-async; x=1"),
)


def test_a_call_with_respond_async_is_202(make: Maker) -> None:
    """The device takes far longer than any of these calls, so the response is sent before its answer."""
    delay = 5.0
    given = [
        (machine, _not_waited_for(machine, prefer, delay))
        for prefer in NOT_TO_WAIT
        for machine in [make({"delay_seconds": delay})]
    ]
    for machine, status_url in given:
        machine.ended(status_url.rpartition("/")[2])
        ended = machine.relay.session.get(status_url, headers={"X-API-Key": API_KEY})
        assert "Retry-After" not in ended.headers
        assert (ended.json()["status"], ended.json()["registered_users"]) == ("completed", 0)


def _not_waited_for(machine: Machine, prefer: str, delay: float) -> str:
    """Send a command with this `Prefer`, which must not wait, and return the status URL."""
    began = time.monotonic()
    answer = machine.act("load-device-information", headers={"Prefer": prefer})
    assert time.monotonic() - began < delay, prefer
    assert answer.status_code == 202, prefer
    body = answer.json()
    assert body["status"] in ("queued", "sending") and body["status_code"] is None
    location = answer.headers["Location"]
    # A platform can send GET to it unchanged.
    assert location == body["status_url"] == f"{machine.relay.url}/v1/commands/{body['command_id']}"
    assert int(answer.headers["Retry-After"]) > 0
    running = machine.relay.session.get(location, headers={"X-API-Key": API_KEY})
    assert running.status_code == 200 and running.headers["Retry-After"]
    assert running.json()["status"] in ("queued", "sending")
    return location


@pytest.mark.parametrize(
    "prefer", ["wait=10", 'wait="10"', "respond-async, wait=10", "wait=none", "return=minimal", ""]
)
def test_a_call_with_prefer_wait_returns_the_result(prefer: str, slow: Machine) -> None:
    """With respond-async and a wait, 202 comes after the wait (RFC 7240)."""
    assert slow.act("load-device-information", headers={"Prefer": prefer}).status_code == 200


def test_a_call_without_prefer_waits_for_the_configured_time(quick: Maker) -> None:
    one = quick({"delay_seconds": 1.5})
    assert one.act("load-device-information").status_code == 200


def test_the_same_idempotency_key_and_body_return_the_same_command(one: Machine) -> None:
    headers = {"Idempotency-Key": f"order-{one.id}"}
    first = one.done("add-user", user_id="1", headers=headers)
    assert one.done("add-user", user_id="1", headers=headers) == first
    # The order of fields and a null make no difference.
    body = {"last_name": None, "user_id": "1", "device_id": one.id}
    again = one.relay.call("POST", "/v1/actions/add-user", json=body, headers=headers)
    assert again.json()["command_id"] == first["command_id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(one.bodies) == 1


def test_the_same_idempotency_key_with_another_body_is_409(one: Machine, make: Maker) -> None:
    headers = {"Idempotency-Key": f"order-{one.id}"}
    one.done("add-user", user_id="1", headers=headers)
    problem(one.act("add-user", user_id="2", headers=headers), 409)
    problem(one.act("add-user", user_id="1", first_name="A", headers=headers), 409)
    problem(one.act("add-user-without-template", user_id="1", headers=headers), 409)
    problem(make().act("add-user", user_id="1", headers=headers), 409)
    assert len(one.bodies) == 1
    other_key = key_with(one.relay, "actions:write")
    answer = one.act("add-user", user_id="2", headers=headers, key=other_key)
    assert answer.status_code == 200  # each caller has separate keys


def test_a_failure_is_replayed_but_an_invalid_body_does_not_use_up_the_key(one: Machine) -> None:
    headers = {"Idempotency-Key": f"order-{one.id}"}
    problem(one.act("delete-user", headers=headers), 422, "user_id")
    first = problem(one.act("delete-user", user_id="1", headers=headers), 404)
    again = problem(one.act("delete-user", user_id="1", headers=headers), 404)
    assert again.pop("request_id") != first.pop("request_id") and again == first
    assert len(one.bodies) == 1


def test_concurrent_calls_with_the_same_idempotency_key_create_one_command(slow: Machine) -> None:
    headers = {"Idempotency-Key": f"at-once-{slow.id}"}
    with ThreadPoolExecutor(12) as pool:
        calls = [
            pool.submit(slow.act, "enroll-fingerprint", user_id="1", headers=dict(headers)) for _ in range(12)
        ]
    answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["command_id"] for answer in answers}) == 1
    assert len(slow.bodies) == 1


def test_an_idempotency_key_that_is_too_long_is_refused(one: Machine) -> None:
    problem(one.act("add-user", user_id="1", headers={"Idempotency-Key": "x" * 256}), 422, "Idempotency-Key")


def listed(one: Machine, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = one.relay.get("/v1/commands", params={"device_id": one.id, "cursor": cursor, **query})
        rows += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return rows
        assert page["data"]


def test_the_list_shows_commands_and_their_senders_newest_first(one: Machine) -> None:
    for number in range(5):
        one.done("add-user", user_id=str(number), password="90817263")
    problem(one.act("add-user", user_id="1"), 409)
    rows = listed(one, limit=2)
    assert [row["user_id"] for row in rows] == ["1", "4", "3", "2", "1", "0"]
    assert [row["status"] for row in rows] == ["failed", *["completed"] * 5]
    assert {row["action"] for row in rows} == {"add-user"} and all(row["requested_by"] for row in rows)
    assert [row["user_id"] for row in listed(one, status="failed")] == ["1"]
    assert len(listed(one, status="completed", limit=1)) == 5
    assert listed(one, status="cancelled") == []
    assert "90817263" not in str(rows)
    everybody = one.relay.get("/v1/commands", params={"limit": 1})
    assert everybody["data"][0]["command_id"] == rows[0]["command_id"] and everybody["next_cursor"]


def test_the_list_is_sorted_newest_first_across_shards_and_pages(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    own = Relay(tmp_path_factory.mktemp("shards"), RELAY_SHARDS="3")
    own.start("store", "web")
    try:
        machines = [own.device(gateway_url="http://127.0.0.1:9/nowhere") for _ in range(7)]
        made = []
        for number in range(35):
            body = {"device_id": machines[number % 7].id}
            headers = {"Prefer": "respond-async"}
            answer = own.call("POST", "/v1/actions/load-device-information", json=body, headers=headers)
            made.append(answer.json()["command_id"])
        shards = {command_id[4:6] for command_id in made}
        assert len(shards) > 1
        for limit in (1, 4, 200):
            found: list[str] = []
            cursor = None
            while True:
                page = own.get("/v1/commands", params={"limit": limit, "cursor": cursor, "status": "queued"})
                found += [row["command_id"] for row in page["data"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert found == made[::-1]
    finally:
        own.stop()


def test_the_list_shows_the_name_of_the_api_key(one: Machine) -> None:
    one.done("load-device-information", key=key_with(one.relay, "actions:read"))
    (row,) = listed(one)
    assert row["requested_by"] == "of a test"
    assert {"created_at", "sent_at", "ended_at", "operation_id", "status_code"} <= row.keys()


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=0:9999999999999999999999-1",
        "cursor=0:1-",
        "cursor=٣:1-1",
    ],
)
def test_an_invalid_parameter_is_named(query: str, one: Machine) -> None:
    problem(one.relay.call("GET", f"/v1/commands?{query}"), 422, query.partition("=")[0])


@pytest.mark.parametrize(
    "name", ["cmd_nothing", "cmd_00" + "0" * 24, "evt_00" + "0" * 24, "cmd_zz" + "0" * 24]
)
def test_an_unknown_command_is_404(name: str, one: Machine) -> None:
    problem(one.relay.call("GET", f"/v1/commands/{name}"), 404)
    problem(one.relay.call("DELETE", f"/v1/commands/{name}"), 404)


def test_only_a_command_that_was_not_sent_can_be_cancelled(slow: Machine) -> None:
    waiting = []
    first = slow.queued("load-device-information")
    wait_for(lambda: slow.bodies)
    with ThreadPoolExecutor(1) as pool:
        waiting.append(pool.submit(slow.act, "delete-all-user", confirm=True))
        second = wait_for(lambda: [row for row in listed(slow) if row["action"] == "delete-all-user"])[0][
            "command_id"
        ]
        shown = slow.relay.call("POST", f"/v1/commands/{second}/cancel")
        assert shown.status_code == 200 and shown.json() == slow.command(second)
        assert problem(waiting[0].result(), 409)["code"] == "command_cancelled"
        (event,) = events_of(slow, "command.cancelled")
        assert (event["command_id"], event["status_code"]) == (second, None) and "Cancelled" in event[
            "message"
        ]
    for method, path in (("POST", "{}/cancel"), ("DELETE", "{}")):
        answer = slow.relay.call(method, f"/v1/commands/{path.format(first)}")
        assert problem(answer, 409)["code"] == "command_being_sent"
    assert slow.ended(first)["status"] == "completed"
    for method, path, status in (("POST", "{}/cancel", 200), ("DELETE", "{}", 204)):
        answer = slow.relay.call(method, f"/v1/commands/{path.format(first)}")
        assert problem(answer, 409)["code"] == "command_ended"
        assert slow.relay.call(method, f"/v1/commands/{path.format(second)}").status_code == status
    assert slow.command(second)["status"] == "cancelled"
    assert len(events_of(slow, "command.cancelled")) == 1
    slow.done("load-device-information")
    assert [next(iter(body)) for body in slow.bodies] == ["Load", "Load"]


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=5", "wait=5"),
        ("wait=2.5", "wait=2.5"),
        ("wait=900", "wait=120"),
        ("respond-async", "respond-async"),
        ("respond-async, wait=7", "wait=7"),
        ("return=minimal", None),
    ],
)
def test_the_response_contains_the_applied_preference(prefer: str, applied: str | None, one: Machine) -> None:
    answer = one.act("load-device-information", headers={"Prefer": prefer})
    assert answer.ok and answer.headers.get("Preference-Applied") == applied
    failed = one.act("delete-user", user_id="nobody", headers={"Prefer": "wait=9"})
    assert (failed.status_code, failed.headers["Preference-Applied"]) == (404, "wait=9")


def test_cancelling_a_command_requires_the_scope_to_send_it(slow: Machine) -> None:
    slow.queued("load-device-information")
    second = slow.queued("delete-all-user", confirm=True)
    for scope in ("actions:read", "actions:write"):
        key = key_with(slow.relay, scope)
        problem(slow.relay.call("DELETE", f"/v1/commands/{second}", key=key), 403)
        problem(slow.relay.call("POST", f"/v1/commands/{second}/cancel", key=key), 403)
    key = key_with(slow.relay, "actions:destructive")
    assert slow.relay.call("DELETE", f"/v1/commands/{second}", key=key).status_code == 204


def test_a_subscription_can_filter_command_events_by_action(slow: Machine, receiver: Receiver) -> None:
    def begun() -> str:
        answer = slow.act("load-device-information", headers={"Prefer": "respond-async"})
        return str(answer.json()["command_id"])

    first, second, third = begun(), begun(), begun()
    made = slow.relay.subscribe(
        receiver, slow.registered, events=["command.*"], filters={"command_ids": [second, third]}
    )
    assert made["filters"]["command_ids"] == sorted([second, third])
    slow.ended(third)
    receiver.wait(2)
    assert [event["command_id"] for event in receiver.events()] == [second, third]
    assert first not in {event["command_id"] for event in receiver.events()}
