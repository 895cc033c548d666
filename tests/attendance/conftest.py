"""A relay whose days start at 04:00, and where people are late after 09:15."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Relay


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("office")
    with Relay(folder, RELAY_DAY_STARTS="04:00", RELAY_LATE_AFTER="09:15") as made:
        yield made
