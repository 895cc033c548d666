"""The connections of a web process. None can hold it up, and no stranger can use all of them.

A connection is idle, sends a header, sends a body, or is being answered. All but the last have a deadline. When the
process is full, the oldest of them, from the address with the most connections, is closed for a new one.

Failure policy: a deadline ends a request as if its sender had stopped in the middle. A request that was received
completely is never given up here.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
from typing import Any

from app.limits.body_memory import FREE_BYTES, Body, BodyMemory
from app.limits.callers import Callers, network
from app.settings.limits import MIB, Limits

KEEPALIVE_SECONDS = 65.0
LEAST_RATE = 16 * 1024  # bytes per second, after a body's time is up; also for answers that are read slowly
_LARGEST_HEADER = 128 * 1024
_ANSWER_SECONDS = 30.0
_SPARED_SECONDS = 1.0  # an honest request is complete by then
_FOR_CALLBACKS = 0.2  # of all connections
_FOR_KEYS = 2  # times the memory for bodies of strangers

IDLE, HEADER, BODY, ANSWER = range(4)


class Connection(Body):
    """A client's socket for gunicorn, with the deadlines of its request."""

    __slots__ = ("_began", "_memory", "_received", "_sock", "_table", "is_api", "late", "phase")

    def __init__(self, table: Connections, sock: Any, address: str) -> None:
        super().__init__(address)
        self._table, self._sock = table, sock
        self.phase = HEADER
        self._began = time.monotonic()
        self._received = 0
        self.late = False  # the sender was too slow
        self._memory = table.memory  # the memory in which its body is counted
        self.is_api = False

    # The phases of a request

    def begin_answer(self, address: str) -> None:
        """Note that the header is complete. The body follows."""
        self._table.move(self, address, ANSWER)
        self._received = 0
        self._memory = self._table.memory

    def body_is_whole(self) -> None:
        """Note that the body was read, so that nothing is awaited any more."""
        if self._memory is self._table.vouched:  # a request that was received completely is never given up
            self._memory.release(self)
        if self.phase == BODY:
            self._table.move(self, self.address, ANSWER)

    def vouch(self) -> None:
        """Note that the request is authenticated, so its body doesn't count among those of strangers."""
        self._memory.release(self)
        self._memory = self._table.vouched

    def is_genuine(self) -> None:
        """Note that the request is a genuine callback. Its address is trusted for a while."""
        self.vouch()
        self._table.callers.note_genuine(self.address)

    def end_answer(self, *, is_read: bool) -> None:
        """Note that the request was answered. Another one may come, after the rest of the body if that wasn't read."""
        self._memory.release(self)
        self._table.leave_api(self)
        self._table.move(self, self.address, IDLE if is_read else HEADER)

    @property
    def is_trusted(self) -> bool:
        """Whether genuine callbacks came from the same network lately."""
        return self._table.callers.trusts(self.address)

    def give_up(self) -> None:
        """Give the request up. Its reader finds the end of the stream."""
        self.given_up = True
        self._shut()

    # Called by gunicorn

    def recv(self, size: int) -> bytes:
        """Return bytes, or none if the sender is done, was too slow or was given up."""
        if self.given_up or self.late:
            return b""
        if self.phase == ANSWER:
            self._table.move(self, self.address, BODY)
            self._began = time.monotonic()
        left = self._seconds_left()
        if left > 0:
            try:
                self._sock.settimeout(left)
                data: bytes = self._sock.recv(size)
            except TimeoutError:
                left = 0.0
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
                return b""  # it was closed to make room while this waited
        if left <= 0:
            self.late = True
            self._table.late += self.phase != IDLE
            return b""
        return data if data and self._takes(len(data)) else b""

    def send(self, data: Any) -> int:
        """Send a part. Raises BrokenPipeError if the receiver accepts nothing for 30 s."""
        self._sock.settimeout(_ANSWER_SECONDS)
        try:
            sent: int = self._sock.send(data)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the caller read the answer too slowly") from None
        return sent

    def sendall(self, data: Any) -> None:
        """Send everything. Raises BrokenPipeError if the receiver is slower than 16 KiB per second, after 30 s."""
        view, began = memoryview(data), time.monotonic()
        sent = self.send(view)
        while sent < len(view):
            if time.monotonic() - began > _ANSWER_SECONDS + sent / LEAST_RATE:
                raise BrokenPipeError(errno.EPIPE, "the caller read the answer too slowly")
            sent += self.send(view[sent:])

    def setblocking(self, _flag: bool) -> None:
        """Do nothing, because each call has its own timeout."""

    def settimeout(self, _seconds: float | None) -> None:
        """Do nothing, for the same reason."""

    def gettimeout(self) -> float | None:
        """Return None, so that gunicorn doesn't change anything."""
        return None

    def close(self) -> None:
        """Close the socket, and free its place."""
        self._memory.release(self)
        self._table.leave_api(self)
        self._table.remove(self)
        self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _seconds_left(self) -> float:
        limits, spent = self._table.limits, time.monotonic() - self._began
        if self.phase == BODY:
            return limits.body_timeout + self._received / LEAST_RATE - spent
        return (limits.header_timeout if self.phase == HEADER else KEEPALIVE_SECONDS) - spent

    def _takes(self, size: int) -> bool:
        if self.phase == IDLE:
            self._table.move(self, self.address, HEADER)
        self._received += size
        if self.phase == HEADER:
            return self._received <= _LARGEST_HEADER
        counted = self._received - FREE_BYTES
        return counted <= 0 or self._memory.grow(self, min(counted, size))

    def restart_clock(self) -> None:
        """Begin a new deadline."""
        self._began = time.monotonic()
        self._received = 0

    @property
    def began(self) -> float:
        return self._began

    def _shut(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD if self.phase == BODY else socket.SHUT_RDWR)


