"""How `cams-relay up` and its processes agree about the simulated device.

Requests to start or stop it are files in the data folder. The workers know the port of its gateway, because they send
commands to a loopback address only there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

UNDER_UP = "RELAY_UNDER_UP"  # in the environment of web processes that `up` starts
GATEWAY_HOST = "127.0.0.1"
GATEWAY_PORT = "RELAY_SIMULATOR_PORT"  # in the environment of all processes that `up` starts
_FILE = "start-virtual-device"
_STOP_FILE = "stop-virtual-device"
_STOP_SECONDS = 15.0


def can_be_granted() -> bool:
    """Return whether an `up` is there to carry out a request."""
    return bool(os.environ.get(UNDER_UP))


def gateway_of(url: str) -> tuple[str, int] | None:
    """Return the address of the simulated gateway if a device's gateway URL is there; None otherwise.

    The API refuses such a URL, so only `up` can have registered the device.
    """
    port = os.environ.get(GATEWAY_PORT, "")
    is_there = port.isdecimal() and url.startswith(f"http://{GATEWAY_HOST}:{port}/")
    return (GATEWAY_HOST, int(port)) if is_there else None


def make(data_dir: Path) -> None:
    """Request the simulated device."""
    (data_dir / _FILE).touch(mode=0o600)


def take(data_dir: Path) -> bool:
    """Return whether it was requested, and forget the request."""
    return _take(data_dir / _FILE)


def stop(data_dir: Path) -> bool:
    """Request the `up` that uses this folder to stop the simulated device, and wait; return whether it did."""
    file = data_dir / _STOP_FILE
    file.touch(mode=0o600)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        if not file.exists():
            return True
        time.sleep(0.05)
    file.unlink(missing_ok=True)
    return False


def must_stop(data_dir: Path) -> bool:
    """Return whether it must stop. `stopped` answers the request."""
    return (data_dir / _STOP_FILE).exists()


def stopped(data_dir: Path) -> None:
    """Report that the simulated device has stopped, or isn't running."""
    _take(data_dir / _STOP_FILE)


def _take(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True
