"""A relay with the simulator, and a stand-in for Make that runs the app, connected to the relay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import stage as stages
from tests.harness import API_KEY, Device, Receiver
from tests.make.app import App, build
from tests.make.runtime import Make, https
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
    """Make with a connection that has every permission."""
    made = Make(app)
    made.connect(url=https(stage.relay.url), apiKey=API_KEY)
    return made


@pytest.fixture
def device(stage: Stage) -> Device:
    return stage.new_device()


@pytest.fixture
def user_100(stage: Stage, device: Device) -> None:
    """Adds user 100 to the device."""
    stage.add_user(device)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The receiver at the webhook's URL."""
    made = Receiver()
    yield made
    made.close()
