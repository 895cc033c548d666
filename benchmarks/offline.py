"""A device that was offline and a real n8n: how long until every punch was in an execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import KEY, relay
from tests.n8n.n8n import TRIGGER, N8n, n8n_folder, packed_nodes

_PATIENCE = 1_200


def into_n8n(folder: Path, count: int, batch: int) -> float:
    """Seconds from the device's first callback until n8n has ended an execution for the last of so many punches."""
    where = folder / f"n8n-{batch}-{time.monotonic_ns()}"
    where.mkdir()
    n8n = N8n(n8n_folder(), where / "user", packed_nodes(where))
    with relay(folder) as running:
        try:
            n8n.start().set_up()
            access = {"relayUrl": running.url, "apiKey": KEY}
            n8n.credentials = {"camsRelayApi": n8n.credential("camsRelayApi", access)}
            device_id, token = running.device()
            options = {"batchMax": batch}
            parameters = {"events": ["attendance.punch"], "deviceIds": [device_id], "options": options}
            workflow = n8n.workflow(
                n8n.node(TRIGGER, "When", parameters), n8n.node("n8n-nodes-base.noOp", "Then", {})
            )
            workflow.publish()
            _wait(lambda: bool(running.call("GET", "/v1/subscriptions").json()["data"]), 30)
            began = time.perf_counter()
            running.send_batches(token, count)
            if batch == 1:
                _wait(lambda: n8n.ended() >= count, _PATIENCE)
                return time.perf_counter() - began
            _wait(lambda: n8n.ended() * batch >= count, _PATIENCE)
            while True:
                took = time.perf_counter() - began
                punches = {event["punch_id"] for run in workflow.executions() for event in run.json("When")}
                if len(punches) == count:
                    return took
                if took > _PATIENCE:
                    raise RuntimeError(f"{len(punches)} of {count} punches were in an execution")
        finally:
            n8n.stop()


def _wait(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise RuntimeError(f"n8n was not done within {seconds:.0f} s")
        time.sleep(0.1)
