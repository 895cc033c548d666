"""The result of a command that the gateway holds for a device (5, 6 or no response) is requested again, or unknown."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.store.commands.keys import CommandKeys
from app.store.server.keys import Shard
from simulator.faults import Fault
from simulator.records import User
from tests.actions.tools import KEY, Machine, Maker, change_record, events_of, problem, store_of
from tests.harness import Receiver, wait_for
from workers.rq.removal import _trim

ENROL = ("enroll-fingerprint", {"user_id": "1"})
DESTRUCTIVE: list[tuple[str, dict[str, Any]]] = [
    ("delete-all-user", {"confirm": True}),
    ("delete-log-all", {"confirm": True}),
    ("delete-attendance-photo", {"confirm": True}),
    ENROL,
]


def waiting(answer: Any, code: int | None) -> str:
    """Return the command's ID from a 202 whose status is `waiting`."""
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["status"], body["status_code"]) == ("waiting", code) and body["message"]
    assert answer.headers["Location"] and body["status_url"]
    command_id: str = body["command_id"]
    return command_id


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_command_to_an_offline_device_completes_when_it_is_back(
    key: str | None, quick: Maker, receiver: Receiver
) -> None:
    one = quick(security_key=key, timezone="Asia/Kolkata")
    one.relay.subscribe(receiver, one.registered, events=["command.*"])
    one.device.switch(online=False)
    began = time.monotonic()
    command_id = waiting(one.act("add-user", user_id="1", password="112233"), 5)
    assert time.monotonic() - began < 2  # not RELAY_COMMAND_WAIT: the gateway has answered
    shown = one.command(command_id)
    assert (shown["status"], shown["status_name"]) == ("waiting", "Device Offline")
    assert shown["next_poll_at"] and "when it is back online" in shown["message"]
    assert one.relay.call("GET", f"/v1/commands/{command_id}").headers["Retry-After"]
    rows = one.relay.get("/v1/commands", params={"device_id": one.id, "status": "waiting"})["data"]
    assert [row["command_id"] for row in rows] == [command_id]
    wait_for(lambda: len(one.bodies) >= 2)
    assert not receiver.received and "1" not in one.device.users
    one.device.switch(online=True)
    ended = one.ended(command_id)
    assert (ended["status"], ended["status_code"], ended["next_poll_at"]) == ("completed", 0, None)
    assert len({body["OperationID"] for body in one.bodies}) == 1 and "1" in one.device.users
    (event,) = [got.json for got in receiver.wait(1)]
    assert event["type"] == "command.completed"
    assert (event["command_id"], event["action"], event["user_id"]) == (command_id, "add-user", "1")
    assert (event["status_code"], event["status_name"], event["operation"]) == (
        0,
        "Success",
        "AddUserWithPassword",
    )
    assert event["operation_id"] == ended["operation_id"] and event["device_id"] == one.id
    assert event["occurred_at"].endswith("+05:30") and event["occurred_at_utc"].endswith("Z")
    assert "112233" not in receiver.received[0].body.decode()


def cancelled(one: Machine, command_id: str) -> dict[str, Any]:
    """Cancel the command once it isn't being sent, and return the response."""

    def cancel() -> Any:
        answer = one.relay.call("POST", f"/v1/commands/{command_id}/cancel")
        return answer.json() if answer.ok else problem(answer, 409)["code"] != "command_being_sent"

    ended: dict[str, Any] = wait_for(cancel)
    return ended


def test_a_cancelled_command_that_the_gateway_holds_is_unknown(quick: Maker, receiver: Receiver) -> None:
    one = quick()
    one.relay.subscribe(receiver, one.registered, events=["command.*"])
    one.device.switch(online=False)
    command_id = waiting(one.act("add-user", user_id="1"), 5)
    ended = cancelled(one, command_id)
    assert (ended["status"], ended["status_code"]) == ("unknown", 5) and "may still" in ended["message"]
    assert cancelled(one, command_id) == ended == one.command(command_id)
    assert one.relay.call("DELETE", f"/v1/commands/{command_id}").status_code == 204
    (event,) = [got.json for got in receiver.wait(1)]
    assert (event["type"], event["command_id"]) == ("command.unknown", command_id)
    sent = len(one.bodies)
    other = waiting(one.act("add-user", user_id="2"), 5)
    wait_for(lambda: len(one.bodies) >= sent + 4)  # the other one is polled, this one isn't
    assert {body["OperationID"] for body in one.bodies[sent:]} == {one.command(other)["operation_id"]}


