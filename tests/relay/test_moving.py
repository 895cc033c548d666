"""A relay moves between stores of any kind, with backup, restore, rekey, forget and export.

This runs on every kind of store (see scripts/test). The shared relay's store is copied to an empty store of the same
kind, and from there to the embedded store.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from app.settings.table import load
from app.store.server.connection import make_client
from tests.command_line import cli
from tests.harness import Device, Relay, debian_redis
from tests.relay.test_rekey import NEW, OLD
from tests.relay.tools import events, now
from tests.stores import cluster, sentinel_pair

TYPES = "attendance.punch,user.updated,credential.updated"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Relay]:
    """A separate relay on an empty store of the tested kind. Only its web process runs."""
    with ExitStack() as stack:
        environment = {"RELAY_SECRET_KEY": OLD, "RELAY_SHARDS": "4"}
        match os.environ.get("RELAY_TEST_STORE"):
            case "redis":
                environment["REDIS_URL"] = stack.enter_context(debian_redis(tmp_path))
            case "sentinel":
                environment["REDIS_URL"] = stack.enter_context(sentinel_pair(tmp_path)).url
                environment["RELAY_DURABILITY"] = "replica"
            case "cluster":
                made = stack.enter_context(cluster(tmp_path))
                environment |= {"REDIS_URL": made.url, "RELAY_RQ_URL": made.rq.url}
        relay = Relay(tmp_path, **environment)
        yield relay.start("web") if "REDIS_URL" in environment else relay.start("store", "web")
        relay.stop()


def clear(relay: Relay) -> None:
    """Delete everything in the store."""
    client = make_client(load(relay.environment))
    for key in list(client.scan_iter(count=1_000)):
        client.delete(key)
    client.close()


def live(relay: Relay) -> list[Device]:
    """Create two people on each of several devices, which are on several shards."""
    devices = [relay.device(device_id=f"MOVE{number}") for number in range(6)]
    for device in devices:
        for user in ("70071", "70072"):
            templates = [{"Type": "Card", "UserID": user, "Data": "0004829371"}]
            update = {"UserID": user, "FirstName": f"Name{user}", "Template": templates}
            device.send_done(device.envelope(UserUpdated=update))
            device.send_done(device.punch(user))
    row = {"employee_id": "E-70071", "name": "Name70071"}
    assert relay.call("PUT", "/v1/employees/70071", json=row).ok
    return devices


def shown(relay: Relay) -> list[str]:
    return [event["id"] for event in relay.events(type=TYPES)]


def test_a_store_is_moved_to_another_and_its_secret_key_is_changed(own: Relay, tmp_path: Path) -> None:
    devices = live(own)
    before, person = shown(own), cli(own, "export", "--user", "70071", "--templates")
    assert len(before) == 36 and len(json.loads(person)["users"]) == 6
    first, second = tmp_path / "first", tmp_path / "second"
    cli(own, "backup", str(first))
    own.kill("web")
    clear(own)
    # Into a store of the same kind, where the key is changed.
    cli(own, "restore", str(first))
    cli(own, "restore", str(first), status=1)  # it isn't empty any more
    assert cli(own, "export", "--user", "70071", "--templates") == person
    own.environment |= {"RELAY_SECRET_KEY": NEW, "RELAY_SECRET_KEY_OLD": OLD}
    output = cli(own, "rekey")
    assert "6 devices" in output and "24 profiles and credentials" in output and "1 employees" in output, (
        output
    )
    del own.environment["RELAY_SECRET_KEY_OLD"]
    cli(own, "backup", str(second))
    # Then into the embedded store.
    (tmp_path / "other").mkdir()
    other = Relay(tmp_path / "other", RELAY_SECRET_KEY=NEW, RELAY_SHARDS="4").start("store", "web")
    try:
        other.kill("web")
        clear(other)
        cli(other, "restore", str(second))
        other.start("web")
        assert shown(other) == before
        for device in devices:
            here = Device(other, device.id, device.token)
            here.send_done(here.punch("70072", now() - timedelta(hours=1)))
            newest = events(here, type="attendance.punch")[-1]
            assert newest["id"] > before[-1] and newest["user_name"] == "Name70072"
        assert json.loads(cli(other, "export", "--user", "70071"))["employee"]["employee_id"] == "E-70071"
        output = cli(other, "forget", "--user", "70071", "--yes")
        assert "18 events" in output and "6 credentials" in output, output
        assert {event["user_id"] for event in other.events(type=TYPES)} == {"70072"}
    finally:
        other.stop()
