"""The one way out: every HTTP call the relay makes goes through `Client`.

libcurl's multi socket interface under asyncio. libcurl says which sockets and which timer it waits for;
the sockets are kept in a selector of our own, whose one descriptor is registered with the loop. (With
asyncio's add_reader for each the throughput is half: libcurl asks anew every time a connection is used.)

What a target may do to us is bounded here: the addresses it leads to (`app.addresses`, asked for every
socket that is opened), the time it takes, the bytes it answers. Nothing it does raises: a failed call is
a `Response` whose `error` says what failed.

`workers.calls` has what callers give and get; names are looked up by `workers.names`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable

import certifi
import pycurl

from app.addresses import AddressGuard
from workers.calls import NOT_SENT, Failure, Request, Response
from workers.names import NAME_TTL, Answer, Names, place_of

log = logging.getLogger(__name__)

MAX_HEAD = 64 * 1024  # bytes of all response headers; libcurl itself stops reading at 300 KiB
CONNECTION_LIFETIME = 600  # seconds until a connection in use is renewed, so that a moved name is followed
IDLE_HANDLES = 512  # curl handles kept for reuse

_WATCHABLE = frozenset((pycurl.POLL_IN, pycurl.POLL_OUT, pycurl.POLL_INOUT))

Done = Callable[[Response], None]


class Handle:
    """One call under way, for `Client.cancel`."""

    __slots__ = ("chunks", "done", "easy", "expiry", "opened", "refused", "request", "room", "started")

    def __init__(self, request: Request, done: Done) -> None:
        self.request = request
        self.done: Done | None = done  # None once it was called or the call cancelled
        self.started = -1.0  # loop time; negative while waiting for a free connection
        self.easy: _Easy | None = None  # set while libcurl has it
        self.expiry: asyncio.TimerHandle | None = None  # set while its name is looked up
        self.room = request.max_body  # bytes the body may still grow; negative: it is too large
        self.chunks: list[bytes] = []
        self.refused: str | None = None  # an address it was kept from
        self.opened = False  # whether it was let open a socket


class Client:
    """Sends requests from the running asyncio loop; make, use and close it in that loop's thread.

    `connect_timeout` is in seconds, for the look-up of the name and then again for connection and TLS
    handshake. `max_connections` bounds the requests under way, hence the sockets: further ones wait in
    order, their time not yet running. So it must exceed the requests that dead targets may hold.
    `max_per_host` (0: no bound) is libcurl's; there the time does run. `ca_file` is a PEM bundle to verify
    certificates with; by default SSL_CERT_FILE, else the system's, else certifi's.
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
        self._live: set[Handle] = set()  # begun and not done
        self._waiting: deque[Handle] = deque()  # for a free connection
        self._idle: list[_Easy] = []
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
        """The requests that were sent and neither done nor cancelled."""
        return len(self._live) + sum(handle.done is not None for handle in self._waiting)

    def send(self, request: Request, done: Done) -> Handle:
        """Begin a call. `done` is called exactly once, from the loop, never from within `send`.

        Raises RuntimeError on a closed client.
        """
        if self._closed:
            raise RuntimeError("the HTTP client is closed")
        handle = Handle(request, done)
        if len(self._live) < self._max_connections:
            self._begin(handle)
        else:
            self._waiting.append(handle)
        return handle

    async def fetch(self, request: Request) -> Response:
        """The response to `request`; cancelling the task ends the call."""
        future: asyncio.Future[Response] = self._loop.create_future()

        def done(response: Response) -> None:
            if not future.done():  # cancelled just now
                future.set_result(response)

        handle = self.send(request, done)
        try:
            return await future
        finally:
            self.cancel(handle)

    def cancel(self, handle: Handle) -> None:
        """End a call whose answer is no longer wanted: `done` will not be called. Idempotent."""
        handle.done = None
        if handle in self._live:
            self._detach(handle)
            self._begin_waiting()

    async def close(self) -> None:
        """End every call with the error `closed`, and all connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        unfinished = [*self._live, *self._waiting]
        self._waiting.clear()
        for handle in list(self._live):
            self._detach(handle)
        for wake_up in (self._soon, self._timer):
            if wake_up is not None:
                wake_up.cancel()
        self._loop.remove_reader(self._selector.fileno())
        self._multi.close()
        self._selector.close()
        for easy in self._idle:
            easy.close()
        self._idle.clear()
        for handle in unfinished:
            self._answer(handle, Response(error="closed", detail="The relay stopped before an answer came."))

    # From a request to libcurl

    def _begin(self, handle: Handle) -> None:
        """Start the call's time: have its name looked up where that is due, then hand it to libcurl."""
        handle.started = self._loop.time()
        self._live.add(handle)
        place = place_of(handle.request.url)
        if place is None or self._names.is_known(place):
            self._launch(handle, None)
            return
        patience = min(handle.request.timeout, self._connect_timeout)
        handle.expiry = self._loop.call_later(patience, self._on_no_address, handle, "no answer in time")
        self._names.look_up(place, lambda answer: self._on_looked_up(handle, answer))

    def _on_looked_up(self, handle: Handle, answer: Answer) -> None:
        if handle.expiry is None:
            return  # it was cancelled, or took too long
        handle.expiry.cancel()
        handle.expiry = None
        if answer.entry is None:
            self._on_no_address(handle, answer.problem)
        else:
            self._launch(handle, answer.entry)

    def _on_no_address(self, handle: Handle, problem: str) -> None:
        handle.expiry = None
        self._fail(handle, "dns_failed", f"The address of the host could not be looked up: {problem}.")

    def _launch(self, handle: Handle, dns_entry: str | None) -> None:
        """Hand the call to libcurl, with what to put into its DNS cache first."""
        easy = self._idle.pop() if self._idle else self._new_easy()
        left = handle.request.timeout
        if dns_entry is not None:
            left -= self._loop.time() - handle.started
        try:
            easy.prepare(handle, left, dns_entry)
            self._multi.add_handle(easy)
        except (pycurl.error, TypeError, ValueError, OverflowError) as problem:
            self._put_back(easy)
            log.warning("a request could not be prepared: %s", type(problem).__name__)
            detail = "The request could not be put together: its URL or a header is malformed."
            # From a callback of its own, for `send` must not call `done`.
            self._loop.call_soon(self._fail, handle, "protocol_error", detail)
            return
        handle.easy = easy
        self._in_multi += 1

    def _new_easy(self) -> _Easy:
        return _Easy(self._guard, self._user_agent, self._connect_timeout, self._ca_file)

    def _put_back(self, easy: _Easy) -> None:
        easy.clear()
        if len(self._idle) < IDLE_HANDLES:
            self._idle.append(easy)
        else:
            easy.close()

    def _detach(self, handle: Handle) -> None:
        """Take the call out of libcurl, or out of its wait for an address."""
        self._live.discard(handle)
        if handle.expiry is not None:
            handle.expiry.cancel()
            handle.expiry = None
        easy, handle.easy = handle.easy, None
        if easy is not None:
            self._multi.remove_handle(easy)
            self._in_multi -= 1
            self._put_back(easy)

    def _begin_waiting(self) -> None:
        while self._waiting and len(self._live) < self._max_connections and not self._closed:
            handle = self._waiting.popleft()
            if handle.done is not None:
                self._begin(handle)

    # What libcurl asks for (never call it back from within these) and is told

    def _on_socket(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """libcurl waits for `what` on a socket. Its POLL_IN and POLL_OUT are the selector's numbers."""
        if fd in self._watched:
            # Not `modify`: the number may be a new socket's, which the kernel's selector doesn't have yet.
            self._selector.unregister(fd)
            self._watched.discard(fd)
        if what in _WATCHABLE:
            self._selector.register(fd, what)
            self._watched.add(fd)

    def _on_timer(self, milliseconds: int) -> None:
        """libcurl wants to be called in so many milliseconds; -1: it has nothing to wait for."""
        if self._closed:
            return
        if milliseconds == 0:
            if self._soon is None:
                self._soon = self._loop.call_soon(self._on_soon)
        elif milliseconds > 0:
            due = self._loop.time() + milliseconds / 1000
            # An earlier one that is set already sets the next when it fires: most deadlines never come.
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
        except pycurl.error:
            log.exception("libcurl refused an event")
            if fd in self._watched:  # or it would be reported for ever
                self._selector.unregister(fd)
                self._watched.discard(fd)

    # From libcurl to a response

    def _collect(self) -> None:
        """Deliver what libcurl has finished."""
        if not self._in_multi:
            return
        _, succeeded, failed = self._multi.info_read()
        if not succeeded and not failed:
            return
        # All are detached before any `done` runs: it may send, cancel or close.
        finished = [self._settle(easy, 0, "") for easy in succeeded]
        finished += [self._settle(easy, code, message) for easy, code, message in failed]
        self._begin_waiting()
        for handle, response in finished:
            self._answer(handle, response)

    def _settle(self, easy: pycurl.Curl, code: int, message: str) -> tuple[Handle, Response]:
        assert isinstance(easy, _Easy) and easy.handle is not None
        handle = easy.handle
        response = easy.response(handle, code, message)
        response.duration = self._loop.time() - handle.started
        self._detach(handle)
        return handle, response

    def _fail(self, handle: Handle, error: Failure, detail: str) -> None:
        """End a call that libcurl does not have."""
        response = Response(error=error, detail=detail)
        response.duration = self._loop.time() - handle.started
        self._detach(handle)
        self._begin_waiting()
        self._answer(handle, response)

    def _answer(self, handle: Handle, response: Response) -> None:
        done, handle.done = handle.done, None
        if done is None:
            return
        try:
            done(response)
        except Exception as problem:
            context = {"message": "the callback of an HTTP request raised", "exception": problem}
            self._loop.call_exception_handler(context)


class _Easy(pycurl.Curl):
    """A curl handle: its constant options are set once, its `handle` is the call it is used for now."""

    def __new__(cls, *_: object) -> _Easy:
        return super().__new__(cls)

    def __init__(self, guard: AddressGuard, user_agent: str, connect_timeout: float, ca_file: str) -> None:
        self.handle: Handle | None = None
        self._guard = guard
        self._timeout = 0  # milliseconds, as last set
        self._once = False
        self._has_dns_entry = False
        for option, value in (
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.POST, 1),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS),  # where a https target offers it
            (pycurl.HTTP09_ALLOWED, 0),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.HTTP_CONTENT_DECODING, 0),  # no compression, so that a small answer stays one
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.PROXY, ""),  # not even the environment's: it would connect past the guard
            (pycurl.NOPROXY, "*"),
            (pycurl.USERAGENT, user_agent),
            (pycurl.NOSIGNAL, 1),
            (pycurl.TCP_NODELAY, 1),
            (pycurl.CONNECTTIMEOUT_MS, _milliseconds(connect_timeout)),
            (pycurl.MAXLIFETIME_CONN, CONNECTION_LIFETIME),
            (pycurl.DNS_CACHE_TIMEOUT, int(2 * NAME_TTL)),  # `Names` renews entries before they lapse
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.CAINFO, ca_file),
            (pycurl.OPENSOCKETFUNCTION, self._open_socket),
            (pycurl.WRITEFUNCTION, self._take_body),
        ):
            self.setopt(option, value)

    def prepare(self, handle: Handle, timeout: float, dns_entry: str | None) -> None:
        """Set what differs from call to call; `timeout` is what is left of it, in seconds."""
        request = handle.request
        self.handle = handle
        self.setopt(pycurl.URL, request.url)
        self.setopt(pycurl.POSTFIELDS, request.body)
        # Without this libcurl asks before it sends a large body, and waits a second for the answer.
        lines = [line.encode("latin-1") for line in request.headers]
        self.setopt(pycurl.HTTPHEADER, [*lines, b"Expect:"])
        milliseconds = _milliseconds(timeout)
        if milliseconds != self._timeout:
            self.setopt(pycurl.TIMEOUT_MS, milliseconds)
            self._timeout = milliseconds
        if request.once != self._once:
            self.setopt(pycurl.FRESH_CONNECT, request.once)
            self._once = request.once
        if dns_entry is not None:
            self.setopt(pycurl.RESOLVE, [dns_entry])
            self._has_dns_entry = True

    def clear(self) -> None:
        """Let go of the call and its body."""
        self.handle = None
        self.setopt(pycurl.POSTFIELDS, b"")
        if self._has_dns_entry:  # or the next call would put an old address into the cache
            self.unsetopt(pycurl.RESOLVE)
            self._has_dns_entry = False

    def response(self, handle: Handle, code: int, message: str) -> Response:
        """What came of the call that libcurl ended with `code` (0: as it should) and `message`."""
        status = self.getinfo(pycurl.RESPONSE_CODE)
        if status < 200:  # only the server's word that it goes on
            status = 0
        if code:
            error, detail = self._failure(handle, code, message)
        elif self.getinfo(pycurl.HEADER_SIZE) > MAX_HEAD:
            error, detail = "too_large", f"The answer's headers are larger than {MAX_HEAD} bytes."
        elif 300 <= status < 400:
            error, detail = "redirect", f"The answer was {status}, a redirect; redirects are not followed."
        else:
            error, detail = None, None
        chunks = handle.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return Response(status, self._headers(status), body, error, detail)

    def _headers(self, status: int) -> dict[str, str]:
        # libcurl has read these anyway; a callback for every header line costs a fifth of the throughput.
        headers = {}
        kind = self.getinfo_raw(pycurl.CONTENT_TYPE)
        if kind is not None:
            headers["content-type"] = kind.decode("latin-1")
        length = self.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        if length >= 0:
            headers["content-length"] = str(length)
        if status >= 300:
            wait = self.getinfo(pycurl.RETRY_AFTER)
            if wait > 0:
                headers["retry-after"] = str(wait)
        return headers

    def _failure(self, handle: Handle, code: int, message: str) -> tuple[Failure, str]:
        failure = self._explain(handle, code, message)
        if failure[0] in NOT_SENT and self.getinfo(pycurl.REQUEST_SIZE) > 0:
            # It went out on a reused connection, which ended; what failed is libcurl's second try.
            return "reset", "The connection ended without an answer, and a new one could not be made."
        return failure

    def _explain(self, handle: Handle, code: int, message: str) -> tuple[Failure, str]:
        if code == pycurl.E_WRITE_ERROR and handle.room < 0:
            limit = handle.request.max_body
            return "too_large", f"The answer's body is larger than {limit} bytes; the rest was not read."
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return self._explain_timeout()
        if code == pycurl.E_COULDNT_CONNECT:
            if handle.refused is not None and not handle.opened:
                return "refused_address", self._guard.refusal(handle.refused)
            reason = os.strerror(self.getinfo(pycurl.OS_ERRNO) or errno.ENOTCONN)
            return "connect_failed", f"No connection to the host: {reason}."
        if code in _TLS_FAILURES:
            reason = message.encode("ascii", "replace").decode()[:200]
            return "tls_failed", f"No TLS session with the host: {reason}."
        return _FAILURES.get(code, ("protocol_error", f"The call failed with libcurl's error {code}."))

    def _explain_timeout(self) -> tuple[Failure, str]:
        """How far a call got that ran out of time."""
        if self.getinfo(pycurl.CONNECT_TIME) == 0:
            return "connect_failed", "No connection to the host in time."
        if self.getinfo(pycurl.REQUEST_SIZE) == 0:
            return "tls_failed", "No TLS session with the host in time."
        if self.getinfo(pycurl.HEADER_SIZE) == 0:
            return "timeout", "The host took the connection but did not answer in time."
        return "timeout", "The host began to answer but did not finish in time."

    # Called by libcurl

    def _open_socket(self, _purpose: int, address: pycurl.CurlSockAddr) -> int:
        assert self.handle is not None
        ip = str(address.addr[0])
        if not self._guard.permits(ip):
            self.handle.refused = ip
            return pycurl.SOCKET_BAD
        self.handle.opened = True
        try:
            return socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError as problem:  # too many open files
            log.error("no socket could be opened: %s", problem.strerror)
            return pycurl.SOCKET_BAD

    def _take_body(self, chunk: bytes) -> int | None:
        """Keep a piece of the body; 0 makes libcurl give up."""
        handle = self.handle
        assert handle is not None
        room = handle.room
        handle.room = room - len(chunk)
        if handle.room < 0:
            handle.chunks.append(chunk[:room])
            return 0
        handle.chunks.append(chunk)
        return None


