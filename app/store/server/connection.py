"""The connection to the store, which all modules of `app.store` share."""

from __future__ import annotations

import errno
import logging
import re
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import ClusterError
from redis.retry import Retry

from app.base.loops import Loop
from app.base.store_urls import ClusterUrl, cluster_url, is_cluster_url, is_sentinel_url, sentinel_url
from app.base.vault import Vault
from app.settings.table import MOST_SHARDS, Settings
from app.store.server import embedded
from app.store.server.cluster import LazyCluster, make_async_cluster, make_cluster
from app.store.server.keys import DEVICES, VAULT, Shard
from app.store.server.redis_clients_internals import Client
from app.store.server.redis_internals import (
    AsyncPool,
    AsyncSentinelPool,
    AsyncSentinels,
    SentinelPool,
    Sentinels,
    error_code,
    replicas_of,
    sentinel_pool,
    sentinels_of,
)

log = logging.getLogger("relay.store")

SCRIPTS = Path(__file__).parent.parent / "scripts"
# Longer than any healthy answer takes, but short enough that the gateway doesn't give up waiting for ours.
TIMEOUT_SECONDS = 3.0
CONNECT_SECONDS = 1.0
_REWRITE_SECONDS = 60.0

# Errors of a store that is there but can't accept writes at the moment. It then also counts as "away".
_CANNOT_NOW = frozenset(
    (
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
        "UNBLOCKED",  # the server became a replica during a blocking call
    )
)


_SOCKET_ERRORS = (ConnectionError, TimeoutError, socket.gaierror, socket.herror)
_UNREACHABLE = (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN)
_IN_SCRIPT = re.compile(r"(?:ERR )?Error running script .*?: -([A-Z]+) ")


class StoreAway(Exception):
    """The store can't be reached, or can't accept writes now."""


def is_away(error: Exception) -> bool:
    """Return whether a redis error means that the store is away, rather than that the call was wrong."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | ClusterError):
        return True
    if isinstance(error, OSError):  # an error of a socket, not of a full disk
        return isinstance(error, _SOCKET_ERRORS) or error.errno in _UNREACHABLE
    return isinstance(error, redis.ResponseError) and _code(error) in _CANNOT_NOW


def note_failure(loop: Loop, error: Exception) -> None:
    """Note why a loop failed: either it waits for the store, or something is wrong."""
    if is_away(error):
        log.debug("%s: waiting for the store (%s)", loop.name, type(error).__name__)
        loop.waited()
    else:
        loop.failed(error)


def _code(error: redis.ResponseError) -> str:
    """Return the store's error code, such as OOM. BUSYKEY is not BUSY."""
    code = error_code(error)
    if code is not None:
        return code
    text = str(error)
    inner = _IN_SCRIPT.match(text)  # how Redis 6.2 reports errors within a script
    return inner[1] if inner else text.lstrip("-").split(" ")[0]


def make_client(settings: Settings, **options: Any) -> Any:
    """Create a client of the configured or the embedded store, with at most RELAY_REDIS_CONNECTIONS connections.

    It returns Any, because redis-py's types are unions of str and bytes, and of the answers of two protocols.
    """
    if is_cluster_url(settings.redis_url):
        return make_cluster(*_cluster(settings, options))
    if is_sentinel_url(settings.redis_url):
        sentinels, service, options = _sentinels(settings, Sentinels, Retry, options)
        return sentinels.master_for(service, Client, connection_pool_class=SentinelPool, **options)
    url, options = _place(settings, options)
    return Client(connection_pool=redis.BlockingConnectionPool.from_url(url, **options))


def make_async_client(settings: Settings, **options: Any) -> Any:
    """Create a client for asyncio."""
    if is_cluster_url(settings.redis_url):
        return make_async_cluster(*_cluster(settings, options))
    if is_sentinel_url(settings.redis_url):
        sentinels, service, options = _sentinels(settings, AsyncSentinels, redis.asyncio.retry.Retry, options)
        return sentinels.master_for(service, connection_pool_class=AsyncSentinelPool, **options)
    url, options = _place(settings, options)
    return redis.asyncio.Redis(connection_pool=AsyncPool.from_url(url, **options))


def make_rq_client(settings: Settings, **options: Any) -> Any:
    """Create a client of the server for RQ's queue."""
    if settings.rq_url is not None:
        settings = replace(settings, redis_url=settings.rq_url)
    return make_client(settings, **options)


