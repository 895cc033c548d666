"""Runs child processes, starts again what dies, and ends all together. Children end when we are killed, too."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from app.store.embedded import die_with_parent

log = logging.getLogger("relay.supervisor")

_AGAIN_SECONDS = 0.5
_STOP_SECONDS = 9.0


@dataclass(slots=True)
class Child:
    """One process to keep running. `last` ones are ended after the others: they serve them."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    last: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0


class Supervisor:
    """Keeps children running until SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.stopping = False

    def add(
        self, name: str, *command: str, environment: Mapping[str, str] | None = None, last: bool = False
    ) -> None:
        """Starts a child. `command` follows `python -m`."""
        child = Child(name, [sys.executable, "-m", *command], {**os.environ, **(environment or {})}, last)
        self.children.append(child)
        self._start(child)

    def add_worker(self, dispatchers: int, environment: Mapping[str, str] | None = None) -> None:
        """Starts what a worker consists of: dispatchers, which share the shards, and a process for RQ's jobs."""
        for number in range(dispatchers):
            name = "dispatcher" if dispatchers == 1 else f"dispatcher {number + 1}"
            self.add(name, "workers.dispatcher", environment=environment)
        self.add("jobs", "workers.rq_worker")

    def _start(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.command,
            env=dict(child.environment),
            preexec_fn=die_with_parent,
            # A Ctrl-C in the terminal is for us; we end the children in their order.
            start_new_session=True,
        )

    def handle_signals(self) -> None:
        """From now on SIGTERM and SIGINT end `run`."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def run(self, each_turn: Callable[[], None] = lambda: None) -> None:
        """Watches the children until told to stop, then ends them."""
        while not self.stopping:
            for child in self.children:
                self._watch(child)
            each_turn()
            time.sleep(0.1)
        self.stop()

    def _watch(self, child: Child) -> None:
        assert child.process is not None
        status = child.process.poll()
        if status is not None and time.monotonic() - child.started > _AGAIN_SECONDS:
            log.warning("%s ended (%s); starting it again", child.name, status)
            self._start(child)

    def stop(self) -> None:
        """Ends the children, those that serve others last."""
        for last in (False, True):
            group = [child for child in self.children if child.last is last and child.process is not None]
            for child in group:
                if child.process is not None and child.process.poll() is None:
                    child.process.terminate()
            deadline = time.monotonic() + _STOP_SECONDS
            for child in group:
                _await_end(child, deadline)
        self.children.clear()


def _await_end(child: Child, deadline: float) -> None:
    assert child.process is not None
    try:
        child.process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        log.warning("%s did not end in time and is killed", child.name)
        child.process.kill()
        child.process.wait()