_FAILURES: dict[int, tuple[Failure, str]] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: ("protocol_error", "The answer is not HTTP/1.1 or HTTP/2."),
    pycurl.E_URL_MALFORMAT: ("protocol_error", "The request's URL is malformed."),
    pycurl.E_COULDNT_RESOLVE_HOST: ("dns_failed", "The address of the host could not be looked up."),
    pycurl.E_FTP_WEIRD_SERVER_REPLY: ("protocol_error", "The answer is not proper HTTP."),
    pycurl.E_PARTIAL_FILE: ("reset", "The connection ended before the answer was complete."),
    pycurl.E_GOT_NOTHING: ("reset", "The connection ended without an answer."),
    pycurl.E_SEND_ERROR: ("reset", "The connection broke while the request was sent."),
    pycurl.E_RECV_ERROR: ("reset", "The connection broke before the answer was complete."),
    pycurl.E_HTTP2: ("reset", "The HTTP/2 session ended without an answer."),
    92: ("reset", "The HTTP/2 stream ended without an answer."),
    100: ("too_large", "The answer's headers are too large."),  # E_TOO_LARGE, which pycurl doesn't name
}
_TLS_FAILURES = frozenset(
    (
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
    )
)


def _milliseconds(seconds: float) -> int:
    """For libcurl, to which 0 is no limit at all."""
    return max(1, int(seconds * 1000))
