"""The connection to the store, and what every module of `app.store` shares."""

from __future__ import annotations

import time
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.sentinel
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import HiredisRespSerializer
from redis.exceptions import ClusterError
from redis.retry import Retry

from app.settings import Settings
from app.store import embedded
from app.store.cluster import AsyncCluster, LazyCluster, make_cluster
from app.store.keys import DEVICES, VAULT, Shard
from app.store_urls import ClusterUrl, cluster_url, is_cluster_url, is_sentinel_url, sentinel_url
from app.vault import Vault

SCRIPTS = Path(__file__).parent
# Longer than any healthy answer, short enough that a gateway waiting for ours doesn't give up.
TIMEOUT_SECONDS = 3.0
CONNECT_SECONDS = 1.0
_REWRITE_SECONDS = 60.0

# What the store says when it is there but can't take writes just now: it is "away" all the same.
_CANNOT_NOW = (
    "OOM",
    "READONLY",
    "MISCONF",
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "UNBLOCKED",  # it waited at a server that became a replica meanwhile
)


class StoreAway(Exception):
    """The store can't be reached, or can't take writes now."""


def is_away(error: Exception) -> bool:
    """Whether a redis error means that the store is away rather than that we asked something wrong."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | ClusterError | OSError):
        return True
    if not isinstance(error, redis.ResponseError):
        return False
    # redis-py takes the code off the errors it has a class for.
    return (error.status_code or str(error).lstrip("-")).startswith(_CANNOT_NOW)


def make_client(settings: Settings, **options: Any) -> Any:
    """A client of the configured or the embedded store, with at most RELAY_REDIS_CONNECTIONS connections.

    Any: redis-py's types join str and bytes, and answers of two protocols, in every union.
    """
    if is_cluster_url(settings.redis_url):
        return make_cluster(*_cluster(settings, options))
    if is_sentinel_url(settings.redis_url):
        sentinels, service, options = _sentinels(settings, _Sentinels, Retry, options)
        return sentinels.master_for(service, connection_pool_class=_SentinelPool, **options)
    url, options = _place(settings, options)
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, **options))


def make_async_client(settings: Settings, **options: Any) -> Any:
    """The same for asyncio."""
    if is_cluster_url(settings.redis_url):
        return AsyncCluster(*_cluster(settings, options))
    if is_sentinel_url(settings.redis_url):
        sentinels, service, options = _sentinels(
            settings, _AsyncSentinels, redis.asyncio.retry.Retry, options
        )
        return sentinels.master_for(service, connection_pool_class=_AsyncSentinelPool, **options)
    url, options = _place(settings, options)
    return redis.asyncio.Redis(connection_pool=_AsyncPool.from_url(url, **options))


def make_rq_client(settings: Settings, **options: Any) -> Any:
    """A client of where RQ keeps its queue."""
    if settings.rq_url is not None:
        settings = replace(settings, redis_url=settings.rq_url)
    return make_client(settings, **options)


class _AsyncPool(redis.asyncio.BlockingConnectionPool):
    """Connections that write commands with hiredis, as redis-py's sync ones do: a tenth of the dispatcher's work."""

    def make_connection(self) -> Any:
        connection: Any = super().make_connection()  # type: ignore[no-untyped-call]
        connection.pack_command = HiredisRespSerializer().pack
        return connection


def _place(settings: Settings, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The store's URL, and the options of a pool of connections to it."""
    options = _pool_options(settings, options)
    if settings.redis_url is None:
        options["password"] = embedded.password(settings.data_dir)
        return f"unix://{quote(str(embedded.socket_path(settings.data_dir)))}", options
    if settings.redis_url.startswith("rediss:") and settings.redis_tls == "encrypt":
        options |= _UNVERIFIED
    return settings.redis_url, options


_UNVERIFIED = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def _pool_options(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "max_connections": settings.redis_connections,
        "timeout": TIMEOUT_SECONDS,  # waiting for a free connection
        **options,
    }


# Cluster


def _cluster(settings: Settings, options: dict[str, Any]) -> tuple[ClusterUrl, dict[str, Any]]:
    place = cluster_url(settings.redis_url or "")
    if place.tls and settings.redis_tls == "encrypt":
        options = options | _UNVERIFIED
    options = _pool_options(settings, options)
    options.pop("retry_on_error", None)  # that is what its `retry` is for
    return place, options


# Sentinel

_SAME_AT_REPLICAS = frozenset(
    (
        *("username", "password", "db", "socket_timeout", "socket_connect_timeout"),
        *("ssl_cert_reqs", "ssl_check_hostname"),
    )
)


class _Sentinels(redis.sentinel.Sentinel):
    """Sentinels of which each stays in the list.

    redis-py puts the one that answered first in place, which two who ask at once end with one of them twice and
    another one forgotten.
    """

    def discover_master(self, service_name: str) -> Any:
        asked = copy(self)
        asked.sentinels = list(self.sentinels)
        try:
            return redis.sentinel.Sentinel.discover_master(asked, service_name)  # type: ignore[no-untyped-call]
        finally:
            self.sentinels = asked.sentinels


