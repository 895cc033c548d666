"""Looks up names for `workers.http`, in threads rather than by libcurl: its pool has 20 threads, so that two customers
whose name servers are dead would hold up everybody's deliveries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

NAME_TTL = 60.0  # seconds an address is used before its name is looked up again
MAX_LOOKUPS = 512  # threads that look up names at the same time


class Place(NamedTuple):
    host: str
    port: int


class Answer(NamedTuple):
    entry: str | None  # for libcurl's DNS cache; None: no address
    problem: str


@lru_cache(maxsize=8192)
def place_of(url: str) -> Place | None:
    """Where a URL leads to by name; None for an IP address, and for what libcurl is going to refuse."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # What ends in a number is an IPv4 address in one of its spellings.
    if not host or ":" in host or host.rpartition(".")[2][:1].isdigit():
        return None
    return Place(host, port or (443 if parts.scheme == "https" else 80))


class Names:
    """Looks names up, each in a thread of its own and once for all who ask at the time.

    The addresses go into libcurl's DNS cache, by way of the calls that asked; here is only kept which names
    are in it. Daemon threads, for a look-up cannot be ended and takes as long as it likes: neither `close`
    nor the process's end is to wait for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: set[Place] = set()
        self._asking: dict[Place, list[Callable[[Answer], None]]] = {}
        self._queue: deque[Place] = deque()
        self._threads = 0

    def is_known(self, place: Place) -> bool:
        """Whether libcurl has its addresses, and no older than NAME_TTL."""
        return place in self._known

    def look_up(self, place: Place, found: Callable[[Answer], None]) -> None:
        """Calls `found` from the loop when the answer is there, sooner or later."""
        askers = self._asking.setdefault(place, [])
        askers.append(found)
        if len(askers) == 1:
            self._queue.append(place)
            self._start_threads()

    def _start_threads(self) -> None:
        while self._queue and self._threads < MAX_LOOKUPS:
            place = self._queue.popleft()
            self._threads += 1
            try:
                threading.Thread(target=self._run, args=(place,), name="look-up", daemon=True).start()
            except RuntimeError:  # the system's limit of threads
                self._loop.call_soon(self._on_answer, place, Answer(None, "too many look-ups at once"))

    def _run(self, place: Place) -> None:
        answer = _look_up(place)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._on_answer, place, answer)

    def _on_answer(self, place: Place, answer: Answer) -> None:
        self._threads -= 1
        if answer.entry is not None:
            self._known.add(place)
            self._loop.call_later(NAME_TTL, self._known.discard, place)
        for found in self._asking.pop(place):
            found(answer)
        self._start_threads()


def _look_up(place: Place) -> Answer:
    """Ask the system for a name's addresses. Blocks."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as problem:
        return Answer(None, (problem.strerror or "it failed").lower())
    except ValueError:  # UnicodeError: not a name at all
        return Answer(None, "it is not a host name")
    addresses = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    spelled = ",".join(f"[{ip}]" if ":" in ip else ip for ip in addresses)
    # With the plus sign the entry lapses as one that libcurl looked up itself.
    return Answer(f"+{place.host}:{place.port}:{spelled}", "")
