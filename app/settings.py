"""Every environment variable of the relay, in one table that the documentation is made from.

`load()` reads the environment (and `.env`), and stops with one sentence on a wrong value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from app import setting_readers as read
from app.attendance import Rules
from app.store_urls import is_cluster_url


class SettingsError(Exception):
    """A variable is wrong. The message names it, the problem and a right example."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how it is read, and what the documentation says of it."""

    name: str
    field: str
    default: str
    example: str
    meaning: str
    read: Callable[[str], Any]
    secret: bool = False


VARIABLES: tuple[Variable, ...] = (
    Variable("PORT", "port", "8000", "8000", "Port of the web process.", read.whole(1, 65_535)),
    Variable(
        "HOST",
        "host",
        "127.0.0.1",
        "0.0.0.0",
        "Address the web process listens on (the Procfile listens on 0.0.0.0).",
        str,
    ),
    Variable(
        "WEB_CONCURRENCY",
        "web_concurrency",
        "2",
        "2",
        "Processes of the web server; each serves many connections at once.",
        read.whole(1, 64),
    ),
    Variable(
        "REDIS_URL",
        "redis_url",
        "",
        "redis://:password@localhost:6379/0",
        "Redis 6.2 or later, or Valkey; a replicated one under Sentinel as "
        "`redis+sentinel://:password@host:26379,host:26379/SERVICE/DB`, the sentinels' own password as "
        "`?sentinel_password=…`; a Cluster as `redis+cluster://:password@host:6379,host:6379`. Unset: an embedded "
        "Valkey with an append-only file under `RELAY_DATA_DIR`.",
        read.redis_url,
        secret=True,
    ),
    Variable(
        "RELAY_RQ_URL",
        "rq_url",
        "",
        "redis://:password@localhost:6379/0",
        "Where RQ keeps its queue: one server, or one under Sentinel. Unset: in the store. Required with "
        "`redis+cluster://`, for RQ can't use a Cluster. The loss of what is there loses no delivery.",
        read.rq_url,
        secret=True,
    ),
    Variable(
        "RELAY_REDIS_TLS",
        "redis_tls",
        "verify",
        "encrypt",
        "For `rediss://` and the like: `verify` checks the server's certificate; `encrypt` does not, for "
        "hosts whose Redis has a self-signed one (Heroku's does, so app.json sets it).",
        read.one_of("verify", "encrypt"),
    ),
    Variable(
        "RELAY_REDIS_CONNECTIONS",
        "redis_connections",
        "32",
        "8",
        "Connections to the store (of a Cluster: to each server), at most, of one process. A hosted Redis allows so "
        "many in all: each web process and the worker's two count.",
        read.whole(4, 10_000),
    ),
    Variable(
        "RELAY_DATA_DIR",
        "data_dir",
        ".data",
        "/var/lib/cams-relay",
        "Folder of the embedded store, the spool and generated keys.",
        Path,
    ),
    Variable(
        "RELAY_API_KEY",
        "api_key",
        "",
        "crk_a-long-random-text",
        "A first API key with every scope. Unset: one is made, kept in the data folder and printed once.",
        read.optional_key,
        secret=True,
    ),
    Variable(
        "RELAY_SECRET_KEY",
        "secret_key",
        "",
        "64 random characters",
        "Encrypts secrets, photos and templates at rest. Unset with the embedded store: made and kept in "
        "the data folder. Required with `REDIS_URL`.",
        read.optional,
        secret=True,
    ),
    Variable(
        "RELAY_SECRET_KEY_OLD",
        "secret_key_old",
        "",
        "the RELAY_SECRET_KEY before",
        "The key before, while `RELAY_SECRET_KEY` is being changed: what either encrypted can be read. "
        "`cams-relay rekey` encrypts all under the new one; then take this away.",
        read.optional,
        secret=True,
    ),
    Variable(
        "RELAY_PUBLIC_URL",
        "public_url",
        "",
        "https://relay.example.com",
        "The URL the world reaches the relay at: in callback URLs and signed links. Unset: taken from the "
        "request.",
        read.public_url,
    ),
    Variable(
        "RELAY_TRUSTED_PROXIES",
        "trusted_proxies",
        "0",
        "1",
        "How many proxies in front are trusted to set `X-Forwarded-For`, `-Proto` and `-Host`.",
        read.whole(0, 10),
    ),
    Variable(
        "RELAY_ALLOW_PRIVATE_TARGETS",
        "allow_private_targets",
        "",
        "127.0.0.0/8,::1/128",
        "Comma-separated networks (or `all`) that webhook and gateway URLs may reach though private. "
        "`make run` sets `127.0.0.0/8,::1/128`.",
        read.private_targets,
    ),
    Variable(
        "RELAY_RETRY_SCHEDULE",
        "retry_schedule",
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        "5,60,600",
        "Seconds before each retry of a delivery.",
        read.schedule,
    ),
    Variable(
        "RELAY_DELIVERY_TIMEOUT",
        "delivery_timeout",
        "15",
        "15",
        "Seconds for one delivery attempt.",
        read.seconds,
    ),
    Variable(
        "RELAY_COMMAND_WAIT",
        "command_wait",
        "20",
        "20",
        "Seconds an action call waits for its result.",
        read.seconds,
    ),
    Variable(
        "RELAY_COMMAND_TIMEOUT",
        "command_timeout",
        "60",
        "60",
        "Seconds a command waits for the gateway's answer.",
        read.seconds,
    ),
    Variable(
        "RELAY_COMMAND_POLL_SCHEDULE",
        "command_poll_schedule",
        "15,30,60,300,900,3600",
        "15,30,60",
        "Seconds between polls of a command the gateway still holds, then hourly up to 24 h.",
        read.schedule,
    ),
    Variable(
        "RELAY_SPOOL",
        "spool",
        "on",
        "off",
        "Keep callbacks on disk while the store is away. `off` where the disk does not outlive the "
        "process (a dyno): then 503, and the gateway keeps them.",
        read.switch,
    ),
    Variable(
        "RELAY_DURABILITY",
        "durability",
        "os",
        "fsync",
        "`os` survives the death of any process, `fsync` power loss (acknowledges after the append-only "
        "file is on disk), `replica` the loss of the machine (after a replica has it).",
        read.one_of("os", "fsync", "replica"),
    ),
    Variable(
        "RELAY_RETENTION_DAYS",
        "retention_days",
        "30",
        "30",
        "Days that events, deliveries and photos are kept.",
        read.whole(1, 3_650),
    ),
    Variable(
        "RELAY_AUDIT_DAYS",
        "audit_days",
        "365",
        "365",
        "Days that the audit log is kept.",
        read.whole(1, 3_650),
    ),
    Variable(
        "RELAY_DEDUPE_DAYS",
        "dedupe_days",
        "45",
        "45",
        "Days that a punch is remembered, so that it is not published twice.",
        read.whole(1, 3_650),
    ),
    Variable(
        "RELAY_DAY_STARTS",
        "day_starts",
        "00:00",
        "04:00",
        "When a day of the attendance view starts, by each site's own clock. Where shifts go past midnight, set an "
        "hour at which nobody comes or goes, e.g. `04:00`: a punch at 02:00 then belongs to the day before.",
        read.time_of_day,
    ),
    Variable(
        "RELAY_LATE_AFTER",
        "late_after",
        "",
        "09:15",
        "Who comes after this time of day is late in the attendance view. Unset: nobody is.",
        read.optional_time_of_day,
    ),
    Variable(
        "RELAY_SILENT_AFTER_MINUTES",
        "silent_after_minutes",
        "0",
        "60",
        "Minutes of working hours without a word from a device until `device.silent` is published; `0`: never. A "
        "device may have its own.",
        read.whole(0, 43_200),
    ),
    Variable(
        "RELAY_WORKING_HOURS",
        "working_hours",
        "Mon-Fri 08:00-18:00",
        "Mon-Fri 08:00-18:00, Sat 09:00-13:00",
        "When devices are expected to be heard, by each one's clock; parts are separated by commas. A device may have "
        "its own.",
        read.working_hours,
    ),
    Variable(
        "RELAY_SHARDS",
        "shards",
        "1",
        "4",
        "Shards of the store's keys; a device belongs to one. More lets more workers deliver side by side. "
        "It may grow; devices stay where they are.",
        read.whole(1, 1_024),
    ),
    Variable(
        "RELAY_METRICS_OPEN",
        "metrics_open",
        "0",
        "1",
        "`1` serves `/metrics` without a key.",
        read.switch,
    ),
    Variable(
        "RELAY_LOG_LEVEL",
        "log_level",
        "info",
        "debug",
        "How much is logged.",
        read.one_of("debug", "info", "warning", "error"),
    ),
    Variable(
        "RELAY_LOG_FORMAT",
        "log_format",
        "text",
        "json",
        "`text`, or `json`: an object a line, with the ids of request and event.",
        read.one_of("text", "json"),
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, read and checked. Fields are those of `VARIABLES`."""

    port: int
    host: str
    web_concurrency: int
    redis_url: str | None
    rq_url: str | None
    redis_tls: str
    redis_connections: int
    data_dir: Path
    api_key: str | None
    secret_key: str | None
    secret_key_old: str | None
    public_url: str | None
    trusted_proxies: int
    allow_private_targets: str
    retry_schedule: tuple[float, ...]
    delivery_timeout: float
    command_wait: float
    command_timeout: float
    command_poll_schedule: tuple[float, ...]
    spool: bool
    durability: str
    retention_days: int
    audit_days: int
    dedupe_days: int
    day_starts: int
    late_after: int | None
    silent_after_minutes: int
    working_hours: str
    shards: int
    metrics_open: bool
    log_level: str
    log_format: str

    @property
    def attendance_rules(self) -> Rules:
        return Rules(self.day_starts, self.late_after)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from `environ`, or from the environment over `.env`.

    Raises SettingsError with one sentence on the first wrong variable.
    """
    if environ is None:
        from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
        environ = {**from_file, **os.environ}
    values = {variable.field: _read(variable, environ) for variable in VARIABLES}
    _check_together(values)
    return Settings(**values)


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    text = environ.get(variable.name, "").strip() or variable.default
    try:
        return variable.read(text)
    except ValueError as error:
        shown = "its value" if variable.secret else f"{text[:80]!r}"
        example = error.example if isinstance(error, read.ExampleError) else variable.example
        raise SettingsError(
            f"{variable.name}: {shown} {error}; a right one is {variable.name}={example}"
        ) from None


def _check_together(values: Mapping[str, Any]) -> None:
    """Settings that are right by themselves, and wrong beside another."""
    if values["durability"] == "replica" and not values["redis_url"]:
        raise SettingsError(
            "RELAY_DURABILITY: 'replica' needs a REDIS_URL with a replica, which the embedded store has not; a right "
            "one is RELAY_DURABILITY=fsync"
        )
    if is_cluster_url(values["redis_url"]) and not values["rq_url"]:
        raise SettingsError(
            "RELAY_RQ_URL: it must be set when REDIS_URL is a Cluster, where RQ can't keep its queue; a right one "
            "is RELAY_RQ_URL=redis://:password@localhost:6379/0"
        )
    if values["redis_url"] and not values["secret_key"]:
        raise SettingsError(
            "RELAY_SECRET_KEY: it must be set when REDIS_URL is, for it encrypts what is kept there; a right one "
            "is RELAY_SECRET_KEY=$(openssl rand -hex 32)"
        )
    if values["secret_key_old"] and values["secret_key_old"] == values["secret_key"]:
        raise SettingsError(
            "RELAY_SECRET_KEY_OLD: it is the same as RELAY_SECRET_KEY; a right one is the key before, or none at all"
        )


@cache
def current() -> Settings:
    """The settings of this process, read once."""
    return load()
