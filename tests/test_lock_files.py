"""Every folder with a package.json is installed as its lock file says, from whichever registry npm is set to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

_SKIPPED = {"node_modules", ".venv", ".git", "dist"}


def _locks() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - _SKIPPED)
        if "package-lock.json" in files:
            yield Path(folder) / "package-lock.json"


@pytest.mark.parametrize("path", list(_locks()), ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_lock_file_names_no_registry_and_what_is_wanted_is_exact(path: Path) -> None:
    packages = json.loads(path.read_text())["packages"]
    assert not any("resolved" in package for package in packages.values())
    wanted = json.loads((path.parent / "package.json").read_text())
    for kind in ("dependencies", "devDependencies"):
        for name, version in wanted.get(kind, {}).items():
            assert version[0].isdigit(), f"{name}: {version}"
