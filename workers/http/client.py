"""The relay's only HTTP client: every outgoing call goes through `Client`.

It uses libcurl's multi socket interface with asyncio. libcurl names the sockets and the timer that it waits for. The
sockets are in a separate selector, whose only descriptor is registered with the loop. (With asyncio's add_reader for
each socket, the throughput is half, because libcurl asks again every time a connection is used.)

Limits protect the relay from targets: on addresses (`app.base.addresses`, for every socket that is opened), on the
time of a call, and on the size of an answer. Nothing that a target does raises: a failed call results in a `Response`
whose `error` says what failed.

`workers.http.messages` has requests and responses. `workers.http.resolver` looks up names.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import ssl
from collections import deque

import certifi
import pycurl

from app.base.addresses import AddressGuard
from app.base.throttle import OnceAMinute
from workers.http.easy_handle import Call, Done, EasyHandle
from workers.http.messages import Failure, Request, Response
from workers.http.resolver import Answer, Names, place_of

_once = OnceAMinute()
log = logging.getLogger(__name__)

IDLE_HANDLES = 512  # curl handles that are kept for reuse

_WATCHABLE = frozenset((pycurl.POLL_IN, pycurl.POLL_OUT, pycurl.POLL_INOUT))


class Client:
    """Sends requests from the running asyncio loop. Create, use and close it in that loop's thread.

    `connect_timeout` is in seconds, for looking up the name, and again for the connection and TLS handshake.
    `max_connections` limits the requests under way and thereby the sockets. Further requests wait in order, and their
    time doesn't run yet. So it must be greater than the number of requests that dead targets may hold. `max_per_host`
    (0: no limit) is libcurl's; there, the time does run. `ca_file` is a PEM bundle for verifying certificates; by
    default SSL_CERT_FILE, else the system's, else certifi's.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        user_agent: str,
        connect_timeout: float = 10,
        max_connections: int = 1000,
        max_per_host: int = 0,
        ca_file: str | None = None,
    ) -> None:
        self._guard = guard
        self._user_agent = user_agent
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._ca_file = ca_file or ssl.get_default_verify_paths().cafile or certifi.where()
        self._loop = asyncio.get_running_loop()
        self._names = Names(self._loop)
        self._live: set[Call] = set()  # begun, but not done
        self._waiting: deque[Call] = deque()  # waiting for a free connection
        self._idle: list[EasyHandle] = []
        self._in_multi = 0
        self._closed = False
        self._watched: set[int] = set()  # the descriptors in the selector
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._selector = selectors.DefaultSelector()
        self._loop.add_reader(self._selector.fileno(), self._on_ready)
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max_connections)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, max_per_host)

    @property
    def active(self) -> int:
        """Return how many requests were sent and are neither done nor cancelled."""
        return len(self._live) + sum(call.done is not None for call in self._waiting)

    def send(self, request: Request, done: Done) -> Call:
        """Begin a call. `done` is called exactly once, from the loop, never from within `send`.

        Raises RuntimeError on a closed client.
        """
        if self._closed:
            raise RuntimeError("the HTTP client is closed")
        call = Call(request, done)
        if len(self._live) < self._max_connections:
            self._begin(call)
        else:
            self._waiting.append(call)
        return call

    async def fetch(self, request: Request) -> Response:
        """Return the response to `request`. Cancelling the task ends the call."""
        future: asyncio.Future[Response] = self._loop.create_future()

        def done(response: Response) -> None:
            if not future.done():  # it was just cancelled
                future.set_result(response)

        call = self.send(request, done)
        try:
            return await future
        finally:
            self.cancel(call)

    def cancel(self, call: Call) -> None:
        """End a call whose answer is no longer wanted: `done` will not be called. Idempotent."""
        call.done = None
        if call in self._live:
            self._detach(call)
            self._begin_waiting()

    async def close(self) -> None:
        """End every call with the error `closed`, and all connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        unfinished = [*self._live, *self._waiting]
        self._waiting.clear()
        for call in list(self._live):
            self._detach(call)
        for wake_up in (self._soon, self._timer):
            if wake_up is not None:
                wake_up.cancel()
        self._loop.remove_reader(self._selector.fileno())
        self._multi.close()
        self._selector.close()
        for easy in self._idle:
            easy.close()
        self._idle.clear()
        for call in unfinished:
            self._answer(
                call, Response(error="closed", detail="The relay stopped before a response arrived.")
            )

    # From a request to libcurl

    def _begin(self, call: Call) -> None:
        """Start the call's time: look up its name if necessary, then pass it to libcurl."""
        call.started = self._loop.time()
        self._live.add(call)
        place = place_of(call.request.url)
        if place is None or self._names.is_known(place):
            self._launch(call, None)
            return
        patience = min(call.request.timeout, self._connect_timeout)
        call.expiry = self._loop.call_later(patience, self._on_no_address, call, "no response in time")
        self._names.look_up(place, lambda answer: self._on_looked_up(call, answer))

    def _on_looked_up(self, call: Call, answer: Answer) -> bool:
        """Launch a call after its look-up; return whether libcurl got the addresses."""
        if call.expiry is None:
            return False  # it was cancelled, or took too long
        call.expiry.cancel()
        call.expiry = None
        if answer.entry is None:
            self._on_no_address(call, answer.problem)
            return False
        return self._launch(call, answer.entry)

    def _on_no_address(self, call: Call, problem: str) -> None:
        call.expiry = None
        self._fail(call, "dns_failed", f"The host name could not be resolved: {problem}.")

    def _launch(self, call: Call, dns_entry: str | None) -> bool:
        """Pass the call to libcurl, with an entry for its DNS cache; return whether libcurl accepted it."""
        easy = self._idle.pop() if self._idle else self._new_easy()
        left = call.request.timeout
        if dns_entry is not None:
            left -= self._loop.time() - call.started
        try:
            easy.prepare(call, left, dns_entry)
            self._multi.add_handle(easy)
        except (pycurl.error, TypeError, ValueError, OverflowError) as problem:
            self._put_back(easy)
            log.warning("a request could not be prepared: %s", type(problem).__name__)
            detail = "The request could not be built, because its URL or a header is malformed."
            # In a separate callback, because `send` must not call `done`.
            self._loop.call_soon(self._fail, call, "protocol_error", detail)
            return False
        call.easy = easy
        self._in_multi += 1
        return True

    def _new_easy(self) -> EasyHandle:
        return EasyHandle(self._guard, self._user_agent, self._connect_timeout, self._ca_file)

    def _put_back(self, easy: EasyHandle) -> None:
        easy.clear()
        if len(self._idle) < IDLE_HANDLES:
            self._idle.append(easy)
        else:
            easy.close()

    def _detach(self, call: Call) -> None:
        """Remove the call from libcurl, or from waiting for an address."""
        self._live.discard(call)
        if call.expiry is not None:
            call.expiry.cancel()
            call.expiry = None
        easy, call.easy = call.easy, None
        if easy is not None:
            self._multi.remove_handle(easy)
            self._in_multi -= 1
            self._put_back(easy)

    def _begin_waiting(self) -> None:
        while self._waiting and len(self._live) < self._max_connections and not self._closed:
            call = self._waiting.popleft()
            if call.done is not None:
                self._begin(call)

    # Called by libcurl (these must never call libcurl back), and events for libcurl

    def _on_socket(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """Wait for `what` on a socket. libcurl's POLL_IN and POLL_OUT are the selector's numbers."""
        if fd in self._watched:
            # Not `modify`: the number may belong to a new socket, which the kernel's selector doesn't have yet.
            self._selector.unregister(fd)
            self._watched.discard(fd)
        if what in _WATCHABLE:
            self._selector.register(fd, what)
            self._watched.add(fd)

    def _on_timer(self, milliseconds: int) -> None:
        """Call libcurl in so many milliseconds; -1: it doesn't wait for anything."""
        if self._closed:
            return
        if milliseconds == 0:
            if self._soon is None:
                self._soon = self._loop.call_soon(self._on_soon)
        elif milliseconds > 0:
            due = self._loop.time() + milliseconds / 1000
            # An earlier timer sets the next one when it fires: most deadlines are never reached.
            if self._timer is None or due < self._timer.when():
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = self._loop.call_at(due, self._on_due)

    def _on_soon(self) -> None:
        self._soon = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def _on_due(self) -> None:
        self._timer = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()
        if not self._closed:
            self._on_timer(self._multi.timeout())

    def _on_ready(self) -> None:
        for key, events in self._selector.select(0):
            self._act(key.fd, events)
        self._collect()

    def _act(self, fd: int, events: int) -> None:
        try:
            self._multi.socket_action(fd, events)
        except pycurl.error as error:
            _once.say_failure(log, error, "libcurl refused an event")
            if fd in self._watched:  # otherwise, it would be reported forever
                self._selector.unregister(fd)
                self._watched.discard(fd)

    # From libcurl to a response

    def _collect(self) -> None:
        """Deliver the calls that libcurl has finished."""
        if not self._in_multi:
            return
        _, succeeded, failed = self._multi.info_read()
        if not succeeded and not failed:
            return
        # All are detached before any `done` runs, because `done` may send, cancel or close.
        finished = [self._settle(easy, 0, "") for easy in succeeded]
        finished += [self._settle(easy, code, message) for easy, code, message in failed]
        self._begin_waiting()
        for call, response in finished:
            self._answer(call, response)

    def _settle(self, easy: pycurl.Curl, code: int, message: str) -> tuple[Call, Response]:
        assert isinstance(easy, EasyHandle) and easy.call is not None
        call = easy.call
        response = easy.response(call, code, message)
        response.duration = self._loop.time() - call.started
        self._detach(call)
        return call, response

    def _fail(self, call: Call, error: Failure, detail: str) -> None:
        """End a call that isn't in libcurl."""
        response = Response(error=error, detail=detail)
        response.duration = self._loop.time() - call.started
        self._detach(call)
        self._begin_waiting()
        self._answer(call, response)

    def _answer(self, call: Call, response: Response) -> None:
        done, call.done = call.done, None
        if done is None:
            return
        try:
            done(response)
        except Exception as problem:
            context = {"message": "the callback of an HTTP request raised", "exception": problem}
            self._loop.call_exception_handler(context)
