"""The console has every text that its pages use, and every translation has all texts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from app import console
from app.console.frame import MENU
from app.console.texts import text

FOLDER = Path(console.__file__).parent
TRANSLATIONS = sorted(FOLDER.glob("texts.*.toml"))
IN_TEMPLATES = re.compile(r"""\bt\(\s*"([a-z_]+\.[a-z_0-9]+)"\s*[,)]""")
IN_PYTHON = re.compile(r"""\btext\(\s*"([a-z_]+\.[a-z_0-9]+)"\s*[,)]""")


def used() -> set[tuple[str, str]]:
    """Return the file and text of each use with a literal name."""
    found = {("the menu", f"menu.{name}") for name in MENU}
    for path in FOLDER.rglob("*.html"):
        found |= {(path.name, name) for name in IN_TEMPLATES.findall(path.read_text())}
    for path in FOLDER.glob("*.py"):
        found |= {(path.name, name) for name in IN_PYTHON.findall(path.read_text())}
    return found


def texts(path: Path) -> dict[str, set[str]]:
    """Return the texts of a file, each with its placeholders."""
    sections: dict[str, dict[str, Any]] = tomllib.loads(path.read_text())
    return {
        f"{section}.{name}": set(re.findall(r"\{(\w+)", str(value)))
        for section, entries in sections.items()
        for name, value in entries.items()
    }


def test_every_text_that_a_page_uses_exists() -> None:
    missing = []
    for file, name in sorted(used()):
        try:
            text(name)
        except KeyError:
            missing.append(f"{file}: {name}")
    assert missing == []


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: path.name)
def test_every_translation_has_the_same_texts_and_placeholders(path: Path) -> None:
    assert texts(path) == texts(FOLDER / "texts.en.toml")
