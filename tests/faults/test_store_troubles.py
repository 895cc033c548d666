"""A store that can be reached but refuses, hangs, is full or read-only: no callback is lost."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis

from tests.faults.load import Load, all_came_once
from tests.harness import Receiver, Relay, wait_for
from tests.stores import PASSWORD, Server

SECRET_KEY = "made-up-secret-key-for-tests-only-0123456789"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, Relay]]]:
    """Start a store's server over TCP, and a relay that uses it."""
    with ExitStack() as stack:

        def make() -> tuple[Server, Relay]:
            options = ("appendonly yes", "appendfsync no", 'save ""', "maxmemory-policy noeviction")
            server = Server(tmp_path, "store", *options, password=PASSWORD)
            stack.callback(server.kill)
            relay = Relay(tmp_path, REDIS_URL=server.url, RELAY_SECRET_KEY=SECRET_KEY)
            stack.callback(relay.stop)
            return server, relay.start()

        yield make


@contextmanager
def _refused(server: Server) -> Iterator[None]:
    """Nothing listens on its port."""
    server.kill()
    yield
    server.start()


@contextmanager
def _no_more_connections(server: Server) -> Iterator[None]:
    """It closes new connections with an error, like a hosted store whose plan doesn't allow more."""
    admin = server.client()
    admin.config_set("maxclients", 1)
    admin.client_kill_filter(_type="normal", skipme=True)
    yield
    admin.config_set("maxclients", 1_000)


@contextmanager
def _password_changed(server: Server) -> Iterator[None]:
    admin = server.client()
    admin.config_set("requirepass", "made-up-other-password")
    admin.client_kill_filter(_type="normal", skipme=True)
    yield
    admin.config_set("requirepass", PASSWORD)


@contextmanager
def _hung(server: Server) -> Iterator[None]:
    """It accepts connections but doesn't answer."""
    server.process.send_signal(signal.SIGSTOP)
    yield
    server.process.send_signal(signal.SIGCONT)


@contextmanager
def _full_memory(server: Server) -> Iterator[None]:
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
    yield
    client.config_set("maxmemory", 0)


@contextmanager
def _read_only(server: Server) -> Iterator[None]:
    """It is a replica of a server that it can't reach."""
    server.client().replicaof("127.0.0.1", 1)
    yield
    server.client().replicaof("NO", "ONE")


@contextmanager
def _too_few_replicas(server: Server) -> Iterator[None]:
    server.client().config_set("min-replicas-to-write", 1)
    yield
    server.client().config_set("min-replicas-to-write", 0)


@contextmanager
def _flapping(server: Server) -> Iterator[None]:
    """It closes all connections again and again."""
    for _ in range(20):
        with suppress(redis.RedisError):
            server.client().client_kill_filter(skipme=True)
        time.sleep(0.05)
    yield


TROUBLES = {
    "connections refused": _refused,
    "no more connections allowed": _no_more_connections,
    "password changed": _password_changed,
    "hung (SIGSTOP)": _hung,
    "memory full (maxmemory)": _full_memory,
    "read-only": _read_only,
    "too few replicas to write": _too_few_replicas,
    "connections cut 20 times": _flapping,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_callbacks_that_the_store_cannot_accept_wait_on_disk(
    begin: Callable[..., tuple[Server, Relay]], receiver: Receiver, trouble: str
) -> None:
    server, relay = begin()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    load = Load(devices, 600)
    load.wait_for(200)
    with TROUBLES[trouble](server):
        load.wait_for(400)  # acknowledged meanwhile
    load.finish()
    assert set(load.statuses) <= {0, 200, 503}
    all_came_once(load, receiver, f"store: {trouble}")
    wait_for(lambda: not list((relay.folder / "data" / "spool").glob("*.spool")))


def test_a_store_whose_disk_was_full_continues_when_there_is_room(
    start: Callable[..., Relay], receiver: Receiver, tmp_path: Path
) -> None:
    """The embedded one: its folder on a small file system of its own, filled up under load.

    With `fsync`, Valkey ends if it can't write its file, and `up` starts it again; here nobody would.
    """
    relay = Relay(tmp_path, RELAY_DURABILITY="os")
    folder = tmp_path / "data" / "store"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        relay.start()
        devices = [relay.device() for _ in range(3)]
        relay.subscribe(receiver, *devices, events=["attendance.punch"])
        load = Load(devices, 1_200)
        load.wait_for(200)
        ballast = folder / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        load.wait_for(600)
        ballast.unlink()
        load.finish()
        all_came_once(load, receiver, "store: disk full")
        relay.kill("store")  # the data that didn't fit on the full disk is there now
        relay.start("store")
        relay.wait_healthy()
        assert len(relay.events(type="attendance.punch")) == 1_200
    finally:
        relay.stop()
        wait_for(lambda: not subprocess.run(["umount", str(folder)], check=False).returncode)


@pytest.mark.parametrize(
    "tail", [b"*3\r\n$3\r\nSET\r\n$5\r\nhal", bytes(4096)], ids=["half a record", "zeros"]
)
def test_a_truncated_append_only_file_loses_nothing_before_its_end(
    start: Callable[..., Relay], receiver: Receiver, tail: bytes
) -> None:
    """After a power loss, there can be a part of a record after the last complete one."""
    relay = start()
    devices = [relay.device() for _ in range(3)]
    relay.subscribe(receiver, *devices, events=["attendance.punch"])
    load = Load(devices, 600)
    load.wait_for(200)
    relay.kill("store")
    (file,) = (relay.folder / "data" / "store" / "appendonlydir").glob("*.incr.aof")
    with file.open("ab") as torn:
        torn.write(tail)
    load.wait_for(300)
    relay.start("store")
    load.finish()
    all_came_once(load, receiver, "store: torn append-only file at start")
    wait_for(lambda: len(relay.events(type="attendance.punch")) == 600)
