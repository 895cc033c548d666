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
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

import click

from app.base.printable import printable
from app.base.throttle import OnceAMinute
from app.store.server.embedded import die_with_parent

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_AGAIN_SECONDS = 5.0  # before the second attempt to restart it; doubled each time
_LONGEST_PAUSE_SECONDS = 60.0
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


class Change(Enum):
    """A change of a tunnel."""

    ENDED = "ended"  # its URL no longer works, and it is being started again
    BACK = "back"  # it was started again and has the same URL
    MOVED = "moved"  # it was started again and has another URL


class Tunnel:
    """A tunnel that is started again when it ends, and its public URL. `url` is empty while there is none."""

    def __init__(self, name: str, local_url: str, stopping: Callable[[], bool] = lambda: False) -> None:
        """Start it, and wait for its URL. Raises ClickException if the program is missing or prints no URL.

        Once `stopping()` is true, the wait ends, and `url` may be empty.
        """
        self._name, self._local_url = name, local_url
        self._once = OnceAMinute()
        self._again_at, self._pause = 0.0, _AGAIN_SECONDS
        self.url = self._former = ""
        self._start()
        try:
            while not self._look() and not stopping():
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        program = _PROGRAMS[self._name]
        found = shutil.which(self._name)
        if found is None:
            raise click.ClickException(f"{self._name} is not installed. Get it from {program.where}")
        self._lines: queue.Queue[str | None] = queue.Queue(1_000)
        self._last: list[str] = []
        self._deadline = time.monotonic() + _START_SECONDS
        self._process: subprocess.Popen[str] | None = subprocess.Popen(
            [found, *(argument.replace("{url}", self._local_url) for argument in program.arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={name: value for name, value in os.environ.items() if not name.startswith(_OUR_SETTINGS)},
            preexec_fn=die_with_parent,  # of the thread that starts it, so this must be the main one
            start_new_session=True,  # a Ctrl-C is for the relay, which ends the tunnel last
        )
        threading.Thread(
            target=_read, args=(self._process.stdout, self._lines), name="tunnel", daemon=True
        ).start()

    def _look(self) -> bool:
        """Read what it has printed; return whether the URL is known. Raises ClickException if there is none."""
        while not self.url:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                if time.monotonic() < self._deadline:
                    return False
                line = None
            if line is None:
                raise click.ClickException(
                    "\n  ".join(
                        (
                            f"{self._name} didn't report a public URL. Its last output:",
                            *(self._last or ["(nothing)"]),
                        )
                    )
                )
            found = _PROGRAMS[self._name].url.search(line)
            self.url = "" if found is None else found[0]
            self._last = [*self._last, _shown(line)][-_SHOWN:]
        return True

    def check(self) -> Change | None:
        """Start it again if it has ended, and return what changed. Call this several times a second."""
        if self._process is None:
            if time.monotonic() >= self._again_at:
                self._try(self._start)
            return None
        if not self.url:
            if not self._try(self._look):
                return None
            self._pause = _AGAIN_SECONDS
            moved, self._former = self.url != self._former, ""
            return Change.MOVED if moved else Change.BACK
        if self._process.poll() is None:
            return None
        log.error(
            "%s stopped (exit status %s), so %s doesn't work at the moment; it is being started again",
            *(self._name, self._process.returncode, self.url),
        )
        return self._ended()

    def restart(self) -> Change:
        """Start it again although its program is running, because its URL doesn't work."""
        log.error("%s is running, but %s doesn't work; it is being started again", self._name, self.url)
        return self._ended()

    def _ended(self) -> Change:
        self._former, self.url = self.url, ""
        self._end()
        return Change.ENDED

    def _try(self, step: Callable[[], bool | None]) -> bool:
        """Continue to restart it. If this fails, end it, and wait before the next attempt."""
        try:
            return bool(step())
        except (click.ClickException, OSError) as error:
            text = error.message if isinstance(error, click.ClickException) else str(error)
            if self._once.may_say("restart"):
                log.error(
                    "%s can't be started again, so the gateway can't reach the relay: %s", self._name, text
                )
            self._end()
            self._again_at = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
            return False

    def _end(self) -> None:
        self.stop()
        self._process = None

    def stop(self) -> None:
        """End the tunnel and its child processes, because the program may be a wrapper."""
        process = self._process
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses this for a group of zombies
        os.killpg(process.pid, number)


def _read(output: Iterable[str], lines: queue.Queue[str | None]) -> None:
    """Read a program's output to the end, so that it never blocks."""
    for line in output:
        with suppress(queue.Full):  # nobody reads it once there is a URL
            lines.put_nowait(line)
    with suppress(queue.Full):
        lines.put_nowait(None)


def _shown(line: str) -> str:
    """Return a line of its output without tokens and without characters that could control a terminal."""
    return _TOKEN.sub(r"\1…", printable(line.rstrip()))[:_LONGEST_LINE]
