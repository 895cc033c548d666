"""Installs folders with a package.json according to their lock files, once, and runs npm in them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

_QUIET = {"CI": "true", "NO_COLOR": "1", "npm_config_update_notifier": "false"}
_DONE = ".installed"


def run(
    folder: Path, *command: str | Path, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder. Its output, including errors, is in `stdout`."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **_QUIET, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )


def npm(
    folder: Path, *arguments: str, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder."""
    program = shutil.which("npm")
    assert program, "Node.js with npm is needed: https://nodejs.org, or apt-get install nodejs npm"
    return run(folder, program, *arguments, timeout=timeout, **environment)


def installed(folder: Path) -> Path:
    """Return the folder, after installing its lock file's packages in `node_modules`."""
    lock, done = folder / "package-lock.json", folder / "node_modules" / _DONE
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another test run may be doing the same
        if not done.exists() or done.read_text() != lock.read_text():
            made = npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout=400)
            assert made.returncode == 0, made.stdout
            done.write_text(lock.read_text())
    return folder
