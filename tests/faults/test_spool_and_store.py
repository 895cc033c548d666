"""From the spool to the store, with the real modules and a real server: nothing leaves the disk unconfirmed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.callbacks.body import Refused
from app.cli import main
from app.health.checks import identity_warnings
from app.settings.table import load
from app.store import Store
from app.store.server.store_id import remembered_id
from app.store.upkeep.backup import backup, restore
from tests.faults.spool_process import Process, users
from tests.stores import Server


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[[], Process]]:
    with ExitStack() as stack:

        def begin() -> Process:
            made = Process(environment)
            stack.callback(made.spool.close)
            return made

        yield begin


def empty(server: Server) -> None:
    """Restart the server without its data."""
    server.kill()
    server.start()


# A store that is not ours


def test_callbacks_spooled_before_the_store_came_back_empty_are_kept(
    start: Callable[[], Process], server: Server
) -> None:
    """All 200 callbacks were deleted within 3 s."""
    process = start()
    token = process.register("DEV1")
    server.kill()
    for number in range(200):
        process.send(token, number)
    server.start()
    process.drain_until_it_stops()
    assert process.waiting == (200, 0)
    assert process.store.identity.foreign is not None
    process.send(token, 200)  # its device is known here: 200, not 401
    assert process.waiting == (201, 0)


def test_an_empty_store_is_not_accepted_after_a_restart(start: Callable[[], Process], server: Server) -> None:
    process = start()
    token = process.register("DEV1")
    server.kill()
    process.send(token, 0)
    process.spool.close()
    server.start()
    again = start()
    again.drain_until_it_stops()
    assert again.waiting == (1, 0)
    with pytest.raises(Refused) as refused:
        again.send(token, 1)
    assert refused.value.status == 503, "a store that knows no device doesn't make a device unknown"


def test_the_stores_id_is_known_after_the_spools_folder_is_removed(
    start: Callable[[], Process], server: Server, tmp_path: Path
) -> None:
    process = start()
    process.register("DEV1")
    known = remembered_id(tmp_path / "data" / "spool")
    server.kill()
    shutil.rmtree(tmp_path / "data" / "spool")
    process.receiver._check_files()
    assert known is not None and remembered_id(tmp_path / "data" / "spool") == known


def test_an_accepted_store_gets_the_callbacks_once_the_device_is_registered(
    start: Callable[[], Process], server: Server, environment: dict[str, str]
) -> None:
    process = start()
    token = process.register("DEV1")
    server.kill()
    for number in range(20):
        process.send(token, number)
    server.start()
    process.turn()
    ran = CliRunner().invoke(main, ["spool", "accept-store", "--yes"], env=environment)
    assert ran.exit_code == 0, ran.output
    process.drain_until_it_stops()
    assert process.waiting == (0, 20)
    listed = CliRunner().invoke(main, ["spool"], env=environment).output
    assert f"folder: {environment['RELAY_DATA_DIR']}/spool" in listed
    assert "parked: 20" in listed and "20 from device DEV1: the store doesn't have this device" in listed
    process.register("DEV1")
    process.drain_until_it_stops()
    assert process.waiting == (0, 0)
    assert process.events("DEV1") == users(20)


def test_a_restored_store_gets_the_callbacks_of_a_device_once_it_is_registered_again(
    start: Callable[[], Process], server: Server, tmp_path: Path
) -> None:
    process = start()
    process.register("DEV0")
    backup(process.store.connection, tmp_path / "backup", process.store.past)
    token = process.register("DEV1")
    process.send(token, 0)
    server.kill()
    for number in range(1, 20):
        process.send(token, number)
    server.start()
    restore(process.store.connection, tmp_path / "backup", process.store.past)
    process.drain_until_it_stops()
    assert process.store.identity.foreign is None, "a restored store has the backup's id"
    assert process.waiting == (0, 19)
    process.send(token, 20)
    assert sum(process.waiting) == 20, "the process knows the device still"
    process.register("DEV1")
    process.drain_until_it_stops()
    assert process.waiting == (0, 0)
    assert sorted(process.events("DEV1")) == sorted(users(20, 1))


def test_a_different_store_stops_the_transfer_and_is_reported(
    start: Callable[[], Process], environment: dict[str, str]
) -> None:
    process = start()
    token = process.register("DEV1")
    process.store.connection.redis.set("{g}:store", "f" * 32)
    process.turn()
    process.send(token, 1)
    process.drain_until_it_stops()
    assert process.waiting == (1, 0)
    (found,) = identity_warnings(Store(load(environment)))
    assert "has another id" in found and "accept-store" in found


# Devices that were removed


def test_callbacks_before_a_devices_removal_are_dropped_and_later_ones_are_parked(
    start: Callable[[], Process], server: Server
) -> None:
    here, elsewhere = start(), start()
    token = here.register("DEV1")
    elsewhere.turn()
    here.receiver._away_until = float("inf")
    here.send(token, 0)
    elsewhere.store.devices.remove("DEV1")
    here.send(token, 1)  # it doesn't know yet
    here.receiver._away_until = 0.0
    here.drain_until_it_stops()
    assert here.waiting == (0, 1)
    assert here.store.relay_events.counters()["spool_dropped"] == 1
    with pytest.raises(Refused) as refused:
        here.send(token, 2)
    assert refused.value.status == 401
    here.register("DEV1")
    here.drain_until_it_stops()
    assert here.events("DEV1") == ["u1"]


# What is damaged in the store


def test_a_damaged_counter_is_reset(start: Callable[[], Process]) -> None:
    """It silently stopped the deliveries of all devices."""
    process = start()
    token = process.register("DEV1")
    client, shard = process.store.connection.redis, process.store.connection.shard_of("DEV1")
    assert shard is not None
    client.hset(shard.device("DEV1"), "callbacks", "damaged")
    process.send(token, 0)
    assert process.waiting == (0, 0) and process.events("DEV1") == ["u0"]
    assert client.hget(shard.device("DEV1"), "callbacks") == b"1"


def test_a_damaged_index_of_a_device_does_not_block_others(start: Callable[[], Process]) -> None:
    process = start()
    broken, well = process.register("DEV1"), process.register("DEV2")
    client, shard = process.store.connection.redis, process.store.connection.shard_of("DEV1")
    assert shard is not None
    client.set(shard.by_device("DEV1"), "damaged")
    process.send(broken, 0)
    assert process.waiting == (0, 1), "acknowledged and parked"
    process.send(well, 0)
    assert process.events("DEV2") == ["u0"], "no other waits behind it"
    process.receiver._away_until = float("inf")
    for number in range(1, 5):
        process.send(broken, number)
        process.send(well, number)
    process.receiver._away_until = 0.0
    process.turn()
    assert process.waiting == (0, 5)
    assert process.events("DEV2") == users(5)
    client.delete(shard.by_device("DEV1"))
    process.turn()
    assert process.waiting == (0, 0)
    assert sorted(process.events("DEV1")) == users(5)


@pytest.mark.parametrize("damage", ["another type", "secrets", "record"])
def test_a_damaged_record_of_a_device_does_not_block_others(
    start: Callable[[], Process], damage: str
) -> None:
    process = start()
    broken, well = process.register("DEV1"), process.register("DEV2")
    client, shard = process.store.connection.redis, process.store.connection.shard_of("DEV1")
    assert shard is not None
    process.receiver._away_until = float("inf")
    process.send(broken, 0)
    process.send(well, 0)
    process.receiver._away_until = 0.0
    key = shard.device("DEV1")
    whole = client.dump(key)
    if damage == "another type":
        client.set(key, "damaged")
    else:
        client.hset(key, damage, "damaged")
        client.hincrby(key, "v", 1)
    process.store.devices.changes_seen += 1
    process.drain_until_it_stops()
    assert process.events("DEV2") == ["u0"]
    process.send(well, 1)
    assert process.events("DEV2") == ["u0", "u1"]
    process.send(broken, 1)
    process.drain_until_it_stops()
    assert process.waiting == (0, 2)
    another = start()  # one that has never read the device
    with pytest.raises(Refused) as refused:
        another.send(broken, 2)
    assert refused.value.status == 503
    another.send(well, 2)
    client.restore(key, 0, whole, replace=True)
    process.store.devices.refresh("DEV1")
    process.drain_until_it_stops()
    another.drain_until_it_stops()
    assert process.waiting == (0, 0)
    assert sorted(process.events("DEV1")) == ["u0", "u1"]


# Several processes


def test_a_devices_new_callbacks_wait_for_those_spooled_by_another_process(
    start: Callable[[], Process],
) -> None:
    first, second = start(), start()
    one, other = first.register("DEV1"), first.register("DEV2")
    second.turn()
    first.receiver._away_until = float("inf")
    first.send(one, 0)
    first.receiver._away_until = 0.0
    second.send(one, 1)
    second.send(other, 0)
    assert second.events("DEV1") == [] and second.events("DEV2") == ["u0"]
    second.turn()  # whichever brings them in
    assert second.events("DEV1") == ["u0", "u1"]
    first.send(one, 2)
    assert first.events("DEV1") == ["u0", "u1", "u2"]
    first.turn()
    assert not list((first.spool._folder).glob("*.spool"))
