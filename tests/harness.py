"""Real processes and sockets for tests: a relay (store, web, worker), and a receiver for deliveries."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import requests
from standardwebhooks import Webhook

from app.store.server.embedded import die_with_parent

ROOT = Path(__file__).parent.parent
SAMPLES = Path(__file__).parent / "samples"
API_KEY = "crk_made-up-key-for-tests"


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 30.0, every: float = 0.02) -> Any:
    """Return the first true value of `what()`. Fails the test after this many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"nothing happened within {seconds} s"
        time.sleep(every)


@dataclass
class Received:
    """A request that a receiver got."""

    at: float
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Return the event, or the events of a batch."""
        content = self.json
        return content if isinstance(content, list) else [content]


class Target(Protocol):
    """Any target of a subscription."""

    url: str


class Receiver:
    """A webhook's target. A test can replace `answer`: (received) -> (status, headers, body)."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.accepted: list[Received] = []  # requests that were answered with 2xx
        self.answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda _: (200, {}, b"")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are sent at once, although written separately

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = Received(time.time(), headers, body)
                outer.received.append(got)
                status, more, content = outer.answer(got)
                if 200 <= status < 300:
                    outer.accepted.append(got)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a killed relay leaves broken pipes

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[dict[str, Any]]:
        """Return the events of all requests in order, with batches split."""
        return [event for got in list(self.received) for event in got.events]

    def wait(self, count: int, seconds: float = 30.0) -> list[Received]:
        """Wait until there are at least `count` requests, and return them."""
        wait_for(lambda: len(self.received) >= count, seconds)
        return list(self.received)


@dataclass
class Device:
    """A registered device and its callbacks."""

    relay: Relay
    id: str
    token: str
    security_key: str | None = None
    _clock: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def punch(self, user: str = "2", at: datetime | None = None, **fields: Any) -> dict[str, Any]:
        """Return a RealTimePunchLog document. Without `at`, each punch is a second after the last one."""
        at = at or datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=86_400 - next(self._clock))
        log = {
            "Type": "CheckIn",
            "InputType": "Fingerprint",
            "UserId": user,
            "LogTime": at.strftime("%Y-%m-%d %H:%M:%S GMT %z"),
            **fields,
        }
        return self.envelope(PunchLog=log)

    def envelope(self, **section: Any) -> dict[str, Any]:
        """Return a callback document with a new OperationID."""
        return {
            "RealTime": {
                "OperationID": secrets.token_hex(6),
                "AuthToken": self.token,
                "Time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S GMT +0000"),
                **section,
            }
        }

    def sample(self, number: int) -> dict[str, Any]:
        """Return a documented callback, with this device's token."""
        (path,) = SAMPLES.glob(f"{number:02d}-*.request.json")
        document: dict[str, Any] = json.loads(path.read_text())
        document["RealTime"]["AuthToken"] = self.token
        return document

    def send(self, document: Any, **how: Any) -> requests.Response:
        """POST a callback: a document as JSON, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.relay.session.post(f"{self.relay.url}/callback", data=body, timeout=15, **how)

    def send_done(self, document: Any) -> None:
        """POST a callback that must be acknowledged."""
        answer = self.send(document)
        assert (answer.status_code, answer.json()) == (200, {"status": "done"}), answer.text


class Relay:
    """A separate relay: `store`, `web` and `worker` processes with their own folder and port."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = requests.Session()
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("RELAY_", "REDIS_", "DATABASE_"))
            },
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "WEB_CONCURRENCY": "2",
            "RELAY_DATA_DIR": str(folder / "data"),
            "RELAY_API_KEY": API_KEY,
            "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8,::1/128",
            "RELAY_RETRY_SCHEDULE": "1,1,1",
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.wrapper: list[str] = []  # a command that starts the processes

    # Processes

    def start(self, *names: str) -> Relay:
        """Start processes (all by default), and wait until the web process answers, if it is among them."""
        wanted = names or (
            ("web", "worker") if "REDIS_URL" in self.environment else ("store", "web", "worker")
        )
        for name in wanted:
            self._start(name)
        if "web" in wanted:
            self.wait_healthy()
        return self

    def _start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", "app", name],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # so that a test run that is killed leaves nothing behind
            )

    def wait_healthy(self, seconds: float = 60.0) -> None:
        def healthy() -> bool:
            with suppress(requests.RequestException):
                return bool(requests.get(f"{self.url}/health", timeout=2).json().get("store") == "ok")
            return False

        wait_for(healthy, seconds)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill a process with all its children, like `kill -9` of its group."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(15)

    def terminate(self, name: str) -> float:
        """Send SIGTERM, as platforms do; return how many seconds the process took to end."""
        process = self.processes.pop(name)
        began = time.monotonic()
        process.terminate()
        process.wait(20)
        return time.monotonic() - began

    def stop(self) -> None:
        for name in ("worker", "web", "store"):
            if name in self.processes:
                self.kill(name)

    def __enter__(self) -> Relay:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def logs(self) -> str:
        """Return the output of all processes."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    # The API

    def call(self, method: str, path: str, key: str | None = API_KEY, **how: Any) -> requests.Response:
        headers = {**how.pop("headers", {}), **({"X-API-Key": key} if key else {})}
        how.setdefault("timeout", 30)
        return self.session.request(method, self.url + path, headers=headers, **how)

    def get(self, path: str, **how: Any) -> Any:
        """GET a path that must be answered with 200; return the JSON."""
        answer = self.call("GET", path, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def device(self, **fields: Any) -> Device:
        """Register a device with a made-up ID and token."""
        body = {"device_id": f"DEV{secrets.token_hex(4)}", "auth_token": secrets.token_hex(16), **fields}
        answer = self.call("POST", "/v1/devices", json=body)
        assert answer.status_code == 201, answer.text
        return Device(self, body["device_id"], body["auth_token"], body.get("security_key"))

    def subscribe(self, target: Target, *devices: Device, **fields: Any) -> dict[str, Any]:
        """Subscribe a target to the events of devices (of all, by default)."""
        body = {"target_url": target.url, "event_types": fields.pop("events", ["*"]), **fields}
        if devices:
            body.setdefault("filters", {})["device_ids"] = [device.id for device in devices]
        answer = self.call("POST", "/v1/subscriptions", json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def events(self, **query: Any) -> list[dict[str, Any]]:
        """Return all stored events of a query, oldest first."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get("/v1/events", params={"limit": 200, "cursor": cursor, **query})
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found[::-1]


def verify(secret: str, got: Received) -> Any:
    """Verify a delivery's Standard Webhooks signature, and return its JSON."""
    return Webhook(secret).verify(got.body, got.headers)


@contextmanager
def debian_redis(folder: Path) -> Iterator[str]:
    """Run a Redis server from Debian's packages; yield its URL."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: run scripts/install-redis"
    port = free_port()
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--appendonly",
        "yes",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)
