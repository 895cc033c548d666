"""A receiver that responds as the gateway's documentation says, and the connector as a separate process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.gateway.cipher import SecurityKey
from app.store.server.embedded import die_with_parent
from tests.harness import ROOT, Received, Receiver, wait_for

TOKEN = "made-up-token-of-32-characters-0"
DONE: tuple[int, dict[str, str], bytes] = (200, {"content-type": "application/json"}, b'{ "status": "done" }')


class Connector:
    """`cams-relay connector …` as a process, with its files in a separate folder."""

    def __init__(
        self, folder: Path, to: str, token: str = TOKEN, stgid: str | None = "ESSL1", **environment: str
    ) -> None:
        self.folder = folder
        self._to, self._stgid = to, stgid
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CONNECTOR_AUTH_TOKEN": token,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.state = folder / f"connector-{stgid}.connector.json"

    def _command(self, words: tuple[str, ...]) -> list[str]:
        device = () if self._stgid is None else ("--stgid", self._stgid)
        shared = ("--to", self._to, *device, "--poll", "0.05")
        zone = () if "--timezone" in words else ("--timezone", "Asia/Kolkata")
        return [sys.executable, "-m", "app", "connector", *words, *shared, *zone]

    def run(self, *words: str, status: int = 0) -> str:
        """Run it with --once until it ends, and return its output."""
        done = subprocess.run(
            [*self._command(words), "--once"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        return done.stderr

    def start(self, *words: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(words),
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(20)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def place(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state.read_text())["place"]
        return found

    def rejects(self) -> list[dict[str, Any]]:
        path = self.folder / "connector-ESSL1.rejects.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def whole(receiver: Receiver) -> list[Received]:
    """Return the complete requests. A connector that is killed may send only a part of one."""
    return [got for got in list(receiver.received) if len(got.body) == int(got.headers["content-length"])]


def punches(receiver: Receiver, key: SecurityKey | None = None) -> list[dict[str, Any]]:
    """Return the PunchLog of each callback, in order."""
    bodies = [got.body if key is None else key.decrypt(got.body) for got in whole(receiver)]
    return [json.loads(body)["RealTime"]["PunchLog"] for body in bodies]


def users(receiver: Receiver) -> list[str]:
    return [punch["UserId"] for punch in punches(receiver)]


def operations(receiver: Receiver) -> list[str]:
    return [got.json["RealTime"]["OperationID"] for got in whole(receiver)]


@pytest.fixture
def gate(receiver: Receiver) -> Receiver:
    """A receiver that acknowledges all callbacks. `answer` can be replaced."""
    receiver.answer = lambda _: DONE
    return receiver


@pytest.fixture
def connector(tmp_path: Path, gate: Receiver) -> Connector:
    return Connector(tmp_path, gate.url)


@pytest.fixture
def following(connector: Connector) -> Iterator[Callable[..., Connector]]:
    """Start a connector that runs until the test ends."""

    def start(*words: str) -> Connector:
        connector.start(*words)
        return connector

    yield start
    if connector._process is not None and connector._process.poll() is None:
        connector.kill()


def refuse(status: int) -> Callable[[Received], tuple[int, dict[str, str], bytes]]:
    return lambda _: (status, {}, b"")


def wait_users(receiver: Receiver, expected: list[str]) -> None:
    """Wait until callbacks from these users have arrived in this order, and no others."""
    wait_for(lambda: len(receiver.received) >= len(expected), 20)
    assert users(receiver) == expected