def test_a_read_that_the_gateway_holds_is_cancelled(quick: Maker) -> None:
    one = quick()
    one.device.switch(online=False)
    command_id = waiting(one.act("load-device-information"), 5)
    ended = cancelled(one, command_id)
    assert ended["status"] == "cancelled" and cancelled(one, command_id) == ended
    one.device.switch(online=True)
    assert one.done("load-device-information")["status"] == "completed"  # the device's queue continues


def test_a_command_that_the_device_does_not_acknowledge_is_held_with_status_code_6(quick: Maker) -> None:
    one = quick()
    one.device.punch("1", at=datetime(2026, 11, 20, 8, tzinfo=UTC))
    one.device.switch(timeout=True)
    period = {"start_time": "2026-11-20T00:00:00", "end_time": "2026-11-21T00:00:00"}
    command_id = waiting(one.act("load-log", **period), 6)
    one.device.switch(timeout=False)
    assert one.ended(command_id)["row_count"] == 1


@pytest.mark.parametrize("action", ["add-user", "delete-user"])
def test_status_8_after_a_repeated_add_and_9_after_a_repeated_delete_mean_success(
    action: str, quick: Maker
) -> None:
    """The gateway forgets the commands that it has received."""
    one = quick({"remember_seconds": 0})
    if action == "delete-user":
        one.device.users["1"] = User("1")
    one.device.switch(online=False)
    command_id = waiting(one.act(action, user_id="1"), 5)
    one.device.switch(online=True)
    ended = one.ended(command_id)
    assert (ended["status"], ended["status_code"], ended["status_name"]) == ("completed", 0, "Success")
    assert ("1" in one.device.users) is (action == "add-user")
    again = one.act(action, user_id="1")  # asked for the first time, it is what it says
    assert again.status_code == (409 if action == "add-user" else 404)


@pytest.mark.parametrize(
    "fault",
    [Fault(drop=True, carry_out=True), Fault(delay=3.0, drop=True, carry_out=True)],
    ids=["dropped", "late"],
)
def test_a_lost_response_is_requested_again(fault: Fault, quick: Maker) -> None:
    one = quick({"remember_seconds": 0})
    one.fault(fault)
    command_id = waiting(one.act("add-user", user_id="1"), None)
    assert one.ended(command_id)["status"] == "completed"
    assert len({body["OperationID"] for body in one.bodies}) == 1 < len(one.bodies)


def test_other_status_codes_of_a_held_command_end_it(quick: Maker) -> None:
    one = quick()
    one.fault(Fault(status_code=5), Fault(status_code=11))
    ended = one.ended(waiting(one.act("add-user", user_id="1"), 5))
    assert (ended["status"], ended["status_code"], ended["status_name"]) == (
        "failed",
        11,
        "Device Memory Full",
    )
    one.fault(Fault(status_code=5), Fault(status_code=8))
    ended = one.ended(waiting(one.act("enable-user", user_id="1"), 5))
    assert (ended["status"], ended["status_code"]) == ("failed", 8)  # only after an add it says done


@pytest.mark.parametrize("trouble", ["html", "drop", "busy", "gone"])
def test_network_errors_do_not_end_a_held_command(trouble: str, quick: Maker) -> None:
    one = quick({"remember_seconds": 0})
    one.device.switch(online=False)
    command_id = waiting(one.act("add-user", user_id="1"), 5)
    if trouble == "gone":
        dead = {"gateway_url": "http://127.0.0.1:9/gone", "auth_token": one.registered.token}
        assert one.relay.call("PATCH", f"/v1/devices/{one.id}", json=dead).status_code == 200
        wait_for(lambda: "could not be reached" in one.command(command_id)["message"])
        alive = {"gateway_url": one.sim.command_url(), "auth_token": one.registered.token}
        assert one.relay.call("PATCH", f"/v1/devices/{one.id}", json=alive).status_code == 200
    else:
        wrong = {"html": Fault(body="<html>", http_status=502), "drop": Fault(drop=True)}
        one.fault(*[wrong.get(trouble, Fault(status_code=37))] * 2)
    one.device.switch(online=True)
    assert one.ended(command_id)["status"] == "completed"


