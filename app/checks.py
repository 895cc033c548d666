"""What may be misconfigured, found by asking: for `cams-relay doctor` and `/health`."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import redis

from app.settings import Settings
from app.store import Store
from app.store.cluster import LazyCluster
from app.store.connection import masters, replicas, sentinels_that_answer
from app.store.keys import REKEYED
from app.vault import SealError

_SKEW_SECONDS = 5.0
_DISK_FREE = 0.05


def store_warnings(store: Store) -> list[str]:
    """What the store may lose, a sentence each with the fix."""
    client, settings = store.connection.redis, store.settings
    copies = replicas(client)
    # A replica may be the next master.
    named = [(f"The store's replica {address}", replica) for address, replica in copies]
    if isinstance(client, LazyCluster):
        named = [(f"The store's server {address}", server) for address, server in client.servers()]
    else:
        named.insert(0, ("The store", client))
    warnings = []
    for name, server in named:
        try:
            warnings += _server_warnings(server, name)
        except (redis.RedisError, OSError) as error:
            warnings.append(f"{name} can't be reached: {type(error).__name__}.")
    sentinels = sentinels_that_answer(client)
    if sentinels is not None:
        warnings += _sentinel_warnings(*sentinels, len(copies))
    if (
        settings.durability == "fsync"
        and settings.redis_url
        and not all(map(_confirms_sync, masters(client)))
    ):
        warnings.append(
            "RELAY_DURABILITY=fsync: the store can't confirm a sync, so callbacks are answered 503. It needs Redis 7.2 "
            "or Valkey, with appendonly yes."
        )
    if settings.durability == "replica" and not all(map(_has_replica, masters(client))):
        warnings.append(
            "RELAY_DURABILITY=replica: the store has no replica, so no callback can be confirmed."
        )
    return warnings


def key_warnings(store: Store) -> list[str]:
    """What is unfinished about a change of the secret key, a sentence each with the fix."""
    vault, client = store.vault, store.connection.redis
    try:
        store.devices.load_all()
    except SealError:
        return [
            "The store was written under another RELAY_SECRET_KEY: set the right one, or name that one as "
            "RELAY_SECRET_KEY_OLD."
        ]
    if not vault.rotating:
        return []
    if _text(client.get(REKEYED) or b"") == vault.key_id:
        return [
            "RELAY_SECRET_KEY_OLD is still set, and nothing needs it any more: take RELAY_SECRET_KEY_OLD away."
        ]
    return ["RELAY_SECRET_KEY_OLD is set, and things are encrypted under it: run `cams-relay rekey`."]


def machine_warnings(store: Store) -> list[str]:
    """What is wrong around the store: clock, disk, workers; a sentence each with the fix."""
    warnings = []
    seconds, micros = store.connection.redis.time()
    skew = time.time() - (seconds + micros / 1_000_000)
    if abs(skew) > _SKEW_SECONDS:
        warnings.append(
            f"The clocks of this machine and of the store differ by {abs(skew):.0f} s: set both by NTP, or times of "
            "receipt and retries are wrong."
        )
    free = disk_free(store.settings.data_dir)
    if free is not None and free < _DISK_FREE:
        warnings.append(
            f"The disk of RELAY_DATA_DIR has {free:.0%} free: make room, or callbacks can't be spooled or stored."
        )
    idle = [
        str(shard.number)
        for shard in store.connection.shards
        if not store.connection.redis.exists(shard.lease)
    ]
    if idle:
        warnings.append(
            f"Nobody delivers for shard {', '.join(idle)}: is a worker running? `cams-relay worker` starts one."
        )
    return warnings


def disk_free(folder: Path) -> float | None:
    """Which part of a folder's disk is free; None where the folder is not there."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total


def _server_warnings(client: Any, name: str) -> list[str]:
    """What one server of the store may lose."""
    warnings = []
    policy = _config(client, "maxmemory-policy")
    limit = _config(client, "maxmemory")
    if policy not in (None, "noeviction") and limit not in (None, "0"):
        warnings.append(
            f"{name} evicts ({policy}): events can vanish. Set its maxmemory-policy to noeviction."
        )
    persistence = client.info("persistence")
    for part, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if persistence.get(part) not in (None, "ok"):
            warnings.append(f"{name} can't write its {what}: look at its log, and at its disk.")
    if _config(client, "appendonly") == "no":
        kept = "only now and then" if _config(client, "save") else "nothing"
        warnings.append(
            f"{name} persists {kept}: its restart loses events. Set its appendonly to yes, or choose a plan "
            "that persists."
        )
    return warnings


def _sentinel_warnings(answered: int, named: int, replicas_known: int) -> list[str]:
    warnings = []
    if answered < named:
        warnings.append(f"Only {answered} of the {named} sentinels in REDIS_URL answer.")
    if named < 3:
        warnings.append(
            f"REDIS_URL names {named} sentinel{'s' * (named > 1)}: name three or more, so that one may be away."
        )
    if not replicas_known:
        warnings.append(
            "The sentinels know no replica that is alive: the loss of the master can't be made up for."
        )
    return warnings


def _config(client: Any, name: str) -> str | None:
    """A setting of the store; None where it doesn't say (many hosted ones don't)."""
    try:
        values = client.config_get(name)
    except redis.ResponseError:
        return None
    found = {_text(key): _text(value) for key, value in values.items()}
    return found.get(name)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _confirms_sync(client: Any) -> bool:
    version = str(client.info("server").get("redis_version", "0")).split(".")  # Valkey says 7.2.4
    return _config(client, "appendonly") != "no" and (int(version[0]), int([*version, "0"][1])) >= (7, 2)


def _has_replica(client: Any) -> bool:
    return bool(client.info("replication").get("connected_slaves"))


def settings_warnings(settings: Settings) -> list[str]:
    """What is unsafe or surprising in the settings, a sentence each with the fix."""
    warnings = []
    if settings.secret_key is not None and len(settings.secret_key) < 32:
        warnings.append(
            "RELAY_SECRET_KEY is shorter than 32 characters: make one with `openssl rand -hex 32`."
        )
    if "all" in (item.strip().lower() for item in settings.allow_private_targets.split(",")):
        warnings.append(
            "RELAY_ALLOW_PRIVATE_TARGETS=all lets webhooks reach everything in your network: name the networks."
        )
    if settings.public_url is None:
        warnings.append(
            "RELAY_PUBLIC_URL is not set: links are made from each request, e.g. RELAY_PUBLIC_URL=https://relay.example.com."
        )
    elif settings.public_url.startswith("http://"):
        warnings.append("RELAY_PUBLIC_URL is not https: AuthTokens and photos travel in clear text.")
    if not writable(settings.data_dir):
        warnings.append(f"RELAY_DATA_DIR={settings.data_dir} can't be written: make it or choose another.")
    return warnings


def writable(folder: Path) -> bool:
    """Whether a file can be made in a folder (which is made if need be)."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError:
        return False
    return True
