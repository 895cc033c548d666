"""Helpers for the tests of the documentation: its pages, their code blocks, and `cams-relay up` as in README."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import requests

from tests.harness import ROOT, free_port, wait_for

PAGES = (
    ROOT / "README.md",
    ROOT / "n8n-nodes" / "README.md",
    ROOT / "make-app" / "README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
    ROOT / "CHANGELOG.md",
)


def load_generator() -> ModuleType:
    """Return scripts/docs as a module."""
    loader = importlib.machinery.SourceFileLoader("scripts_docs", str(ROOT / "scripts" / "docs"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # otherwise, it would create scripts/docsc
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    return load_generator()


def block(page: str, kind: str, name: str) -> str:
    """Return the fenced block after `<!-- kind: name -->` in a page, even within a list."""
    text = (ROOT / page).read_text()
    found = re.search(
        rf"^( *)<!-- {kind}: {name} -->\n\1```\w+\n(.*?)\n\1```", text, re.DOTALL | re.MULTILINE
    )
    assert found, f"{page} has no block marked {kind}: {name}"
    return textwrap.dedent(found[2])


@dataclass
class Running:
    """`cams-relay up` with its own folder and ports."""

    folder: Path
    url: str
    simulator_url: str
    environment: dict[str, str]

    @property
    def key(self) -> str:
        return (self.folder / ".data" / "api_key").read_text().strip()

    def shell(self, script: str, **replaced: str) -> str:
        """Run a block of README with our ports instead of its own; return its output."""
        script = script.replace("http://127.0.0.1:8000", self.url)
        script = script.replace(".venv/bin/cams-relay", f"{sys.executable} -m app")
        for old, new in replaced.items():
            assert old in script
            script = script.replace(old, new)
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with up(tmp_path_factory.mktemp("readme")) as made:
        yield made


@contextmanager
def up(folder: Path, *path: Path) -> Iterator[Running]:
    """Run `cams-relay up` in a folder; `path` comes before the project's on PYTHONPATH."""
    port, simulator_port = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))},
        "PORT": str(port),
        "SIMULATOR_PORT": str(simulator_port),
        "SIMULATOR_URL": f"http://127.0.0.1:{simulator_port}",
        "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8,::1/128",  # as make run does
        "PYTHONPATH": os.pathsep.join(str(entry) for entry in (*path, ROOT)),
    }
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "up"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    made = Running(folder, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}", environment)
    try:
        wait_for(
            lambda: b"Press Ctrl-C to stop" in (folder / "up.log").read_bytes() or process.poll() is not None,
            35,
        )
        assert process.poll() is None, (folder / "up.log").read_text()
        wait_for(lambda: _answers(f"{made.simulator_url}/control/devices"), 15)
        yield made
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