@pytest.mark.parametrize(("action", "fields"), DESTRUCTIVE, ids=[action for action, _ in DESTRUCTIVE])
@pytest.mark.parametrize("code", [5, 6])
def test_destructive_commands_and_enrolments_are_sent_once_and_end_as_unknown(
    code: int, action: str, fields: dict[str, Any], quick: Maker
) -> None:
    one = quick()
    one.device.switch(**({"online": False} if code == 5 else {"timeout": True}))
    answer = one.act(action, **fields)
    found = problem(answer, 422)
    assert (found["command_status"], found["status_code"]) == ("unknown", code)
    assert found["code"] == "outcome_unknown"
    assert "Retry-After" not in answer.headers, (
        "a client that repeats it by itself would command the device twice"
    )
    assert "Check the device" in found["detail"]
    shown = one.command(found["command_id"])
    assert (shown["status"], shown["next_poll_at"]) == ("unknown", None)
    (event,) = events_of(one, "command.unknown")
    assert (event["command_id"], event["status"], event["status_code"]) == (
        found["command_id"],
        "unknown",
        code,
    )
    assert not events_of(one, "command.failed")
    probe = waiting(one.act("load-device-information"), code)
    wait_for(lambda: len([body for body in one.bodies if "Load" in body]) >= 3)
    assert len([body for body in one.bodies if "Load" not in body]) == 1
    one.device.switch(online=True, timeout=False)
    one.ended(probe)
    refused = problem(one.act(action, **fields), 409)
    assert (refused["code"], refused["command_id"]) == ("outcome_unknown", found["command_id"])
    assert one.act(action, headers={"Idempotency-Key": f"meant for {one.id}"}, **fields).status_code == 200
    assert one.act(action, **fields).status_code == 200, "the last one's outcome is known"


@pytest.mark.parametrize("fault", [Fault(drop=True), Fault(delay=3.0)], ids=["dropped", "late"])
def test_a_destructive_command_without_a_response_is_unknown(fault: Fault, quick: Maker) -> None:
    one = quick()
    one.fault(fault)
    found = problem(one.act("delete-all-user", confirm=True), 422)
    assert (found["command_status"], found["status_code"]) == ("unknown", None)
    assert len(one.bodies) == 1


@pytest.mark.parametrize("code", [5, 6])
def test_a_command_held_for_a_day_fails(code: int, quick: Maker, receiver: Receiver) -> None:
    one = quick()
    one.relay.subscribe(receiver, one.registered, events=["command.failed"])
    one.device.switch(**({"online": False} if code == 5 else {"timeout": True}))
    headers = {"Idempotency-Key": f"day-{one.id}"}
    command_id = waiting(one.act("enable-user", user_id="1", headers=headers), code)
    shown = one.command(command_id)
    life = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["created_at"])
    assert life == timedelta(days=1)
    change_record(one, command_id, expires_at=datetime.now(UTC).isoformat())
    ended = one.ended(command_id)
    assert (ended["status"], ended["status_code"]) == ("failed", code)
    assert receiver.wait(1)[0].json["command_id"] == command_id
    found = problem(one.act("enable-user", user_id="1", headers=headers), 422)
    assert found["command_id"] == command_id and "for a day" in found["detail"]


