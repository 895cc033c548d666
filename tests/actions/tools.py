"""Helpers for the tests of actions: a device that is registered in a relay and exists in the simulator."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from app.settings.table import load
from app.store.server.connection import make_client
from simulator import device as simulated
from simulator.desk import Desk
from simulator.faults import Fault
from simulator.serving import SimulatorServer
from simulator.spec import DeviceSpec
from tests.harness import Device, Relay, wait_for
from tests.processes import child, children
from tests.relay.tools import problem as problem

KEY = "0123456789abcdef0123456789ABCDEF"
ENDED = ("completed", "failed", "unknown", "cancelled")


@dataclass
class Machine:
    """A device, in the relay and in the gateway."""

    relay: Relay
    sim: SimulatorServer
    registered: Device
    device: simulated.Device
    desk: Desk

    @property
    def id(self) -> str:
        return self.registered.id

    def act(self, action: str, wait: float | None = None, **fields: Any) -> requests.Response:
        """POST an action; `headers` and `key` belong to the call, everything else is the body."""
        how: dict[str, Any] = {name: fields.pop(name) for name in ("headers", "key") if name in fields}
        if wait is not None:
            how["headers"] = {**how.get("headers", {}), "Prefer": f"wait={wait:g}"}
        body = {"device_id": self.id, **fields}
        return self.relay.call("POST", f"/v1/actions/{action}", json=body, timeout=60, **how)

    def done(self, action: str, **fields: Any) -> dict[str, Any]:
        """Return the JSON of an action, which must be carried out within the call."""
        answer = self.act(action, **fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert (found["status"], found["status_code"], found["status_name"]) == ("completed", 0, "Success")
        return found

    def queued(self, action: str, **fields: Any) -> str:
        """Return the ID of a command, without waiting for it."""
        answer = self.act(action, headers={"Prefer": "respond-async"}, **fields)
        # On a busy machine, it may have ended before the request is answered.
        assert answer.status_code in (200, 202), answer.text
        command_id: str = answer.json()["command_id"]
        return command_id

    def command(self, command_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.relay.get(f"/v1/commands/{command_id}")
        return found

    def ended(self, command_id: str, seconds: float = 20) -> dict[str, Any]:
        """Return the command, once it has ended."""
        found: dict[str, Any] = wait_for(
            lambda: (shown := self.command(command_id))["status"] in ENDED and shown, seconds, 0.05
        )
        return found

    def fault(self, *faults: Fault) -> None:
        """Set the next answers."""
        self.desk.set_faults(list(faults))

    @property
    def bodies(self) -> list[Any]:
        """Return the commands that the gateway received, decrypted."""
        return [receipt.body for receipt in list(self.desk.received)]


def machine(relay: Relay, sim: SimulatorServer, spec: dict[str, Any] | None = None, **fields: Any) -> Machine:
    """Create a device. `spec` has settings for the simulator, the others are for the registration in the relay."""
    device_id, token = f"ACT{secrets.token_hex(4)}", secrets.token_hex(16)
    fields.setdefault("gateway_url", sim.command_url())
    settings = {"delay_seconds": 0.0, "retry_seconds": 0.05, "mode": fields.get("mode", "native")}
    simulated_device = sim.gateway.add_device(
        DeviceSpec(
            device_id,
            auth_token=token,
            security_key=fields.get("security_key"),
            **{**settings, **(spec or {})},
        )
    )
    registered = relay.device(device_id=device_id, auth_token=token, **fields)
    return Machine(relay, sim, registered, simulated_device, sim.gateway.desk(device_id))


Maker = Callable[..., Machine]


def key_with(relay: Relay, *scopes: str) -> str:
    """Create an API key with these scopes."""
    answer = relay.call("POST", "/v1/api-keys", json={"name": "of a test", "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["key"]
    return made


def events_of(device: Machine, event_type: str) -> list[dict[str, Any]]:
    """Return a device's events of a type, oldest first."""
    return device.relay.events(device_id=device.id, type=event_type)


def store_of(relay: Relay) -> Any:
    """Return a client of the relay's store."""
    return make_client(load(relay.environment))


def change_record(one: Machine, command_id: str, **changes: Any) -> None:
    """Change a command in the store, as if time had passed."""
    client, name = store_of(one.relay), f"{{s0}}:command:{command_id}"
    record = json.loads(client.hget(name, "record"))
    client.hset(name, "record", json.dumps({**record, **changes}))
    client.close()


def kill_dispatcher(relay: Relay) -> None:
    """Kill the process that sends commands with kill -9. The worker starts it again."""
    wait_for(lambda: any("dispatcher" in run for run in children(relay.processes["worker"].pid).values()))
    os.kill(child(relay, "worker", "workers.dispatcher"), signal.SIGKILL)


def soon_asking(folder: Path, *, timeout: int, wait: int) -> Relay:
    """Run a relay with these time limits for the gateway and for actions, which asks again every half second."""
    schedule = ",".join(["0.5"] * 12)
    return Relay(
        folder,
        RELAY_COMMAND_TIMEOUT=str(timeout),
        RELAY_COMMAND_WAIT=str(wait),
        RELAY_COMMAND_POLL_SCHEDULE=schedule,
    )
