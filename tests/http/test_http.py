"""What the relay's HTTP client promises, whatever a target does."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import os
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from raw_servers import OK, Connection, Server, answer_ok, answering, blackhole, call, client, post, serve

from app.addresses import AddressGuard
from workers import names as names_module
from workers.calls import Request, Response
from workers.http import Client, Handle

__all__ = ["blackhole"]  # a fixture


def run(test: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(test(), 25))


# A request as it should be


def test_the_body_and_the_headers_arrive_as_given_and_nothing_else_is_asked_for() -> None:
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
def test_a_body_of_any_size_is_sent_whole_without_asking_first(size: int) -> None:
    async def scenario() -> None:
        body = os.urandom(size)
        async with serve(answer_ok) as server, client() as http:
            response = await http.fetch(post(server.url, body, timeout=20))
        assert response.ok
        assert server.requests[0][1] == body
        assert b"expect:" not in server.requests[0][0].lower()
        assert response.duration < 0.9 or size > 4_000_000  # no second spent on waiting for a 100

    run(scenario)


def test_a_connection_is_used_again() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            for _ in range(20):
                assert (await http.fetch(post(server.url))).ok
        assert server.connections == 1

    run(scenario)


def test_many_requests_at_once_each_get_their_own_answer() -> None:
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


def test_done_is_not_called_from_within_send_and_only_once() -> None:
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


def test_an_idle_connection_closed_by_the_server_costs_no_request() -> None:
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


def test_a_request_lost_with_a_reused_connection_is_sent_again_on_a_fresh_one() -> None:
    async def scenario() -> None:
        async with serve(_hang_up_on_the_second) as server, client() as http:
            for _ in range(3):
                assert (await http.fetch(post(server.url))).ok
        assert server.connections == 3 and len(server.requests) == 5

    run(scenario)


def test_a_request_to_be_sent_once_is_not_put_on_a_connection_that_could_lose_it() -> None:
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


def test_a_request_that_may_have_been_received_is_never_said_not_to_be_sent() -> None:
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
def test_any_other_status_is_an_answer_and_no_error(status: int) -> None:
    response = run(lambda: call(answering(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())))
    assert (response.status, response.error, response.ok) == (status, None, status < 300)


def test_retry_after_is_given_in_seconds_from_either_of_its_forms() -> None:
    in_a_minute = format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60), usegmt=True
    )
    for sent, low, high in (("120", 120, 120), (in_a_minute, 55, 61)):
        answer = f"HTTP/1.1 503 Busy\r\nretry-after: {sent}\r\ncontent-length: 0\r\n\r\n".encode()
        response = run(partial(call, answering(answer)))
        assert low <= int(response.headers["retry-after"]) <= high


def test_an_interim_answer_is_not_the_answer() -> None:
    assert run(lambda: call(answering(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK))).ok
    alone = run(lambda: call(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n")))
    assert (alone.status, alone.ok) == (0, False) and alone.error is not None


def test_a_header_that_is_not_text_does_no_harm() -> None:
    odd = b"HTTP/1.1 200 OK\r\ncontent-type: \xff\xfe\xc3\r\ncontent-length: 0\r\n\r\n"
    assert run(lambda: call(answering(odd))).headers["content-type"] == "\xff\xfe\xc3"


# Too much


def test_a_body_as_large_as_allowed_is_taken() -> None:
    for size in (65536, 0):
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
        response = run(partial(call, answering(answer), max_body=size))
        assert response.ok and len(response.body) == size


@pytest.mark.parametrize(
    "head", [b"content-length: 65537", b"content-length: 1000000000000", b"connection: close"]
)
def test_a_larger_body_ends_the_transfer(head: bytes) -> None:
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


def test_a_body_of_several_megabytes_is_taken_where_it_is_allowed() -> None:
    body = os.urandom(8 * 1024 * 1024)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    response = run(lambda: call(answering(answer), max_body=len(body)))
    assert response.ok and response.body == body


@pytest.mark.parametrize("header", [b"content-encoding: gzip", b"transfer-encoding: gzip"])
def test_a_compressed_answer_is_not_unpacked(header: bytes) -> None:
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


def test_headers_past_their_limit_are_an_error_though_the_answer_is_whole() -> None:
    filler = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(70))
    response = run(lambda: call(answering(b"HTTP/1.1 200 OK\r\n" + filler + b"content-length: 0\r\n\r\n")))
    assert (response.status, response.error) == (200, "too_large")


# Too late


async def _hang(connection: Connection) -> None:
    await asyncio.sleep(30)


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


async def _drip_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while True:
        await connection.send(b"x")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "behaviour",
    [_hang, _hang_after_the_request, _hang_in_the_headers, _hang_in_the_body, _drip_headers, _drip_body],
)
def test_a_slow_answer_ends_with_the_total_timeout(behaviour: Any) -> None:
    response = run(lambda: call(behaviour, timeout=0.4))
    assert response.error == "timeout" and response.detail
    assert 0.35 < response.duration < 0.8


def test_a_large_request_to_one_who_does_not_read_it_ends_with_the_total_timeout() -> None:
    response = run(lambda: call(_hang, body=bytes(16 * 1024 * 1024), timeout=0.4))
    assert response.error == "timeout" and response.duration < 0.8


def test_a_hang_on_connect_ends_with_the_connect_timeout_or_the_total_one(blackhole: int) -> None:
    async def scenario() -> None:
        async with client(connect_timeout=0.3) as http:
            for timeout, expected in ((5.0, 0.3), (0.2, 0.2)):
                response = await http.fetch(post(f"http://127.0.0.7:{blackhole}/", timeout=timeout))
                assert (response.status, response.error) == (0, "connect_failed")
                assert expected - 0.05 < response.duration < expected + 0.3

    run(scenario)


def test_a_thousand_dead_hosts_delay_no_other(blackhole: int) -> None:
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
def test_an_answer_that_is_not_http_or_is_cut_short_is_an_error(answer: bytes, errors: set[str]) -> None:
    response = run(lambda: call(answering(answer)))
    assert response.error in errors and response.detail and not response.ok


def test_a_body_longer_than_announced_is_cut_there_and_does_not_spoil_the_next_call() -> None:
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


def test_a_port_where_nobody_listens_is_an_error() -> None:
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
def test_a_malformed_request_is_an_error_and_no_exception(request_: Request) -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            response = await http.fetch(request_)
            assert response.status == 0 and response.error == "protocol_error" and response.detail
            assert (await http.fetch(post(server.url))).ok

    run(scenario)


def test_no_secret_of_the_url_is_in_what_is_told() -> None:
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


# Addresses


def test_an_address_that_is_not_permitted_is_not_connected_to() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client(allowed="") as http:
            for host in (
                "127.0.0.1",
                "localhost",
                "2130706433",
                "0x7f.1",
                "0177.0.0.1",
                "[::ffff:127.0.0.1]",
                "0",
            ):
                response = await http.fetch(post(f"http://{host}:{server.port}/"))
                assert (response.status, response.error) == (0, "refused_address"), host
                assert response.detail is not None and "RELAY_ALLOW_PRIVATE_TARGETS" in response.detail
        assert server.connections == 0

    run(scenario)


class Resolver:
    """Stands in for the system's name look-ups: the addresses of each name, and how long they take."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.stuck = threading.Event()
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        self.asked.append(host)
        if host.startswith("stuck"):
            self.stuck.wait(20)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = [(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip) for ip in self.addresses[host]]
        return [(family, socket.SOCK_STREAM, 6, "", (ip, port)) for family, ip in families]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.stuck.set()


