"""gunicorn still works as app/base/gunicorn_internals.py expects."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import errors
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.parser import RequestParser
from gunicorn.workers.ggevent import GeventWorker

from app.base import gunicorn_internals
from tests.harness import ROOT, free_port, wait_for
from tests.internals.library import Library

GUNICORN = Library("gunicorn", "app/base/gunicorn_internals.py")
# The errors for which app/web/invalid_requests.py has a message.
_ERRORS = (
    *("InvalidRequestMethod", "InvalidHTTPVersion", "InvalidRequestLine", "LimitRequestLine"),
    *("LimitRequestHeaders", "ObsoleteFolding", "UnsupportedTransferCoding", "ExpectationFailed"),
    *("ForbiddenProxyRequest", "InvalidHeaderName", "InvalidHeader"),
)


def test_the_hooks_of_a_worker_have_the_expected_parameters() -> None:
    GUNICORN.takes(GeventWorker.load_wsgi, "self")
    GUNICORN.takes(GeventWorker.timeout_ctx, "self")
    GUNICORN.takes(GeventWorker.handle, "self", "listener", "client", "addr")
    GUNICORN.takes(GeventWorker.handle_request, "self", "listener_name", "req", "sock", "addr")
    GUNICORN.takes(GeventWorker.handle_error, "self", "req", "client", "addr", "exc")
    GUNICORN.takes(util.write_error, "sock", "status_int", "reason", "mesg")
    GUNICORN.takes(util.write_nonblock, "sock", "data", more=True)
    ours = {"loaded", "has_deadlines", "admit", "answers", "answered", "failed"}
    GUNICORN.holds(not ours & set(dir(GeventWorker)), "a worker has nothing named like a hook of the relay's")


def test_unreadable_requests_raise_the_expected_errors() -> None:
    GUNICORN.has(
        errors, *_ERRORS, "InvalidResponseHeader", "InvalidResponseHeaderName", "ConfigurationProblem"
    )
    for name in _ERRORS:
        GUNICORN.holds(
            issubclass(getattr(errors, name), errors.ParseException), f"{name} is a ParseException"
        )
    for sent, kind in (
        (b"{}\r\n\r\n", errors.InvalidRequestLine),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", errors.InvalidHeader),
        (b"GET / HTTP/1.1\r\nA\x00: x\r\n\r\n", errors.InvalidHeaderName),
        (b"GET / HTTP/9.9\r\n\r\n", errors.InvalidHTTPVersion),
    ):
        with pytest.raises(errors.ParseException) as raised:
            read(sent)
        GUNICORN.holds(isinstance(raised.value, kind), f"{sent!r} raises {kind.__name__}")
        if kind is errors.InvalidHeader:
            GUNICORN.holds(
                str(raised.value.hdr).upper() == "CONTENT-LENGTH", "InvalidHeader has its name in `hdr`"
            )


def read(sent: bytes) -> Any:
    """Return the request that gunicorn's parser gives a worker."""
    return next(RequestParser(Config(), iter([sent]), ("127.0.0.1", 1)))


def test_a_request_has_the_attributes_that_the_fast_path_reads() -> None:
    found = read(
        b"POST /callback/A?k=b HTTP/1.1\r\nhost: relay\r\nX-a: 1\r\nx-A: 2\r\nContent-Length: 2\r\n\r\n{}"
    )
    GUNICORN.holds(
        (found.method, found.scheme, found.path, found.query) == ("POST", "http", "/callback/A", "k=b"),
        "a request has its method, scheme, path and query",
    )
    GUNICORN.holds(found.version == (1, 1), f"a request has its version as two numbers ({found.version})")
    names = [("HOST", "relay"), ("X-A", "1"), ("X-A", "2"), ("CONTENT-LENGTH", "2")]
    GUNICORN.holds(found.headers == names, f"headers are pairs, as often as they came ({found.headers})")
    GUNICORN.holds(found.body.read(2) == b"{}", "a body is read by `read`")
    GUNICORN.holds(not found.should_close(), "an ordinary request doesn't close its connection")
    found.force_close()
    GUNICORN.holds(found.should_close(), "`force_close` closes the connection after a request")


def test_the_end_of_a_body_can_be_detected() -> None:
    length = read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
    chunked = read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    for request, kind in ((length, LengthReader), (chunked, ChunkedReader)):
        GUNICORN.holds(isinstance(request.body.reader, kind), f"a body is read by a {kind.__name__}")
        assert not gunicorn_internals.is_read(request.body)
        assert request.body.read() == b"abc"
        GUNICORN.holds(
            gunicorn_internals.is_read(request.body),
            f"a {kind.__name__} has read all, by `length` or `parser`",
        )
    none = read(b"GET / HTTP/1.1\r\n\r\n")
    GUNICORN.holds(gunicorn_internals.is_read(none.body), "a request without a body has nothing to be read")
    GUNICORN.takes(Body.__init__, "self", "reader")


@pytest.fixture
def hooked() -> Iterator[str]:
    """Run a server whose worker records what gunicorn calls; yield its URL."""
    port = free_port()
    names = ("-w", "1", "-k", "tests.internals.hooked.Recorder", "-b", f"127.0.0.1:{port}")
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *names, "--log-level", "warning", "tests.internals.hooked:tell"],
        cwd=ROOT,
        env=os.environ,
        start_new_session=True,
    )

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    wait_for(answers, 60)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def test_gunicorn_calls_the_hooks_in_the_expected_order(hooked: str) -> None:
    with requests.Session() as session:
        assert session.get(f"{hooked}/direct", timeout=30).text == "direct"
        assert session.get(f"{hooked}/last", timeout=30).text == "last"
    failed = requests.get(f"{hooked}/fail", timeout=30)
    GUNICORN.holds(
        (failed.status_code, failed.reason) == (500, "Made Up"), "`handle_error` answers what failed"
    )
    calls = requests.get(f"{hooked}/tell", timeout=30).json()
    first = calls.index("answers /direct Socket")
    GUNICORN.holds(calls[0] == "loaded tell", f"`load_wsgi` is called first ({calls})")
    wanted = [
        *("answers /direct Socket", "answered /direct True", "answers /last Socket", "admit 127.0.0.1"),
        *("answers /fail Socket", "failed /fail RuntimeError", "admit 127.0.0.1", "answers /tell Socket"),
        "Socket",
    ]
    GUNICORN.holds(
        calls[first:] == wanted,
        f"handle, handle_request and handle_error are called in this order: {wanted}, not {calls[first:]}",
    )


def test_requests_refused_by_gunicorn_are_handled_by_the_given_function() -> None:
    code = """
import socket, sys
from app.base import gunicorn_internals as internals
told = []
internals.send_errors_with(lambda *given: told.append(given[1:]))
from gunicorn.workers.base import Worker
from types import SimpleNamespace
from gunicorn.http.errors import InvalidRequestLine
ours, theirs = socket.socketpair()
log = SimpleNamespace(warning=print, exception=print, info=print, debug=print)
Worker.handle_error(SimpleNamespace(log=log), None, ours, ("127.0.0.1", 1), InvalidRequestLine("x"))
assert told and told[0][0] == 400, told
internals.send(ours, b"sent")
assert theirs.recv(4) == b"sent"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    GUNICORN.holds(
        done.returncode == 0, f"what it refuses is answered by util.write_error ({done.stderr[-500:]})"
    )
