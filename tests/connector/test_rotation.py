"""A file that grows and is rotated while the connector follows it, as logrotate does: no row is lost or sent twice."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.connector.conftest import Connector, operations, users
from tests.harness import Receiver, wait_for

ROUNDS, ROWS, KEPT = 8, 25, 9


def _append(path: Path, numbers: range) -> None:
    """Append rows in two writes, the first of which ends within a row."""
    text = "".join(
        f"{number}\t2026-11-24 08:{number // 60:02}:{number % 60:02}\t1\t0\t1\t0\r\n" for number in numbers
    )
    middle = len(text) // 2
    with path.open("a", newline="") as file:
        file.write(text[:middle])
        file.flush()
        time.sleep(0.02)
        file.write(text[middle:])


def _rotate(path: Path, copytruncate: bool) -> None:
    """Rotate as logrotate does: `attlog.dat.1` is the newest of the old files."""
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}"))
    newest = path.with_name(f"{path.name}.1")
    if copytruncate:
        shutil.copy2(path, newest)
        with path.open("r+") as file:
            file.truncate(0)
    else:
        path.rename(newest)
        path.touch()


@pytest.mark.parametrize("pause", [0.0, 0.15])
@pytest.mark.parametrize("copytruncate", [False, True])
def test_a_rotated_file_that_grows_is_sent_once(
    connector: Connector, gate: Receiver, copytruncate: bool, pause: float
) -> None:
    path = connector.folder / "attlog.dat"
    _append(path, range(ROWS))
    connector.start("file", "attlog.dat", "--format", "attlog")
    wait_for(lambda: len(users(gate)) == ROWS)  # files that were rotated before the first start aren't read
    for each in range(1, ROUNDS):
        _append(path, range(each * ROWS, (each + 1) * ROWS))
        time.sleep(pause)
        _rotate(path, copytruncate)
    _append(path, range(ROUNDS * ROWS, ROUNDS * ROWS + 1))
    expected = [str(number) for number in range(ROUNDS * ROWS + 1)]
    wait_for(lambda: len(users(gate)) >= len(expected), 60)
    connector.kill(signal.SIGTERM)
    assert users(gate) == expected
    assert len(set(operations(gate))) == len(expected)
    assert connector.run("file", "attlog.dat", "--format", "attlog")
    assert users(gate) == expected
