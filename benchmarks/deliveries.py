"""Benchmarks of deliveries: at full load, from a backlog, to a thousand targets, and next to failing targets."""

from __future__ import annotations

import asyncio
import itertools
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import requests

from benchmarks import cases, payloads
from benchmarks.processes import (
    RelayUnderTest,
    children,
    free_port,
    parts,
    resident_bytes,
    wrk,
)
from benchmarks.sink import Arrival, sink

_HANG_SECONDS = 10
_TYPICAL = 620  # bytes of a typical event


class Sustained(NamedTuple):
    """Events per second from the first callback to the last delivery, and the events left when callbacks ended."""

    per_second: float
    backlog: float


def sustained(relay: RelayUnderTest, folder: Path, seconds: int) -> Iterator[Sustained]:
    """Send as many callbacks as web accepts. One subscriber must receive all of them."""
    device_id, token = relay.device()
    first, count = 0, 6_000 * seconds
    with sink(folder) as target:
        relay.subscribe(target.url, device_id, max_in_flight=100)
        while True:
            prepared = payloads.write(folder, payloads.punches(token, count, first))
            had, stored = len(target.look()), relay.counters(device_id)["events"]
            began = time.time()
            wrk(relay.url, prepared, seconds)
            stored = relay.counters(device_id)["events"] - stored
            left = had + stored - len(target.look())
            arrived = target.wait(had + stored, 120)[had:]
            _check(arrived, stored)
            yield Sustained(stored / (arrived[-1].at - began), left)
            first += count


def naive_sustained(url: str, receiver: cases.Sink, count: int) -> Iterator[float]:
    """Measure the naive relay in the same way, but with fewer callbacks, because it is much slower."""
    first = 50_000_000
    while True:
        documents = [payloads.punch("t" * 32, first + number * 200) for number in range(count)]
        began = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(
                    lambda document: requests.post(f"{url}/callback", json=document, timeout=30), documents
                )
            )
        names = [document["RealTime"]["OperationID"] for document in documents]
        while not all(name in receiver.arrived for name in names):
            if time.perf_counter() - began > 120:
                raise RuntimeError("the naive relay did not deliver within two minutes")
            time.sleep(0.01)
        yield count / (max(receiver.arrived[name] for name in names) - began)
        first += count * 200


class Drained(NamedTuple):
    """Deliveries per second, and the growth of the dispatcher's memory in MB."""

    per_second: float
    grown_mb: float


def drained(folder: Path, count: int) -> Iterator[Drained]:
    """Deliver a backlog, which exists when the worker starts, to one subscriber. Time from first to last delivery."""
    while True:
        with sink(folder) as target, parts(folder, "store", "web") as relay:
            device_id, token = relay.device()
            relay.subscribe(target.url, device_id, max_in_flight=100)
            relay.send_batches(token, count)
            with relay.part("worker") as worker:
                target.wait(1, 60)
                dispatcher = next(
                    pid for pid, command in children(worker.pid).items() if "dispatcher" in command
                )
                before = most = resident_bytes(dispatcher)
                deadline = time.monotonic() + 300
                while len(target.look()) < count:
                    most = max(most, resident_bytes(dispatcher))
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"{len(target.arrivals)} of {count} deliveries came")
                    time.sleep(0.2)
        arrived = target.arrivals
        _check(arrived, count)
        yield Drained(count / (arrived[-1].at - arrived[0].at), (most - before) / 1e6)


