"""Runs HTTP server programs for a test."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.store.server.embedded import die_with_parent
from tests.harness import free_port, wait_for


@dataclass
class Program:
    """A running program, its URL and its output."""

    url: str
    folder: Path
    _process: subprocess.Popen[bytes]

    def printed(self) -> list[str]:
        """The lines on its standard output so far."""
        return (self.folder / "stdout").read_text().splitlines()

    def failed(self) -> str:
        """Its standard error so far."""
        return (self.folder / "stderr").read_text()

    def is_running(self) -> bool:
        return self._process.poll() is None


@contextmanager
def running(folder: Path, *command: str | Path, seconds: float = 20, **environment: str) -> Iterator[Program]:
    """Starts a program in a folder and waits until it listens. Replaces `{port}` in the command by a free port."""
    port = free_port()
    words = [str(part).replace("{port}", str(port)) for part in command]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=die_with_parent,
        )
    made = Program(f"http://127.0.0.1:{port}", folder, process)
    try:
        wait_for(lambda: _listens(port) or not made.is_running(), seconds)
        assert made.is_running(), made.failed()
        yield made
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
