"""The built node package in a real n8n, and a relay with the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stage as stages
from tests.harness import API_KEY, Device
from tests.n8n.n8n import N8n, built_nodes, n8n_folder, packed_nodes
from tests.services.google_sheets import GoogleSheets
from tests.services.slack import Slack
from tests.services.web import Internet
from tests.stage import Stage


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the built package."""
    return built_nodes()


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `npm publish` would send to the registry."""
    return packed_nodes(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A separate relay and simulator."""
    # Its retries last longer than a restart of n8n.
    slow = {"RELAY_RETRY_SCHEDULE": "1,2,4,8,16,16", "RELAY_COMMAND_POLL_SCHEDULE": ",".join(["0.5"] * 50)}
    with stages.stage(tmp_path_factory.mktemp("stage"), **slow) as made:
        yield made


@pytest.fixture(scope="session")
def sheets() -> GoogleSheets:
    """A stand-in for Google Sheets with an empty spreadsheet."""
    return GoogleSheets("made-up-spreadsheet", "Punches")


@pytest.fixture(scope="session")
def workspace() -> Slack:
    return Slack("#attendance")


@pytest.fixture(scope="session")
def n8n(
    packed: Path,
    stage: Stage,
    sheets: GoogleSheets,
    workspace: Slack,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[N8n]:
    """A running n8n with a credential for the stage's relay, and stand-ins for services on the internet."""
    folder = tmp_path_factory.mktemp("n8n")
    with Internet(folder, {"sheets.googleapis.com": sheets, "slack.com": workspace}) as internet:
        made = N8n(n8n_folder(), folder / "user", packed, internet.environment)
        try:
            made.start().set_up()
            data = {"relayUrl": stage.relay.url, "apiKey": API_KEY}
            made.credentials = {"camsRelayApi": made.credential("camsRelayApi", data)}
            yield made
        finally:
            made.stop()


@pytest.fixture
def device(stage: Stage) -> Device:
    return stage.new_device()


@pytest.fixture
def user_100(stage: Stage, device: Device) -> None:
    """Adds user 100 to the device."""
    stage.add_user(device)
