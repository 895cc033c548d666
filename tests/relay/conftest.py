"""The store shared by the tests of the order of arrival."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Relay
from tests.relay.arrival import Processes


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    relay = Relay(tmp_path_factory.mktemp("order"))
    relay.start("store")
    try:
        yield Processes(relay)
    finally:
        relay.stop()
