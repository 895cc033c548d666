"""The processes of a benchmark: a relay, gunicorn with a baseline, a store, and the load generator."""

from __future__ import annotations

import json
import os
import resource
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
import requests

from app.settings.table import load
from app.store.server.connection import make_client
from app.store.server.keys import Shard
from benchmarks import payloads

KEY = "crk_made-up-key-for-benchmarks"
LUA = Path(__file__).with_name("callbacks.lua")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, and stop it at the end."""
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
    """Run a baseline with the relay's gunicorn settings. Yield its URL."""
    port = str(free_port())
    command = (sys.executable, "-m", "gunicorn", "-c", "python:app.web.gunicorn", application)
    with process(*command, PORT=port, HOST="127.0.0.1", WEB_CONCURRENCY="2", **environment):
        wait_for_http(f"http://127.0.0.1:{port}/callback")
        time.sleep(1)
        yield f"http://127.0.0.1:{port}"


class RelayUnderTest:
    """A relay with its own folder."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        self.headers = {"X-API-Key": KEY}

    def call(self, method: str, path: str, **how: Any) -> requests.Response:
        """Send a request to the API, which must succeed, and return the response."""
        answer = requests.request(method, self.url + path, headers=self.headers, timeout=60, **how)
        answer.raise_for_status()
        return answer

    def device(self, security_key: str | None = None, **fields: Any) -> tuple[str, str]:
        """Register a new device, and return its ID and AuthToken."""
        device_id, token = f"BENCH{secrets.token_hex(4)}", secrets.token_hex(16)
        body = {"device_id": device_id, "auth_token": token, "security_key": security_key, **fields}
        self.call("POST", "/v1/devices", json=body)
        return body["device_id"], body["auth_token"]

    def counters(self, device_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/devices/{device_id}").json()
        return found

    def subscribe(self, target: str, device_id: str, **fields: Any) -> str:
        body = {
            "target_url": target,
            "event_types": ["attendance.punch"],
            "filters": {"device_ids": [device_id]},
            **fields,
        }
        return str(self.call("POST", "/v1/subscriptions", json=body).json()["id"])

    @contextmanager
    def subscribed(self, targets: Sequence[str], device_id: str) -> Iterator[None]:
        """Subscribe all targets, and delete the subscriptions afterwards."""
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda target: self.subscribe(target, device_id), targets))
            time.sleep(1)  # until the dispatcher has read the subscriptions
            yield
            list(pool.map(lambda name: self.call("DELETE", f"/v1/subscriptions/{name}"), made))

    def send(self, document: Any) -> float:
        """Send a callback, which must be acknowledged. Return the time before it was sent, in seconds since 1970."""
        began = time.time()
        answer = requests.post(f"{self.url}/callback", json=document, timeout=30)
        if answer.status_code != 200:
            raise RuntimeError(f"a callback was answered {answer.status_code}")
        return began

    def send_batches(self, token: str, count: int) -> None:
        """Send `count` different punches, 200 per callback, like a device that was offline."""
        batches = payloads.batches(token, count)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.send, batches))

    def memory(self) -> int:
        """Return the bytes of memory that the store uses."""
        client = make_client(load(self.environment))
        used = int(client.info("memory")["used_memory"])
        client.close()
        return used

    @contextmanager
    def part(self, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run one of the relay's processes: store, web or worker."""
        with process(sys.executable, "-m", "app", name, *options, **self.environment) as started:
            if name == "web":
                wait_for_http(f"{self.url}/health")
                time.sleep(1)  # until all web processes run; otherwise the first would get all connections
            elif name == "store":
                self._wait_for_store(lambda client: client.ping())
            else:
                self._wait_for_store(lambda client: client.exists(Shard(0).lease))
            yield started

    def _wait_for_store(self, ready: Callable[[Any], Any]) -> None:
        deadline = time.monotonic() + 20
        while True:
            with suppress(redis.RedisError, OSError):
                client = make_client(load(self.environment))
                try:
                    if ready(client):
                        return
                finally:
                    client.close()
            if time.monotonic() > deadline:
                raise RuntimeError("a process did not come up")
            time.sleep(0.05)


@contextmanager
def parts(folder: Path, *names: str, **environment: str) -> Iterator[RelayUnderTest]:
    """Run a relay with these processes."""
    made = RelayUnderTest(
        {
            "PORT": str(free_port()),
            "HOST": "127.0.0.1",
            "RELAY_DATA_DIR": str(folder / secrets.token_hex(4)),
            "RELAY_API_KEY": KEY,
            "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
            # One device sends as much as thousands would.
            "RELAY_DEVICE_EVENTS_PER_MINUTE": "10000000",
            "RELAY_DEVICE_MIB_PER_MINUTE": "65536",
            "RELAY_DEVICE_MIB_PER_DAY": "1048576",
            **environment,
        }
    )
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(made.part(name))
        yield made


@contextmanager
def relay(folder: Path, **environment: str) -> Iterator[RelayUnderTest]:
    """Run a relay with web, worker and embedded store."""
    with parts(folder, "store", "web", "worker", **environment) as made:
        yield made


def children(pid: int) -> dict[int, str]:
    """Return the child processes of a process, as process ID → command line."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(OSError):
                command = Path(f"/proc/{child}/cmdline").read_bytes()
                found[int(child)] = command.replace(b"\0", b" ").decode()
    return found


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) * 1024


def wrk(url: str, prepared: Path, seconds: int, connections: int = 16) -> dict[str, Any]:
    """Send prepared callbacks for some seconds, and return the results. Fails on any response that isn't `done`.

    In the results, `share` is the load generator's share of the machine, from 0 to 1.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(LUA), url, "--", str(prepared)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} of {result['requests']} answers were not `done`")
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**result, "share": taken / seconds / (os.cpu_count() or 1)}
