"""Checks for `cams-relay doctor` and `/health` that find misconfiguration."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from app.base import telemetry
from app.health.archive_checks import archive_details, archive_warnings
from app.health.backup_checks import backup_details, backup_warnings
from app.health.damage_checks import all_warnings, met_warnings, repaired_warnings
from app.health.delivery_checks import target_problems, unheard_details, unheard_warnings
from app.health.disk_checks import disk_warnings, settings_problem
from app.health.findings import Problem
from app.health.public_url import public_url_warnings
from app.health.refused_checks import refused_details, refused_warnings
from app.settings.table import Settings, is_short_key
from app.store import Store, StoreRefused
from app.store.server.append_only_sync import confirms_sync
from app.store.server.cluster import LazyCluster
from app.store.server.connection import masters, replicas, sentinels_that_answer
from app.store.server.damage import left_out
from app.store.server.keys import REKEYED

_SKEW_SECONDS = 5.0
_STARTING_SECONDS = 15.0  # in which workers that are started with the web process get their leases
_STARTED = time.monotonic()


def store_warnings(store: Store) -> list[str]:
    """Return what the store may lose, one sentence each with the fix."""
    client, settings = store.connection.redis, store.settings
    copies = replicas(client)
    # A replica may become the next master.
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
            warnings.append(Problem(f"{name} can't be reached: {type(error).__name__}."))
    sentinels = sentinels_that_answer(client)
    if sentinels is not None:
        warnings += _sentinel_warnings(*sentinels, len(copies))
    if settings.durability == "fsync" and settings.redis_url and not all(map(confirms_sync, masters(client))):
        warnings.append(
            Problem(
                "RELAY_DURABILITY=fsync: the store can't confirm that data is on disk, so callbacks are answered "
                "with 503. Use Redis 7.2 or later, or Valkey, with appendonly yes and appendfsync always or everysec."
            )
        )
    warnings += durability_warnings(store)
    if settings.durability == "replica" and not all(map(_has_replica, masters(client))):
        warnings.append(
            Problem("RELAY_DURABILITY=replica: the store has no replica, so callbacks can't be confirmed.")
        )
    with left_out("the API keys"):
        damaged = store.api_keys.unreadable()
        if damaged:
            warnings.append(
                f"The stored data of API keys can't be read ({damaged} of them), and these keys are refused. Create "
                "new ones for their holders."
            )
    return warnings


def durability_in_force(store: Store) -> str:
    """Return `os`, `fsync` or `replica`: the effect of RELAY_DURABILITY=auto with this store. Raises redis errors."""
    durability = store.settings.durability
    if durability != "auto":
        return durability
    return "fsync" if all(map(confirms_sync, masters(store.connection.redis))) else "os"


def durability_warnings(store: Store) -> list[str]:
    """Warn if the store can't confirm what is on disk, unless that was chosen. Raises redis errors."""
    if store.settings.durability != "auto" or durability_in_force(store) == "fsync":
        return []
    return [
        "The store can't confirm at once that data is on disk, so acknowledged callbacks survive the crash of any "
        "process but not a power loss (RELAY_DURABILITY=os). Use Redis 7.2 or later, or Valkey, with appendonly yes "
        "and appendfsync always. To accept this, set RELAY_DURABILITY=os."
    ]


def key_warnings(store: Store) -> list[str]:
    """Return what is unfinished about a change of the secret key, one sentence each with the fix."""
    vault, client = store.vault, store.connection.redis
    try:
        store.admission.check()
    except StoreRefused as error:
        return [Problem(error)]
    store.devices.load_all()
    unreadable = store.devices.unreadable
    if unreadable and len(unreadable) == len(store.devices.ids()):
        return [
            Problem(
                "The devices in the store can't be decrypted. They are damaged, or were encrypted with another "
                "RELAY_SECRET_KEY."
            )
        ]
    if unreadable:
        return [
            Problem(
                f"The stored data of these devices can't be read: {', '.join(sorted(unreadable)[:5])}. Remove each "
                "of them and register it again. Until then, their callbacks are parked."
            )
        ]
    if not vault.rotating:
        return []
    if _text(client.get(REKEYED) or b"") == vault.key_id:
        return ["RELAY_SECRET_KEY_OLD is still set but no longer needed. Remove it."]
    return ["RELAY_SECRET_KEY_OLD is set, and some data is still encrypted with it. Run `cams-relay rekey`."]


