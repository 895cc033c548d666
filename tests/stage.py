"""A relay with the simulator as its gateway."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.device import Device as Machine
from simulator.gateway import Gateway
from simulator.records import Template, User
from simulator.serving import SimulatorServer
from simulator.spec import DeviceSpec
from tests.harness import Device, Relay


@dataclass
class Stage:
    """A running relay, and the simulator with a device that is registered in the relay and has reported a user."""

    relay: Relay
    simulator: SimulatorServer
    device: Device

    def new_device(self) -> Device:
        """Add another device to both, with a user 8 who has a card."""
        stgid, token = f"SIM{secrets.token_hex(4)}", secrets.token_hex(16)
        self.simulator.gateway.add_device(
            DeviceSpec(stgid, auth_token=token, delay_seconds=0, enroll_seconds=0.05)
        )
        device = self.relay.device(
            device_id=stgid, auth_token=token, gateway_url=self.simulator.command_url()
        )
        device.send_done(device.sample(4))
        device.send_done(device.punch("8"))  # a known user: otherwise, the relay would publish user.unknown
        return device

    def machine(self, device: Device) -> Machine:
        """Return the simulated device."""
        return self.simulator.gateway.device(device.id)

    def add_user(self, device: Device) -> None:
        """Add a user 100 with a card, only on the device."""
        user, card = User("100", "Manu", "Mona", "User"), Template("Card", "102836")
        self.machine(device).store_user(user, [card])

    def received(self, device: Device) -> list[tuple[str | None, dict[str, Any]]]:
        """Return the operations and bodies that the gateway got for a device, without parts that always differ."""
        found = []
        for receipt in self.simulator.gateway.desk(device.id).received:
            assert isinstance(receipt.body, dict)
            own = ("OperationID", "Time", "AuthToken")
            sent = {name: part for name, part in receipt.body.items() if name not in own}
            found.append((receipt.operation, sent))
        return found


@contextmanager
def stage(folder: Path, **environment: str) -> Iterator[Stage]:
    """Run a separate relay, with settings in addition to the harness's, and the simulator."""
    with Relay(folder, **environment) as relay, SimulatorServer(Gateway(relay.url)) as simulator:
        made = Stage(relay, simulator, device=Device(relay, "", ""))
        made.device = made.new_device()
        yield made
