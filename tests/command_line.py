"""Runs `cams-relay` like a user: one command, also with the settings of a relay, or a running `up`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from tests.harness import ROOT, Relay, free_port, wait_for

SECRET = "made-up-secret-key-for-tests-only-0123456789"


def environment(folder: Path, **variables: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))
    }
    data = {"RELAY_DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT), "PORT": str(free_port())}
    return {**inherited, **data, **variables}


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *command],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=30,
    )


def run_for(
    relay: Relay, *command: str, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of a relay. `given` is what a user types."""
    return subprocess.run(
        [sys.executable, "-m", "app", *command],
        cwd=relay.folder,
        env={**relay.environment, **variables},
        input=given,
        capture_output=True,
        text=True,
        timeout=180,
    )


def cli(relay: Relay, *command: str, status: int = 0) -> str:
    """Return what a command with the settings of a relay prints. It must end with this status."""
    ran = run_for(relay, *command)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout


class Up:
    """A running `cams-relay up`."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.environment = environment(folder, SIMULATOR_PORT=str(free_port()), **variables)
        self.url = f"http://127.0.0.1:{self.environment['PORT']}"
        self.log = folder / f"up-{self.environment['PORT']}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "up", *options],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def text(self) -> str:
        return re.sub(r"\x1b\[\d*m", "", self.log.read_text())

    def wait_for_screen(self) -> float:
        """Wait until the screen is complete, and return when it was."""
        wait_for(lambda: "Press Ctrl-C to stop" in self.text(), 30)
        return time.monotonic()

    def stop(self) -> int:
        """Send SIGTERM, and return the exit status. Processes that are left are killed, and fail the test."""
        self.process.terminate()
        try:
            status = self.process.wait(15)
        finally:
            left = children(self.process.pid)
            if self.process.poll() is None:
                os.killpg(self.process.pid, 9)
        assert left == []
        return status

    def get(self, path: str, key: str) -> Any:
        return requests.get(self.url + path, headers={"X-API-Key": key}, timeout=5).json()


def children(parent: int) -> list[str]:
    """Return the command lines of the processes with this parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"\nPPid:\t{parent}\n" in (path / "status").read_text():
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return found
