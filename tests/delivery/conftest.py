"""Relays with other settings than the shared one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Relay


@pytest.fixture(scope="session")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that waits a second for an answer, and gives up after one retry."""
    folder = tmp_path_factory.mktemp("brisk")
    with Relay(folder, RELAY_DELIVERY_TIMEOUT="1", RELAY_RETRY_SCHEDULE="1") as made:
        yield made


@pytest.fixture(scope="session")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that tries again after 3 s, and then not for a long time."""
    folder = tmp_path_factory.mktemp("patient")
    with Relay(folder, RELAY_RETRY_SCHEDULE="3,600,600") as made:
        yield made
