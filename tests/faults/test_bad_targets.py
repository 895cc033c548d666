"""Misbehaving targets next to a good one.

The good target receives everything in time, memory doesn't grow, and the others receive everything once they work.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.tools import misbehaving, shown
from tests.faults import ledger
from tests.faults.load import Identity, Load, all_came_once
from tests.harness import Receiver, Relay, wait_for
from tests.http.raw_servers import OK, Behaviour, Connection, blackhole
from tests.processes import child, resident

__all__ = ["blackhole"]

IN_TIME_SECONDS = 10.0
MORE_BYTES = 48 << 20  # bytes of memory that the dispatcher may use for all of this
_BOMB = gzip.compress(bytes(200_000_000), 9)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


async def _hangs_on_headers(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    await asyncio.sleep(60)


async def _hangs_on_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(_HEAD + b"content-length: 100\r\n\r\n{")
    await asyncio.sleep(60)


async def _resets(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def _resets_at_once(connection: Connection) -> None:
    connection.reset()


async def _sends_10_gb(connection: Connection) -> None:
    await connection.request()
    await connection.send(_HEAD + b"content-length: 10000000000\r\n\r\n")
    for _ in range(10_000):
        await connection.send(bytes(1_000_000))


async def _gzip_bomb(connection: Connection) -> None:
    await connection.request()
    head = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(_BOMB)
    await connection.send(_HEAD + head + _BOMB)


async def _announces_more_than_it_sends(connection: Connection) -> None:
    await connection.request()
    await connection.send(_HEAD + b"content-length: 1000\r\n\r\n{}")


async def _announces_two_lengths(connection: Connection) -> None:
    await connection.request()
    await connection.send(_HEAD + b"content-length: 2\r\ncontent-length: 7\r\n\r\n{}")


async def _drips(connection: Connection) -> None:
    await connection.request()
    for byte in _HEAD * 100:
        await connection.send(bytes([byte]))
        await asyncio.sleep(1)


async def _speaks_garbage(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"\x16\x03\x01\xff\0" * 2_000)


BAD = {
    "hangs on headers": _hangs_on_headers,
    "hangs on the body": _hangs_on_body,
    "resets": _resets,
    "resets at once": _resets_at_once,
    "sends 10 GB": _sends_10_gb,
    "sends a gzip bomb": _gzip_bomb,
    "announces more than it sends": _announces_more_than_it_sends,
    "announces two lengths": _announces_two_lengths,
    "drips a byte a second": _drips,
    "speaks garbage": _speaks_garbage,
}


@dataclass
class BadTarget:
    """A bad target that can recover, and what it has accepted since then."""

    bad: Behaviour
    url: str = ""
    well: bool = False
    tries: int = 0  # while it was bad
    accepted: list[dict[str, Any]] = field(default_factory=list)

    async def behave(self, connection: Connection) -> None:
        if not self.well:
            self.tries += 1
            await self.bad(connection)
            return
        while True:
            _, body = await connection.request()
            self.accepted.append(json.loads(body))
            await connection.send(OK)


@contextmanager
def bad_targets() -> Iterator[dict[str, BadTarget]]:
    """All bad targets, while they listen."""
    with ExitStack() as stack:
        made = {name: BadTarget(bad) for name, bad in BAD.items()}
        for target in made.values():
            target.url = stack.enter_context(misbehaving(target.behave))
        yield made


def test_bad_targets_do_not_delay_a_good_one_and_lose_no_events(
    start: Callable[..., Relay], receiver: Receiver, blackhole: int
) -> None:
    relay = start(RELAY_DELIVERY_TIMEOUT="2", RELAY_RETRY_SCHEDULE=",".join(["1"] * 30))
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    dispatcher = child(relay, "worker", "workers.dispatcher")
    with bad_targets() as bad:
        subscriptions = {
            name: relay.subscribe(target, devices[0], events=["attendance.punch"])
            for name, target in bad.items()
        }
        never = relay.subscribe(
            BadTarget(_resets, f"http://127.0.0.1:{blackhole}/"), devices[0], events=["attendance.punch"]
        )
        before = resident(dispatcher)
        load = Load(devices, 450)
        load.finish()
        all_came_once(load, receiver, "a working target next to 11 faulty ones", seconds=IN_TIME_SECONDS)
        wait_for(lambda: all(target.tries > 3 for target in bad.values()), 20)
        wait_for(lambda: shown(relay, never)["retrying"] > 0, 20)
        grown = resident(dispatcher) - before
        own = {punch for punch in load.acknowledged if punch.device == devices[0].id}
        for target in bad.values():
            target.well = True
        for name, target in bad.items():
            wait_for(lambda name=name: _settled(relay, subscriptions[name]) == len(own), 40, 0.2)
            found = [
                Identity(event["device_id"], event["user_id"], event["occurred_at_utc"])
                for event in target.accepted
            ]
            lost = len(own - set(found))
            ledger.enter(
                f"target {name}",
                tried=target.tries,
                acknowledged=len(own),
                lost=lost,
                twice=len(found) - len(own),
            )
            assert not lost
        ledger.note(f"the dispatcher's memory beside bad targets: {grown / 2**20:+.1f} MiB")
        assert grown < MORE_BYTES


def _settled(relay: Relay, subscription: dict[str, Any]) -> int:
    """Return how many deliveries have succeeded, or 0 while any are left."""
    now = shown(relay, subscription)
    assert not now["dead"]
    return 0 if now["pending"] or now["retrying"] else int(now["delivered"])


# Names


class Resolver:
    """A name server on a loopback address: every name under `.test` is 127.0.0.1, unless it `fails` first.

    `fails` are the answers to the first questions for each name's IPv4 address, in turn.
    """

    ADDRESS = "127.53.53.53"

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.asked: dict[bytes, int] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.ADDRESS, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(1_500)
            except OSError:
                return
            try:
                answer = self._answer(query)
            except ValueError:  # not a query, such as a packet of another test's relay for this port
                continue
            if answer:
                self._socket.sendto(answer, client)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        name, (kind,) = query[12 : end - 4], struct.unpack(">H", query[end - 4 : end - 2])
        number = self.asked.get(name, 0)
        fault = self.fails[number] if number < len(self.fails) else "none"
        if kind == 1:
            self.asked[name] = number + 1
        if fault == "silent":
            return b""
        records = b""
        if kind == 1 and fault == "none":
            records = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        flags = 0x8180 | {"servfail": 2, "nxdomain": 3}.get(fault, 0)
        head = query[:2] + struct.pack(">5H", flags, 1, bool(records), 0, 0)
        return head + query[12:end] + records


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    try:
        made = Resolver("servfail", "nxdomain", "silent", "servfail")
    except OSError as error:
        pytest.skip(f"port 53 of a loopback address can't be had here: {error.strerror}")
    yield made
    made.close()


def test_a_temporary_dns_failure_loses_no_events(
    tmp_path: Path, receiver: Receiver, resolver: Resolver
) -> None:
    """The relay runs with a separate resolv.conf, in a mount namespace."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {resolver.ADDRESS}\noptions timeout:1 attempts:1\n")
    mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", mount, str(tmp_path / "resolv.conf")]
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespace can be had here: {tried.stderr.strip()}")
    relay = Relay(tmp_path, RELAY_RETRY_SCHEDULE=",".join(["1"] * 30))
    relay.wrapper = wrapper
    relay.start()
    try:
        devices = [relay.device() for _ in range(3)]
        relay.subscribe(receiver, devices[0], events=["attendance.punch"])
        flapping = Receiver()
        port = flapping.url.rpartition(":")[2]
        subscription = relay.subscribe(
            BadTarget(_resets, f"http://target.test:{port}"), *devices[1:], events=["attendance.punch"]
        )
        load = Load(devices, 300)
        load.finish()
        good = {punch for punch in load.acknowledged if punch.device == devices[0].id}
        all_came_once(
            good,
            receiver,
            "a working target next to one whose name can't be resolved",
            seconds=IN_TIME_SECONDS,
        )
        rest = set(load.acknowledged) - good
        tried_names = len(resolver.fails)
        all_came_once(
            rest, flapping, "a target whose name can't be resolved 4 times", tried=tried_names, seconds=40
        )
        wait_for(lambda: _settled(relay, subscription) == len(rest))
        assert sum(resolver.asked.values()) > tried_names
        flapping.close()
    finally:
        relay.stop()
