"""Checks for `cams-relay doctor` whether other users of the machine can access the data folder."""

from __future__ import annotations

import stat
from pathlib import Path

_PRIVATE = (
    "secret_key",
    "api_key",
    "virtual_device_token",
    "store",
    "store/password",
    "store/valkey.conf",
    "spool",
)


def data_folder_warnings(folder: Path) -> list[str]:
    """Return what others can change or read in the data folder, with the fix."""
    mode = _mode(folder)
    if mode is None:
        return []
    warnings = []
    # A setgid folder is a container's volume whose group was chosen on purpose.
    unwanted = 0o007 if mode & stat.S_ISGID else 0o077
    if mode & unwanted & 0o022:
        warnings.append(f"Other users can write to the data folder. Run `chmod go-w {folder.absolute()}`.")
    for name in _PRIVATE:
        found = _mode(folder / name)
        if found is not None and found & unwanted:
            path = (folder / name).absolute()
            warnings.append(f"Other users can access {path}. Run `chmod go-rwx {path}`.")
    return warnings


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None
