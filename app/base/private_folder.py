"""Creates folders that only the relay's user may open."""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> None:
    """Create a folder with mode 0700, and also missing folders above it. Raises OSError.

    `Path.mkdir(parents=True, mode=…)` only sets the mode of the last folder. The others depend on the umask.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
