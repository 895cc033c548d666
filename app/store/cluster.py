"""Clients of a Redis or Valkey Cluster that behave like those of one server, as far as the relay uses them.

redis-py's own sync client asks the cluster when it is made, and both tell some failures by an error that is no
RedisError: here a client is made when it is first needed, and a cluster that can't be reached is a ConnectionError.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.cluster import ClusterNode
from redis.commands.core import Script
from redis.exceptions import RedisClusterException

from app.store_urls import ClusterUrl


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisClusterException as error:
        raise redis.ConnectionError(str(error)) from error


def make_cluster(place: ClusterUrl, options: dict[str, Any]) -> LazyCluster:
    """A client with at most `max_connections` connections to each server."""
    first, *others = place.nodes
    host = f"[{first[0]}]" if ":" in first[0] else first[0]
    options = options | place.account
    return LazyCluster(
        lambda: redis.RedisCluster(
            # By URL: only then it takes a pool of our choice.
            url=f"{'rediss' if place.tls else 'redis'}://{host}:{first[1]}",
            startup_nodes=[ClusterNode(*node) for node in others],  # type: ignore[no-untyped-call]
            connection_pool_class=redis.BlockingConnectionPool,
            dynamic_startup_nodes=False,  # those named stay good to ask, also after a failover
            **options,
        )
    )


class LazyCluster:
    """A RedisCluster, made when it is first needed."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._lock = threading.Lock()

    @property
    def cluster(self) -> Any:
        """redis-py's client. Raises ConnectionError where the cluster can't be reached."""
        if self._made is None:
            with self._lock, _translated():
                if self._made is None:
                    self._made = self._make()
        return self._made

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.cluster, name)
        return _Translating(found) if callable(found) else found

    def register_script(self, script: str) -> Script:
        itself: Any = self
        return Script(itself, script.encode())  # as bytes, it needs nothing of the cluster

    def pipeline(self, transaction: bool = False) -> Any:
        return _Pipeline(self.cluster.pipeline(transaction=transaction))

    def at(self, key: str) -> Any:
        """A client of the one server that holds a key; it follows no redirection."""
        with _translated():
            return self.cluster.get_redis_connection(self.cluster.get_node_from_key(key))

    def servers(self, *, masters: bool = False) -> list[tuple[str, Any]]:
        """All servers, or the masters, each by its address, and a client of it; to look at."""
        cluster = self.cluster
        nodes = cluster.get_primaries() if masters else cluster.get_nodes()
        return [(node.name, cluster.get_redis_connection(node)) for node in nodes]

    def look_again(self) -> None:
        """Asks which server holds what: a key was found to have moved."""
        with _translated():
            self.cluster.nodes_manager.initialize()


class _Translating:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **options: Any) -> Any:
        with _translated():
            return self._function(*args, **options)


class _Pipeline:
    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def execute(self, raise_on_error: bool = True) -> Any:
        with _translated():
            return self._pipeline.execute(raise_on_error=raise_on_error)


class AsyncCluster(redis.asyncio.RedisCluster):
    """The same for asyncio, with so many commands under way at most: its own bound raises instead of waiting."""

    def __init__(self, place: ClusterUrl, options: dict[str, Any]) -> None:
        most = options.pop("max_connections")
        options.pop("timeout")
        self._room = asyncio.Semaphore(most)
        options |= place.account
        super().__init__(
            startup_nodes=[AsyncClusterNode(*node) for node in place.nodes],
            ssl=place.tls,
            dynamic_startup_nodes=False,
            **options,
        )

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self._room:
            with _translated():
                return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        pipeline: Any = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute

        @functools.wraps(execute)
        async def bounded(*args: Any, **options: Any) -> Any:
            async with self._room:
                with _translated():
                    return await execute(*args, **options)

        pipeline.execute = bounded
        return pipeline
