"""`cams-relay simulator clear` and the console's button remove all simulated devices, which then send no callbacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import Up, cli, run_for
from tests.console.tools import Client
from tests.harness import API_KEY, ROOT, Relay, wait_for
from tests.processes import children


def _simulator_runs(up: Up) -> bool:
    return any("simulator" in command for command in children(up.process.pid).values())


@pytest.mark.parametrize("way", ["command line", "console"])
def test_the_simulator_stops_and_its_device_and_users_are_removed(tmp_path: Path, way: str) -> None:
    up = Up(tmp_path, RELAY_API_KEY=API_KEY)
    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        wait_for(lambda: up.get("/v1/events?type=attendance.punch", API_KEY)["data"], 60)
        assert [one["simulated"] for one in up.get("/v1/devices", API_KEY)["data"]] == [True]
        assert _simulator_runs(up)
        relay = Relay(tmp_path)
        relay.environment, relay.url = up.environment, up.url
        if way == "command line":
            printed = cli(relay, "simulator", "clear", "--json", "--yes")
            assert json.loads(printed) == {"device_id": "VIRTUAL01", "removed": True}
        else:
            client = Client(relay)
            assert client.sign_in(API_KEY).status_code == 303
            assert "Remove simulated devices" in client.get("/console/devices").text
            assert relay.call("POST", "/console/simulator/clear").status_code == 204
            assert "Remove simulated devices" not in client.get("/console/devices").text
        assert not _simulator_runs(up)
        assert up.get("/v1/devices", API_KEY)["data"] == []
        assert up.get("/v1/users", API_KEY)["data"] == []
        actions = [one["action"] for one in up.get("/v1/audit", API_KEY)["data"]]
        assert "device.removed" in actions
        if way == "command line":
            assert "There are no simulated devices." in cli(relay, "simulator", "clear")
    finally:
        up.stop()


def test_only_simulated_devices_are_removed(relay: Relay) -> None:
    real, simulated = relay.device(device_id="VIRTUAL78"), relay.device(simulated=True)
    asked = run_for(relay, "simulator", "clear", given="n\n")
    assert asked.returncode == 1 and f"Remove {simulated.id} and its users from the relay?" in asked.stderr
    assert relay.get(f"/v1/devices/{simulated.id}")["simulated"]
    assert f"Removed: {simulated.id}" in cli(relay, "simulator", "clear", "--yes")
    ids = [one["device_id"] for one in relay.get("/v1/devices", params={"limit": 200})["data"]]
    assert real.id in ids and simulated.id not in ids


def test_without_a_relay_it_names_the_folder_and_creates_nothing(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "app", "simulator", "clear"],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": str(ROOT), "RELAY_DATA_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 1 and str(tmp_path / "none") in ran.stderr and "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
