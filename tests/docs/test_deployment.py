"""The deployment files Procfile and app.json."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import requests

from app.settings.table import VARIABLES, load
from tests.docs.conftest import up
from tests.harness import ROOT, Relay, free_port, wait_for


def _procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


def test_app_json_sets_known_settings_only() -> None:
    app = json.loads((ROOT / "app.json").read_text())
    assert set(app["env"]) <= {variable.name for variable in VARIABLES}
    assert set(app["formation"]) == set(_procfile())


def test_app_json_starts_a_relay_without_spool_and_with_its_secrets() -> None:
    env = json.loads((ROOT / "app.json").read_text())["env"]
    generated = {name for name, value in env.items() if value.get("generator") == "secret"}
    assert generated == {"RELAY_SECRET_KEY", "RELAY_API_KEY"}
    values = {name: value["value"] for name, value in env.items() if "value" in value}
    settings = load(
        values | dict.fromkeys(generated, "x" * 64) | {"REDIS_URL": "rediss://:p@example.com:6379"}
    )
    assert settings.spool is False
    assert settings.trusted_proxies == 1


_HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in NAMES:
            raise ModuleNotFoundError(f'No module named {name!r}: it is not in requirements.txt', name=name)

sys.meta_path.insert(0, Hidden())
"""


def test_the_relay_runs_with_only_requirements_txt_installed(tmp_path: Path) -> None:
    """The first punch must arrive even if the packages for tests and tools in .venv are hidden."""
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    hidden = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not {re.sub(r"[._-]+", "-", owner).lower() for owner in owners} & {*locked, "cams-relay"}
    }
    assert {"pytest", "pip"} <= hidden
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(f"NAMES = {sorted(hidden)!r}\n{_HIDE}")
    with up(tmp_path, tmp_path / "hide"):
        wait_for(lambda: "attendance.punch" in (tmp_path / "up.log").read_text())


def test_the_procfile_starts_web_and_worker(relay: Relay, tmp_path: Path) -> None:
    """A second web and a second worker run with the store of the running relay, as on a platform."""
    port = free_port()
    environment = {**relay.environment, "PORT": str(port)}
    del environment["HOST"]
    if not environment["RELAY_DATA_DIR"].startswith("/"):
        environment["RELAY_DATA_DIR"] = str(relay.folder / environment["RELAY_DATA_DIR"])
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    processes = [
        subprocess.Popen(
            shlex.split(command),
            cwd=ROOT,
            env=environment,
            stdout=(tmp_path / name).open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for name, command in _procfile().items()
    ]
    try:

        def healthy() -> bool:
            try:
                return requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok
            except requests.RequestException:
                return False

        wait_for(healthy, 20)
        time.sleep(1)
        assert [process.poll() for process in processes] == [None, None]
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(20)
