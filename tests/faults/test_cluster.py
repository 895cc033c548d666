"""A Cluster whose servers fail: their data waits on disk or is taken over by a replica, and the rest continues."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from redis.crc import key_slot

from tests.delivery.tools import shown
from tests.faults import ledger
from tests.faults.load import Load, all_came_once, events_by_identity
from tests.harness import Device, Received, Receiver, Relay, wait_for
from tests.stores import Cluster, Server, cluster

SECRET_KEY = "made-up-secret-key-for-tests-only-0123456789"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[Cluster, Relay]]]:
    """Start a Cluster and a relay that uses it. Both are stopped after the test."""
    with ExitStack() as stack:

        def begin(replicas: bool = False, **environment: str) -> tuple[Cluster, Relay]:
            made = stack.enter_context(cluster(tmp_path, replicas=replicas))
            given = {"REDIS_URL": made.url, "RELAY_RQ_URL": made.rq.url, "RELAY_SHARDS": "4"}
            relay = Relay(tmp_path, RELAY_SECRET_KEY=SECRET_KEY, **given, **environment)
            stack.callback(relay.stop)
            return made, relay.start()

        yield begin


def server_of(made: Cluster, tag: str) -> Server:
    """Return the master with the keys of a hash tag."""
    return made.masters[key_slot(tag.encode()) * 3 // 16_384]


def devices_of_all_shards(relay: Relay) -> list[Device]:
    return [relay.device(device_id=f"SHARDED{number}") for number in range(12)]


def test_a_server_that_was_away_temporarily_loses_nothing(
    start: Callable[..., tuple[Cluster, Relay]], receiver: Receiver
) -> None:
    made, relay = start()
    devices = devices_of_all_shards(relay)
    subscription = relay.subscribe(receiver, *devices)
    load = Load(devices, 900)
    load.wait_for(250)
    away = server_of(made, "s0")
    away.kill()
    load.wait_for(500)  # on disk meanwhile
    away.start()
    load.finish()
    all_came_once(load, receiver, "a Cluster's master unreachable for a while", seconds=60)
    wait_for(lambda: shown(relay, subscription)["delivered"] >= 900, 20)


@pytest.mark.parametrize("durability", ["os", "replica"])
def test_a_replica_that_takes_over_has_everything_it_confirmed(
    start: Callable[..., tuple[Cluster, Relay]], receiver: Receiver, durability: str
) -> None:
    made, relay = start(replicas=True, RELAY_DURABILITY=durability)
    devices = devices_of_all_shards(relay)
    relay.subscribe(receiver, *devices)
    load = Load(devices, 900)
    load.wait_for(250)
    killed = server_of(made, "s0")
    killed.kill()
    if durability == "replica":
        load.wait_for(400)
        wait_for(
            lambda: any(
                replica.client().info("replication")["role"] == "master" for replica in made.replicas
            ),
            30,
        )
        killed.start()  # it becomes the replica that can confirm again
    load.finish()
    if durability == "replica":
        all_came_once(load, receiver, "a Cluster's master lost, durability replica", seconds=60)
    else:
        deadline = time.monotonic() + 10
        while lost := set(load.acknowledged) - events_by_identity(receiver).keys():
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        twice = sum(names.total() - 1 for names in events_by_identity(receiver).values())
        ledger.enter(
            "a Cluster's master lost, durability os (data may be lost)",
            tried=1,
            acknowledged=len(load.acknowledged),
            lost=len(lost),
            twice=twice,
        )


def test_with_durability_replica_nothing_is_acknowledged_without_a_replica(
    start: Callable[..., tuple[Cluster, Relay]],
) -> None:
    _, relay = start(RELAY_DURABILITY="replica", RELAY_SPOOL="off")
    device = relay.device()
    assert device.send(device.punch()).status_code == 503
    assert any("replica" in warning for warning in relay.get("/health")["warnings"])


@pytest.mark.parametrize("back", [True, False])
def test_losing_rqs_data_loses_no_retry(
    start: Callable[..., tuple[Cluster, Relay]], receiver: Receiver, back: bool
) -> None:
    made, relay = start(RELAY_RETRY_SCHEDULE="2,2")
    devices = devices_of_all_shards(relay)
    relay.subscribe(receiver, *devices)
    failed: set[str] = set()

    def fail_once(got: Received) -> tuple[int, dict[str, str], bytes]:
        name = got.headers["webhook-id"]
        if name in failed:
            return 200, {}, b""
        failed.add(name)
        return 500, {}, b""

    receiver.answer = fail_once
    for device in devices:
        device.send_done(device.punch())
    receiver.wait(12)
    made.rq.kill()
    if back:
        made.rq.start()  # empty, because it doesn't persist anything
    receiver.wait(24, 20)
    assert {got.headers["webhook-id"] for got in receiver.received} == failed


def test_a_web_process_starts_while_the_cluster_is_away(start: Callable[..., tuple[Cluster, Relay]]) -> None:
    made, relay = start()
    device = relay.device()
    relay.kill("web")
    relay.kill("worker")
    for server in made.masters:
        server.kill()
    relay._start("web")
    wait_for(lambda: relay_answers(relay), 20)
    assert device.send(device.punch()).status_code == 503
    for server in made.masters:
        server.start()
    wait_for(lambda: device.send(device.punch()).status_code == 200, 30, 0.5)


def relay_answers(relay: Relay) -> bool:
    try:
        return requests.get(f"{relay.url}/health", timeout=5).status_code in (200, 503)
    except requests.RequestException:
        return False
