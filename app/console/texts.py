"""All texts of the console, from `texts.en.toml`. A translation is another file like it."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

_LANGUAGE = "en"


@functools.cache
def _all() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / f"texts.{_LANGUAGE}.toml").read_text())


def text(name: str, /, **values: object) -> str:
    """Return the text `section.name`, with `{…}` filled in. Raises KeyError if there is none."""
    found: Any = _all()
    for part in name.split("."):
        found = found[part]
    assert isinstance(found, str), name
    return found.format(**values) if values else found


def section(name: str) -> dict[str, str]:
    """Return a section, for scripts."""
    found: dict[str, str] = _all()[name]
    return found
