"""The requests that the relay's HTTP client sends, and the connections it uses."""

from __future__ import annotations

import asyncio
import os

import pytest
from raw_servers import (
    OK,
    Connection,
    Server,
    answer_ok,
    answering,
    client,
    post,
    run,
    serve,
)

from workers.http.messages import Request, Response

# A request as it should be


def test_body_and_headers_arrive_as_given_without_further_requests() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            request = Request(server.url, b'{"id":"evt_1"}', ["content-type: x/y", "webhook-id: evt_1"], 5.0)
            response = await http.fetch(request)
        head, body = server.requests[0]
        lines = {line.lower() for line in head.decode().split("\r\n")}
        assert body == b'{"id":"evt_1"}'
        assert {
            "post /hook http/1.1",
            "content-type: x/y",
            "webhook-id: evt_1",
            "content-length: 14",
            "user-agent: cams-relay/test",
        } <= lines
        names = {line.partition(":")[0] for line in lines}
        assert not names & {"accept-encoding", "expect", "cookie", "authorization", "te", "upgrade"}
        assert response.ok and response.status == 200 and response.body == b'{"ok":true}'
        assert response.headers == {"content-type": "application/json", "content-length": "11"}
        assert 0 < response.duration < 5

    run(scenario)


@pytest.mark.parametrize("size", [0, 1, 2 * 1024 * 1024, 16 * 1024 * 1024])
def test_a_body_of_any_size_is_sent_without_expect_continue(size: int) -> None:
    async def scenario() -> None:
        body = os.urandom(size)
        async with serve(answer_ok) as server, client() as http:
            response = await http.fetch(post(server.url, body, timeout=20))
        assert response.ok
        assert server.requests[0][1] == body
        assert b"expect:" not in server.requests[0][0].lower()
        assert response.duration < 0.9 or size > 4_000_000  # no second spent on waiting for a 100

    run(scenario)


def test_a_connection_is_reused() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            for _ in range(20):
                assert (await http.fetch(post(server.url))).ok
        assert server.connections == 1

    run(scenario)


def test_concurrent_requests_each_get_their_own_response() -> None:
    async def echo(connection: Connection) -> None:
        while True:
            _, body = await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def scenario() -> None:
        async with serve(echo) as server, client() as http:
            for _ in range(3):
                bodies = [str(number).encode() for number in range(300)]
                responses = await asyncio.gather(*(http.fetch(post(server.url, body)) for body in bodies))
                assert [response.body for response in responses] == bodies

    run(scenario)


def test_done_is_called_once_and_not_from_within_send() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            seen: list[Response] = []
            for url in (server.url, "http://127.0.0.1:1/", "nonsense://x", "http://\u2603/"):
                http.send(post(url), seen.append)
            assert seen == [] and http.active == 4
            await asyncio.sleep(0.3)
            assert len(seen) == 4 and http.active == 0

    run(scenario)


# Connections that the server has closed meanwhile


def test_an_idle_connection_closed_by_the_server_fails_no_request() -> None:
    async def one_each(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)

    async def scenario() -> None:
        async with serve(one_each) as server, client() as http:
            for _ in range(5):
                assert (await http.fetch(post(server.url))).ok
                await asyncio.sleep(0.01)
        assert server.connections == 5

    run(scenario)


async def _hang_up_on_the_second(connection: Connection) -> None:
    await connection.request()
    await connection.send(OK)
    await connection.request()


def test_a_request_lost_with_a_reused_connection_is_sent_again_on_a_new_one() -> None:
    async def scenario() -> None:
        async with serve(_hang_up_on_the_second) as server, client() as http:
            for _ in range(3):
                assert (await http.fetch(post(server.url))).ok
        assert server.connections == 3 and len(server.requests) == 5

    run(scenario)


def test_a_request_that_must_be_sent_once_uses_a_new_connection() -> None:
    async def scenario() -> None:
        async with serve(_hang_up_on_the_second) as server, client() as http:
            for _ in range(3):
                assert (await http.fetch(post(server.url, once=True))).ok
            assert server.connections == 3 and len(server.requests) == 3
            assert (await http.fetch(post(server.url))).ok  # and others are not bound by it
        async with serve(answering(b"")) as silent, client() as http:
            assert (await http.fetch(post(silent.url, once=True))).error == "reset"
            assert len(silent.requests) == 1

    run(scenario)


def test_a_request_that_may_have_been_received_is_never_reported_as_not_sent() -> None:
    async def scenario() -> None:
        async def go_down_on_the_second(connection: Connection) -> None:
            await connection.request()
            await connection.send(OK)
            await connection.request()
            listener.close()

        server = Server(go_down_on_the_second)
        listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
        server.port = listener.sockets[0].getsockname()[1]
        async with client() as http:
            assert (await http.fetch(post(server.url))).ok
            response = await http.fetch(post(server.url))
            assert len(server.requests) == 2 and response.error == "reset"
            assert (await http.fetch(post(server.url))).error == "connect_failed"

    run(scenario)
