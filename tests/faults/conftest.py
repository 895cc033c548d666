"""A separate relay for each test, as tests kill its processes. Prints lost and duplicate events at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import ledger
from tests.faults.spool_process import SECRET_KEY
from tests.harness import Relay
from tests.stores import Server


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Relay]]:
    """Start relays with their own settings, which are stopped after the test."""
    made: list[Relay] = []

    def begin(**environment: str) -> Relay:
        made.append(Relay(tmp_path_factory.mktemp("fault"), **environment))
        return made[-1].start()

    yield begin
    for relay in made:
        for name in list(relay.processes):
            relay.kill(name)


@pytest.fixture
def environment(tmp_path: Path, server: Server) -> dict[str, str]:
    return {
        "REDIS_URL": server.url,
        "RELAY_SECRET_KEY": SECRET_KEY,
        "RELAY_DATA_DIR": str(tmp_path / "data"),
        "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
    }


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts of all faults that were tried."""
    found = list(ledger.lines())
    if found:
        terminalreporter.section("faults")
        for line in found:
            terminalreporter.write_line(line)
