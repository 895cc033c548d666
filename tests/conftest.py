"""Fixtures for all tests. `relay` is shared by a session, so tests create their own devices and subscriptions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.settings.table import current
from tests.harness import Device, Receiver, Relay, debian_redis
from tests.stores import PASSWORD, Server, cluster, sentinel_pair

_LAST = 4_000  # characters of a report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report why a test needed a second try, because that is also a defect."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}", sep="_")
        terminalreporter.line(report.longreprtext[-_LAST:])


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A running relay, with the embedded store or the one in RELAY_TEST_STORE."""
    folder = tmp_path_factory.mktemp("relay")
    with ExitStack() as stack:
        environment = {}
        match os.environ.get("RELAY_TEST_STORE"):
            case "redis":
                environment["REDIS_URL"] = stack.enter_context(debian_redis(folder))
            case "sentinel":
                environment["REDIS_URL"] = stack.enter_context(sentinel_pair(folder)).url
                environment["RELAY_DURABILITY"] = "replica"
            case "cluster":
                made = stack.enter_context(cluster(folder))
                environment |= {"REDIS_URL": made.url, "RELAY_RQ_URL": made.rq.url, "RELAY_SHARDS": "4"}
        if environment:
            environment["RELAY_SECRET_KEY"] = "made-up-secret-key-for-tests-only-0123456789"
        yield stack.enter_context(Relay(folder, **environment))


@pytest.fixture(autouse=True)
def _settings_are_read_again() -> Iterator[None]:
    """Forget the settings that a test's command has read in this process."""
    yield
    current.cache_clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def device(relay: Relay) -> Device:
    return relay.device()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An empty Redis for one test."""
    made = Server(tmp_path, "store", 'save ""', password=PASSWORD)
    yield made
    made.kill()