def test_a_name_that_leads_elsewhere_after_it_was_checked_is_not_followed(resolver: Resolver) -> None:
    resolver.addresses["rebind.example"] = ["93.184.216.34"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client(allowed="") as http:
            url = AddressGuard("").check_url(f"http://rebind.example:{server.port}/")
            resolver.addresses["rebind.example"] = ["127.0.0.1"]
            assert (await http.fetch(post(url))).error == "refused_address"
        assert server.connections == 0

    run(scenario)


def test_of_several_addresses_only_the_permitted_are_tried(resolver: Resolver) -> None:
    resolver.addresses["both.example"] = ["127.0.0.9", "127.0.0.1"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client(allowed="127.0.0.1/32") as http:
            assert (await http.fetch(post(f"http://both.example:{server.port}/"))).ok

    run(scenario)


def test_the_next_address_is_tried_where_the_first_does_not_answer(resolver: Resolver) -> None:
    resolver.addresses["two.example"] = ["::1", "127.0.0.9", "127.0.0.1"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            assert (await http.fetch(post(f"http://two.example:{server.port}/"))).ok

    run(scenario)


def test_the_environment_s_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as proxy, serve(answer_ok) as server:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            async with client() as http:
                assert (await http.fetch(post(server.url))).ok
            assert (proxy.connections, server.connections) == (0, 1)

    run(scenario)


# Names


def test_names_that_are_slow_to_look_up_delay_no_other(resolver: Resolver) -> None:
    resolver.addresses["good.example"] = ["127.0.0.1"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client(connect_timeout=1.0) as http:
            stuck = [
                asyncio.ensure_future(http.fetch(post(f"http://stuck{n % 200}.example/"))) for n in range(400)
            ]
            await asyncio.sleep(0)
            response = await http.fetch(post(f"http://good.example:{server.port}/"))
            assert response.ok and response.duration < 0.8
            responses = await asyncio.gather(*stuck)
        assert {response.error for response in responses} == {"dns_failed"}
        assert all(0.9 < response.duration < 2.5 for response in responses)
        assert len(resolver.asked) == 201  # a name once, however many ask

    run(scenario)


def test_closing_does_not_wait_for_a_look_up(resolver: Resolver) -> None:
    async def scenario() -> None:
        async with client() as http:
            task = asyncio.ensure_future(http.fetch(post("http://stuck.example/")))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
        assert time.monotonic() - begun < 0.5
        assert (await task).error == "closed"

    run(scenario)


def test_a_name_is_looked_up_again_when_its_time_is_over(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "NAME_TTL", 0.5)
    resolver.addresses["moving.example"] = ["127.0.0.1"]

    one_each = answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    async def scenario() -> None:
        async with serve(one_each) as server, client() as http:
            url = f"http://moving.example:{server.port}/"
            for _ in range(5):
                assert (await http.fetch(post(url))).ok
            assert len(resolver.asked) == 1
            resolver.addresses["moving.example"] = ["127.0.0.2"]  # where nobody listens
            await asyncio.sleep(0.6)
            for _ in range(3):
                assert (await http.fetch(post(url))).error == "connect_failed"
            assert len(resolver.asked) == 2

    run(scenario)


def test_a_name_that_does_not_exist_is_an_error(resolver: Resolver) -> None:
    async def scenario() -> None:
        async with client() as http:
            response = await http.fetch(post("http://nowhere.example/"))
            assert (response.status, response.error) == (0, "dns_failed")
            assert response.detail is not None and "not known" in response.detail

    run(scenario)


# TLS


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_is_verified_with_its_host_name(certificate: Path) -> None:
    async def scenario() -> None:
        async with serve(answer_ok, _tls(certificate)) as server:
            right, wrong = (f"https://{host}:{server.port}/" for host in ("localhost", "127.0.0.1"))
            async with client(ca_file=str(certificate)) as trusting:
                for _ in range(3):
                    assert (await trusting.fetch(post(right))).ok
                assert (await trusting.fetch(post(wrong))).error == "tls_failed"
                assert server.connections == 1
            async with client() as http:
                response = await http.fetch(post(right))
                assert (response.status, response.error) == (0, "tls_failed")
                assert response.detail is not None and "certificate" in response.detail
        assert len(server.requests) == 3

    run(scenario)


def test_a_server_that_does_not_speak_tls_or_hangs_in_the_handshake_is_an_error() -> None:
    async def babble(connection: Connection) -> None:
        await connection.send(b"220 mail.example ESMTP\r\n")
        await asyncio.sleep(1)

    async def hang_up(connection: Connection) -> None:
        await connection.reader.read(1)

    async def scenario() -> None:
        async with client(connect_timeout=0.3) as http:
            for behaviour in (babble, hang_up, _hang):
                async with serve(behaviour) as server:
                    response = await http.fetch(post(server.url.replace("http:", "https:")))
                    assert (response.status, response.error) == (0, "tls_failed")
                    assert response.duration < 0.8

    run(scenario)


# Cancelling, closing, waiting


def test_a_cancelled_call_is_not_answered_and_its_connection_is_given_up() -> None:
    gone = asyncio.Event()

    async def watch(connection: Connection) -> None:
        await connection.request()
        assert await connection.reader.read(1) == b""
        gone.set()

    async def scenario() -> None:
        async with serve(watch) as server, client() as http:
            seen: list[Response] = []
            handle = http.send(post(server.url), seen.append)
            await asyncio.sleep(0.05)
            http.cancel(handle)
            http.cancel(handle)
            assert http.active == 0
            await asyncio.wait_for(gone.wait(), 1)
            task = asyncio.ensure_future(http.fetch(post(server.url)))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
            assert http.active == 0 and seen == []

    run(scenario)


def test_a_task_cancelled_at_the_moment_of_the_answer_reports_no_fault() -> None:
    async def scenario() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with serve(answer_ok) as server, client() as http:
            tasks = [asyncio.ensure_future(http.fetch(post(server.url))) for _ in range(50)]
            await asyncio.sleep(0)

            # One answer cancels them all, those included whose answers came in the same breath.
            def cancel_all(_: Response) -> None:
                for task in tasks:
                    task.cancel()

            http.send(post(server.url), cancel_all)
            await asyncio.wait(tasks)
            assert http.active == 0
        assert reported == []

    run(scenario)


def test_an_old_handle_does_not_cancel_another_call() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            first: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
            handle = http.send(post(server.url), first.set_result)
            await first
            task = asyncio.ensure_future(http.fetch(post(server.url)))
            await asyncio.sleep(0)
            http.cancel(handle)
            assert (await task).ok

    run(scenario)


def test_a_callback_may_cancel_the_others_and_send_more() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            seen: list[int] = []
            finished = asyncio.Event()
            handles: list[Handle] = []

            def answered(number: int, _: Response) -> None:
                seen.append(number)
                if number < 100:
                    for handle in handles:
                        http.cancel(handle)
                    http.send(post(server.url), partial(answered, 100))
                else:
                    finished.set()

            for number in range(50):
                handles.append(http.send(post(server.url), partial(answered, number)))
            await finished.wait()
            await asyncio.sleep(0.1)
            assert len(seen) == 2 and http.active == 0

    run(scenario)


def test_a_callback_that_raises_spoils_nothing() -> None:
    async def scenario() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with serve(answer_ok) as server, client() as http:
            http.send(post(server.url), lambda _: 1 / 0)  # type: ignore[arg-type]
            assert (await http.fetch(post(server.url))).ok
            await asyncio.sleep(0.05)
        assert isinstance(reported[0]["exception"], ZeroDivisionError)

    run(scenario)


def test_closing_answers_every_call_that_is_under_way_or_waits() -> None:
    async def scenario() -> None:
        async with serve(_hang) as server:
            async with client(max_connections=2) as http:
                tasks = [asyncio.ensure_future(http.fetch(post(server.url))) for _ in range(5)]
                await asyncio.sleep(0.05)
                assert http.active == 5
            assert [(await task).error for task in tasks] == ["closed"] * 5
            await http.close()
            with pytest.raises(RuntimeError):
                http.send(post(server.url), lambda _: None)

    run(scenario)


def test_past_max_connections_calls_wait_in_order_without_their_time_running() -> None:
    async def slow(connection: Connection) -> None:
        while True:
            await connection.request()
            await asyncio.sleep(0.1)
            await connection.send(OK)

    async def scenario() -> None:
        async with serve(slow) as server, client(max_connections=2) as http:
            order: list[int] = []

            async def one(number: int) -> None:
                response = await http.fetch(post(server.url, timeout=0.3))
                assert response.ok and response.duration < 0.3
                order.append(number)

            tasks = [asyncio.ensure_future(one(number)) for number in range(12)]
            await asyncio.sleep(0.01)
            tasks[5].cancel()
            await asyncio.wait(tasks)
            assert server.connections == 2
            assert order == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11] and http.active == 0

    run(scenario)


def test_idle_connections_make_room_for_those_to_other_hosts() -> None:
    async def scenario() -> None:
        async with serve(answer_ok, host="0.0.0.0") as server, client(max_connections=4) as http:
            begun = time.monotonic()
            urls = [f"http://127.0.0.{n}:{server.port}/" for n in range(1, 41)]
            for _ in range(2):
                responses = await asyncio.gather(*(http.fetch(post(url)) for url in urls))
                assert all(response.ok for response in responses)
            assert time.monotonic() - begun < 2

    run(scenario)


# Resources


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_failed_calls_leave_no_socket_open(blackhole: int) -> None:
    async def scenario() -> None:
        async with (
            client(connect_timeout=0.2) as http,
            serve(answering(b"garbage")) as garbage,
            serve(_drip_body) as drip,
            serve(answering(b"")) as empty,
        ):
            await http.fetch(post(empty.url))
            before = _descriptors()
            urls = [garbage.url, drip.url, empty.url, f"http://127.0.0.1:{blackhole}/", "http://127.0.0.1:1/"]
            for _ in range(3):
                await asyncio.gather(*(http.fetch(post(url, timeout=0.3)) for url in urls * 10))
            await asyncio.sleep(0.2)
            assert _descriptors() <= before + 2 and http.active == 0

    before = _descriptors()
    run(scenario)
    assert _descriptors() == before


def test_a_finished_call_keeps_no_hold_on_its_body() -> None:
    async def scenario() -> None:
        body = bytes(100_000)
        async with serve(answer_ok) as server, client() as http:
            await http.fetch(post(server.url, body))
            await http.fetch(post("http://127.0.0.1:1/", body))
            server.requests.clear()
            assert sys.getrefcount(body) == 2

    run(scenario)


def test_without_descriptors_left_a_call_fails_and_the_next_can_succeed() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            await http.fetch(post("http://127.0.0.1:1/"))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                response = await http.fetch(post(server.url))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (response.status, response.error) == (0, "connect_failed")
            assert (await http.fetch(post(server.url))).ok

    run(scenario)


def test_a_client_belongs_to_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        Client(AddressGuard(""), user_agent="x")
