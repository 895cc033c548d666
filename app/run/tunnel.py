"""A tunnel that makes the relay reachable from the internet: cloudflared or ngrok, if it is installed."""

from __future__ import annotations

import logging
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import click

from app.base.printable import printable
from app.store.server.embedded import die_with_parent

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_SHOWN = 5  # lines of its output to show if it doesn't start
_LONGEST_LINE = 500
_OUR_SETTINGS = ("RELAY_", "REDIS_", "DATABASE_", "SIMULATOR_", "AWS_")  # including secrets
_TOKEN = re.compile(r"""(?i)(token[\w-]*["']?(?:\s*[:=]\s*|\s+)["']?)\S+""")


log = logging.getLogger("relay.tunnel")


class _Program(NamedTuple):
    arguments: tuple[str, ...]
    url: re.Pattern[str]
    where: str


_PROGRAMS = {
    "cloudflared": _Program(
        ("tunnel", "--no-autoupdate", "--url", "{url}"),
        re.compile(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com"),
        "https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/downloads/",
    ),
    "ngrok": _Program(
        ("http", "--log", "stdout", "--log-format", "logfmt", "{url}"),
        re.compile(r"(?<=\burl=)https://[A-Za-z0-9.-]+"),
        "https://ngrok.com/download",
    ),
}
PROGRAMS = tuple(_PROGRAMS)


class Tunnel:
    """A running tunnel and its public URL."""

    def __init__(self, name: str, local_url: str, stopping: Callable[[], bool] = lambda: False) -> None:
        """Start it, and wait for its URL. Raises ClickException if the program is missing or prints no URL.

        Once `stopping()` is true, the wait ends, and `url` may be empty.
        """
        self._name, program = name, _PROGRAMS[name]
        found = shutil.which(name)
        if found is None:
            raise click.ClickException(f"{name} is not installed. Get it from {program.where}")
        self._said_end = False
        self._lines: queue.Queue[str | None] = queue.Queue(1_000)
        self._process = subprocess.Popen(
            [found, *(argument.replace("{url}", local_url) for argument in program.arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={name: value for name, value in os.environ.items() if not name.startswith(_OUR_SETTINGS)},
            preexec_fn=die_with_parent,
            start_new_session=True,  # a Ctrl-C is for the relay, which ends the tunnel last
        )
        threading.Thread(target=self._read, name="tunnel", daemon=True).start()
        try:
            self.url = self._await_url(program.url, stopping)
        except BaseException:
            self.stop()
            raise

    def _read(self) -> None:
        """Read its output to the end, so that it never blocks."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(queue.Full):  # nobody reads it once there is a URL
                self._lines.put_nowait(line)
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def _await_url(self, pattern: re.Pattern[str], stopping: Callable[[], bool]) -> str:
        last: list[str] = []
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if stopping():
                return ""
            try:
                line = self._lines.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                break
            found = pattern.search(line)
            if found is not None:
                return found[0]
            last = [*last, _shown(line)][-_SHOWN:]
        raise click.ClickException(
            "\n  ".join(
                (f"{self._name} didn't report a public URL. Its last output:", *(last or ["(nothing)"]))
            )
        )

    def check(self) -> None:
        """Report once if the tunnel has ended, because its URL is permanently gone."""
        if self._process.poll() is not None and not self._said_end:
            self._said_end = True
            log.error(
                "%s stopped (exit status %s), so %s no longer works; restart `cams-relay up --tunnel %s`, and update "
                "the Callback URL in the API Monitor",
                *(self._name, self._process.returncode, self.url, self._name),
            )

    def stop(self) -> None:
        """End the tunnel and its child processes, because the program may be a wrapper."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses this for a group of zombies
            os.killpg(self._process.pid, number)


def _shown(line: str) -> str:
    """Return a line of its output without tokens and without characters that could control a terminal."""
    return _TOKEN.sub(r"\1…", printable(line.rstrip()))[:_LONGEST_LINE]