def _place(settings: Settings, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the store's URL, and the options of a connection pool."""
    options = _pool_options(settings, options)
    if settings.redis_url is None:
        options["credential_provider"] = embedded.Password(settings.data_dir)
        return f"unix://{quote(str(embedded.socket_path(settings.data_dir)))}", options
    if settings.redis_url.startswith("rediss:") and settings.redis_tls == "encrypt":
        options |= _UNVERIFIED
    return settings.redis_url, options


_UNVERIFIED = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def _pool_options(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "max_connections": settings.redis_connections,
        "timeout": TIMEOUT_SECONDS,  # the time to wait for a free connection
        **options,
    }


def _cluster(settings: Settings, options: dict[str, Any]) -> tuple[ClusterUrl, dict[str, Any]]:
    place = cluster_url(settings.redis_url or "")
    if place.tls and settings.redis_tls == "encrypt":
        options = options | _UNVERIFIED
    options = _pool_options(settings, options)
    options.pop("retry_on_error", None)  # its `retry` covers that
    return place, options


def masters(client: Any) -> list[Any]:
    """Return a client of each server that accepts writes."""
    return [one for _, one in client.servers(masters=True)] if isinstance(client, LazyCluster) else [client]


def rewrite_append_only_files(client: Any) -> bool:
    """Remove erased data from the servers' append-only files, too; False if a server doesn't allow it."""
    done = True
    for server in masters(client):
        try:
            told = server.info("persistence")
            give_up = time.monotonic() + _REWRITE_SECONDS
            while told.get("aof_rewrite_in_progress") and time.monotonic() < give_up:
                time.sleep(0.1)  # that rewrite began before the erasure
                told = server.info("persistence")
            if told.get("aof_enabled"):
                server.bgrewriteaof()
        except redis.ResponseError:
            done = False  # hosted servers don't allow BGREWRITEAOF
    return done


def replicas(client: Any) -> list[tuple[str, Any]]:
    """Return the address and a client of each replica that the sentinels consider alive, for inspection."""
    pool = None if isinstance(client, LazyCluster) else sentinel_pool(client)
    return [] if pool is None else replicas_of(pool)


def sentinels_that_answer(client: Any) -> tuple[int, int] | None:
    """Return how many sentinels in REDIS_URL answer, and how many there are; None without Sentinel."""
    pool = None if isinstance(client, LazyCluster) else sentinel_pool(client)
    if pool is None:
        return None
    answered, sentinels = 0, sentinels_of(pool)
    for sentinel in sentinels:
        with suppress(redis.RedisError, OSError):
            answered += bool(sentinel.ping())
    return answered, len(sentinels)


def _sentinels(
    settings: Settings, kind: Any, retry: Any, options: dict[str, Any]
) -> tuple[Any, str, dict[str, Any]]:
    """Return the sentinels, the service's name, and the options of a connection pool for its master."""
    place = sentinel_url(settings.redis_url or "")
    tls: dict[str, Any] = {"ssl": True} if place.tls else {}
    if place.tls and settings.redis_tls == "encrypt":
        tls |= _UNVERIFIED
    sentinels = kind(
        place.sentinels,
        sentinel_kwargs={
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": CONNECT_SECONDS,
            "retry": retry(NoBackoff(), 0),  # the others are tried instead
            **place.sentinel_account,
            **tls,
        },
    )
    options = _pool_options(settings, options)
    return sentinels, place.service, {**options, **place.account, **tls, "db": place.database}


class Connection:
    """A client of the store, the shards, and the vault that encrypts data in the store."""

    def __init__(self, settings: Settings, vault: Vault, client: Any = None) -> None:
        self.settings = settings
        self.vault = vault
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT_SECONDS,
            # One retry, because an idle connection may have died with the store's restart. None after a timeout: a
            # gateway waits.
            "retry": Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            "retry_on_error": [redis.ConnectionError],
        }
        self.redis = client or make_client(settings, **options)
        vault.read_former = lambda: self.redis.get(VAULT)
        self.rq = self.redis if settings.rq_url is None else make_rq_client(settings, **options)
        self.shards = tuple(Shard(number) for number in range(settings.shards))
        self._known_shards: dict[str, Shard] = {}

    def new_shard_for(self, device_id: str) -> Shard:
        """Return the shard for a device that is registered now."""
        return self.shards[crc32(device_id.encode()) % len(self.shards)]

    def shard_of(self, device_id: str) -> Shard | None:
        """Return the shard of a registered device, which stays the same when shards are added."""
        known = self._known_shards.get(device_id)
        if known is None:
            number = self.redis.hget(DEVICES, device_id)
            if number is None:
                return None
            known = self._known_shards[device_id] = self.shard_from(device_id, number)
        return known

    def shards_of_devices(self) -> dict[str, Shard]:
        """Return the shard of each registered device."""
        stored = self.redis.hgetall(DEVICES)
        return {name.decode(): self.shard_from(name.decode(), number) for name, number in stored.items()}

    def shard_from(self, device_id: str, stored: bytes) -> Shard:
        """Return the shard that DEVICES gives for a device. If its number is damaged, look for the device's data."""
        if is_shard_number(stored):
            return Shard(int(stored))
        holding = (shard for shard in self.shards if self.redis.exists(shard.device(device_id)))
        return next(holding, self.new_shard_for(device_id))

    def shards_with(self, device_ids: Iterable[str]) -> Sequence[Shard]:
        """Return the shards with data of these devices: all, if none is given or one isn't registered (any more)."""
        found = [self.shard_of(device_id) for device_id in device_ids]
        numbers = {shard.number for shard in found if shard is not None}
        if not found or None in found:  # a removed device's data stays in its former shard
            return self.shards
        return [shard for shard in self.shards if shard.number in numbers]

    def forget_shard_of(self, device_id: str) -> None:
        """Forget the shard of a device that was removed."""
        self._known_shards.pop(device_id, None)

    def at(self, key: str) -> Any:
        """Return a client of the server that has a key. Each of its pipelines uses one connection."""
        return self.redis.at(key) if isinstance(self.redis, LazyCluster) else self.redis

    def script(self, name: str) -> Script:
        """Return the Lua script `name`.lua."""
        script: Script = self.redis.register_script(source(name))
        return script


def is_shard_number(stored: bytes) -> bool:
    """Return whether a stored value is a shard's number, and not damaged."""
    return len(stored) <= 4 and stored.isdigit() and int(stored) < MOST_SHARDS


@lru_cache
def source(name: str) -> str:
    """Return the text of the Lua script `name`."""
    return (SCRIPTS / f"{name}.lua").read_text()
