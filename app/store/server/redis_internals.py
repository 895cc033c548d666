"""The internals of redis-py that the relay uses, which redis-py may change. No other module uses them.

`tests/internals/test_redis_internals.py` fails if a new version of redis-py has changed one of them.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.sentinel
from hiredis import pack_command
from redis.asyncio.cluster import ClusterNode
from redis.commands.core import Script
from redis.connection import HiredisRespSerializer
from redis.exceptions import RedisClusterException

# Errors


def error_code(error: redis.ResponseError) -> str | None:
    """Return the store's error code, such as OOM, if redis-py has removed it from the error's text; otherwise None."""
    return str(error.status_code).split(" ")[0] if error.status_code else None


@contextmanager
def cluster_errors_translated() -> Iterator[None]:
    """Raise ConnectionError instead of redis-py's Cluster errors that aren't a RedisError."""
    try:
        yield
    except RedisClusterException as error:
        raise redis.ConnectionError(str(error)) from error


# Many commands in one write


class KeptConnections:
    """Keeps a connection from each client's pool between calls. One call at a time."""

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # client → its connection

    def exchange(self, client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Do the same as a redis-py pipeline at a third of its cost. Returns the answers, which may be errors.

        Raises redis errors if the connection fails.
        """
        connection = self._connections.pop(client, None) or client.connection_pool.get_connection()

        def exchange() -> list[Any]:
            connection.send_packed_command([b"".join(map(pack_command, commands))])  # one write
            return [_answer(connection) for _ in commands]

        try:
            answers: list[Any] = connection.retry.call_with_retry(exchange, lambda _: connection.disconnect())
        except BaseException:
            connection.disconnect()  # unread answers may be left in it
            client.connection_pool.release(connection)
            raise
        self._connections[client] = connection
        return answers


def _answer(connection: Any) -> Any:
    """Read the next answer. An error of the store is returned, because it is the answer to only one call."""
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


class AsyncPool(redis.asyncio.BlockingConnectionPool):
    """Connections that write commands with hiredis, like sync ones: saves a tenth of the dispatcher's work."""

    def make_connection(self) -> Any:
        connection: Any = super().make_connection()  # type: ignore[no-untyped-call]
        connection.pack_command = HiredisRespSerializer().pack
        return connection


# Sentinel


class Sentinels(redis.sentinel.Sentinel):
    """A list of sentinels from which none is lost.

    redis-py moves the one that answered to the front. If two calls do this at once, one sentinel is in the list twice,
    and another one is lost.
    """

    def discover_master(self, service_name: str) -> Any:
        asked = copy(self)
        asked.sentinels = list(self.sentinels)
        try:
            return redis.sentinel.Sentinel.discover_master(asked, service_name)  # type: ignore[no-untyped-call]
        finally:
            self.sentinels = asked.sentinels


class AsyncSentinels(redis.asyncio.sentinel.Sentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Any:
        asked = copy(self)
        asked.sentinels = list(self.sentinels)
        try:
            return await redis.asyncio.sentinel.Sentinel.discover_master(asked, service_name)
        finally:
            self.sentinels = asked.sentinels


class SentinelPool(redis.sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Connections to the current master. If all are in use, a call waits for one."""

    def owns_connection(self, connection: Any) -> bool:
        return bool(redis.BlockingConnectionPool.owns_connection(self, connection))

    def release(self, connection: Any) -> None:
        # They are reconnected rather than discarded, because each failed attempt would leave one behind.
        if self.master_address != (connection.host, connection.port):
            connection.disconnect()
        super().release(connection)  # type: ignore[no-untyped-call]


class AsyncSentinelPool(redis.asyncio.sentinel.SentinelConnectionPool, AsyncPool):
    """The same for asyncio."""

    async def release(self, connection: Any) -> None:
        if self.master_address != (connection.host, connection.port):
            await connection.disconnect()
        await super().release(connection)


_SAME_AT_REPLICAS = frozenset(
    (
        *("username", "password", "db", "socket_timeout", "socket_connect_timeout"),
        *("ssl_cert_reqs", "ssl_check_hostname"),
    )
)


def sentinel_pool(client: Any) -> SentinelPool | None:
    """Return the pool of a client that uses sentinels; None for other clients."""
    pool = client.connection_pool
    return pool if isinstance(pool, SentinelPool) else None


def replicas_of(pool: SentinelPool) -> list[tuple[str, Any]]:
    """Return the address and a client of each replica that the sentinels consider alive."""
    options = {name: value for name, value in pool.connection_kwargs.items() if name in _SAME_AT_REPLICAS}
    if issubclass(pool.connection_class, redis.sentinel.SentinelManagedSSLConnection):
        options["ssl"] = True
    return [
        (f"{host}:{port}", redis.Redis(host=host, port=port, **options))
        for host, port in pool.sentinel_manager.discover_slaves(pool.service_name)
    ]


def sentinels_of(pool: SentinelPool) -> list[Any]:
    """Return a client of each sentinel."""
    return list(pool.sentinel_manager.sentinels)  # a copy, because redis-py reorders them


# Cluster


def script_of(client: Any, text: str) -> Script:
    """Create a Lua script without calling the client: with a text in bytes, redis-py doesn't need its encoder."""
    return Script(client, text.encode())


def ask_again_which_server_holds_what(cluster: redis.RedisCluster) -> None:
    """Ask again which server has which keys, because a key has moved."""
    cluster.nodes_manager.initialize()


class AsyncCluster(redis.asyncio.RedisCluster):
    """A Cluster client that limits the commands under way. redis-py's own limit raises instead of waiting.

    A pipeline's commands don't go through its client's `execute_command`.
    """

    def __init__(self, nodes: Sequence[tuple[str, int]], *, tls: bool, most: int, **options: Any) -> None:
        self._room = asyncio.Semaphore(most)
        super().__init__(
            startup_nodes=[ClusterNode(*node) for node in nodes],
            ssl=tls,
            dynamic_startup_nodes=False,
            **options,
        )

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self._room:
            with cluster_errors_translated():
                return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        pipeline: Any = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute

        @functools.wraps(execute)
        async def bounded(*args: Any, **options: Any) -> Any:
            async with self._room:
                with cluster_errors_translated():
                    return await execute(*args, **options)

        pipeline.execute = bounded
        return pipeline
