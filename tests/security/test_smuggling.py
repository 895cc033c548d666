"""Request smuggling: an ambiguous request is refused, and its connection is closed.

Otherwise, the relay could take for a request what a proxy in front of it took for part of a body.
"""

from __future__ import annotations

import json

import pytest

from tests.harness import Device, Relay
from tests.relay.tools import types
from tests.security.tools import exchange

HIDDEN = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def request(body: bytes, *lines: bytes, path: bytes = b"/callback") -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: relay", *lines, b"", body])


def length(count: int) -> bytes:
    return b"Content-Length: %d" % count


def chunked(body: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n0\r\n\r\n" % (len(body), extension, body)


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "lines",
    [
        [length(5), CHUNKED],
        [CHUNKED, length(5)],
        [length(5), length(6)],
        [length(5), length(5)],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -0"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5 5"],
        [b"Content-Length: \xb2"],
        [b"Content-Length:"],
        [b"Content-Length : 5"],
        [b" Content-Length: 5"],
        [length(5), b" folded: x"],
        [b"X-Folded: a\r\n b", length(5)],
        [b"X-Bare: a\nContent-Length: 5"],
        [b"X-Bare: a\rContent-Length: 5"],
        [b"X-Nul: a\x00b", length(5)],
        [CHUNKED, CHUNKED],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked, gzip"],
        [b"Transfer-Encoding: identity, chunked", length(5)],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding:\x0bchunked"],
        [b'Transfer-Encoding: "chunked"'],
        [b"Transfer-Encoding : chunked"],
        [b"Transfer_Encoding: chunked", length(5), length(6)],
        [b"Host: another", length(5)],
        [b"no colon", length(5)],
    ],
)
def test_an_ambiguous_request_is_refused_and_nothing_after_it_is_read(
    relay: Relay, lines: list[bytes]
) -> None:
    answers = exchange(relay, request(b"0\r\n\r\n" + HIDDEN, *lines))
    assert [answer.status for answer in answers] in ([400], [501]), lines
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].headers["connection"].lower() == "close"


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\n0\n\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"5;\rx\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;=\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: x\n\r\n\r\n",
        b"5\r\nhello\r\n0\r\n folded\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5\r\nhel",
    ],
)
def test_ambiguous_chunks_are_refused_and_nothing_after_them_is_read(relay: Relay, body: bytes) -> None:
    answers = exchange(relay, request(body + HIDDEN, CHUNKED))
    assert [answer.status for answer in answers] == [400]
    assert answers[0].headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("extension", [b"", b";name=value", b' ; name="quo\\"ted"', b";a;b=c"])
def test_chunks_with_extensions_are_read_and_the_next_request_starts_after_them(
    relay: Relay, device: Device, extension: bytes
) -> None:
    body = chunked(json.dumps(device.punch()).encode(), extension)
    first, second = exchange(relay, request(body, CHUNKED) + HIDDEN)
    assert (first.status, first.body) == (200, b'{"status":"done"}')
    assert (second.status, json.loads(second.body)["status"]) == (200, "ok")
    assert types(device) == ["attendance.punch"]


def test_a_request_within_a_body_is_not_served(relay: Relay, device: Device) -> None:
    body = json.dumps({**device.punch(), "Note": HIDDEN.decode()}).encode()
    answers = exchange(relay, request(body, length(len(body))) + HIDDEN)
    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize("path", ["/callback", "/callback?other=1", "/v1/api-keys"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_body_shorter_than_its_content_length_is_not_stored(
    relay: Relay, device: Device, path: str, cut: bool
) -> None:
    """RFC 9112 §6.3. Tested with complete and incomplete JSON. The first path skips Flask."""
    whole = json.dumps(device.punch() if "callback" in path else {"name": "x", "scopes": ["admin"]}).encode()
    sent = whole[:-1] if cut else whole
    key = f"X-API-Key: {relay.environment['RELAY_API_KEY']}".encode()
    answers = exchange(relay, request(sent, length(len(whole) + (not cut)), key, path=path.encode()))
    assert [answer.status for answer in answers] == [400]
    assert f"after {len(sent)} of {len(sent) + 1} bytes" in json.loads(answers[0].body)["detail"]
    assert types(device) == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET /health HTTP/9.9",
        b"GET /health",
        b"GET  /health HTTP/1.1",
        b"get /health HTTP/1.1",
        b"GET /he\x01alth HTTP/1.1",
    ],
)
def test_an_ambiguous_request_line_is_refused(relay: Relay, line: bytes) -> None:
    answers = exchange(relay, line + b"\r\nHost: x\r\n\r\n" + HIDDEN)
    assert (len(answers) == 1 and 400 <= answers[0].status < 500) or answers[0].status == 505


SECRET = b"made-up-secret-0123456789"


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /callback HTTP/1.1\r\nHost: x\r\n\r\n" + b'{"RealTime":{"AuthToken":"%b"}}\r\n\r\n' % SECRET,
        b"POST /callback/D\xc3\xa9?k=%b HTTP/1.1\r\nHost: x\r\n\r\n" % SECRET,
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-API-Key %b\r\n\r\n" % SECRET,
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-API-Key %b: x\r\n\r\n" % SECRET,
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-API-Key:\r\n %b\r\n\r\n" % SECRET,
        b"POST /callback HTTP/1.1\r\nHost: x\r\nExpect: %b\r\nContent-Length: 2\r\n\r\n{}" % SECRET,
        b"POST /callback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %b\r\n\r\n" % SECRET,
        b"%b! /health HTTP/1.1\r\nHost: x\r\n\r\n" % SECRET,
        b"GET /health %b HTTP/1.1\r\nHost: x\r\n\r\n" % SECRET,
    ],
)
def test_invalid_requests_are_neither_shown_nor_logged(relay: Relay, sent: bytes) -> None:
    """Once, a callback without Content-Length was logged completely, with its AuthToken."""
    *_, answer = exchange(relay, sent)
    assert 400 <= answer.status < 500 or answer.status == 501
    problem = json.loads(answer.body)
    assert problem["status"] == answer.status
    assert problem["detail"].endswith(".")
    assert SECRET not in answer.body
    assert SECRET.decode() not in relay.logs()