class _AsyncSentinels(redis.asyncio.sentinel.Sentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Any:
        asked = copy(self)
        asked.sentinels = list(self.sentinels)
        try:
            return await redis.asyncio.sentinel.Sentinel.discover_master(asked, service_name)
        finally:
            self.sentinels = asked.sentinels


class _SentinelPool(redis.sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Connections to whichever server is the master, waited for where all are in use."""

    def owns_connection(self, connection: Any) -> bool:
        return bool(redis.BlockingConnectionPool.owns_connection(self, connection))

    def release(self, connection: Any) -> None:
        # Connected anew rather than thrown away: each failed attempt would leave one behind.
        if self.master_address != (connection.host, connection.port):
            connection.disconnect()
        super().release(connection)  # type: ignore[no-untyped-call]


class _AsyncSentinelPool(redis.asyncio.sentinel.SentinelConnectionPool, _AsyncPool):
    """The same for asyncio."""

    async def release(self, connection: Any) -> None:
        if self.master_address != (connection.host, connection.port):
            await connection.disconnect()
        await super().release(connection)


def masters(client: Any) -> list[Any]:
    """A client of each server that takes writes."""
    return [one for _, one in client.servers(masters=True)] if isinstance(client, LazyCluster) else [client]


def rewrite_append_only_files(client: Any) -> bool:
    """Has what was erased leave the servers' append-only files, too; False where a server doesn't let us."""
    done = True
    for server in masters(client):
        try:
            told = server.info("persistence")
            give_up = time.monotonic() + _REWRITE_SECONDS
            while told.get("aof_rewrite_in_progress") and time.monotonic() < give_up:
                time.sleep(0.1)  # that one has begun before we erased
                told = server.info("persistence")
            if told.get("aof_enabled"):
                server.bgrewriteaof()
        except redis.ResponseError:
            done = False  # hosted ones take no BGREWRITEAOF
    return done


def replicas(client: Any) -> list[tuple[str, Any]]:
    """The replicas that the sentinels know and take for alive, each by its address, and a client of it; to look at."""
    pool = None if isinstance(client, LazyCluster) else client.connection_pool
    if not isinstance(pool, _SentinelPool):
        return []
    options = {name: value for name, value in pool.connection_kwargs.items() if name in _SAME_AT_REPLICAS}
    if issubclass(pool.connection_class, redis.sentinel.SentinelManagedSSLConnection):
        options["ssl"] = True
    return [
        (f"{host}:{port}", redis.Redis(host=host, port=port, **options))
        for host, port in pool.sentinel_manager.discover_slaves(pool.service_name)
    ]


def sentinels_that_answer(client: Any) -> tuple[int, int] | None:
    """How many of the sentinels in REDIS_URL answer, and how many there are; None without Sentinel."""
    pool = None if isinstance(client, LazyCluster) else client.connection_pool
    if not isinstance(pool, _SentinelPool):
        return None
    answered, sentinels = 0, list(pool.sentinel_manager.sentinels)  # redis-py moves them about meanwhile
    for sentinel in sentinels:
        with suppress(redis.RedisError, OSError):
            answered += bool(sentinel.ping())
    return answered, len(sentinels)


def _sentinels(
    settings: Settings, kind: Any, retry: Any, options: dict[str, Any]
) -> tuple[Any, str, dict[str, Any]]:
    """The sentinels, the service's name, and the options of a pool of connections to its master."""
    place = sentinel_url(settings.redis_url or "")
    tls: dict[str, Any] = {"ssl": True} if place.tls else {}
    if place.tls and settings.redis_tls == "encrypt":
        tls |= _UNVERIFIED
    sentinels = kind(
        place.sentinels,
        sentinel_kwargs={
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": CONNECT_SECONDS,
            "retry": retry(NoBackoff(), 0),  # there are others to ask
            **place.sentinel_account,
            **tls,
        },
    )
    options = _pool_options(settings, options)
    return sentinels, place.service, {**options, **place.account, **tls, "db": place.database}


class Connection:
    """A client of the store, the shards, and the vault that seals what is kept there."""

    def __init__(self, settings: Settings, vault: Vault, client: Any = None) -> None:
        self.settings = settings
        self.vault = vault
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT_SECONDS,
            # Once: an idle connection may have died with the store's restart. Not after a time-out: a gateway waits.
            "retry": Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            "retry_on_error": [redis.ConnectionError],
        }
        self.redis = client or make_client(settings, **options)
        vault.read_former = lambda: self.redis.get(VAULT)
        self.rq = self.redis if settings.rq_url is None else make_rq_client(settings, **options)
        self.shards = tuple(Shard(number) for number in range(settings.shards))
        self._known_shards: dict[str, Shard] = {}

    def new_shard_for(self, device_id: str) -> Shard:
        """The shard that a device registered now belongs to."""
        return self.shards[crc32(device_id.encode()) % len(self.shards)]

    def shard_of(self, device_id: str) -> Shard | None:
        """The shard of a registered device, which stays the same when shards are added."""
        known = self._known_shards.get(device_id)
        if known is None:
            number = self.redis.hget(DEVICES, device_id)
            if number is None:
                return None
            known = self._known_shards[device_id] = Shard(int(number))
        return known

    def forget_shard_of(self, device_id: str) -> None:
        """After a device was removed."""
        self._known_shards.pop(device_id, None)

    def at(self, key: str) -> Any:
        """A client of the server that holds a key, whose pipelines are one connection's."""
        return self.redis.at(key) if isinstance(self.redis, LazyCluster) else self.redis

    def script(self, name: str) -> Script:
        """The Lua script `name`.lua beside this module."""
        script: Script = self.redis.register_script(source(name))
        return script


@lru_cache
def source(name: str) -> str:
    """The text of the Lua script `name`."""
    return (SCRIPTS / f"{name}.lua").read_text()
