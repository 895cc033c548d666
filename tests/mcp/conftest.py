"""A relay with the simulator, and an MCP server for each transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import stage as stages
from tests.harness import Device
from tests.mcp.clients import Assistants, serving
from tests.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A relay in which actions wait 5 s, and held commands are polled often."""
    folder = tmp_path_factory.mktemp("stage")
    with stages.stage(
        folder, RELAY_COMMAND_WAIT="5", RELAY_COMMAND_POLL_SCHEDULE=",".join(["0.5"] * 30)
    ) as made:
        yield made


@pytest.fixture
def device(stage: Stage) -> Device:
    return stage.new_device()


@pytest.fixture(scope="session")
def assistants(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assistants]:
    with serving(stage.relay.url, tmp_path_factory.mktemp("mcp")) as url:
        yield Assistants(stage, url)
