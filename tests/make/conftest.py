"""A relay with the simulator, and the app as run by Make, connected to the relay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import stage as stages
from tests.harness import API_KEY, Device, Receiver
from tests.make.app import App, build
from tests.make.runtime import Make
from tests.stage import Stage


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("make-app")
    built = build(folder)
    assert built.returncode == 0, built.stdout
    return App(folder)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A separate relay and simulator."""
    quick = {"RELAY_COMMAND_POLL_SCHEDULE": ",".join(["0.5"] * 50)}
    with stages.stage(tmp_path_factory.mktemp("stage"), **quick) as made:
        yield made


@pytest.fixture
def make(app: App, stage: Stage) -> Make:
    """With a connection that may do everything."""
    made = Make(app)
    made.connect(url=stage.relay.url, apiKey=API_KEY)
    return made


@pytest.fixture
def device(stage: Stage) -> Device:
    return stage.new_device()


@pytest.fixture
def user_100(stage: Stage, device: Device) -> None:
    """A user 100 on the device."""
    stage.add_user(device)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where a webhook's URL leads."""
    made = Receiver()
    yield made
    made.close()
