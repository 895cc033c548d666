"""How the relay's HTTP client handles servers that are slow, down, or don't speak HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from raw_servers import (
    Connection,
    answer_ok,
    answering,
    blackhole,
    call,
    client,
    drip_body,
    hang,
    post,
    run,
    serve,
)

from workers.http.messages import Request

__all__ = ["blackhole"]  # a fixture


# Too late


async def _hang_after_the_request(connection: Connection) -> None:
    await connection.request()
    await asyncio.sleep(30)


async def _hang_in_the_headers(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-le")
    await asyncio.sleep(30)


async def _hang_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
    await asyncio.sleep(30)


async def _drip_headers(connection: Connection) -> None:
    await connection.request()
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x-filler: slow\r\n" * 1000:
        await connection.send(bytes([byte]))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "behaviour",
    [hang, _hang_after_the_request, _hang_in_the_headers, _hang_in_the_body, _drip_headers, drip_body],
)
def test_a_slow_response_ends_with_the_total_timeout(behaviour: Any) -> None:
    response = run(lambda: call(behaviour, timeout=0.4))
    assert response.error == "timeout" and response.detail
    assert 0.35 < response.duration < 0.8


def test_a_large_request_that_is_not_read_ends_with_the_total_timeout() -> None:
    response = run(lambda: call(hang, body=bytes(16 * 1024 * 1024), timeout=0.4))
    assert response.error == "timeout" and response.duration < 0.8


def test_a_hanging_connection_attempt_ends_with_the_connect_or_total_timeout(blackhole: int) -> None:
    async def scenario() -> None:
        async with client(connect_timeout=0.3) as http:
            for timeout, expected in ((5.0, 0.3), (0.2, 0.2)):
                response = await http.fetch(post(f"http://127.0.0.7:{blackhole}/", timeout=timeout))
                assert (response.status, response.error) == (0, "connect_failed")
                assert expected - 0.05 < response.duration < expected + 0.3

    run(scenario)


def test_a_thousand_dead_hosts_do_not_delay_others(blackhole: int) -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client(connect_timeout=2, max_connections=1500) as http:
            dead = [
                asyncio.ensure_future(http.fetch(post(f"http://127.1.{n // 250}.{n % 250 + 1}:{blackhole}/")))
                for n in range(1000)
            ]
            await asyncio.sleep(0)
            slowest = 0.0
            for _ in range(100):
                response = await http.fetch(post(server.url))
                assert response.ok
                slowest = max(slowest, response.duration)
            assert slowest < 0.5
            assert not any(task.done() for task in dead)
            responses = await asyncio.gather(*dead)
        assert {response.error for response in responses} == {"connect_failed"}
        assert max(response.duration for response in responses) < 4

    run(scenario)


# Not HTTP, or not to its end


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        (b"", {"reset"}),
        (b"\x00\xff\x17garbage" * 100, {"protocol_error"}),
        (b"SSH-2.0-OpenSSH_9.6\r\n", {"protocol_error"}),
        (b"<html>HTTP/0.9</html>", {"protocol_error"}),
        (b"HTTP/1.1", {"protocol_error", "reset"}),
        (b"HTTP/1.1 xyz OK\r\n\r\n", {"protocol_error"}),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", {"reset"}),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", {"protocol_error"}),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx", {"reset", "protocol_error"}),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", {"reset"}),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", {"protocol_error"}),
        (b"ICY 200 OK\r\n\r\n", {"protocol_error"}),
    ],
)  # fmt: skip
def test_a_response_that_is_not_http_or_is_incomplete_is_an_error(answer: bytes, errors: set[str]) -> None:
    response = run(lambda: call(answering(answer)))
    assert response.error in errors and response.detail and not response.ok


def test_a_body_longer_than_announced_is_cut_off_and_does_not_affect_the_next_call() -> None:
    async def babble(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n")

    async def scenario() -> None:
        async with serve(babble) as server, client() as http:
            for _ in range(3):
                response = await http.fetch(post(server.url))
                assert response.ok and response.body == b"ok"

    run(scenario)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"])
def test_a_reset_is_an_error(sent: bytes) -> None:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.send(sent)
        await asyncio.sleep(0.05)
        connection.reset()

    assert run(lambda: call(behave)).error == "reset"


def test_a_refused_connection_is_an_error() -> None:
    async def scenario() -> None:
        async with client() as http:
            response = await http.fetch(post("http://127.0.0.1:1/"))
        assert (response.status, response.error) == (0, "connect_failed")
        assert response.detail is not None and "refused" in response.detail

    run(scenario)


@pytest.mark.parametrize(
    "request_",
    [
        post("file:///etc/passwd"),
        post("ftp://127.0.0.1/x"),
        post("gopher://127.0.0.1:1/"),
        post("http://"),
        post("http://[::1/"),
        post("http://127.0.0.1:99999/"),
        post("http://127.0.0.1:1/\0"),
        Request("http://127.0.0.1:1/", b"", ["x-name: \u2603"], 5.0),
        Request("http://127.0.0.1:1/", b"", [], float("inf")),
    ],
)
def test_a_malformed_request_is_an_error_and_not_an_exception(request_: Request) -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            response = await http.fetch(request_)
            assert response.status == 0 and response.error == "protocol_error" and response.detail
            assert (await http.fetch(post(server.url))).ok

    run(scenario)


def test_errors_contain_no_secrets_of_the_url() -> None:
    async def scenario() -> None:
        async with client() as http:
            for start in (
                "http://127.0.0.1:1/",
                "https://127.0.0.1:1/",
                "nope://127.0.0.1:1/",
                "http://no.invalid/",
            ):
                response = await http.fetch(post(start + "s3cret/path?token=s3cret"))
                assert response.detail and "s3cret" not in response.detail

    run(scenario)
