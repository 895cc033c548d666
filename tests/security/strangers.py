"""Requests from unauthenticated callers: sockets that stop midway, large bodies, and garbage."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness import Relay
from tests.processes import children

HEAD = b"POST /callback HTTP/1.1\r\nHost: relay\r\nContent-Length: %d\r\n\r\n"


def connect(relay: Relay, address: str = "127.0.0.1", timeout: float = 30) -> socket.socket:
    """A connection to the relay from a loopback address."""
    made = socket.create_connection(("127.0.0.1", relay.port), timeout, source_address=(address, 0))
    return made


@contextmanager
def half_sent(relay: Relay, count: int, address: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """So many connections with a whole header and one byte of a body."""
    made = []
    try:
        for _ in range(count):
            made.append(connect(relay, address))
            made[-1].sendall(HEAD % 100 + b"{")
        yield made
    finally:
        for sock in made:
            sock.close()


def answer_of(sock: socket.socket) -> bytes:
    """All that comes until the relay closes."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := sock.recv(65_536):
            received += piece
    return received


def is_closed(sock: socket.socket) -> bool:
    """Whether the relay has closed a connection."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        sock.setblocking(True)


def memory_mib(relay: Relay) -> int:
    """The memory of the web's processes together."""
    pids = children(relay.processes["web"].pid)
    pages = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in pages if line.startswith("VmRSS")) // 1024


@contextmanager
def beside(*jobs: Callable[[], None]) -> Iterator[None]:
    """Runs each job over and over in a thread of its own meanwhile; what it raises of sockets is no matter."""
    stopped = threading.Event()

    def repeat(job: Callable[[], None]) -> None:
        while not stopped.is_set():
            with suppress(OSError):
                job()

    threads = [threading.Thread(target=repeat, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join(30)
