"""The import contracts in pyproject.toml are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent


def test_the_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_protocol_imports_nothing_else_of_ours_but_how_to_take_turns() -> None:
    graph = grimp.build_graph("app", "workers", "simulator", cache_dir=None)
    protocol = {"app.gateway", "app.base.yielding", *graph.find_descendants("app.gateway")}
    imported = set().union(*(graph.find_modules_directly_imported_by(module) for module in protocol))
    assert imported - protocol == set()


def test_gunicorns_master_imports_nothing_that_gevent_would_patch_too_late() -> None:
    script = "import sys, app.web.gunicorn, app.web.gunicorn_worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"flask", "redis", "requests", "app.api", "app.store"} & set(loaded.stdout.split())


def test_the_command_line_imports_only_what_every_command_needs() -> None:
    script = "import sys, app.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"flask", "redis", "requests", "app.api", "app.store", "simulator.gateway"} & set(
        loaded.stdout.split()
    )
