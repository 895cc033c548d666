"""Looks up names for `workers.http.client`, in threads rather than in libcurl.

libcurl's pool has 20 threads, so two customers with dead name servers would hold up everybody's deliveries.
"""

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

NAME_TTL = 60.0  # seconds until a name is looked up again
MAX_LOOKUPS = 512  # threads that look up names at the same time


class Place(NamedTuple):
    host: str
    port: int


class Answer(NamedTuple):
    entry: str | None  # for libcurl's DNS cache; None: no address
    problem: str


Found = Callable[[Answer], bool]


@lru_cache(maxsize=8192)
def place_of(url: str) -> Place | None:
    """Return a URL's name and port; None for an IP address, and for a URL that libcurl will refuse."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # A host that ends in a number is an IPv4 address in one of its spellings.
    if not host or ":" in host or host.rpartition(".")[2][:1].isdigit():
        return None
    return Place(host, port or (443 if parts.scheme == "https" else 80))


class Names:
    """Looks up names, each in a separate thread, and once for all that ask at the same time.

    The calls that asked put the addresses into libcurl's DNS cache. This class only remembers which names are in it,
    and answers that came when nobody was waiting any more. It uses daemon threads, because a look-up can't be ended
    and may take very long: neither `close` nor the end of the process should wait for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: set[Place] = set()
        self._late: dict[Place, Answer] = {}  # answers that libcurl didn't get
        self._asking: dict[Place, list[Found]] = {}
        self._queue: deque[Place] = deque()
        self._threads = 0

    def is_known(self, place: Place) -> bool:
        """Return whether libcurl has its addresses, no older than NAME_TTL."""
        return place in self._known

    def look_up(self, place: Place, found: Found) -> None:
        """Look up a name, and call `found` from the loop with the answer.

        `found` returns whether it has passed the addresses to libcurl.
        """
        late = self._late.get(place)
        if late is not None:
            self._loop.call_soon(self._hand_over, place, late, [found])
            return
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
                self._loop.call_soon(self._on_answer, place, Answer(None, "too many lookups at once"))

    def _run(self, place: Place) -> None:
        answer = _look_up(place)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._on_answer, place, answer)

    def _on_answer(self, place: Place, answer: Answer) -> None:
        self._threads -= 1
        if answer.entry is not None:
            self._late[place] = answer
            self._loop.call_later(NAME_TTL, self._forget, place)
        self._hand_over(place, answer, self._asking.pop(place))
        self._start_threads()

    def _hand_over(self, place: Place, answer: Answer, askers: list[Found]) -> None:
        """Pass on an answer. A name only counts as known once libcurl has its addresses."""
        taken = [found(answer) for found in askers]
        if any(taken) and self._late.pop(place, None) is not None:
            self._known.add(place)

    def _forget(self, place: Place) -> None:
        self._known.discard(place)
        self._late.pop(place, None)


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
    # With the plus sign, the entry expires like one that libcurl has looked up itself.
    return Answer(f"+{place.host}:{place.port}:{spelled}", "")
