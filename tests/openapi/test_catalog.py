"""The packages for n8n and Zapier build their catalog from the registry, even in a fresh clone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import openapi
from app.gateway.operations import OPERATIONS, Operation
from app.openapi import action_bodies, make
from app.schemas import actions as schemas
from tests.harness import ROOT

ACTIONS = openapi.catalog()["actions"]
JARGON = re.compile(
    r"""`|\{                  # code
    |\b(true|false|null)\b   # JSON
    |[a-z]_[a-z]             # a field
    |[a-z]\.[a-z]            # an event type
    |[a-z][A-Z]              # a name in the gateway's JSON, such as UserID
    |\b(Template|Data|Index)\b|array|callback|operation|Base64|ISO\ 8601""",
    re.VERBOSE,
)
PACKAGES = {"n8n-nodes": "nodes/catalog.json", "zapier-app": "catalog.json"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone without .venv, with the files needed to build a catalog. Its PATH is the folder `bin` beside it."""
    clone = tmp_path / "clone"
    for package, path in PACKAGES.items():
        (clone / package / path).parent.mkdir(parents=True)
    (clone / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "catalog.mjs", clone / "scripts")
    (clone / "scripts" / "catalog").symlink_to(ROOT / "scripts" / "catalog")
    (tmp_path / "bin").mkdir()
    return clone


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def set_up(clone: Path) -> None:
    """Sets up .venv like `make .venv/.run`."""
    program(clone / ".venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    (clone / ".venv" / ".run").touch()


def build(clone: Path, package: str) -> subprocess.CompletedProcess[str]:
    """Runs the package's own script `catalog`."""
    scripts = json.loads((ROOT / package / "package.json").read_text())["scripts"]
    node, *arguments = scripts["catalog"].split()
    assert node == "node"
    return subprocess.run(
        [str(shutil.which("node")), *arguments],
        cwd=clone / package,
        env={"PATH": str(clone.parent / "bin")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_builds_it_from_the_registry(package: str, clone: Path) -> None:
    set_up(clone)
    built = build(clone, package)
    assert built.returncode == 0, built.stdout
    path = clone / package / PACKAGES[package]
    assert json.loads(path.read_text()) == openapi.catalog()
    assert list(path.parent.glob(".catalog*")) == []  # no incomplete file is left
    before = path.stat().st_mtime_ns
    assert build(clone, package).returncode == 0
    assert path.stat().st_mtime_ns == before


def test_make_sets_up_what_a_fresh_clone_lacks(clone: Path) -> None:
    prepared = clone.parent / "prepared"
    set_up(prepared)
    copy = f'[ "$*" = "--no-print-directory -C {clone} .venv/.run" ] && /bin/cp -r {prepared}/.venv {clone}/'
    program(clone.parent / "bin" / "make", copy)
    built = build(clone, "zapier-app")
    assert built.returncode == 0, built.stdout
    assert json.loads((clone / "zapier-app" / "catalog.json").read_text()) == openapi.catalog()


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["name"])
def test_an_action_is_described_without_terms_of_the_api(action: dict[str, Any]) -> None:
    """People who have never seen an API read these texts in the forms of n8n, Zapier and Make."""
    actions = {other["name"] for other in ACTIONS if "-" in other["name"]}
    for text in (action["description"], *(field["description"] for field in action["fields"])):
        assert not JARGON.search(text), text
        assert not any(name in text for name in actions), text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_described_without_terms_of_the_api(operation: Operation) -> None:
    assert not JARGON.search(operation.description)


def test_the_api_describes_what_its_callers_need_to_know() -> None:
    paths = openapi.build()["paths"]
    emptied = paths["/v1/actions/delete-all-user"]["post"]
    assert "Requires confirm: true." in emptied["description"]
    body = action_bodies.action_body(schemas.ACTIONS["add-user-with-face"])
    assert body["properties"]["face_data"]["description"].endswith("Base64.")
    body = action_bodies.action_body(schemas.ACTIONS["load-log"])
    assert "ISO 8601" in body["properties"]["start_time"]["description"]


@pytest.mark.parametrize("make", ["", "echo 'there is no python3'; exit 2"])
def test_without_python_or_make_the_error_says_what_is_needed(make: str, clone: Path) -> None:
    if make:
        program(clone.parent / "bin" / "make", make)
    built = build(clone, "n8n-nodes")
    assert built.returncode == 1
    assert "needs Python 3.11 or later and make" in built.stdout
    assert f'Run "make setup" in {clone}' in built.stdout
    assert not (clone / "n8n-nodes" / "nodes" / "catalog.json").exists()


def test_a_catalog_that_cannot_be_built_is_an_error(clone: Path) -> None:
    program(clone / ".venv" / "bin" / "python", "echo 'No module named flask'; exit 1")
    (clone / ".venv" / ".run").touch()
    built = build(clone, "n8n-nodes")
    assert built.returncode == 1
    assert "No module named flask" in built.stdout and "scripts/catalog failed" in built.stdout


def test_built_files_are_not_committed() -> None:
    """A merge can bring a removed file back."""
    built = [f"{package}/{path}" for package, path in PACKAGES.items()]
    built += [f"make-app/{path}" for path in make.files()]
    listed = subprocess.run(["git", "ls-files", "--", *built], cwd=ROOT, capture_output=True, text=True)
    assert listed.stdout == ""
