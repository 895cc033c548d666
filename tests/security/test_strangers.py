"""Callers without a device's AuthToken or an API key can't block others or fill the memory."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from app.limits.body_memory import FREE_BYTES, Body, BodyMemory
from app.limits.callers import Callers, forwarded_address
from app.limits.connections import Connections
from app.settings.table import load
from tests.harness import Device, Relay, wait_for
from tests.security.strangers import HEAD, answer_of, connect, half_sent, in_parallel, is_closed, memory_mib

MIB = 1024 * 1024


def sent(relay: Relay, device: Device, count: int = 1) -> None:
    """Send punches, each on its own connection. All must be acknowledged."""
    for _ in range(count):
        answer = requests.post(f"{relay.url}/callback", data=json.dumps(device.punch()), timeout=20)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def long_timeouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay with few connections and long timeouts."""
    with Relay(
        tmp_path_factory.mktemp("relay"),
        WEB_CONCURRENCY="1",
        RELAY_CONNECTIONS="50",
        RELAY_CONNECTIONS_PER_ADDRESS="1000",
        RELAY_HEADER_TIMEOUT="300",
        RELAY_BODY_TIMEOUT="300",
    ) as relay:
        yield relay


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that waits one second for a header, and one for a body."""
    with Relay(
        tmp_path_factory.mktemp("hasty"),
        WEB_CONCURRENCY="1",
        RELAY_HEADER_TIMEOUT="1",
        RELAY_BODY_TIMEOUT="1",
        RELAY_BODY_MEMORY="32",
        RELAY_BODY_MEMORY_PER_ADDRESS="16",
    ) as relay:
        yield relay


def test_callbacks_are_accepted_while_an_unknown_caller_uses_up_all_connections(long_timeouts: Relay) -> None:
    device = long_timeouts.device()
    with half_sent(long_timeouts, 120):
        sent(long_timeouts, device, 5)
    with half_sent(long_timeouts, 120, "127.0.0.9"):
        sent(long_timeouts, device, 5)


def test_a_full_process_closes_the_oldest_incomplete_connection_of_the_heaviest_caller(
    long_timeouts: Relay,
) -> None:
    with half_sent(long_timeouts, 5, "127.0.0.2") as few, half_sent(long_timeouts, 100, "127.0.0.3") as many:
        wait_for(lambda: sum(map(is_closed, many)) >= 50)
        assert not any(map(is_closed, few))
        assert is_closed(many[0]) and not is_closed(many[-1])


def test_idle_connections_are_closed_for_new_ones(long_timeouts: Relay) -> None:
    device = long_timeouts.device()
    idle = [connect(long_timeouts, "127.0.0.4") for _ in range(60)]
    for sock in idle:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: relay\r\n\r\n")
        sock.recv(4096)
    sent(long_timeouts, device, 3)
    for sock in idle:
        sock.close()


def test_event_streams_leave_room_for_callbacks(long_timeouts: Relay) -> None:
    device = long_timeouts.device()
    key = {"X-API-Key": long_timeouts.environment["RELAY_API_KEY"]}
    url = f"{long_timeouts.url}/v1/events/stream"
    streams = [requests.get(url, headers=key, stream=True, timeout=20) for _ in range(45)]
    statuses = [stream.status_code for stream in streams]
    assert set(statuses) <= {200, 429, 503} and 1 <= statuses.count(200) <= 40, statuses
    sent(long_timeouts, device, 5)
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("start", [b"", b"POST /callback HTTP/1.1\r\nHost:", b"\x16\x03\x01"])
def test_a_connection_without_complete_headers_is_closed(hasty: Relay, start: bytes) -> None:
    with connect(hasty) as sock:
        sock.sendall(start)
        assert b" 200 " not in answer_of(sock)


@pytest.mark.parametrize(
    "head", [HEAD % 100, HEAD.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"64\r\n"]
)
def test_a_body_that_does_not_arrive_is_408(hasty: Relay, head: bytes) -> None:
    with connect(hasty) as sock:
        sock.sendall(head + b"{")
        assert answer_of(sock).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_trickles_is_408(hasty: Relay) -> None:
    with connect(hasty) as sock:
        sock.sendall(HEAD % 1_000_000)
        sock.settimeout(0.1)
        received = b""
        for _ in range(600):
            sock.sendall(b" ")
            try:
                received = sock.recv(4096)
                break
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")


def test_an_unread_body_does_not_keep_the_connection_open(hasty: Relay) -> None:
    """The body of a refused request is read to its end, but not forever."""
    with connect(hasty) as sock:
        sock.sendall(b"POST /v1/devices HTTP/1.1\r\nHost: relay\r\nContent-Length: 1000000\r\n\r\n{")
        assert answer_of(sock).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_of_unknown_callers_use_bounded_memory_and_callbacks_are_accepted(
    hasty: Relay, chunked: bool
) -> None:
    device = hasty.device()
    sent(hasty, device)
    before = memory_mib(hasty)
    head = HEAD % (16 * MIB)
    if chunked:
        head = HEAD.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"1000000\r\n"
    most = 0
    large = device.punch(Padding="x" * 2 * MIB)
    for number in range(4):
        socks = [connect(hasty, f"127.0.1.{number * 10 + each}") for each in range(10)]
        for sock in socks:
            try:
                sock.sendall(head + b"x" * (15 * MIB))
            except OSError:
                continue  # refused before all of it was sent
        most = max(most, memory_mib(hasty))
        sent(hasty, device)
        device.send_done(large | device.punch(Padding="x" * 2 * MIB))
        for sock in socks:
            sock.close()
    assert most - before < 256, f"{before} MiB, then {most}"  # 600 MiB were sent


def test_large_bodies_of_api_keys_use_bounded_memory(long_timeouts: Relay) -> None:
    head = b"PUT /v1/employees HTTP/1.1\r\nHost: relay\r\nX-API-Key: %b\r\nContent-Length: %d\r\n\r\n"
    before, socks = memory_mib(long_timeouts), [connect(long_timeouts) for _ in range(30)]
    for sock in socks:
        with suppress(OSError):  # refused before all of it was sent
            sock.sendall(
                head % (long_timeouts.environment["RELAY_API_KEY"].encode(), 16 * MIB) + b"x" * (15 * MIB)
            )
    most = memory_mib(long_timeouts)
    # Because the body wasn't read completely, a reset may overtake the answer.
    assert answer_of(socks[0])[:13] in (b"HTTP/1.1 503 ", b"")
    sent(long_timeouts, long_timeouts.device())
    for sock in socks:
        sock.close()
    assert most - before < 300, f"{before} MiB, then {most}"  # 450 MiB were sent


def test_only_incomplete_bodies_of_api_keys_are_dropped() -> None:
    settings = load({"RELAY_SECRET_KEY": "made-up-" * 5, "RELAY_BODY_MEMORY": "16"})
    table = Connections(settings.limits, Callers(), by_proxy=False)
    pairs = [socket.socketpair() for _ in range(3)]
    whole, unfinished, last = (table.admit(ours, ("198.51.100.7", 1)) for ours, _ in pairs)
    assert whole and unfinished and last
    for connection in (whole, unfinished, last):
        connection.begin_answer(connection.address)
        connection.vouch()
        assert table.vouched.grow(connection, 15 * MIB)
        if connection is whole:
            connection.body_is_whole()
    assert table.vouched.grow(last, 5 * MIB)
    assert [one.given_up for one in (whole, unfinished, last)] == [False, True, False]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_a_connection_closed_by_another_one_ends_without_an_error() -> None:
    settings = load({"RELAY_SECRET_KEY": "made-up-" * 5})
    table = Connections(settings.limits, Callers(), by_proxy=False)
    ours, theirs = socket.socketpair()
    connection = table.admit(ours, ("198.51.100.7", 1))
    assert connection
    ours.close()
    theirs.close()
    assert connection.recv(100) == b""


def test_callers_without_room_get_503_with_retry_after(hasty: Relay) -> None:
    with connect(hasty, "127.0.2.1") as first, connect(hasty, "127.0.2.1") as second:
        for sock in (first, second):
            sock.sendall(HEAD % (16 * MIB))
            sock.sendall(b"x" * (9 * MIB))
        answer = answer_of(first)
        assert answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 408 ")), answer[:100]


@pytest.mark.timeout(300)
def test_500_devices_behind_one_address_are_accepted_during_garbage(relay: Relay) -> None:
    """All callbacks come from the gateway's few addresses. Garbage, even from the same address, doesn't affect them."""
    with ThreadPoolExecutor(4) as pool:
        devices = list(pool.map(lambda _: relay.device(), range(500)))

    def garbage(address: str) -> None:
        wrong = Device(relay, "none", "f" * 32)
        for body in (b"{" + b"[" * 20_000, b"x" * 64, json.dumps(wrong.punch()).encode(), b"QUFB" * 16):
            with connect(relay, address, 5) as sock:
                sock.sendall(HEAD % len(body) + body)
                sock.recv(4096)
        with half_sent(relay, 20, address):
            pass

    def all_of(some: list[Device]) -> list[int]:
        with requests.Session() as session:
            return [
                session.post(f"{relay.url}/callback", data=json.dumps(device.punch()), timeout=30).status_code
                for device in some
            ]

    with (
        in_parallel(lambda: garbage("127.0.0.1"), lambda: garbage("127.0.0.7")),
        ThreadPoolExecutor(20) as pool,
    ):
        statuses = list(pool.map(all_of, [devices[start::50] for start in range(50)]))
    assert {status for some in statuses for status in some} == {200}


# Unit tests of the rules


def test_memory_is_freed_from_unknown_callers_first_and_oldest_of_the_heaviest() -> None:
    callers = Callers()
    callers.note_genuine("gateway")
    memory = BodyMemory(100, 60, callers)
    genuine, first, second, other = (Body(name) for name in ("gateway", "flood", "flood", "other"))
    assert all(
        memory.grow(body, size) for body, size in ((genuine, 40), (other, 10), (first, 20), (second, 20))
    )
    assert memory.grow(other, 20)
    assert first.given_up and not (second.given_up or genuine.given_up)
    assert not memory.grow(second, 70) and memory.used == 70
    assert memory.grow(genuine, 30), "the gateway's address has no limit of its own"
    for body in (genuine, first, second, other):
        memory.release(body)
    assert memory.used == 0 and FREE_BYTES > 8_192


@pytest.mark.parametrize(
    ("header", "proxies", "expected"),
    [
        ("203.0.113.5", 0, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("198.51.100.1, 203.0.113.5", 1, "203.0.113.5"),
        ("198.51.100.1, 203.0.113.5", 2, "198.51.100.1"),
        ("203.0.113.5", 2, "10.0.0.1"),
    ],
)
def test_the_callers_address_is_that_named_by_trusted_proxies(
    header: str, proxies: int, expected: str
) -> None:
    assert forwarded_address("10.0.0.1", header, proxies) == expected