class Connections:
    """The connections of a process."""

    def __init__(self, limits: Limits, callers: Callers, *, by_proxy: bool) -> None:
        self.limits, self.callers = limits, callers
        self.memory = BodyMemory(limits.body_memory * MIB, limits.body_memory_per_address * MIB, callers)
        of_keys = _FOR_KEYS * limits.body_memory * MIB
        self.vouched = BodyMemory(of_keys, of_keys, callers)  # for bodies of requests with an API key
        self._by_proxy = by_proxy  # then the peer's address isn't the caller's
        self._waiting: dict[
            str, dict[Connection, None]
        ] = {}  # connections that aren't being answered, by address, oldest first
        self._count = 0
        self._api = 0
        self.closed = 0  # closed to make room, since the process began
        self.late = 0  # requests that were sent too slowly
        self.refused = 0  # connections and API requests without room

    def __len__(self) -> int:
        return self._count

    def admit(self, sock: Any, peer: Any) -> Connection | None:
        """Return a new connection, after making room for it; None if all connections are being answered."""
        address = network(peer[0]) if isinstance(peer, tuple) else "local"
        if self._count >= self.limits.connections and not self._close_one():
            self.refused += 1
            return None
        if not self._by_proxy and not self.callers.trusts(address):
            self._keep_below_cap(address)
        connection = Connection(self, sock, address)
        self._count += 1
        self._waiting.setdefault(address, {})[connection] = None
        return connection

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection. May be called again."""
        if connection.phase is None:
            return
        self._leave(connection)
        connection.phase = None  # type: ignore[assignment]
        self._count -= 1

    def move(self, connection: Connection, address: str, phase: int) -> None:
        """Note that a connection's request has reached another phase."""
        if connection.phase is None:
            return
        self._leave(connection)
        connection.address, connection.phase = address, phase
        if phase != ANSWER:
            connection.restart_clock()
            self._waiting.setdefault(address, {})[connection] = None

    def enter_api(self, connection: Connection) -> bool:
        """Count a request other than a callback; False if only the room for callbacks is left."""
        if self._api >= int(self.limits.connections * (1 - _FOR_CALLBACKS)):
            self.refused += 1
            return False
        self._api += 1
        connection.is_api = True
        return True

    def leave_api(self, connection: Connection) -> None:
        """Undo `enter_api`. May be called again."""
        self._api -= connection.is_api
        connection.is_api = False

    def _leave(self, connection: Connection) -> None:
        waiting = self._waiting.get(connection.address)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._waiting[connection.address]

    def _close_one(self) -> bool:
        """Close the oldest waiting connection of the address that has most of them."""
        if not self._waiting:
            return False
        trusts = self.callers.trusts
        crowded = max(self._waiting, key=lambda address: (not trusts(address), len(self._waiting[address])))
        self._close_oldest(crowded)
        return True

    def _keep_below_cap(self, address: str) -> None:
        waiting = self._waiting.get(address, {})
        if len(waiting) >= self.limits.connections_per_address:
            oldest = next(iter(waiting))
            if time.monotonic() - oldest.began > _SPARED_SECONDS:
                self._close_oldest(address)

    def _close_oldest(self, address: str) -> None:
        connection = next(iter(self._waiting[address]))
        self.closed += 1
        self.remove(connection)
        connection.given_up = True
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
