"""Requests to `cams-relay up`, through files in the data folder, to start or stop the simulated device."""

from __future__ import annotations

import os
import time
from pathlib import Path

UNDER_UP = "RELAY_UNDER_UP"  # in the environment of web processes that `up` starts
_FILE = "start-virtual-device"
_STOP_FILE = "stop-virtual-device"
_STOP_SECONDS = 15.0


def can_be_granted() -> bool:
    """Return whether an `up` is there to carry out a request."""
    return bool(os.environ.get(UNDER_UP))


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
