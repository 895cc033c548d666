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
    """Return a connection to the relay from a loopback address."""
    made = socket.create_connection(("127.0.0.1", relay.port), timeout, source_address=(address, 0))
    return made


@contextmanager
def half_sent(relay: Relay, count: int, address: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Yield this many connections, each with a whole header and one byte of a body sent."""
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
    """Return everything received until the relay closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := sock.recv(65_536):
            received += piece
    return received


def is_closed(sock: socket.socket) -> bool:
    """Return whether the relay has closed a connection."""
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
    """Return the memory used by all web processes together."""
    pids = children(relay.processes["web"].pid)
    pages = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in pages if line.startswith("VmRSS")) // 1024


@contextmanager
def in_parallel(*jobs: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, repeat each job in its own thread. Errors of its sockets are ignored."""
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
