"""The code keeps to the import contracts in pyproject.toml."""

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


def test_the_gateway_package_only_imports_the_module_for_taking_turns() -> None:
    graph = grimp.build_graph("app", "workers", "simulator", cache_dir=None)
    protocol = {"app.gateway", "app.base.yielding", *graph.find_descendants("app.gateway")}
    imported = set().union(*(graph.find_modules_directly_imported_by(module) for module in protocol))
    assert imported - protocol == set()


def test_gunicorns_master_imports_no_module_before_gevent_patches_it() -> None:
    script = "import sys, app.web.gunicorn, app.web.gunicorn_worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"flask", "redis", "requests", "app.api", "app.store"} & set(loaded.stdout.split())


def test_the_command_line_only_imports_modules_that_every_command_needs() -> None:
    script = "import sys, app.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"flask", "redis", "requests", "app.api", "app.store", "simulator.gateway"} & set(
        loaded.stdout.split()
    )
