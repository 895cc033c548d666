"""Checks of the data folder's disk: whether it is full, nearly full, or can't be written to."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from app.base.private_folder import make_private
from app.health.findings import Problem
from app.settings.table import Settings
from app.store import Store

_FREE = 0.1  # like the alert RelayDiskNearlyFull
_FULL = 1 << 20  # bytes; the embedded store waits for as much
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def disk_warnings(store: Store) -> list[str]:
    """Return whether the disk of the data folder is full or nearly full."""
    return disk_findings(store.settings)


def disk_findings(settings: Settings) -> list[str]:
    """Return the same without a store, which may not run on a full disk."""
    try:
        usage = shutil.disk_usage(settings.data_dir)
    except OSError:
        return []
    if usage.free < _FULL:
        return [
            Problem(
                f"The disk of RELAY_DATA_DIR is full ({usage.free // 1024} KiB free). Free up space. The relay then "
                "continues automatically. Until then, callbacks that can't be stored are answered with 503, and the "
                "gateway keeps them."
            )
        ]
    free = usage.free / usage.total
    if free >= _FREE:
        return []
    return [
        f"The disk of RELAY_DATA_DIR has only {free:.0%} free space. Free up space. Otherwise, callbacks can't be "
        "stored or spooled."
    ]


def disk_free(folder: Path) -> float | None:
    """Return which part of a folder's disk is free; None if the folder doesn't exist."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total


def unwritable(folder: Path) -> str | None:
    """Return why a data folder (which is created if necessary) can't be written to; None if it can."""
    probe = folder / ".writable"
    try:
        make_private(folder)
        probe.write_bytes(b"1")
    except OSError as error:
        return _explained(folder, error)
    finally:
        with suppress(OSError):
            probe.unlink()
    return None


def settings_problem(folder: Path) -> str | None:
    """Return the same from the permissions alone, and create nothing."""
    there = next((one for one in (folder, *folder.resolve().parents) if one.exists()), None)
    if there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return None
    return _explained(folder, OSError(errno.EACCES, "Permission denied"))


def _explained(folder: Path, error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return f"The disk of RELAY_DATA_DIR={folder} is full. Free up space, then start the relay again."
    if (folder / "store").exists() or (
        folder / "secret_key"
    ).exists():  # another folder would be an empty relay
        advice = "Fix its permissions."
    else:
        advice = "Create the folder, fix its permissions, or choose another one."
    return f"RELAY_DATA_DIR={folder} can't be written to ({error.strerror or type(error).__name__}). {advice}"
