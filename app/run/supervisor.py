"""Runs child processes, restarts those that die, and ends all together. If the supervisor is killed, they also end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from app.store.server.embedded import die_with_parent

log = logging.getLogger("relay.supervisor")

_AGAIN_SECONDS = 0.5
_STOP_SECONDS = 9.0


@dataclass(slots=True)
class Child:
    """A process to keep running. `last` ones end after the others, which need them."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    last: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0


class Supervisor:
    """Keeps children running until SIGTERM or SIGINT."""

    def __init__(self, kept_open: Sequence[int] = ()) -> None:
        """`kept_open` are file descriptors that the children, and their children, inherit."""
        self._kept_open = kept_open
        self.children: list[Child] = []
        self.stopping = False

    def add(
        self, name: str, *command: str, environment: Mapping[str, str] | None = None, last: bool = False
    ) -> None:
        """Start a child. `command` follows `python -m`."""
        child = Child(name, [sys.executable, "-m", *command], {**os.environ, **(environment or {})}, last)
        self.children.append(child)
        self._start(child)

    def add_worker(self, dispatchers: int, environment: Mapping[str, str] | None = None) -> None:
        """Start the parts of a worker: dispatchers, which share the shards, and a process for RQ's jobs."""
        for number in range(dispatchers):
            name = "dispatcher" if dispatchers == 1 else f"dispatcher {number + 1}"
            self.add(name, "workers.dispatcher", environment=environment)
        self.add("jobs", "workers.rq.process")

    def _start(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.command,
            env=dict(child.environment),
            preexec_fn=die_with_parent,
            # A Ctrl-C in the terminal is for the supervisor, which ends the children in order.
            start_new_session=True,
            pass_fds=self._kept_open,
        )

    def handle_signals(self) -> None:
        """Make SIGTERM and SIGINT end `run` from now on."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def run(self, each_turn: Callable[[], None] = lambda: None) -> None:
        """Watch the children until a signal to stop, then end them."""
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
            log.warning("%s ended with status %s and is being restarted", child.name, status)
            _kill_group(child)
            self._start(child)

    def restart(self, names: Collection[str], environment: Mapping[str, str]) -> None:
        """Restart the children with these names, with changed environment variables."""
        for child in self.children:
            if child.name in names and child.process is not None:
                child.environment = {**child.environment, **environment}
                child.process.terminate()
                _await_end(child, time.monotonic() + _STOP_SECONDS)
                self._start(child)

    def end(self, name: str) -> None:
        """End a child permanently. Nothing happens if there is none with that name."""
        for child in [child for child in self.children if child.name == name]:
            self.children.remove(child)
            if child.process is not None:
                child.process.terminate()
                _await_end(child, time.monotonic() + _STOP_SECONDS)

    def stop(self) -> None:
        """End the children, with those that others need last."""
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
        log.warning("%s did not end in time and was killed", child.name)
        _kill_group(child)
        child.process.wait()
    _kill_group(child)


def _kill_group(child: Child) -> None:
    """Kill a child with its own children, because a surviving web worker would continue to listen."""
    assert child.process is not None
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
