"""A relay with the simulator, for the integrations under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import stage as stages
from tests.harness import Device
from tests.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture
def device(stage: Stage) -> Device:
    return stage.new_device()
