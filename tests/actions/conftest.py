"""Fixtures: a shared relay with a simulator, and a relay that requests results again within a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from tests.actions.tools import Machine, Maker, machine, soon_asking
from tests.harness import Relay


@pytest.fixture(scope="session")
def sim(relay: Relay) -> Iterator[SimulatorServer]:
    with SimulatorServer(Gateway(relay.url)) as started:
        yield started


@pytest.fixture
def make(relay: Relay, sim: SimulatorServer) -> Maker:
    """Makes devices of the shared relay."""
    return lambda *spec, **fields: machine(relay, sim, *spec, **fields)


@pytest.fixture
def one(make: Maker) -> Machine:
    """A device without a key in India."""
    return make(timezone="Asia/Kolkata")


@pytest.fixture(scope="session")
def quick_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay with a short time-out that asks again soon."""
    with soon_asking(tmp_path_factory.mktemp("quick"), timeout=2, wait=6) as started:
        yield started


@pytest.fixture(scope="session")
def quick_sim(quick_relay: Relay) -> Iterator[SimulatorServer]:
    with SimulatorServer(Gateway(quick_relay.url)) as started:
        yield started


@pytest.fixture
def quick(quick_relay: Relay, quick_sim: SimulatorServer) -> Maker:
    """Makes devices of that relay."""
    return lambda *spec, **fields: machine(quick_relay, quick_sim, *spec, **fields)
