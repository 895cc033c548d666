"""Several web and worker machines that only share a store: no event is lost or duplicated."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.store.server.keys import Shard
from tests.actions.tools import store_of
from tests.faults.load import Load, all_came_once
from tests.harness import Device, Receiver, Relay, wait_for
from tests.processes import children
from tests.stores import PASSWORD, Server

SHARDS = 3


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[[str], Relay]]:
    """Start a machine with a separate folder that runs `web` or `worker` until the test ends."""
    with ExitStack() as stack:
        server = Server(tmp_path, "store", "appendonly yes", "appendfsync no", 'save ""', password=PASSWORD)
        stack.callback(server.kill)
        made: list[Relay] = []

        def begin(process: str) -> Relay:
            folder = tmp_path / f"machine{len(made)}"
            folder.mkdir()
            made.append(
                Relay(
                    folder,
                    REDIS_URL=server.url,
                    RELAY_SECRET_KEY="made-up-secret-key-for-tests-only-0123456789",
                    RELAY_SHARDS=str(SHARDS),
                    WEB_CONCURRENCY="1",
                )
            )
            stack.callback(made[-1].stop)
            return made[-1].start(process)

        yield begin


def kill_machine(machine: Relay) -> None:
    """Kill all its processes at once with kill -9."""
    pids = [pid for process in machine.processes.values() for pid in (process.pid, *children(process.pid))]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for process in machine.processes.values():
        process.wait(10)
    machine.processes.clear()


def test_two_webs_and_three_workers_deliver_each_event_once_even_if_one_is_killed(
    machine: Callable[[str], Relay], receiver: Receiver
) -> None:
    first, second = machine("web"), machine("web")
    devices = [first.device(device_id=f"MANY{number}") for number in range(9)]
    subscription = first.subscribe(receiver, *devices, events=["attendance.punch"])
    workers = [machine("worker") for _ in range(3)]
    wait_for(lambda: sum(worker.logs().count("delivering for shard") for worker in workers) == SHARDS, 20)
    second_devices = [Device(second, device.id, device.token) for device in devices]
    load = Load([*devices[:5], *second_devices[4:]], 1_200)
    load.wait_for(500)
    wait_for(lambda: len(receiver.events()) > 400)
    names = Counter(event["id"] for event in receiver.events())
    assert max(names.values()) == 1, "with all workers alive nothing comes twice"
    assert len({name[-2:] for name in names}) == SHARDS
    delivering = next(worker for worker in workers if "delivering for shard" in worker.logs())
    kill_machine(delivering)
    load.finish()
    all_came_once(load, receiver, "kill -9: one of three worker machines")
    others = [worker for worker in workers if worker is not delivering]
    assert any("delivering for shard" in worker.logs() for worker in others)
    assert len(first.events(type="attendance.punch")) == len(second.events(type="attendance.punch")) == 1_200
    wait_for(lambda: second.get(f"/v1/subscriptions/{subscription['id']}")["pending"] == 0)


def test_dispatchers_divide_shards_evenly_and_hand_them_over_without_duplicates(
    machine: Callable[[str], Relay], receiver: Receiver
) -> None:
    web, first = machine("web"), machine("worker")
    client = store_of(web)

    def holders() -> set[bytes | None]:
        return {client.get(Shard(number).lease) for number in range(SHARDS)}

    def shared_by(dispatchers: int) -> set[bytes | None] | None:
        """Return who delivers, once each of so many does. While a shard is handed over, nobody has it."""
        found = holders()  # once, because it may change
        return found if None not in found and len(found) == dispatchers else None

    alone = min(SHARDS, os.cpu_count() or 1)  # the number of dispatchers of a single worker
    devices = [web.device(device_id=f"EVEN{number}") for number in range(9)]
    web.subscribe(receiver, *devices, events=["attendance.punch"])
    before = wait_for(lambda: shared_by(alone), 20)
    load = Load(devices, 1_500)
    load.wait_for(200)
    others = [machine("worker") for _ in range(2)]
    wait_for(lambda: shared_by(SHARDS), 20)
    load.finish()
    all_came_once(load, receiver, "a worker is added, or stopped with SIGTERM", tried=2)
    assert max(Counter(event["id"] for event in receiver.events()).values()) == 1
    for worker in others:
        worker.terminate("worker")
    wait_for(lambda: holders() == before, 20)
    assert first.processes
