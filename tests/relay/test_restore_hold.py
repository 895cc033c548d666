"""A copy of a relay that still runs sends nothing after `restore --hold` until its subscriptions are enabled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.base.ids import shard_of
from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from tests.actions.tools import Machine, machine
from tests.delivery.tools import client, plan, punch, shown
from tests.harness import Receiver, Relay, debian_redis, wait_for
from tests.relay.test_restore import cli

ENVIRONMENT = {"RELAY_SECRET_KEY": "e" * 64, "RELAY_SHARDS": "4", "RELAY_RETRY_SCHEDULE": "600,600"}
EVENTS = ["attendance.punch", "command.completed", "command.unknown", "command.cancelled"]


class Original:
    """A relay with 9 deliveries and 3 commands in progress, its backup, and the requests its target and gateway got."""

    def __init__(self, folder: Path, target: Receiver, sim: SimulatorServer, relay: Relay) -> None:
        self.target, self.relay = target, relay
        target.answer = plan(500)
        self.one: Machine = machine(relay, sim)
        self.subscription = relay.subscribe(target, self.one.registered, events=EVENTS)
        punch(self.one.registered)
        wait_for(lambda: shown(relay, self.subscription)["retrying"] == 1)
        relay.kill("worker")  # so that the next callbacks aren't queued yet
        punch(self.one.registered, 8)
        self.queued = self.one.queued("add-user", user_id="1")
        self.sending = self.one.queued("load-device-information")
        self.waiting = self.one.queued("add-user", user_id="2")
        self._advance()
        self.backup = folder / "copy"
        cli(relay, "backup", str(self.backup))

    def _advance(self) -> None:
        store, tag = client(self.relay), f"{{s{shard_of(self.waiting)}}}"
        store.hset(f"{tag}:command:{self.sending}", "status", "sending")
        store.hset(f"{tag}:command:{self.waiting}", "status", "waiting")
        store.lrem(f"{tag}:commands:queue:{self.one.id}", 0, self.waiting)
        store.zadd(f"{tag}:commands:waiting", {f"{self.one.id} {self.waiting}": time.time() * 1000})
        store.close()

    def event_ids(self) -> list[str]:
        return [event["id"] for event in self.relay.events(type="attendance.punch")]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    folder, target = tmp_path_factory.mktemp("original"), Receiver()
    with Relay(folder, **ENVIRONMENT) as relay, SimulatorServer(Gateway(relay.url)) as sim:
        yield Original(folder, target, sim, relay)
    target.close()


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Relay]:
    """Another relay, with another kind of store."""
    (tmp_path / "copied").mkdir()
    with debian_redis(tmp_path) as url:
        relay = Relay(tmp_path / "copied", REDIS_URL=url, **ENVIRONMENT)
        yield relay
        relay.stop()


def test_a_restore_prints_what_will_be_sent(original: Original, tmp_path: Path) -> None:
    output = cli(Relay(tmp_path, **ENVIRONMENT), "restore", str(original.backup))
    assert "9 deliveries and 3 commands are waiting and will be sent when the relay starts" in output
    assert "restore again with --hold" in output


def test_a_held_copy_sends_nothing_until_its_subscriptions_are_enabled(
    original: Original, copy: Relay
) -> None:
    output = cli(copy, "restore", str(original.backup), "--hold")
    assert "--hold has disabled 1 subscription and ended 3 commands" in output and "9 deliveries" in output
    copy.start()
    held = shown(copy, original.subscription)
    assert (held["status"], held["disabled_reason"]) == ("disabled", "It was restored with --hold.")
    assert held["pending"] + held["retrying"] == 9
    assert "restored with --hold" in cli(copy, "doctor")
    assert any("restored with --hold" in one for one in copy.get("/health")["warnings"])

    # Each queue is processed in order, so these come after everything that was waiting.
    other = Receiver()
    copy.subscribe(other, events=["attendance.punch"])
    copied = Machine(copy, original.one.sim, original.one.registered, original.one.device, original.one.desk)
    new = copied.queued("load-device-information")
    copied.ended(new)
    sent = {receipt.operation_id for receipt in list(copied.desk.received)}
    assert sent == {copied.command(new)["operation_id"]}
    copied.registered.relay = copy
    punch(copied.registered)
    other.wait(1)
    assert len(original.target.received) == 1, "the copy sent the original's deliveries"

    commands = {one: copied.command(one) for one in (original.queued, original.sending, original.waiting)}
    assert [one["status"] for one in commands.values()] == ["cancelled", "cancelled", "unknown"]
    assert all("restore --hold" in one["message"] for one in commands.values())

    assert "1 subscription is enabled" in cli(copy, "subscriptions", "enable", "--held")
    assert "restored with --hold" not in cli(copy, "doctor")
    wanted = original.event_ids()
    wait_for(lambda: len(original.target.received) >= 10)
    got = [event["id"] for event in original.target.events()[1:]]
    assert sorted(got) == sorted(wanted) and len(wanted) == 9
    # Enabling it by ID changes nothing more.
    assert "1 subscription is enabled" in cli(copy, "subscriptions", "enable", original.subscription["id"])
    assert "no subscription" in cli(copy, "subscriptions", "enable", "sub_none", status=1).lower()
    output = cli(copy, "subscriptions", "enable", status=2)
    assert "--held or the IDs" in output
    other.close()
