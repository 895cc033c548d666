"""The templates for cloud platforms start existing programs with existing settings, and keep callbacks safe."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from app.cli import main
from app.settings.table import VARIABLES, load
from tests.harness import ROOT

_SETTINGS = {variable.name for variable in VARIABLES}
_ENTRY = ["tini", "--", "cams-relay"]
_SECRETS = {
    "REDIS_URL": "redis://10.0.0.1:6379",
    "RELAY_SECRET_KEY": "made-up-" * 8,
    "RELAY_API_KEY": "made-up-" * 4,
}


def _render() -> Any:
    return yaml.safe_load((ROOT / "render.yaml").read_text())


def _fly() -> Any:
    return tomllib.loads((ROOT / "fly.toml").read_text())


def _started(command: str, entry: list[str] | None = None) -> str:
    """Return the subcommand that a platform starts."""
    words = shlex.split(command)
    if entry is not None:
        assert words[: len(entry)] == entry
        words = words[len(entry) :]
    assert words[0] in main.commands
    return words[0]


def _is_safe(environment: dict[str, str]) -> None:
    """Check that it starts with the platform's secrets, and keeps no callbacks on a temporary disk."""
    assert set(environment) <= _SETTINGS
    settings = load({**_SECRETS, **environment})
    assert settings.spool is False and settings.trusted_proxies == 1


def test_render_runs_web_and_worker_with_a_persistent_store() -> None:
    document = _render()
    store, *services = document["services"]
    assert (
        store["type"] == "keyvalue" and store["maxmemoryPolicy"] == "noeviction" and store["plan"] != "free"
    )
    assert {_started(one["dockerCommand"], _ENTRY) for one in services} == {"web", "worker"}
    (group,) = document["envVarGroups"]
    for service in services:
        shared, url = service["envVars"]
        assert shared == {"fromGroup": group["name"]}
        assert url["key"] == "REDIS_URL" and url["fromService"]["name"] == store["name"]
    generated = {one["key"] for one in group["envVars"] if one.get("generateValue")}
    assert generated == {"RELAY_SECRET_KEY", "RELAY_API_KEY"}
    _is_safe({one["key"]: one["value"] for one in group["envVars"] if "value" in one})


def test_fly_runs_web_and_worker_and_never_stops_web() -> None:
    document = _fly()
    assert {_started(command) for command in document["processes"].values()} == {"web", "worker"}
    service = document["http_service"]
    assert service["auto_stop_machines"] == "off" and service["min_machines_running"] >= 1
    assert str(service["internal_port"]) == document["env"]["PORT"]
    assert set(service["processes"]) <= set(document["processes"])
    _is_safe(document["env"])


@pytest.mark.parametrize(("name", "process"), [("railway.json", "web"), ("railway.worker.json", "worker")])
def test_railway_runs_web_and_worker(name: str, process: str) -> None:
    document = json.loads((ROOT / name).read_text())
    assert (ROOT / document["build"]["dockerfilePath"]).is_file()
    assert _started(document["deploy"]["startCommand"], _ENTRY) == process
    assert document["deploy"].get("healthcheckPath") == ("/health" if process == "web" else None)


def test_dockerfiles_pass_the_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    files = [ROOT / "Dockerfile", *sorted((ROOT / "examples").glob("**/*.Dockerfile"))]
    assert len(files) == 2
    checked = subprocess.run(
        [hadolint, "--failure-threshold", "info", *files], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_all_files_have_the_same_version() -> None:
    """pyproject.toml, the package and the image are published with the same tag."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"ARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()
