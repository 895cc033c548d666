"""What the console may ask of `cams-relay up`, by a file in the data folder: to start the virtual device."""

from __future__ import annotations

import os
from pathlib import Path

UNDER_UP = "RELAY_UNDER_UP"  # in the environment of a web process that `up` started
_FILE = "start-virtual-device"


def can_be_granted() -> bool:
    """Whether somebody is there to grant it."""
    return bool(os.environ.get(UNDER_UP))


def make(data_dir: Path) -> None:
    """Asks for the virtual device."""
    (data_dir / _FILE).touch(mode=0o600)


def take(data_dir: Path) -> bool:
    """Whether it was asked for; forgets it."""
    try:
        (data_dir / _FILE).unlink()
    except FileNotFoundError:
        return False
    return True
