"""Clients of a Redis or Valkey Cluster that behave like those of one server, as far as the relay needs it.

redis-py's sync client contacts the cluster when it is created, and both clients raise some errors that aren't a
RedisError. Here, a client is created when it is first needed, and raises ConnectionError if the cluster can't be
reached.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis
from redis.cluster import ClusterNode
from redis.commands.core import Script

from app.base.store_urls import ClusterUrl
from app.store.server.redis_clients_internals import ClusterClient
from app.store.server.redis_internals import (
    AsyncCluster,
    ask_again_which_server_holds_what,
    cluster_errors_translated,
    script_of,
)


def make_cluster(place: ClusterUrl, options: dict[str, Any]) -> LazyCluster:
    """Create a client with at most `max_connections` connections to each server."""
    first, *others = place.nodes
    host = f"[{first[0]}]" if ":" in first[0] else first[0]
    options = options | place.account
    return LazyCluster(
        lambda: ClusterClient(
            # By URL, because only then it accepts our pool.
            url=f"{'rediss' if place.tls else 'redis'}://{host}:{first[1]}",
            startup_nodes=[ClusterNode(*node) for node in others],  # type: ignore[no-untyped-call]
            connection_pool_class=redis.BlockingConnectionPool,
            dynamic_startup_nodes=False,  # the listed servers are also asked after a failover
            **options,
        )
    )


def make_async_cluster(place: ClusterUrl, options: dict[str, Any]) -> AsyncCluster:
    """Create a client for asyncio, with at most `max_connections` commands under way."""
    most = options.pop("max_connections")
    options.pop("timeout")
    return AsyncCluster(place.nodes, tls=place.tls, most=most, **options | place.account)


class LazyCluster:
    """A RedisCluster that is created when it is first needed."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._lock = threading.Lock()

    @property
    def cluster(self) -> Any:
        """redis-py's client. Raises ConnectionError if the cluster can't be reached."""
        if self._made is None:
            with self._lock, cluster_errors_translated():
                if self._made is None:
                    self._made = self._make()
        return self._made

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.cluster, name)
        return _Translating(found) if callable(found) else found

    def register_script(self, script: str) -> Script:
        itself: Any = self
        return script_of(itself, script)

    def pipeline(self, transaction: bool = False) -> Any:
        return _Pipeline(self.cluster.pipeline(transaction=transaction))

    def at(self, key: str) -> Any:
        """Return a client of the one server that has a key. It follows no redirections."""
        with cluster_errors_translated():
            return self.cluster.server_of(key)

    def servers(self, *, masters: bool = False) -> list[tuple[str, Any]]:
        """Return the address and a client of each server or master, for inspection."""
        cluster = self.cluster
        nodes = cluster.get_primaries() if masters else cluster.get_nodes()
        return [(node.name, cluster.get_redis_connection(node)) for node in nodes]

    def look_again(self) -> None:
        """Ask again which server has which keys, because a key has moved."""
        with cluster_errors_translated():
            ask_again_which_server_holds_what(self.cluster)


class _Translating:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **options: Any) -> Any:
        with cluster_errors_translated():
            return self._function(*args, **options)


class _Pipeline:
    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def execute(self, raise_on_error: bool = True) -> Any:
        with cluster_errors_translated():
            return self._pipeline.execute(raise_on_error=raise_on_error)
