"""Whichever process crashes, each command ends once, with its real result. Irreversible commands are sent once."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from tests.actions.tools import ENDED, Machine, kill_dispatcher, machine, soon_asking
from tests.harness import API_KEY, Relay, wait_for
from tests.processes import children

# One command of each kind for a device, in this order. The request that the gateway got identifies each one.
PLAN: list[tuple[str, dict[str, Any]]] = [
    ("add-user", {"user_id": "1", "card_number": "55"}),
    ("delete-log-all", {"confirm": True}),
    ("enroll-fingerprint", {"user_id": "1"}),
    ("load-device-information", {}),
    ("delete-attendance-photo", {"confirm": True}),
]
ONCE = ("delete-log-all", "enroll-fingerprint", "delete-attendance-photo")


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with soon_asking(tmp_path_factory.mktemp("crash"), timeout=5, wait=30) as started:
        yield started


@pytest.fixture
def own_sim(own: Relay) -> Iterator[SimulatorServer]:
    with SimulatorServer(Gateway(own.url)) as started:
        yield started


def ends(relay: Relay, ids: list[str], seconds: float = 40) -> dict[str, dict[str, Any]]:
    """Return all commands, once all have ended."""

    def all_ended() -> dict[str, dict[str, Any]] | None:
        found = {}
        for command_id in ids:
            answer = relay.call("GET", f"/v1/commands/{command_id}")
            if answer.status_code == 503:  # the store didn't answer in time, because the machine is busy
                return None
            assert answer.status_code == 200, answer.text
            found[command_id] = answer.json()
        return found if all(command["status"] in ENDED for command in found.values()) else None

    ended: dict[str, dict[str, Any]] = wait_for(all_ended, seconds, 0.25)
    return ended


def command_events(relay: Relay) -> Counter[str]:
    """Return the number of events about the end of each command."""
    both = relay.events(type="command.*")
    return Counter(event["command_id"] for event in both)


def test_a_worker_killed_during_100_commands_ends_each_once_with_its_real_result(
    own: Relay, own_sim: SimulatorServer
) -> None:
    own.kill("worker")  # so that all 100 are there before the first is sent
    machines = [machine(own, own_sim, {"delay_seconds": 0.4}) for _ in range(20)]
    given: dict[str, tuple[Machine, str]] = {}
    for action, fields in PLAN:
        for one in machines:
            given[one.queued(action, **fields)] = (one, action)
    own.start("worker")

    def received() -> int:
        return sum(one.desk.received_count for one in machines)

    for enough in (10, 35, 60):
        wait_for(lambda enough=enough: received() >= enough)  # type: ignore[misc]
        kill_dispatcher(own)
    commands = ends(own, list(given))
    unknown = 0
    for command_id, (one, action) in given.items():
        command = commands[command_id]
        sent = [body for body in one.bodies if body["OperationID"] == command["operation_id"]]
        if action in ONCE:
            assert len(sent) <= 1, (action, sent)
            assert command["status"] in ("completed", "unknown")
            assert command["status"] == "unknown" or sent
            unknown += command["status"] == "unknown"
        else:
            assert (command["status"], command["status_code"]) == ("completed", 0), command
            assert sent
    assert all("1" in one.device.users for one in machines)
    assert command_events(own) == Counter(list(given))
    assert unknown <= 3 * 20  # after a kill, the result of at most one command per device is unknown
    first = [body for one in machines for body in one.bodies[:1]]
    assert all("Add" in body for body in first)


def test_a_destructive_command_that_was_being_sent_is_unknown_and_not_sent_again(
    own: Relay, own_sim: SimulatorServer
) -> None:
    one = machine(own, own_sim, {"delay_seconds": 3.0})
    command_id = one.queued("delete-all-user", confirm=True)
    behind = one.queued("load-device-information")
    wait_for(lambda: one.bodies)
    kill_dispatcher(own)
    ended = one.ended(command_id)
    assert ended["status"] == "unknown" and "Check the device" in ended["message"]
    assert one.ended(behind)["status"] == "completed"
    assert [body["OperationID"] for body in one.bodies].count(ended["operation_id"]) == 1
    assert command_events(own)[command_id] == 1


def test_a_restart_of_the_worker_loses_no_result(own: Relay, own_sim: SimulatorServer) -> None:
    """After SIGTERM, the worker waits for the commands in progress, and the next worker continues."""
    one = machine(own, own_sim, {"delay_seconds": 1.0})
    first = one.queued("delete-all-user", confirm=True)
    second = one.queued("add-user", user_id="2")
    wait_for(lambda: one.bodies)
    own.terminate("worker")
    assert one.command(first)["status"] == "completed"
    assert one.command(second)["status"] == "queued"
    own.start("worker")
    assert one.ended(second)["status"] == "completed"
    assert len(one.bodies) == 2


def test_a_command_survives_a_crash_of_all_processes(own: Relay, own_sim: SimulatorServer) -> None:
    one = machine(own, own_sim, {"remember_seconds": 0})
    one.device.switch(online=False)
    held = one.act("add-user", user_id="1").json()
    assert held["status"] == "waiting"
    kill_dispatcher(own)
    own.kill("worker", signal.SIGKILL)
    queued = one.queued("load-device-information")
    own.kill("web", signal.SIGKILL)
    own.kill("store", signal.SIGKILL)
    one.device.switch(online=True)
    own.start()
    assert one.ended(queued)["status"] == "completed"
    assert one.ended(held["command_id"], 60)["status"] == "completed"
    assert "1" in one.device.users


def test_a_web_process_killed_during_a_call_does_not_lose_the_command(
    own: Relay, own_sim: SimulatorServer
) -> None:
    one = machine(own, own_sim, {"delay_seconds": 1.5})
    headers = {"Idempotency-Key": "web-killed", "X-API-Key": API_KEY}
    body = {"device_id": one.id, "confirm": True}

    def call() -> requests.Response:
        return requests.post(f"{own.url}/v1/actions/delete-all-user", json=body, headers=headers, timeout=30)

    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(call)
        wait_for(lambda: one.bodies)
        own.kill("web", signal.SIGKILL)
        with suppress(requests.RequestException):
            raise AssertionError(lost.result())
    own.start("web")
    again = call()
    assert (again.status_code, again.json()["status"]) == (200, "completed")
    assert len(one.bodies) == 1


def test_a_restart_of_the_store_loses_no_running_command(own: Relay, own_sim: SimulatorServer) -> None:
    """This includes results that arrived while it restarted, and the calls that wait for them."""
    machines = [machine(own, own_sim, {"delay_seconds": 0.8}) for _ in range(6)]
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(one.act, "delete-all-user", confirm=True) for one in machines]
        wait_for(lambda: all(one.bodies for one in machines))
        queued = [one.queued("add-user", user_id="9") for one in machines]
        own.kill("store", signal.SIGKILL)
        time.sleep(1.5)  # the answers come while it is away
        own.start("store")
        answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [200] * 6, [answer.text for answer in answers]
    assert {command["status"] for command in ends(own, queued).values()} == {"completed"}
    assert all(len([body for body in one.bodies if "Delete" in body]) == 1 for one in machines)
    assert all(count == 1 for count in command_events(own).values())


def test_a_worker_and_store_killed_together_leave_no_process_behind(own: Relay) -> None:
    """RQ failed to sign off from a store that was away, and tried again forever."""
    pids = list(children(own.processes["worker"].pid))
    assert len(pids) == 2
    own.kill("store", signal.SIGKILL)
    wait_for(lambda: "RQ is waiting" in own.logs() or "asking again" in own.logs())
    own.kill("worker", signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 15)
