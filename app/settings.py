"""Every environment variable of the relay, in one table that the documentation is made from.

`load()` reads the environment (and `.env`), and stops with one sentence on a wrong value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dotenv import dotenv_values

from app import working_hours
from app.addresses import AddressGuard
from app.attendance import Rules


class SettingsError(Exception):
    """A variable is wrong. The message names it, the problem and a right example."""


class ExampleError(ValueError):
    """A value that is wrong in a way that another example than the variable's own helps with."""

    def __init__(self, problem: str, example: str) -> None:
        super().__init__(problem)
        self.example = example


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


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86_400:
        raise ValueError("is not a number of seconds above 0 and up to 86400")
    return value


def _schedule(text: str) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in text.split(","))
    except ValueError:
        steps = (-1.0,)
    if not all(0 < step <= 30 * 86_400 for step in steps) or len(steps) > 50:
        raise ValueError("is not a comma-separated list of at most 50 numbers of seconds above 0")
    return steps


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def _switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "on", "off", "true", "false", "yes", "no", ""):
        raise ValueError("is neither on nor off")
    return text.lower() in ("1", "on", "true", "yes")


def _split_url(text: str) -> SplitResult | None:
    """The parts of a URL, its port checked; None where it is none. Its own errors would tell a password."""
    try:
        parts = urlsplit(text)
        return parts if parts.port is None or parts.port > 0 else None
    except ValueError:
        return None


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@,\s]+)(?::(\d{1,5}))?")
_SENTINEL_PORT = 26_379


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """The parts of `redis+sentinel://[user:password@]host:port[,host:port…]/SERVICE[/DB]`.

    The user and password are the store's; the sentinels' own are `?sentinel_username=…&sentinel_password=…`.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    tls: bool
    account: dict[str, str] = field(repr=False)
    sentinel_account: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    """The parts of `redis+cluster://[user:password@]host:port[,host:port…]`."""

    nodes: tuple[tuple[str, int], ...]
    tls: bool
    account: dict[str, str] = field(repr=False)


def is_cluster_url(url: str | None) -> bool:
    """Whether the store is a Redis or Valkey Cluster."""
    return url is not None and url.startswith(("redis+cluster://", "rediss+cluster://"))


def cluster_url(url: str) -> ClusterUrl:
    """The parts of a Cluster's URL. Raises ValueError, whose text tells nothing of it."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    if path not in ("", "0") or "?" in place:
        raise ValueError("has something after the servers of the cluster, which has but one database")
    nodes, account = _hosts_and_account(place, 6_379, "servers")
    return ClusterUrl(nodes, scheme == "rediss+cluster", account)


def _hosts_and_account(
    place: str, port: int, what: str
) -> tuple[tuple[tuple[str, int], ...], dict[str, str]]:
    """The hosts of `[user:password@]host[:port],…` with their ports, and what to log in with."""
    account, _, hosts = place.rpartition("@")
    user, _, password = account.partition(":")
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if not all(found):
        raise ValueError(f"names no {what} as host:port, separated by commas")
    named = tuple((match[1].strip("[]"), int(match[2] or port)) for match in found if match is not None)
    if not all(0 < port < 65_536 for _, port in named):
        raise ValueError("has a port that is none")
    given = {"username": unquote(user), "password": unquote(password)}
    return named, {name: value for name, value in given.items() if value}


def is_sentinel_url(url: str | None) -> bool:
    """Whether the store is a pair under Sentinel."""
    return url is not None and url.startswith(("redis+sentinel://", "rediss+sentinel://"))


