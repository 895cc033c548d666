"""The lock files give the same versions from any registry, and can be audited."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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
def test_a_lock_file_names_no_registry_and_its_requirements_are_exact(path: Path) -> None:
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
            exact = version.rpartition("@")[2] if version.startswith("npm:") else version
            assert exact[:1].isdigit(), f"{name}: {version}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-image.txt", "requirements-dev.txt"])
def test_every_python_package_is_pinned_with_a_hash(name: str) -> None:
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    pinned = [entry for entry in entries if entry.strip() and not entry.lstrip().startswith("#")]
    assert len(pinned) > 20
    assert [entry for entry in pinned if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_what_runs_has_the_versions_that_are_tested() -> None:
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))

    assert pinned("requirements.txt") - pinned("requirements-dev.txt") == set()
    assert pinned("requirements-image.txt") - pinned("requirements-dev.txt") == set()
    assert pinned("requirements.txt") - pinned("requirements-image.txt") == set()


def test_a_failed_audit_is_reported_and_is_not_a_success(tmp_path: Path) -> None:
    """Runs `make audit` with neither a package index nor npm."""
    nowhere = {"PATH": str(tmp_path), "HOME": str(tmp_path), "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts" / "audit"], env=nowhere, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    missed = {
        line.split()[2].rstrip(":") for line in ran.stdout.splitlines() if line.startswith("NOT AUDITED")
    }
    assert missed == {str(path.relative_to(ROOT)) for path in _locks()} | {
        "requirements.txt",
        "requirements-image.txt",
        "requirements-dev.txt",
    }
    assert "Nothing is known of them." in ran.stdout


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-image.txt", "requirements-dev.txt"])
def test_every_python_package_is_exact_and_hashed(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    wanted = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(wanted) > 20
    for line in wanted:
        assert "==" in line.split()[0] and "--hash=sha256:" in line, line
