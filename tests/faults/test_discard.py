"""An operator discards the parked callbacks of a device that never returns, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.store.spool.spool import Spooled
from tests.faults.spool_process import Process, punch, users
from tests.stores import Server


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator[Process]:
    made = Process(environment)
    yield made
    made.spool.close()


def _parked(
    process: Process, server: Server, environment: dict[str, str], device_id: str, count: int
) -> None:
    """Park callbacks from a device that isn't in an accepted new store."""
    token = process.register(device_id)
    server.kill()
    for number in range(count):
        process.send(token, number)
    server.start()
    process.turn()
    accepted = CliRunner().invoke(main, ["spool", "accept-store", "--yes"], env=environment)
    assert accepted.exit_code == 0, accepted.output
    process.drain_until_it_stops()


def test_parked_callbacks_of_a_device_can_be_discarded(
    server: Server, environment: dict[str, str], process: Process, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.parked"
    other = process.register("DEV2")
    _parked(process, server, environment, "DEV1", 5)
    assert process.waiting == (0, 5)

    def run(*options: str, answer: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(main, ["spool", "discard", *options], env=environment, input=answer)
        return done.exit_code, done.output

    status, printed = run("DEV1")
    assert (
        status == 0
        and "5 parked callbacks from device DEV1" in printed
        and "Nothing was discarded" in printed
    )
    assert run("DEV1", "--discard", answer="n\n")[0] == 1
    assert run("DEV9", "--discard", "--yes")[0] == 1
    process.drain_until_it_stops()
    assert process.waiting == (0, 5), "a dry run, a no and another device discard nothing"
    status, printed = run("DEV1", "--save-to", str(copy), "--yes")
    assert status == 0, printed
    assert other not in printed and copy.stat().st_mode & 0o777 == 0o600 and b"u1" not in copy.read_bytes()
    assert run("DEV1", "--save-to", str(copy), "--yes")[0] == 1, "no file is written over"
    process.drain_until_it_stops()
    assert process.waiting == (0, 0)
    (entry,) = [row for row in process.store.audit.page(9)[0] if row["action"] == "callbacks.discarded"]
    assert (entry["device_id"], entry["detail"]) == ("DEV1", "5 parked callbacks, with a copy")
    process.register("DEV1")
    copy.rename(tmp_path / "data" / "spool" / copy.name)
    process.drain_until_it_stops()
    assert process.events("DEV1") == users(5)


def test_callbacks_of_a_registered_device_and_later_ones_are_not_discarded(
    server: Server, environment: dict[str, str], process: Process
) -> None:
    _parked(process, server, environment, "DEV1", 3)
    command = ["spool", "discard", "DEV1", "--discard", "--yes"]
    assert CliRunner().invoke(main, command, env=environment).exit_code == 0
    process.receiver._spool.park(  # type: ignore[union-attr]
        Spooled("DEV1", time.time(), "http://relay", punch("0" * 32, 9)), "the store doesn't have this device"
    )
    process.drain_until_it_stops()
    assert process.waiting == (0, 1)
    process.store.connection.redis.hset("{g}:devices", "DEV1", 0)
    done = CliRunner().invoke(main, command, env=environment)
    assert done.exit_code == 1 and "is registered" in done.output
    process.drain_until_it_stops()
    assert process.waiting == (0, 1)
