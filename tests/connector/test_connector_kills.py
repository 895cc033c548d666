"""kill -9 of the connector and the relay while rows are written: each row becomes one event, and none is missing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql

from app.connector.database import open_engine
from tests.connector.conftest import DONE, Connector, operations, users
from tests.harness import Received, Receiver, Relay, wait_for

ROWS = 300


class Machine:
    """A device's software, which writes rows in another thread, half a line at a time, and rotates twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        for number in range(ROWS):
            if number == ROWS // 3:
                self._path.rename(self._path.with_name("attlog.dat.1"))
            if number == 2 * ROWS // 3:
                self._path.with_name("attlog.dat.2").write_bytes(self._path.read_bytes())
                self._path.write_bytes(b"")
            line = f"u{number}\t2026-11-24 {number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}\t1\t0\t1\t0\n"
            with self._path.open("a") as file:
                file.write(line[:9])
                file.flush()
                file.write(line[9:])
            time.sleep(0.004)

    def finish(self) -> None:
        self._thread.join()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path).start("store", "web")
    yield made
    made.stop()


def test_killing_the_connector_and_the_relay_loses_and_duplicates_no_row(
    relay: Relay, tmp_path: Path
) -> None:
    device = relay.device(timezone="Asia/Kolkata")
    connector = Connector(tmp_path, f"{relay.url}/callback", device.token, device.id)
    words = ("file", "attlog.dat", "--format", "attlog")
    chance = random.Random(20261125)
    connector.start(*words)
    wait_for(connector.state.exists, 30)
    machine = Machine(tmp_path / "attlog.dat")
    for number in range(5):
        time.sleep(chance.uniform(0.3, 0.7))
        if number % 3 == 1:
            relay.kill(chance.choice(["web", "store"]))
            time.sleep(0.3)
            relay.start(*({"web", "store"} - relay.processes.keys()))
        else:
            connector.kill()
            connector.start(*words)
    machine.finish()
    try:
        wait_for(lambda: connector.place()["line"] == ROWS // 3, 60)
    finally:
        connector.kill()

    def events() -> list[str]:
        return [event["user_id"] for event in relay.events(device_id=device.id, type="attendance.punch")]

    wait_for(lambda: len(events()) >= ROWS, 30, 0.2)
    assert sorted(events()) == sorted(f"u{number}" for number in range(ROWS)), "each once"


def test_repeated_rows_have_the_same_operation_id_for_other_receivers(
    connector: Connector, gate: Receiver, tmp_path: Path
) -> None:
    """The receiver sometimes doesn't answer, as if it died, and the connector is killed. The source is a database."""
    (tmp_path / "logs.db").touch()
    engine = open_engine(f"sqlite:///{tmp_path}/logs.db", None)
    with engine.begin() as connection:
        connection.execute(sql.text("CREATE TABLE logs (id INTEGER PRIMARY KEY, who TEXT, at TEXT)"))
        rows = [{"id": number, "who": f"u{number}", "at": "2026-11-24 08:00:00"} for number in range(ROWS)]
        connection.execute(sql.text("INSERT INTO logs VALUES (:id, :who, :at)"), rows)

    def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return (500, {}, b"") if len(gate.received) % 150 == 0 else DONE

    gate.answer = answer
    words = ("db", "sqlite:///logs.db", "--query", "SELECT * FROM logs", "--since-column", "id")
    words += ("--map", "user=who,time=at")
    for _ in range(3):
        before = len(gate.received)
        connector.start(*words)
        wait_for(lambda before=before: len(gate.received) > before + 40, 20)  # type: ignore[misc]
        connector.kill()
    connector.run(*words)
    first = dict.fromkeys(users(gate))
    assert list(first) == [f"u{number}" for number in range(ROWS)], "all, each first in its order"
    assert len(set(operations(gate))) == ROWS, "what came twice came as the same"
    assert len(gate.received) < 2 * ROWS
