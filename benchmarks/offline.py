"""A device that was offline and a real n8n: how long until every punch was in an execution."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.deliveries import raw_posts
from benchmarks.processes import KEY, relay
from tests.n8n.n8n import TRIGGER, Json, N8n, Workflow, n8n_folder, packed_nodes

_PATIENCE = 600  # seconds
_TRIGGER, _WEBHOOK = "When", "bench"
_AT_ONCE = 20  # as many as the relay sends a target at a time, if not told otherwise


def into_n8n(folder: Path, count: int, batch: int) -> float:
    """Seconds from the device's first callback until every one of so many punches was in an execution that ended."""
    with _n8n(folder) as n8n, relay(folder) as running:
        access = {"relayUrl": running.url, "apiKey": KEY}
        n8n.credentials = {"camsRelayApi": n8n.credential("camsRelayApi", access)}
        device_id, token = running.device()
        options = {"batchMax": batch}
        parameters = {"events": ["attendance.punch"], "deviceIds": [device_id], "options": options}
        workflow = _published(n8n, n8n.node(TRIGGER, _TRIGGER, parameters))
        _wait(lambda: bool(running.call("GET", "/v1/subscriptions").json()["data"]), 30)
        began = time.perf_counter()
        running.send_batches(token, count)
        if batch == 1:
            _wait(lambda: n8n.ended() >= count, _PATIENCE)
            return time.perf_counter() - began
        _wait(lambda: n8n.ended() * batch >= count, _PATIENCE)
        while True:
            took = time.perf_counter() - began
            punches = {event["punch_id"] for run in workflow.executions() for event in run.json(_TRIGGER)}
            if len(punches) == count:
                return took
            if took > _PATIENCE:
                raise RuntimeError(f"{len(punches)} of {count} punches were in an execution")


def into_webhook(folder: Path, count: int) -> float:
    """Seconds in which n8n ends an execution for each of so many requests to its own webhook node, without a relay."""
    with _n8n(folder) as n8n:
        parameters = {"httpMethod": "POST", "path": _WEBHOOK, "responseMode": "onReceived"}
        _published(
            n8n, n8n.node("n8n-nodes-base.webhook", _TRIGGER, parameters, webhookId=_WEBHOOK, typeVersion=2)
        )
        url = f"{n8n.url}/webhook/{_WEBHOOK}"
        _wait(lambda: requests.post(url, json={}, timeout=10).ok, 30)
        before = n8n.ended() + 1  # that one
        _wait(lambda: n8n.ended() >= before, 30)
        began = time.perf_counter()
        raw_posts(url, count, _AT_ONCE)
        _wait(lambda: n8n.ended() >= before + count, _PATIENCE)
        return time.perf_counter() - began


@contextmanager
def _n8n(folder: Path) -> Iterator[N8n]:
    """An n8n of its own, set up."""
    where = folder / f"n8n-{time.monotonic_ns()}"
    where.mkdir()
    n8n = N8n(n8n_folder(), where / "user", packed_nodes(where))
    try:
        yield n8n.start().set_up()
    finally:
        n8n.stop()


def _published(n8n: N8n, trigger: Json) -> Workflow:
    """The shortest workflow that there is, listening."""
    workflow = n8n.workflow(trigger, n8n.node("n8n-nodes-base.noOp", "Then", {}))
    workflow.publish()
    return workflow


def _wait(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise RuntimeError(f"n8n was not done within {seconds:.0f} s")
        time.sleep(0.1)