def sentinel_url(url: str) -> SentinelUrl:
    """The parts of a Sentinel's URL. Raises ValueError, whose text tells nothing of it."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    sentinels, account = _hosts_and_account(place, _SENTINEL_PORT, "sentinels")
    way = re.fullmatch(r"([^/]+)(?:/(\d{1,5})?)?", path)
    if way is None:
        raise ValueError("does not end in the name of a service, and perhaps the number of a database")
    asked = dict(parse_qsl(query))
    if asked.keys() - {"sentinel_username", "sentinel_password"}:
        raise ValueError("has a query of something else than sentinel_username and sentinel_password")
    return SentinelUrl(
        sentinels=sentinels,
        service=unquote(way[1]),
        database=int(way[2] or 0),
        tls=scheme == "rediss+sentinel",
        account=account,
        sentinel_account={name.removeprefix("sentinel_"): value for name, value in asked.items()},
    )


def _redis_url(text: str) -> str | None:
    if is_cluster_url(text):
        try:
            cluster_url(text)
        except ValueError as error:
            raise ExampleError(str(error), "redis+cluster://:password@10.0.0.1:6379,10.0.0.2:6379") from None
        return text
    return _rq_url(text)


def _rq_url(text: str) -> str | None:
    if not text:
        return None
    if is_sentinel_url(text):
        try:
            sentinel_url(text)
        except ValueError as error:
            raise ExampleError(
                str(error), "redis+sentinel://:password@10.0.0.1:26379,10.0.0.2:26379/mymaster/0"
            ) from None
        return text
    parts = _split_url(text)
    if parts is None or parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise ValueError("is not a Redis URL")
    if parts.scheme != "unix" and not re.fullmatch(r"(/\d{0,5})?", parts.path):
        raise ValueError("does not end in the number of a database")
    return text


def _public_url(text: str) -> str | None:
    if not text:
        return None
    parts = _split_url(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    if parts.query or parts.fragment:
        raise ValueError("is not an http(s) URL without a query")
    return text.rstrip("/")


def _private_targets(text: str) -> str:
    AddressGuard(text)  # its ValueError names the wrong item
    return text


def _optional_key(text: str) -> str | None:
    if text and len(text) < 12:
        raise ValueError("is shorter than 12 characters")
    return text or None


def _text(text: str) -> str | None:
    return text or None


def _time_of_day(text: str) -> int:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if match is None:
        raise ValueError("is not a time of day from 00:00 to 23:59")
    return 60 * int(match[1]) + int(match[2])


def _working_hours(text: str) -> str:
    try:
        working_hours.parse(text)
    except ValueError as error:
        raise ValueError(str(error).partition(" such as ")[0]) from None  # the example comes along
    return text


def _optional_time_of_day(text: str) -> int | None:
    return _time_of_day(text) if text else None


VARIABLES: tuple[Variable, ...] = (
    Variable("PORT", "port", "8000", "8000", "Port of the web process.", _whole(1, 65_535)),
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
        _whole(1, 64),
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
        _redis_url,
        secret=True,
    ),
    Variable(
        "RELAY_RQ_URL",
        "rq_url",
        "",
        "redis://:password@localhost:6379/0",
        "Where RQ keeps its queue: one server, or one under Sentinel. Unset: in the store. Required with "
        "`redis+cluster://`, for RQ can't use a Cluster. The loss of what is there loses no delivery.",
        _rq_url,
        secret=True,
    ),
    Variable(
        "RELAY_REDIS_TLS",
        "redis_tls",
        "verify",
        "encrypt",
        "For `rediss://` and the like: `verify` checks the server's certificate; `encrypt` does not, for "
        "hosts whose Redis has a self-signed one (Heroku's does, so app.json sets it).",
        _one_of("verify", "encrypt"),
    ),
    Variable(
        "RELAY_REDIS_CONNECTIONS",
        "redis_connections",
        "32",
        "8",
        "Connections to the store (of a Cluster: to each server), at most, of one process. A hosted Redis allows so "
        "many in all: each web process and the worker's two count.",
        _whole(4, 10_000),
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
        _optional_key,
        secret=True,
    ),
    Variable(
        "RELAY_SECRET_KEY",
        "secret_key",
        "",
        "64 random characters",
        "Encrypts secrets, photos and templates at rest. Unset with the embedded store: made and kept in "
        "the data folder. Required with `REDIS_URL`.",
        _text,
        secret=True,
    ),
    Variable(
        "RELAY_SECRET_KEY_OLD",
        "secret_key_old",
        "",
        "the RELAY_SECRET_KEY before",
        "The key before, while `RELAY_SECRET_KEY` is being changed: what either encrypted can be read. "
        "`cams-relay rekey` encrypts all under the new one; then take this away.",
        _text,
        secret=True,
    ),
    Variable(
        "RELAY_PUBLIC_URL",
        "public_url",
        "",
        "https://relay.example.com",
        "The URL the world reaches the relay at: in callback URLs and signed links. Unset: taken from the "
        "request.",
        _public_url,
    ),
    Variable(
        "RELAY_TRUSTED_PROXIES",
        "trusted_proxies",
        "0",
        "1",
        "How many proxies in front are trusted to set `X-Forwarded-For`, `-Proto` and `-Host`.",
        _whole(0, 10),
    ),
    Variable(
        "RELAY_ALLOW_PRIVATE_TARGETS",
        "allow_private_targets",
        "",
        "127.0.0.0/8,::1/128",
        "Comma-separated networks (or `all`) that webhook and gateway URLs may reach though private. "
        "`make run` sets `127.0.0.0/8,::1/128`.",
        _private_targets,
    ),
    Variable(
        "RELAY_RETRY_SCHEDULE",
        "retry_schedule",
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        "5,60,600",
        "Seconds before each retry of a delivery.",
        _schedule,
    ),
    Variable(
        "RELAY_DELIVERY_TIMEOUT",
        "delivery_timeout",
        "15",
        "15",
        "Seconds for one delivery attempt.",
        _seconds,
    ),
    Variable(
        "RELAY_COMMAND_WAIT",
        "command_wait",
        "20",
        "20",
        "Seconds an action call waits for its result.",
        _seconds,
    ),
    Variable(
        "RELAY_COMMAND_TIMEOUT",
        "command_timeout",
        "60",
        "60",
        "Seconds a command waits for the gateway's answer.",
        _seconds,
    ),
    Variable(
        "RELAY_COMMAND_POLL_SCHEDULE",
        "command_poll_schedule",
        "15,30,60,300,900,3600",
        "15,30,60",
        "Seconds between polls of a command the gateway still holds, then hourly up to 24 h.",
        _schedule,
    ),
    Variable(
        "RELAY_SPOOL",
        "spool",
        "on",
        "off",
        "Keep callbacks on disk while the store is away. `off` where the disk does not outlive the "
        "process (a dyno): then 503, and the gateway keeps them.",
        _switch,
    ),
    Variable(
        "RELAY_DURABILITY",
        "durability",
        "os",
        "fsync",
        "`os` survives the death of any process, `fsync` power loss (acknowledges after the append-only "
        "file is on disk), `replica` the loss of the machine (after a replica has it).",
        _one_of("os", "fsync", "replica"),
    ),
    Variable(
        "RELAY_RETENTION_DAYS",
        "retention_days",
        "30",
        "30",
        "Days that events, deliveries and photos are kept.",
        _whole(1, 3_650),
    ),
    Variable(
        "RELAY_AUDIT_DAYS",
        "audit_days",
        "365",
        "365",
        "Days that the audit log is kept.",
        _whole(1, 3_650),
    ),
    Variable(
        "RELAY_DEDUPE_DAYS",
        "dedupe_days",
        "45",
        "45",
        "Days that a punch is remembered, so that it is not published twice.",
        _whole(1, 3_650),
    ),
    Variable(
        "RELAY_DAY_STARTS",
        "day_starts",
        "00:00",
        "04:00",
        "When a day of the attendance view starts, by each site's own clock. Where shifts go past midnight, set an "
        "hour at which nobody comes or goes, e.g. `04:00`: a punch at 02:00 then belongs to the day before.",
        _time_of_day,
    ),
    Variable(
        "RELAY_LATE_AFTER",
        "late_after",
        "",
        "09:15",
        "Who comes after this time of day is late in the attendance view. Unset: nobody is.",
        _optional_time_of_day,
    ),
    Variable(
        "RELAY_SILENT_AFTER_MINUTES",
        "silent_after_minutes",
        "0",
        "60",
        "Minutes of working hours without a word from a device until `device.silent` is published; `0`: never. A "
        "device may have its own.",
        _whole(0, 43_200),
    ),
    Variable(
        "RELAY_WORKING_HOURS",
        "working_hours",
        "Mon-Fri 08:00-18:00",
        "Mon-Fri 08:00-18:00, Sat 09:00-13:00",
        "When devices are expected to be heard, by each one's clock; parts are separated by commas. A device may have "
        "its own.",
        _working_hours,
    ),
    Variable(
        "RELAY_SHARDS",
        "shards",
        "1",
        "4",
        "Shards of the store's keys; a device belongs to one. More lets more workers deliver side by side. "
        "It may grow; devices stay where they are.",
        _whole(1, 1_024),
    ),
    Variable(
        "RELAY_METRICS_OPEN",
        "metrics_open",
        "0",
        "1",
        "`1` serves `/metrics` without a key.",
        _switch,
    ),
    Variable(
        "RELAY_LOG_LEVEL",
        "log_level",
        "info",
        "debug",
        "How much is logged.",
        _one_of("debug", "info", "warning", "error"),
    ),
    Variable(
        "RELAY_LOG_FORMAT",
        "log_format",
        "text",
        "json",
        "`text`, or `json`: an object a line, with the ids of request and event.",
        _one_of("text", "json"),
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
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip() or variable.default
        try:
            values[variable.field] = variable.read(text)
        except ValueError as error:
            shown = "its value" if variable.secret else f"{text[:80]!r}"
            example = error.example if isinstance(error, ExampleError) else variable.example
            raise SettingsError(
                f"{variable.name}: {shown} {error}; a right one is {variable.name}={example}"
            ) from None
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
            "is RELAY_SECRET_KEY=" + "$(openssl rand -hex 32)"
        )
    if values["secret_key_old"] and values["secret_key_old"] == values["secret_key"]:
        raise SettingsError(
            "RELAY_SECRET_KEY_OLD: it is the same as RELAY_SECRET_KEY; a right one is the key before, or none at all"
        )
    return Settings(**values)


@cache
def current() -> Settings:
    """The settings of this process, read once."""
    return load()