def drained_by_workers(folder: Path, count: int, workers: int) -> Iterator[float]:
    """Measure the deliveries per second of a backlog in six shards, with several workers of one dispatcher each.

    Only the middle counts, from 30 to 80 %, because at first the workers are still starting and dividing the shards.
    """
    while True:
        with sink(folder) as target, parts(folder, "store", "web", RELAY_SHARDS="6") as relay:
            devices = [relay.device(device_id=name) for name in _spread(6)]
            for device_id, token in devices:
                relay.subscribe(target.url, device_id, max_in_flight=100)
                relay.send_batches(token, count // len(devices))
            expected = count // len(devices) * len(devices)
            with ExitStack() as stack:
                for _ in range(workers):
                    stack.enter_context(relay.part("worker", "--processes", "1"))
                arrived = target.wait(expected, 300)
        _check(arrived, expected)
        first, last = expected * 3 // 10, expected * 8 // 10
        yield (last - first) / (arrived[last].at - arrived[first].at)


def _spread(shards: int) -> list[str]:
    """Return two device IDs per shard. The CRC of an ID determines its shard."""
    names: dict[int, list[str]] = {}
    for number in itertools.count():
        name = f"BENCH{number}"
        names.setdefault(crc32(name.encode()) % shards, []).append(name)
        if len(names) == shards and min(map(len, names.values())) >= 2:
            return [name for found in names.values() for name in found[:2]]
    raise AssertionError


def raw(folder: Path, count: int) -> Iterator[float]:
    """Measure the deliveries per second of libcurl's multi interface alone, from one process to the same receiver."""
    with sink(folder) as target:
        while True:
            yield raw_posts(target.url, count, 100)


def raw_posts(url: str, count: int, at_once: int) -> float:
    """Return how many requests of an event's size libcurl sends per second. Each must return 200."""
    numbers = map(str, (count, _TYPICAL, at_once))
    command = [sys.executable, "-m", "benchmarks.raw_curl", url, *numbers]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def to_many(relay: RelayUnderTest, folder: Path, count: int) -> Iterator[float]:
    """Measure the milliseconds from sending a callback until all subscriptions have received its event."""
    device_id, token = relay.device()
    number = 0
    with sink(folder) as target, relay.subscribed([f"{target.url}{n}" for n in range(count)], device_id):
        while True:
            had = len(target.look())
            began = relay.send(payloads.punch(token, number * 200))
            arrived = target.wait(had + count, 60)[had:]
            if len({arrival.path for arrival in arrived}) != count:
                raise RuntimeError("not every subscription got the event")
            number += 1
            yield (max(arrival.at for arrival in arrived) - began) * 1000


def beside_failing(folder: Path, count: int, failing: int, callbacks: int) -> Iterator[float]:
    """Measure the 99th percentile of delivery times to working targets, in ms, while other targets fail or hang."""
    while True:
        with sink(folder) as target, parts(folder, "store", "web", "worker") as relay, _hanging() as slow:
            device_id, token = relay.device()
            dead = f"http://127.0.0.1:{free_port()}/"
            bad = [f"{(dead, slow)[number % 2]}{number}" for number in range(failing)]
            good = [f"{target.url}{number}" for number in range(count - failing)]
            with relay.subscribed([*good, *bad], device_id):
                sent = []
                for number in range(callbacks):
                    sent.append(relay.send(payloads.punch(token, number * 200)))
                    time.sleep(0.5)
                arrived = target.wait(len(good) * callbacks, 60)
        events = sorted({arrival.event for arrival in arrived})  # IDs sort by time of receipt
        began = dict(zip(events, sent, strict=True))
        times = sorted((arrival.at - began[arrival.event]) * 1000 for arrival in arrived)
        yield times[math.ceil(len(times) * 0.99) - 1]


@contextmanager
def _hanging() -> Iterator[str]:
    """Run a target that returns 200 after a delay. Yield its URL."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    port = free_port()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(_HANG_SECONDS)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", port, backlog=2_048))
        ready.set()
        loop.run_forever()

    def finish() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_later(0.2, loop.stop)

    threading.Thread(target=serve, daemon=True).start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        loop.call_soon_threadsafe(finish)


def _check(arrived: Sequence[Arrival], count: int) -> None:
    events = {arrival.event for arrival in arrived}
    if len(events) != count:
        raise RuntimeError(f"{count} events, {len(events)} of them delivered")
