"""Where the relay's HTTP client connects: addresses, names and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_servers import (
    Connection,
    answer_ok,
    answering,
    client,
    hang,
    post,
    run,
    serve,
)

from app.base.addresses import AddressGuard
from workers.http import resolver as names_module

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
    """Replaces the system's resolver. It has the addresses of each name, and the duration of a lookup."""

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


def test_a_name_that_resolves_differently_after_the_check_is_not_followed(resolver: Resolver) -> None:
    resolver.addresses["rebind.example"] = ["93.184.216.34"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client(allowed="") as http:
            url = AddressGuard("").check_url(f"http://rebind.example:{server.port}/")
            resolver.addresses["rebind.example"] = ["127.0.0.1"]
            assert (await http.fetch(post(url))).error == "refused_address"
        assert server.connections == 0

    run(scenario)


def test_only_permitted_addresses_of_several_are_tried(resolver: Resolver) -> None:
    resolver.addresses["both.example"] = ["127.0.0.9", "127.0.0.1"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client(allowed="127.0.0.1/32") as http:
            assert (await http.fetch(post(f"http://both.example:{server.port}/"))).ok

    run(scenario)


def test_the_next_address_is_tried_if_the_first_does_not_respond(resolver: Resolver) -> None:
    resolver.addresses["two.example"] = ["::1", "127.0.0.9", "127.0.0.1"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            assert (await http.fetch(post(f"http://two.example:{server.port}/"))).ok

    run(scenario)


def test_proxies_from_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as proxy, serve(answer_ok) as server:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            async with client() as http:
                assert (await http.fetch(post(server.url))).ok
            assert (proxy.connections, server.connections) == (0, 1)

    run(scenario)


# Names


def test_slow_lookups_do_not_delay_others(resolver: Resolver) -> None:
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


def test_a_lookup_that_took_too_long_is_used_by_the_next_call(resolver: Resolver) -> None:
    """The name counted as known, but libcurl had no address, and looked it up itself instead of in our threads."""
    resolver.addresses["stuck.example"] = ["127.0.0.1"]

    async def scenario() -> None:
        async with serve(answer_ok) as server, client(connect_timeout=0.2) as http:
            url = f"http://stuck.example:{server.port}/"
            assert (await http.fetch(post(url))).error == "dns_failed"
            resolver.stuck.set()
            for _ in range(3):
                response = await http.fetch(post(url))
                while (
                    response.error == "dns_failed"
                    and len(resolver.asked) == 1
                    and "in time" in response.detail
                ):
                    response = await http.fetch(post(url))  # the late answer is on its way
                assert response.ok, response.detail
        assert resolver.asked == ["stuck.example"]

    run(scenario)


def test_closing_does_not_wait_for_a_lookup(resolver: Resolver) -> None:
    async def scenario() -> None:
        async with client() as http:
            task = asyncio.ensure_future(http.fetch(post("http://stuck.example/")))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
        assert time.monotonic() - begun < 0.5
        assert (await task).error == "closed"

    run(scenario)


def test_a_name_is_looked_up_again_when_its_cache_time_is_over(
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


def test_a_certificate_is_verified_including_its_host_name(certificate: Path) -> None:
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
            for behaviour in (babble, hang_up, hang):
                async with serve(behaviour) as server:
                    response = await http.fetch(post(server.url.replace("http:", "https:")))
                    assert (response.status, response.error) == (0, "tls_failed")
                    assert response.duration < 0.8

    run(scenario)