def machine_warnings(store: Store) -> list[str]:
    """Return problems around the store, such as its clock, one sentence each with the fix."""
    warnings = []
    seconds, micros = store.connection.redis.time()
    skew = time.time() - (seconds + micros / 1_000_000)
    if abs(skew) > _SKEW_SECONDS:
        warnings.append(
            f"The clocks of this machine and the store differ by {abs(skew):.0f} s. Synchronise both with NTP. "
            "Otherwise, times of receipt and retries are wrong."
        )
    return warnings


def worker_problems(store: Store) -> list[str]:
    """Return which shards no worker delivers for, with what to do."""
    pipeline = store.connection.redis.pipeline(transaction=False)
    for shard in store.connection.shards:
        pipeline.exists(shard.lease)
    held = pipeline.execute()
    idle = [
        str(shard.number) for shard, is_held in zip(store.connection.shards, held, strict=True) if not is_held
    ]
    if not idle:
        return []
    return [
        Problem(
            f"No worker delivers for shard {', '.join(idle)}. Check that a worker is running and responds. "
            "`cams-relay worker` starts one."
        )
    ]


def running_worker_problems(store: Store) -> list[str]:
    """Return the same for `/health`, but nothing while this process, and perhaps the worker, is starting.

    After the store has started, workers need a moment to get their leases again.
    """
    if time.monotonic() - _STARTED < _STARTING_SECONDS:
        return []
    found = worker_problems(store)
    return [] if found and _has_just_started(store) else found


def _has_just_started(store: Store) -> bool:
    """Return whether a server of the store was started a moment ago. Raises redis errors."""
    servers = masters(store.connection.redis)
    return any(int(one.info("server")["uptime_in_seconds"]) < _STARTING_SECONDS for one in servers)


def identity_warnings(store: Store) -> list[str]:
    """Warn if the store isn't the same as before, with what to do."""
    store.identity.check(look_only=True)
    return [] if store.identity.foreign is None else [Problem(store.identity.foreign)]


def no_device_warnings(store: Store) -> list[str]:
    """Warn if there is no device yet, with what to do; says nothing if the store isn't the same as before."""
    if store.identity.foreign is not None or store.devices.ids():
        return []
    return [
        "No device is registered. Register one with POST /v1/devices, or run `cams-relay up`, which starts a simulated "
        "device."
    ]


def loop_warnings(store: Store) -> list[str]:
    """Return which background loops of which process fail or have stalled, one sentence each."""
    return [Problem(one) for one in store.loop_reports.read()]


def parked_warnings(store: Store) -> list[str]:
    """Return which subscriptions are parked because their stored data is damaged, one sentence each."""
    return [
        Problem(f"Subscription {name} is parked, and its deliveries are waiting. {note.reason}")
        for name, note in sorted(store.parked.all().items())
    ]


def event_warnings(store: Store) -> list[str]:
    """Warn if stored events can't be read, with their number."""
    count, newest = store.event_reader.noted()
    if not count:
        return []
    return [
        f"Stored events that can't be read: {count}, for example {', '.join(newest)}. They are missing from "
        "lists, deliveries and attendance. If you need them, restore a backup."
    ]


