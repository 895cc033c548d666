"""The master under Sentinel is killed under load. The relay continues automatically and, at `replica`, loses nothing.

Duplicates are allowed, but acknowledged events must not be lost. At `os`, replication is asynchronous, so the number
of lost events is only printed.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.command_line import run_for
from tests.delivery.tools import shown
from tests.faults import ledger
from tests.faults.load import Load, events_by_identity
from tests.harness import Received, Receiver, Relay, wait_for
from tests.stores import PASSWORD, SENTINEL_PASSWORD, Pair, Server, sentinel_pair

SECRET_KEY = "made-up-secret-key-for-tests-only-0123456789"
GOES_ON_SECONDS = 10.0  # about 2 on an idle machine, most of it Sentinel's own


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[Pair, Relay]]]:
    """Start a replicated store and a relay that uses it. Both are stopped after the test."""
    with ExitStack() as stack:

        def begin(replicas: int = 1, **environment: str) -> tuple[Pair, Relay]:
            pair = stack.enter_context(sentinel_pair(tmp_path, replicas))
            relay = Relay(tmp_path, REDIS_URL=pair.url, RELAY_SECRET_KEY=SECRET_KEY, **environment)
            stack.callback(relay.stop)
            return pair, relay.start()

        yield begin


def fail_over(pair: Pair) -> Server:
    """Kill the master with kill -9, wait until the sentinels have another one, and return the dead one."""
    killed = pair.master()
    killed.kill()
    wait_for(lambda: pair.master() is not killed, 20)
    return killed


@pytest.mark.timeout(
    240
)  # sentinels on a busy machine wait half a minute before they trust their clocks again
@pytest.mark.parametrize(
    ("durability", "spool", "replicas"),
    [("os", "on", 1), ("os", "off", 1), ("replica", "on", 1), ("replica", "off", 2)],
)
def test_a_failover_under_load_loses_nothing_that_a_replica_confirmed(
    start: Callable[..., tuple[Pair, Relay]], receiver: Receiver, durability: str, spool: str, replicas: int
) -> None:
    pair, relay = start(replicas, RELAY_DURABILITY=durability, RELAY_SPOOL=spool)
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices)
    load = Load(devices, 1_200)
    load.wait_for(300)
    killed = fail_over(pair)
    if durability == "replica" and replicas == 1:
        killed.start()  # nothing can be confirmed until Sentinel has made it a replica; callbacks wait on disk
    load.finish()
    moments = sorted(load.acknowledged.values())
    silence = max(later - earlier for earlier, later in itertools.pairwise(moments))
    deadline = time.monotonic() + (90 if durability == "replica" else 5)
    while lost := set(load.acknowledged) - events_by_identity(receiver).keys():
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    found = events_by_identity(receiver)
    ledger.enter(
        f"a master under Sentinel lost, durability {durability}{' (data may be lost)' * (durability == 'os')}",
        tried=1,
        acknowledged=len(load.acknowledged),
        lost=len(lost),
        twice=sum(names.total() - 1 for names in found.values()),
    )
    several = {punch: set(names) for punch, names in found.items() if len(names) > 1}
    print(
        f"\nnone acknowledged for {silence:.1f} s, statuses {dict(load.statuses)}, {len(several)} under two ids"
    )
    assert silence < GOES_ON_SECONDS
    if durability == "replica":
        assert lost == set()
        assert several == {}, "one callback, one event"


def test_a_retry_job_lost_in_a_failover_is_still_run(
    start: Callable[..., tuple[Pair, Relay]], receiver: Receiver
) -> None:
    """The worker assumes that it was saved. After the failover, the store only contains the queued event."""
    pair, relay = start(RELAY_RETRY_SCHEDULE="1")
    device = relay.device()
    relay.subscribe(receiver, device)
    master, replica = pair.servers

    def fail_once(got: Received) -> tuple[int, dict[str, str], bytes]:
        if len(receiver.received) > 1:
            return 200, {}, b""
        time.sleep(0.3)  # the event is on the replica by now
        replica.process.send_signal(signal.SIGSTOP)
        master.client().execute_command("CLIENT", "KILL", "TYPE", "replica")
        return 500, {}, b""

    receiver.answer = fail_once
    device.send_done(device.punch())
    receiver.wait(1)
    time.sleep(0.5)  # by now the master knows of the retry
    master.kill()
    replica.process.send_signal(signal.SIGCONT)
    receiver.wait(2, 20)
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1


def test_an_event_is_delivered_only_once_a_replica_has_it(
    start: Callable[..., tuple[Pair, Relay]], receiver: Receiver
) -> None:
    """Otherwise, an event that is lost in a failover and sent again would be delivered with another ID."""
    pair, relay = start(RELAY_DURABILITY="replica", RELAY_SPOOL="off")
    device = relay.device()
    relay.subscribe(receiver, device)
    device.send_done(device.punch())
    receiver.wait(1)
    _, replica = pair.servers
    replica.process.send_signal(signal.SIGSTOP)
    document, sent = device.punch(), time.time()
    assert device.send(document).status_code == 503
    replica.process.send_signal(signal.SIGCONT)
    assert all(got.at - sent > 0.4 for got in receiver.received[1:])
    wait_for(lambda: device.send(document).status_code == 200)
    receiver.wait(2)
    assert len({event["id"] for event in receiver.events()}) == 2


def test_retries_and_test_events_continue_after_a_failover(
    start: Callable[..., tuple[Pair, Relay]], receiver: Receiver
) -> None:
    """RQ and its clock find the new master, too."""
    pair, relay = start(RELAY_RETRY_SCHEDULE="1,1")
    device = relay.device()
    subscription = relay.subscribe(receiver, device)
    device.send_done(device.punch())
    receiver.wait(1)
    fail_over(pair)
    receiver.answer = lambda _: (500 if len(receiver.received) < 3 else 200, {}, b"")
    wait_for(lambda: relay.call("GET", "/health").json()["store"] == "ok")
    device.send_done(device.punch())
    receiver.wait(3, 15)
    answer = relay.call("POST", f"/v1/subscriptions/{subscription['id']}/test", json={"delay_seconds": 1})
    assert answer.status_code == 202, answer.text
    receiver.wait(4, 15)
    wait_for(lambda: shown(relay, subscription)["retrying"] == 0)


def test_health_and_doctor_check_every_server_and_sentinel(
    start: Callable[..., tuple[Pair, Relay]], tmp_path: Path
) -> None:
    pair, relay = start(RELAY_DURABILITY="replica")
    assert relay.get("/health")["warnings"] == []
    _, replica = pair.servers
    replica.client().config_set("appendonly", "no")
    pair.sentinels[0].kill()
    relay.kill("web")  # which asks once a minute
    relay.start("web")
    warnings = relay.get("/health")["warnings"]
    assert f"The store's replica 127.0.0.1:{replica.port} persists nothing" in " ".join(warnings)
    assert any("Only 2 of the 3 sentinels" in warning for warning in warnings), warnings
    asked = run_for(relay, "doctor")
    assert all(warning in asked.stdout for warning in warnings)
    for secret in (PASSWORD, quote(PASSWORD, safe=""), SENTINEL_PASSWORD):
        assert secret not in asked.stdout + asked.stderr + relay.logs() + " ".join(warnings)
