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
    installed = {
        name: package
        for name, package in packages.items()
        if "node_modules/" in name and not package.get("link")
    }
    assert [
        name
        for name, package in installed.items()
        if not package.get("integrity") and not package.get("inBundle")
    ] == []
    wanted = json.loads((path.parent / "package.json").read_text())
    for kind in ("dependencies", "devDependencies"):
        for name, version in wanted.get(kind, {}).items():
            assert version[0].isdigit(), f"{name}: {version}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_python_package_is_pinned_with_a_hash(name: str) -> None:
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    pinned = [entry for entry in entries if entry.strip() and not entry.lstrip().startswith("#")]
    assert len(pinned) > 20
    assert [entry for entry in pinned if "==" not in entry or "--hash=sha256:" not in entry] == []