def test_the_last_poll_is_at_the_end_of_the_day(quick: Maker) -> None:
    """However long the schedule's last step is, the device may be back in the last hour."""
    one = quick()
    one.device.switch(online=False)
    command_id = waiting(one.act("enable-user", user_id="1"), 5)
    client = store_of(one.relay)
    client.hset(f"{{s0}}:command:{command_id}", "attempts", 50)  # after the schedule's end, hourly
    end = datetime.now(UTC) + timedelta(seconds=4)
    change_record(one, command_id, expires_at=end.isoformat())
    wait_for(
        lambda: (
            one.command(command_id)["next_poll_at"]
            == end.strftime("%Y-%m-%dT%H:%M:%S.") + f"{end.microsecond // 1000:03d}Z"
        )
    )
    client.close()
    assert one.ended(command_id)["status"] == "failed"
    assert datetime.now(UTC) > end - timedelta(seconds=1.5)


def test_other_commands_continue_while_one_is_held(quick: Maker) -> None:
    one = quick()
    one.device.users["1"] = User("1")
    one.fault(Fault(status_code=5))
    command_id = waiting(one.act("disable-user", user_id="1"), 5)
    one.done("load-device-information")
    assert one.ended(command_id)["status"] == "completed"


def test_commands_of_a_removed_device_end(quick: Maker) -> None:
    one = quick({"delay_seconds": 0.5})
    one.fault(Fault(status_code=5))
    held = waiting(one.act("enable-user", user_id="1"), 5)
    running = one.queued("load-device-information")
    queued = [one.queued("add-user", user_id=str(number)) for number in range(3)]
    assert one.relay.call("DELETE", f"/v1/devices/{one.id}").status_code == 204
    assert [one.ended(command_id)["status"] for command_id in queued] == ["failed"] * 3
    assert one.ended(running)["status"] in ("completed", "failed")
    assert one.ended(held)["status"] == "unknown"
    assert not one.device.users
    rows = one.relay.get("/v1/commands", params={"device_id": one.id})["data"]
    assert len(rows) == 5  # the list still shows who sent which command


def test_changes_of_a_device_apply_to_queued_commands(quick: Maker) -> None:
    for change in ({"mode": "hybrid_db"}, {"gateway_url": None}):
        one: Machine = quick({"delay_seconds": 3})
        one.queued("load-device-information")
        wait_for(lambda machine=one: machine.bodies)
        command_id = one.queued("delete-all-user", confirm=True)
        assert one.relay.call("PATCH", f"/v1/devices/{one.id}", json=change).status_code == 200
        ended = one.ended(command_id)
        assert ended["status"] == "failed" and "not sent" in ended["message"]
        assert len(one.bodies) == 1


def test_a_command_not_sent_within_a_day_is_never_sent(quick: Maker) -> None:
    """After a weekend without a worker, nobody expects Friday's delete-all-user on Monday."""
    one = quick({"delay_seconds": 0.7})
    one.queued("load-device-information")
    command_id = one.queued("delete-all-user", confirm=True)
    change_record(one, command_id, expires_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
    ended = one.ended(command_id)
    assert (ended["status"], ended["sent_at"]) == ("failed", None) and "not sent" in ended["message"]
    one.done("load-device-information")
    assert all("Delete" not in body for body in one.bodies)


def test_commands_older_than_the_retention_period_are_not_listed(quick: Maker) -> None:
    one = quick()
    made = one.done("load-device-information")["command_id"]
    client, keys = store_of(one.relay), CommandKeys(Shard(0))
    gone, both = keys.of_device("GONE"), keys.of_device(f"{one.id}-both")
    day_ms, now_ms = 86_400_000, int(time.time() * 1000)
    for name in (gone, both):
        client.xadd(name, {"c": "cmd_old"}, id=f"{now_ms - 33 * day_ms}-1")
    client.xadd(both, {"c": "cmd_new"}, id=f"{now_ms - 31 * day_ms}-1")  # it ended within a day or so
    _trim(client, Shard(0), now_ms - 30 * day_ms, str(now_ms - 30 * day_ms))
    assert not client.exists(gone)
    assert [fields for _, fields in client.xrange(both)] == [{b"c": b"cmd_new"}]
    client.close()
    rows = one.relay.get("/v1/commands", params={"device_id": one.id})["data"]
    assert [row["command_id"] for row in rows] == [made]
