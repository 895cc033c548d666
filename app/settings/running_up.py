"""What other commands can tell from the data folder about `cams-relay up`: whether it runs, and its tunnel's URL."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

LOCK = "up.lock"  # in the data folder, locked by `up`
_TUNNEL = "tunnel_url"


def is_up(data_dir: Path) -> bool:
    """Return whether `cams-relay up` runs with this folder, which it locks."""
    try:
        descriptor = os.open(data_dir / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def tunnel_url(data_dir: Path) -> str | None:
    """Return the public URL of the tunnel that a running `up` has opened; None if there is none."""
    try:
        url = (data_dir / _TUNNEL).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return url if url and is_up(data_dir) else None


def set_tunnel_url(data_dir: Path, url: str | None) -> None:
    """Save the URL for other commands; None removes it. Raises OSError if it can't be saved."""
    path = data_dir / _TUNNEL
    if url is None:
        with suppress(OSError):
            path.unlink()
    else:
        path.write_text(f"{url}\n", encoding="utf-8")
