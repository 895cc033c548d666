"""A relay with a virtual gateway behind it, and reading the documents."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator.serving import SimulatorServer
from simulator.spec import DeviceSpec
from tests.harness import Device, Relay

Json = dict[str, Any]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not method.startswith("x-"):
                yield path, method, operation


@dataclass
class Stage:
    """A running relay, and a virtual gateway with a device that is registered at the relay and has reported a user."""

    relay: Relay
    simulator: SimulatorServer
    device: Device

    def new_device(self) -> Device:
        """Another device at both ends, with a user 8 who has a card."""
        stgid, token = f"SIM{secrets.token_hex(4)}", secrets.token_hex(16)
        self.simulator.gateway.add_device(
            DeviceSpec(stgid, auth_token=token, delay_seconds=0, enroll_seconds=0.05)
        )
        device = self.relay.device(
            device_id=stgid, auth_token=token, gateway_url=self.simulator.command_url()
        )
        device.send_done(device.sample(4))
        device.send_done(device.punch())
        return device
