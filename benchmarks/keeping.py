"""Benchmarks of a million stored events, matching, commands, and the start."""

from __future__ import annotations

import itertools
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from app.store.subscriptions.matching import Matcher
from app.store.subscriptions.records import Subscription
from benchmarks.processes import RelayUnderTest, free_port, parts, process
from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from simulator.spec import DeviceSpec

_PAGES = 300


def matching(count: int) -> Iterator[float]:
    """Measure the microseconds to find the only one of `count` subscriptions that matches an event."""
    matcher = Matcher(_subscription(number) for number in range(count))
    event = {"type": "attendance.punch", "device_id": "D7", "user_id": "U7", "punch_type": "check_in"}
    if len(matcher.find(event)) != 1:
        raise RuntimeError("not exactly one subscription takes the event")
    while True:
        began = time.perf_counter()
        for _ in range(2_000):
            matcher.find(event)
        yield (time.perf_counter() - began) / 2_000 * 1e6


def _subscription(number: int) -> Subscription:
    return Subscription(
        id=f"sub_{number}",
        target_url="http://127.0.0.1/",
        events=("attendance.punch",),
        device_ids=frozenset({f"D{number}"}),
        user_ids=frozenset({f"U{number}"}),
        punch_types=frozenset(),
        command_ids=frozenset(),
        format="flat",
        description=None,
        max_in_flight=16,
        batch_max=1,
        batch_wait_ms=500,
        include_card_numbers=False,
        status="active",
        disabled_reason=None,
        created_at="2026-11-24T00:00:00Z",
        after={},
    )


def stored(folder: Path, count: int, repetitions: int) -> tuple[float, list[float]]:
    """Return the store's bytes per event, and for each repetition the 99th percentile of reading a page, in ms."""
    with parts(folder, "store", "web") as relay:
        devices = [relay.device() for _ in range(20)]
        before = relay.memory()
        for _, token in devices:
            relay.send_batches(token, count // len(devices))
        per_event = (relay.memory() - before) / count
        pages = [_pages(relay, [device for device, _ in devices]) for _ in range(repetitions)]
    return per_event, pages


def _pages(relay: RelayUnderTest, devices: list[str]) -> float:
    """Read pages of 50 events throughout the list, with each filter. Return the 99th percentile in ms."""
    session, times = requests.Session(), []
    cursor = None
    for number in range(_PAGES):
        query: dict[str, Any] = {"limit": 50, "cursor": cursor}
        match number % 4:
            case 1:
                query |= {"device_id": random.choice(devices), "cursor": None}
            case 2:
                query |= {"user_id": str(random.randrange(200)), "cursor": None}
            case 3:
                query |= {"type": "attendance.punch", "cursor": None}
        began = time.perf_counter()
        answer = session.get(f"{relay.url}/v1/events", params=query, headers=relay.headers, timeout=10)
        times.append((time.perf_counter() - began) * 1000)
        page = answer.json()
        if len(page["data"]) != 50:
            raise RuntimeError(f"{len(page['data'])} events on a page")
        if number % 4 == 0:
            cursor = page["next_cursor"]
    return sorted(times)[len(times) * 99 // 100]


def commands(folder: Path, count: int, seconds: float) -> Iterator[float]:
    """Measure the seconds until commands to `count` slow devices have ended, with one worker."""
    while True:
        with parts(folder, "store", "web", "worker") as relay, SimulatorServer(Gateway(relay.url)) as gateway:
            devices = []
            for _ in range(count):
                device_id, token = f"SIM{secrets.token_hex(4)}", secrets.token_hex(16)
                gateway.gateway.add_device(DeviceSpec(device_id, auth_token=token, delay_seconds=seconds))
                relay.device(device_id=device_id, auth_token=token, gateway_url=gateway.command_url())
                devices.append(device_id)
            began = time.perf_counter()
            with ThreadPoolExecutor(16) as pool:
                urls = list(pool.map(lambda device: _command(relay, device), devices))
            open_ = set(urls)
            while open_:
                if time.perf_counter() - began > 10 * seconds:
                    raise RuntimeError(f"{len(open_)} of {count} commands did not end")
                for url in list(open_):
                    answer = requests.get(url, headers=relay.headers, timeout=10).json()
                    if answer["status"] == "completed":
                        open_.discard(url)
                    elif answer["status"] not in ("queued", "sending"):
                        raise RuntimeError(f"a command ended as {answer['status']}")
                    else:
                        time.sleep(0.05)
                        break
            yield time.perf_counter() - began


def _command(relay: RelayUnderTest, device_id: str) -> str:
    answer = requests.post(
        f"{relay.url}/v1/actions/load-device-information",
        json={"device_id": device_id},
        headers={**relay.headers, "Prefer": "respond-async"},
        timeout=30,
    )
    return str(answer.json()["status_url"])


def cold_start(folder: Path) -> Iterator[float]:
    """Measure the milliseconds from the start of `web` until /health returns 200. The store is already running."""
    with parts(folder, "store") as relay:
        for _ in itertools.count():
            port = free_port()
            environment = {**relay.environment, "PORT": str(port)}
            began = time.perf_counter()
            with process(sys.executable, "-m", "app", "web", **environment):
                while not _healthy(f"http://127.0.0.1:{port}/health"):
                    if time.perf_counter() - began > 30:
                        raise RuntimeError("web did not start")
                    time.sleep(0.005)
                took = (time.perf_counter() - began) * 1000
            yield took


def _healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def import_flask() -> Iterator[float]:
    """Measure the milliseconds of `python -c "import flask"`."""
    while True:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import flask"], check=True)
        yield (time.perf_counter() - began) * 1000
