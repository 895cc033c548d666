"""For each test, a running simulator and a recording relay, and a function that creates devices."""

# ruff: noqa: E402 - the search path comes before the imports that need it

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The helpers in this folder and the project's packages are found however the tests are run.
_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent.parent)]

from sim_tools import TOKEN, Caller, RecordingRelay

from simulator.device import Device
from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from simulator.spec import DeviceSpec

MakeDevice = Callable[..., Device]


@pytest.fixture
def relay() -> Iterator[RecordingRelay]:
    recording = RecordingRelay()
    yield recording
    recording.stop()


@pytest.fixture
def gateway(relay: RecordingRelay) -> Gateway:
    return Gateway(relay.url)


@pytest.fixture
def server(gateway: Gateway) -> Iterator[SimulatorServer]:
    with SimulatorServer(gateway) as running:
        yield running


@pytest.fixture
def caller(server: SimulatorServer) -> Caller:
    return Caller(server)


@pytest.fixture
def make_device(gateway: Gateway) -> Iterator[MakeDevice]:
    def make(stgid: str = "D1", **settings: object) -> Device:
        quick = {"auth_token": TOKEN, "delay_seconds": 0, "enroll_seconds": 0.05, "retry_seconds": 0.05}
        return gateway.add_device(DeviceSpec(stgid, **{**quick, **settings}))  # type: ignore[arg-type]

    yield make
    gateway.close()


@pytest.fixture
def device(make_device: MakeDevice) -> Device:
    """`D1`, in native mode, without users, which responds at once."""
    return make_device()
