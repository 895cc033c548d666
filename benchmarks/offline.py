"""Measures how long a real n8n takes to execute a workflow for each punch of a device that was offline."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.deliveries import raw_posts
from benchmarks.processes import KEY, relay
from tests.n8n.n8n import TRIGGER, Json, N8n, n8n_folder, packed_nodes

_PATIENCE = 600  # timeout in seconds
_TRIGGER, _WEBHOOK = "When", "bench"
_PUNCH = re.compile(r"pun_[0-9a-f]{24}")
_AT_ONCE = 20  # the relay's default number of concurrent deliveries to a target


def into_n8n(folder: Path, count: int, batch: int) -> Iterator[float]:
    """Measure the seconds from the first callback until the last of `count` punches is in a finished execution."""
    with _n8n(folder) as n8n, relay(folder) as running:
        access = {"relayUrl": running.url, "apiKey": KEY}
        n8n.credentials = {"camsRelayApi": n8n.credential("camsRelayApi", access)}
        parameters = {"events": ["attendance.punch"], "options": {"batchMax": batch}}
        _publish(n8n, n8n.node(TRIGGER, _TRIGGER, parameters))
        _wait(lambda: bool(running.call("GET", "/v1/subscriptions").json()["data"]), 30)
        while True:
            _, token = running.device()
            ended, punches = n8n.ended(), len(_punches(n8n))
            began = time.perf_counter()
            running.send_batches(token, count)
            _wait_for_ended(n8n, ended + count // batch)
            _wait_for_punches(n8n, punches + count)
            yield time.perf_counter() - began


def into_webhook(folder: Path, count: int) -> Iterator[float]:
    """Measure the seconds that n8n takes for `count` requests to its own webhook node, without the relay."""
    with _n8n(folder) as n8n:
        parameters = {"httpMethod": "POST", "path": _WEBHOOK, "responseMode": "onReceived"}
        _publish(
            n8n, n8n.node("n8n-nodes-base.webhook", _TRIGGER, parameters, webhookId=_WEBHOOK, typeVersion=2)
        )
        url = f"{n8n.url}/webhook/{_WEBHOOK}"
        _wait(lambda: requests.post(url, json={}, timeout=10).ok, 30)
        _wait_for_ended(n8n, 1)
        while True:
            ended = n8n.ended()
            began = time.perf_counter()
            raw_posts(url, count, _AT_ONCE)
            _wait_for_ended(n8n, ended + count)
            yield time.perf_counter() - began


@contextmanager
def _n8n(folder: Path) -> Iterator[N8n]:
    """Run a new n8n that is ready to use."""
    where = folder / f"n8n-{time.monotonic_ns()}"
    where.mkdir()
    n8n = N8n(n8n_folder(), where / "user", packed_nodes(where))
    try:
        yield n8n.start().set_up()
    finally:
        n8n.stop()


def _publish(n8n: N8n, trigger: Json) -> None:
    """Publish the shortest possible workflow."""
    n8n.workflow(trigger, n8n.node("n8n-nodes-base.noOp", "Then", {})).publish()


def _punches(n8n: N8n) -> set[str]:
    """Return the punches in finished executions, read from n8n's database."""
    kept = n8n.query(
        "SELECT data FROM execution_data JOIN execution_entity ON id = executionId WHERE status = 'success'"
    )
    return {punch for (data,) in kept for punch in _PUNCH.findall(data)}


def _wait_for_ended(n8n: N8n, executions: int) -> None:
    _wait(lambda: n8n.ended() >= executions, _PATIENCE)


def _wait_for_punches(n8n: N8n, punches: int) -> None:
    _wait(lambda: len(_punches(n8n)) >= punches, _PATIENCE)


def _wait(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise RuntimeError(f"n8n was not done within {seconds:.0f} s")
        time.sleep(0.1)
