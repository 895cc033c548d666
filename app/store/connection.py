"""The connection to the store, and what every module of `app.store` shares."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import parse_url
from redis.retry import Retry

from app.settings import Settings
from app.store import embedded
from app.store.keys import DEVICES, Shard
from app.vault import Vault

SCRIPTS = Path(__file__).parent
# Longer than any healthy answer, short enough that a gateway waiting for ours doesn't give up.
TIMEOUT_SECONDS = 3.0

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
)


class StoreAway(Exception):
    """The store can't be reached, or can't take writes now."""


def is_away(error: Exception) -> bool:
    """Whether a redis error means that the store is away rather than that we asked something wrong."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return True
    return isinstance(error, redis.ResponseError) and str(error).lstrip("-").startswith(_CANNOT_NOW)


def connection_arguments(settings: Settings, **ours: Any) -> dict[str, Any]:
    """Arguments of `redis.Redis` and `redis.asyncio.Redis` for the configured or the embedded store.

    `ours` go before what the URL says.
    """
    if settings.redis_url is None:
        return {
            **ours,
            "unix_socket_path": str(embedded.socket_path(settings.data_dir)),
            "password": embedded.password(settings.data_dir),
        }
    arguments: dict[str, Any] = dict(parse_url(settings.redis_url))  # type: ignore[no-untyped-call]
    if arguments.pop("connection_class", None) is redis.SSLConnection:
        arguments["ssl"] = True
        if settings.redis_tls == "encrypt":
            arguments |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    if "path" in arguments:
        arguments["unix_socket_path"] = arguments.pop("path")
    return arguments | ours


class Connection:
    """A client of the store, the shards, and the vault that seals what is kept there."""

    def __init__(self, settings: Settings, vault: Vault, client: Any = None) -> None:
        self.settings = settings
        self.vault = vault
        # Any: redis-py's types join str and bytes, and answers of two protocols, in every union.
        self.redis: Any = client or redis.Redis(
            **connection_arguments(settings, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=1.0),
            retry=Retry(NoBackoff(), 1),  # once: an idle connection may have died with the store's restart
            retry_on_error=[redis.ConnectionError],
        )
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

    def script(self, name: str) -> Script:
        """The Lua script `name`.lua beside this module."""
        script: Script = self.redis.register_script(source(name))
        return script


@lru_cache
def source(name: str) -> str:
    """The text of the Lua script `name`."""
    return (SCRIPTS / f"{name}.lua").read_text()
