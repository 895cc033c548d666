"""The processes a benchmark needs: a relay, gunicorn with a baseline, a store, a sink."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

KEY = "crk_made-up-key-for-benchmarks"
LUA = Path(__file__).with_name("callbacks.lua")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended at the end."""
    started = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(20)


def wait_for_http(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            requests.post(url, data=b"{}", timeout=2)
            return
        time.sleep(0.05)
    raise RuntimeError(f"{url} did not come up")


@contextmanager
def gunicorn(application: str, **environment: str) -> Iterator[str]:
    """A baseline under the relay's own gunicorn settings; its URL."""
    port = str(free_port())
    command = (sys.executable, "-m", "gunicorn", "-c", "python:app.gunicorn", application)
    with process(*command, PORT=port, HOST="127.0.0.1", WEB_CONCURRENCY="2", **environment):
        wait_for_http(f"http://127.0.0.1:{port}/callback")
        yield f"http://127.0.0.1:{port}"


class RelayUnderTest:
    """A relay on a folder of its own, as `cams-relay up` runs it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._headers = {"X-API-Key": KEY}

    def device(self, security_key: str | None = None) -> tuple[str, str]:
        """A new device's id and AuthToken."""
        device_id, token = f"BENCH{secrets.token_hex(4)}", secrets.token_hex(16)
        body = {"device_id": device_id, "auth_token": token, "security_key": security_key}
        requests.post(
            f"{self.url}/v1/devices", json=body, headers=self._headers, timeout=10
        ).raise_for_status()
        return device_id, token

    def counters(self, device_id: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/v1/devices/{device_id}", headers=self._headers, timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    def subscribe(self, target: str, device_id: str, **fields: Any) -> str:
        body = {
            "target_url": target,
            "events": ["attendance.punch"],
            "filters": {"device_ids": [device_id]},
            **fields,
        }
        answer = requests.post(f"{self.url}/v1/subscriptions", json=body, headers=self._headers, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["id"])


@contextmanager
def relay(folder: Path, **environment: str) -> Iterator[RelayUnderTest]:
    """A relay with web, worker and embedded store."""
    port = free_port()
    settings = {
        "PORT": str(port),
        "RELAY_DATA_DIR": str(folder / secrets.token_hex(4)),
        "RELAY_API_KEY": KEY,
        "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
        **environment,
    }
    with process(sys.executable, "-m", "app", "up", "--no-simulator", **settings):
        wait_for_http(f"http://127.0.0.1:{port}/health")
        yield RelayUnderTest(f"http://127.0.0.1:{port}")


def wrk(url: str, prepared: Path, seconds: int, connections: int = 16) -> dict[str, Any]:
    """Sends prepared callbacks for so long; what came of it. Fails on any answer that isn't `done`."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(LUA), url, "--", str(prepared)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} of {result['requests']} answers were not `done`")
    return result
