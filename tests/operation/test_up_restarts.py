"""`up` can be started again immediately, however it ended, because nothing of it still listens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.harness import ROOT, free_port, wait_for
from tests.processes import tree

pytestmark = pytest.mark.timeout(600)

_RESTARTS = 3


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))},
        "PORT": str(port),
        "RELAY_DATA_DIR": str(folder / "data"),
        "WEB_CONCURRENCY": "1",
        "PYTHONPATH": str(ROOT),
    }
    with (folder / "up.log").open("ab") as log:
        command = [sys.executable, "-m", "app", "up", "--no-simulator"]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def test_up_can_be_started_again_immediately(tmp_path: Path) -> None:
    port = free_port()
    for number in range(_RESTARTS):
        up = start(tmp_path, port)

        def answers(up: subprocess.Popen[bytes] = up) -> bool:
            assert up.poll() is None, (tmp_path / "up.log").read_text()
            try:
                return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
            except requests.RequestException:
                return False

        wait_for(answers, 60)
        # This process answers, not a leftover of the one before.
        wait_for(lambda count=number + 1: (tmp_path / "up.log").read_text().count("is running") == count, 60)
        up.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        up.wait(60)
    shown = (tmp_path / "up.log").read_text()
    assert "address" not in shown.lower()
    assert "alembic" not in shown  # a library's own steps mean nothing to the person who starts the relay


def test_up_waits_for_processes_of_a_killed_up(tmp_path: Path) -> None:
    port = free_port()
    first = start(tmp_path, port)
    wait_for(lambda: "is running" in (tmp_path / "up.log").read_text(), 120)
    web = [pid for pid, command in tree(first.pid).items() if "gunicorn" in command]
    for pid in web:
        os.kill(pid, signal.SIGSTOP)  # a stopped process takes longer to end
    first.kill()
    first.wait(60)
    second = start(tmp_path, port)
    try:
        wait_for(lambda: second.poll() is not None or _has_open(second.pid, "up.lock"), 120)
        time.sleep(0.5)
        for pid in web:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: second.poll() or (tmp_path / "up.log").read_text().count("is running") == 2, 120)
        assert second.poll() is None, (tmp_path / "up.log").read_text()
    finally:
        second.terminate()
        second.wait(60)


def _has_open(pid: int, name: str) -> bool:
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            links.append(os.readlink(link))
    return any(link.endswith(name) for link in links)


def test_a_second_up_with_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = start(tmp_path, free_port())
    try:
        wait_for(lambda: (tmp_path / "data" / "up.lock").exists(), 60)
        time.sleep(1)
        second = start(tmp_path, free_port())
        assert second.wait(120) == 1
        assert re.search("another `.+ up` is using", (tmp_path / "up.log").read_text())
        assert first.poll() is None
    finally:
        first.terminate()
        first.wait(60)