def _server_warnings(client: Any, name: str) -> list[str]:
    """Return what one server of the store may lose."""
    warnings = []
    policy = _config(client, "maxmemory-policy")
    limit = _config(client, "maxmemory")
    if policy not in (None, "noeviction") and limit not in (None, "0"):
        warnings.append(
            f"{name} evicts keys ({policy}), so events can be lost. Set its maxmemory-policy to noeviction."
        )
    persistence = client.info("persistence")
    for part, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if persistence.get(part) not in (None, "ok"):
            warnings.append(Problem(f"{name} can't write its {what}. Check its log and its disk."))
    if _config(client, "appendonly") == "no":
        kept = "only from time to time" if _config(client, "save") else "nothing"
        warnings.append(
            f"{name} persists {kept}, so a restart can lose events. Set its appendonly to yes, or choose a "
            "plan with persistence."
        )
    return warnings


def _sentinel_warnings(answered: int, named: int, replicas_known: int) -> list[str]:
    warnings = []
    if answered < named:
        warnings.append(f"Only {answered} of the {named} sentinels in REDIS_URL respond.")
    if named < 3:
        warnings.append(
            f"REDIS_URL names {named} sentinel{'s' * (named > 1)}. Name at least three, so that one can fail."
        )
    if not replicas_known:
        warnings.append(
            "The sentinels know of no working replica. If the master fails, nothing can take over."
        )
    return warnings


def _config(client: Any, name: str) -> str | None:
    """Return a setting of the store; None if the store doesn't reveal it (many hosted ones don't)."""
    try:
        values = client.config_get(name)
    except redis.ResponseError:
        return None
    found = {_text(key): _text(value) for key, value in values.items()}
    return found.get(name)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _has_replica(client: Any) -> bool:
    return bool(client.info("replication").get("connected_slaves"))


def settings_warnings(settings: Settings) -> list[str]:
    """Return what is unsafe or surprising in the settings, one sentence each with the fix."""
    warnings = []
    if is_short_key(settings.secret_key):
        warnings.append(
            "RELAY_SECRET_KEY is shorter than 32 characters. Generate a new key with `openssl rand -hex 32`, "
            "set the current key as RELAY_SECRET_KEY_OLD, and run `cams-relay rekey`."
        )
    if "all" in (item.strip().lower() for item in settings.allow_private_targets.split(",")):
        warnings.append(
            "RELAY_ALLOW_PRIVATE_TARGETS=all lets webhooks reach everything in your network. List the allowed "
            "networks instead."
        )
    if settings.public_url is None:
        warnings.append(
            "RELAY_PUBLIC_URL is not set, so links use the host of each request. Set it, e.g. "
            "RELAY_PUBLIC_URL=https://relay.example.com."
        )
    elif settings.public_url.startswith("http://"):
        warnings.append("RELAY_PUBLIC_URL is not https, so AuthTokens and photos are sent unencrypted.")
    if telemetry.wanted("traces") and not telemetry.is_installed():
        warnings.append(telemetry.NOT_INSTALLED)
    if problem := settings_problem(settings.data_dir):
        warnings.append(Problem(problem))
    return warnings


Check = Callable[[Store], list[str]]
# The checks of a store that `/health` makes each time
HEALTH_CHECKS: tuple[Check, ...] = (
    met_warnings,
    repaired_warnings,
    running_worker_problems,
    loop_warnings,
    parked_warnings,
    event_warnings,
    backup_warnings,
    archive_warnings,
    public_url_warnings,
    refused_warnings,
)
# The checks that `/health` makes once a minute, because they take longer
SLOW_HEALTH_CHECKS: tuple[Check, ...] = (store_warnings, disk_warnings, target_problems, unheard_warnings)
# The checks of a store by `cams-relay doctor`, in the order of its output
DOCTOR_CHECKS: tuple[Check, ...] = (
    key_warnings,  # first, because it repairs keys
    all_warnings,
    repaired_warnings,
    store_warnings,
    machine_warnings,
    worker_problems,
    loop_warnings,
    parked_warnings,
    event_warnings,
    backup_details,
    archive_details,
    identity_warnings,
    no_device_warnings,
    refused_details,
    target_problems,
    unheard_details,
)
