"""Finds environment variables that look like settings, but aren't. A misspelt one would silently have no effect."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping

from app.settings.env_file import read_env_file
from app.settings.table import VARIABLES

# Of the connector and child processes.
_OTHERS = ("RELAY_URL", "RELAY_LIVE", "RELAY_UNDER_UP", "RELAY_SIMULATOR_PORT")
_OF_TESTS = "RELAY_TEST_"


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable that begins with RELAY_ and isn't a setting, with the most similar one."""
    known = [*(variable.name for variable in VARIABLES), *_OTHERS]
    found = []
    for name in sorted({*read_env_file(), *os.environ} if environ is None else environ):
        if name.startswith("RELAY_") and name not in known and not name.startswith(_OF_TESTS):
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]}?" if near else " .env.example lists all settings."
            found.append(f"{name} is set, but there is no such setting.{hint}")
    return found
