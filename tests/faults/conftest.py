"""A relay of its own for every test: they are killed. What was lost and what came twice is printed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults import ledger
from tests.harness import Relay


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Relay]]:
    """Starts relays with their own settings; all end with the test."""
    made: list[Relay] = []

    def begin(**environment: str) -> Relay:
        made.append(Relay(tmp_path_factory.mktemp("fault"), **environment))
        return made[-1].start()

    yield begin
    for relay in made:
        for name in list(relay.processes):
            relay.kill(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of all faults that were tried."""
    found = list(ledger.lines())
    if found:
        terminalreporter.section("faults")
        for line in found:
            terminalreporter.write_line(line)
