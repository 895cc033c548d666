"""redis-py still works as app/store/server/redis_internals.py expects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.sentinel
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.cluster import NodesManager
from redis.commands.core import Script
from redis.connection import Connection, HiredisRespSerializer
from redis.retry import Retry

from app.store.server.connection import is_away
from app.store.server.redis_internals import (
    AsyncCluster,
    AsyncPool,
    AsyncSentinelPool,
    AsyncSentinels,
    KeptConnections,
    SentinelPool,
    Sentinels,
    ask_again_which_server_holds_what,
    replicas_of,
    script_of,
    sentinel_pool,
    sentinels_of,
)
from tests.harness import free_port, wait_for
from tests.internals.library import Library
from tests.stores import SERVICE, Server

REDIS = Library("redis", "app/store/server/redis_internals.py")
PASSWORD = "made-up-password-of-a-store"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("store"), "one", password=PASSWORD)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    watch = (
        f"sentinel monitor {SERVICE} 127.0.0.1 {server.port} 1",
        f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
    )
    folder = tmp_path_factory.mktemp("sentinel")
    made = Server(folder, "one", *watch, mode="--sentinel", password=PASSWORD)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Cluster of one server with all slots."""
    options = ("cluster-enabled yes", f"cluster-port {free_port()}")
    made = Server(tmp_path_factory.mktemp("cluster"), "one", *options, password=PASSWORD)
    client = made.client()
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    wait_for(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")), 20)
    yield made
    made.kill()


@pytest.mark.parametrize(
    ("code", "away"),
    [("READONLY", True), ("OOM", True), ("UNBLOCKED", True), ("CLUSTERDOWN", True), ("WRONGTYPE", False)],
)
def test_an_errors_code_is_in_its_status_code_or_text(code: str, away: bool) -> None:
    """redis-py removes the code from the text of errors that have their own class, and leaves it in others."""
    error = BaseParser.parse_error(f"{code} whatever it says")
    REDIS.has(error, "status_code")
    REDIS.holds(is_away(error) is away, f"{code} can be told from {error!r} (status {error.status_code!r})")


def test_connections_and_pools_have_the_expected_parameters() -> None:
    REDIS.takes(Connection.send_packed_command, "self", "command", more=True)
    REDIS.takes(Connection.read_response, "self", more=True)
    REDIS.takes(Connection.disconnect, "self", more=True)
    REDIS.takes(Retry.call_with_retry, "self", "do", "fail", more=True)
    REDIS.takes(redis.BlockingConnectionPool.get_connection, "self", more=True)
    REDIS.takes(redis.BlockingConnectionPool.release, "self", "connection")
    REDIS.takes(redis.BlockingConnectionPool.owns_connection, "self", "connection")
    REDIS.takes(redis.asyncio.BlockingConnectionPool.make_connection, "self")
    REDIS.takes(redis.asyncio.BlockingConnectionPool.release, "self", "connection")
    REDIS.takes(HiredisRespSerializer.pack, "self", "args")
    REDIS.takes(Script.__init__, "self", "registered_client", "script")
    REDIS.takes(NodesManager.initialize, "self", more=True)
    REDIS.takes(redis.sentinel.Sentinel.discover_master, "self", "service_name")
    REDIS.takes(redis.asyncio.sentinel.Sentinel.discover_master, "self", "service_name")
    REDIS.takes(redis.asyncio.RedisCluster.execute_command, "self", "args", more=True)
    REDIS.takes(redis.asyncio.RedisCluster.pipeline, "self", "transaction", "shard_hint")


def _client(server: Server) -> Any:
    retry = Retry(NoBackoff(), 1, (redis.ConnectionError,))
    options: dict[str, Any] = {"retry": retry, "retry_on_error": [redis.ConnectionError]}
    pool = redis.BlockingConnectionPool.from_url(server.url, max_connections=4, **options)
    return redis.Redis(connection_pool=pool)


def test_many_commands_are_sent_in_one_write_and_have_separate_errors(server: Server) -> None:
    client, connections = _client(server), KeptConnections()
    commands = [("SET", "a", "1"), ("LPUSH", "a", "2"), ("GET", b"a")]
    for _ in range(3):
        first, second, third = connections.exchange(client, commands)
        REDIS.holds(
            first in (b"OK", True) and third == b"1", f"answers come one by one ({first!r}, {third!r})"
        )
        REDIS.holds(isinstance(second, redis.ResponseError), "read_response raises the error of one command")
    client.client_kill_filter(_type="normal", skipme=True)
    answers = connections.exchange(client, commands)
    REDIS.holds(answers[2] == b"1", "the retry of a connection connects it anew after its failure")


def test_a_failed_connection_returns_to_the_pool(server: Server) -> None:
    client = redis.Redis(
        connection_pool=redis.BlockingConnectionPool.from_url(server.url, max_connections=1, timeout=5)
    )
    connections = KeptConnections()
    with pytest.raises(TypeError):
        connections.exchange(client, [("SET", "a", object())])
    REDIS.holds(client.ping(), "a pool has the connection again that was released")


def test_asyncio_connections_use_the_given_packer(server: Server) -> None:
    packed: list[Any] = []

    async def run() -> None:
        pool: Any = AsyncPool.from_url(server.url)
        connection = await pool.get_connection()
        pack = connection.pack_command
        REDIS.holds(
            getattr(pack, "__func__", None) is HiredisRespSerializer.pack,
            "a pool of asyncio takes the connections that `make_connection` makes",
        )

        def recorded(*command: Any) -> Any:
            packed.append(command)
            return pack(*command)

        connection.pack_command = recorded
        await pool.release(connection)
        client = redis.asyncio.Redis(connection_pool=pool)
        await client.set("a", "1")
        await client.aclose()
        await pool.disconnect()

    asyncio.run(run())
    REDIS.holds(packed == [("SET", "a", "1")], f"a connection packs by its `pack_command` ({packed})")


def _sentinels(kind: Any, sentinel: Server) -> Any:
    """Return a list of two sentinels: one that can't be reached, and one that responds."""
    places = [("127.0.0.1", free_port()), ("127.0.0.1", sentinel.port)]
    return kind(places, sentinel_kwargs={"password": PASSWORD, "socket_timeout": 5})


def test_the_list_of_sentinels_is_kept(sentinel: Server, server: Server) -> None:
    sentinels = _sentinels(Sentinels, sentinel)
    REDIS.has(sentinels, "sentinels")
    before = list(sentinels.sentinels)
    found = sentinels.discover_master(SERVICE)
    REDIS.holds(found == ("127.0.0.1", server.port), f"discover_master returns host and port ({found})")
    REDIS.holds(
        sorted(map(id, sentinels.sentinels)) == sorted(map(id, before))
        and sentinels.sentinels[0] is before[1],
        "discover_master changes nothing of a Sentinel but the order of `sentinels`",
    )


def test_a_sentinel_pool_knows_the_master_of_its_connections(sentinel: Server, server: Server) -> None:
    manager = _sentinels(Sentinels, sentinel)
    client = manager.master_for(SERVICE, connection_pool_class=SentinelPool, password=PASSWORD)
    assert client.ping()
    pool: Any = sentinel_pool(client)
    REDIS.holds(pool is not None, "the pool of `master_for` is of the class that was asked for")
    connection = pool.get_connection()
    REDIS.holds(
        (connection.host, connection.port) == pool.master_address == ("127.0.0.1", server.port),
        "a connection has the host and port of the pool's `master_address`",
    )
    pool.release(connection)
    REDIS.holds(replicas_of(pool) == [], "a pool has its options, its class of connections and its sentinels")
    REDIS.holds(len(sentinels_of(pool)) == 2, "a pool's `sentinel_manager` has its `sentinels`")
    plain = redis.Redis(port=server.port)
    REDIS.holds(sentinel_pool(plain) is None, "a client of one server has a `connection_pool`, too")


def test_a_connection_to_a_former_master_is_closed_and_returned(sentinel: Server, server: Server) -> None:
    manager = _sentinels(Sentinels, sentinel)
    client = manager.master_for(
        SERVICE, connection_pool_class=SentinelPool, password=PASSWORD, max_connections=1, timeout=5
    )
    connection = client.connection_pool.get_connection()
    connection.port += 1  # as if the master had been another server
    client.connection_pool.release(connection)
    REDIS.holds(client.ping(), "a connection that was closed and released is connected to the master anew")
    assert client.connection_pool.get_connection() is connection


def test_a_connection_to_a_former_master_is_closed_and_returned_with_asyncio(
    sentinel: Server, server: Server
) -> None:
    async def run() -> None:
        manager = _sentinels(AsyncSentinels, sentinel)
        client = manager.master_for(
            SERVICE, connection_pool_class=AsyncSentinelPool, password=PASSWORD, max_connections=1, timeout=5
        )
        assert await client.ping()
        pool = client.connection_pool
        REDIS.holds(pool.master_address == ("127.0.0.1", server.port), "an asyncio pool has `master_address`")
        connection = await pool.get_connection()
        pack = getattr(connection.pack_command, "__func__", None)
        REDIS.holds(
            pack is HiredisRespSerializer.pack, "a pool of sentinels makes its connections as others do"
        )
        connection.port += 1
        await pool.release(connection)
        REDIS.holds(await client.ping(), "a connection that was closed and released is connected anew")
        await client.aclose()

    asyncio.run(run())


def test_a_script_given_as_bytes_does_not_use_its_client() -> None:
    made = script_of(object(), "return 1")
    REDIS.holds(
        made.sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" and made.script == b"return 1",
        "a Script has the text as it was given, and its digest",
    )


def test_the_slots_of_a_cluster_can_be_read_again(cluster: Server) -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.port, password=PASSWORD)
    client.nodes_manager.slots_cache.clear()
    ask_again_which_server_holds_what(client)
    REDIS.holds(client.get_node_from_key("a") is not None, "`nodes_manager.initialize` learns the slots")


def test_a_cluster_pipeline_uses_one_connection_for_all_its_commands(cluster: Server, tmp_path: Path) -> None:
    """The pool has room for one connection, so a pipeline would wait forever if its commands used the client's."""

    async def run() -> list[Any]:
        client = AsyncCluster([("127.0.0.1", cluster.port)], tls=False, most=1, password=PASSWORD)
        await client.set("a", "1")
        pipeline = client.pipeline()
        pipeline.get("a")
        pipeline.get("a")
        answers: list[Any] = await asyncio.wait_for(pipeline.execute(), 20)
        await client.aclose()
        return answers

    REDIS.holds(
        asyncio.run(run()) == [b"1", b"1"],
        "a pipeline's commands don't go through `execute_command` of its client, and `execute` sends them",
    )
