"""How the relay's HTTP client handles responses: redirects, interim responses, and responses that are too large."""

from __future__ import annotations

import datetime
import gzip
import os
from email.utils import format_datetime
from functools import partial

import pytest
from raw_servers import (
    OK,
    Connection,
    answer_ok,
    answering,
    call,
    run,
    serve,
)

# Answers that aren't a plain success


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as elsewhere:
            head = f"HTTP/1.1 {status} Go\r\nlocation: {elsewhere.url}?secret=1\r\ncontent-length: 0\r\n\r\n"
            response = await call(answering(head.encode()))
            assert (response.status, response.error, response.ok) == (status, "redirect", False)
            assert response.detail is not None and "secret" not in response.detail
            assert elsewhere.connections == 0

    run(scenario)


@pytest.mark.parametrize("status", [201, 204, 400, 404, 410, 429, 500, 503])
def test_any_other_status_is_a_response_and_not_an_error(status: int) -> None:
    response = run(lambda: call(answering(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())))
    assert (response.status, response.error, response.ok) == (status, None, status < 300)


def test_retry_after_is_returned_in_seconds_for_both_formats() -> None:
    in_a_minute = format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60), usegmt=True
    )
    for sent, low, high in (("120", 120, 120), (in_a_minute, 55, 61)):
        answer = f"HTTP/1.1 503 Busy\r\nretry-after: {sent}\r\ncontent-length: 0\r\n\r\n".encode()
        response = run(partial(call, answering(answer)))
        assert low <= int(response.headers["retry-after"]) <= high


def test_an_interim_response_is_skipped() -> None:
    assert run(lambda: call(answering(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK))).ok
    alone = run(lambda: call(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n")))
    assert (alone.status, alone.ok) == (0, False) and alone.error is not None


def test_a_header_that_is_not_text_is_harmless() -> None:
    invalid_header = b"HTTP/1.1 200 OK\r\ncontent-type: \xff\xfe\xc3\r\ncontent-length: 0\r\n\r\n"
    assert run(lambda: call(answering(invalid_header))).headers["content-type"] == "\xff\xfe\xc3"


# Too much


def test_a_body_of_the_maximum_size_is_accepted() -> None:
    for size in (65536, 0):
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
        response = run(partial(call, answering(answer), max_body=size))
        assert response.ok and len(response.body) == size


@pytest.mark.parametrize(
    "head", [b"content-length: 65537", b"content-length: 1000000000000", b"connection: close"]
)
def test_a_body_above_the_maximum_ends_the_transfer(head: bytes) -> None:
    async def flood(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        while True:
            await connection.send(b"x" * 65537)

    response = run(lambda: call(flood))
    assert (response.status, response.error, response.ok) == (200, "too_large", False)
    assert response.body == b"x" * 65536


def test_an_endless_chunked_body_ends_the_transfer() -> None:
    async def flood(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    assert run(lambda: call(flood, max_body=100_000)).error == "too_large"


def test_a_body_of_several_megabytes_is_accepted_if_allowed() -> None:
    body = os.urandom(8 * 1024 * 1024)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    response = run(lambda: call(answering(answer), max_body=len(body)))
    assert response.ok and response.body == body


@pytest.mark.parametrize("header", [b"content-encoding: gzip", b"transfer-encoding: gzip"])
def test_a_compressed_response_is_not_decompressed(header: bytes) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    answer = b"HTTP/1.1 200 OK\r\n" + header + b"\r\nconnection: close\r\n\r\n" + bomb
    response = run(lambda: call(answering(answer)))
    assert response.body == bomb or (response.error is not None and len(response.body) <= 65536)


@pytest.mark.parametrize(
    "line", [b"x-filler: " + b"x" * 1000 + b"\r\n", b"x" * 1000, b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_endless_headers_end_the_transfer(line: bytes) -> None:
    async def flood(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\n" if not line.startswith(b"HTTP") else b"")
        while True:
            await connection.send(line * 10)

    response = run(lambda: call(flood, timeout=10))
    assert response.error in ("too_large", "protocol_error", "reset") and response.duration < 5


def test_headers_above_the_limit_are_an_error_even_if_the_response_is_complete() -> None:
    filler = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(70))
    response = run(lambda: call(answering(b"HTTP/1.1 200 OK\r\n" + filler + b"content-length: 0\r\n\r\n")))
    assert (response.status, response.error) == (200, "too_large")
