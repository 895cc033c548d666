"""A worker always stops when it is told to, because no other process ends the child of a killed parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Relay, wait_for
from tests.processes import child


@pytest.mark.parametrize(
    "where",
    [
        "rq_worker.Store",
        "admission.Admission.look",
        "rq_worker.LOOPS.start",
        "rq_worker.Chores.start",
        "rq_worker.queue",
        "rq_worker._Worker.run_maintenance_tasks",
    ],
)
def test_a_sigterm_ends_the_process_at_any_time(relay: Relay, where: str) -> None:
    """A SIGTERM during the check of the store used to get lost, and the process never stopped."""
    code = f"""
import os, signal, sys
import app.store.server.admission as admission
import workers.rq.process as rq_worker
rq_worker._STOP_SECONDS = 3.0
real = {where}
def ended(*arguments, **named):
    os.kill(os.getpid(), signal.SIGTERM)
    return real(*arguments, **named)
{where} = ended
sys.exit(rq_worker.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=relay.environment, timeout=60, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_no_child_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    try:
        relay.start("store", "web", "worker")
        pid = child(relay, "worker", "workers.rq.process")
        os.kill(relay.processes.pop("worker").pid, signal.SIGKILL)
        relay.kill("store")
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 30)
    finally:
        relay.stop()
