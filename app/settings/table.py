"""All environment variables of the relay, in a table from which the documentation is generated.

`load()` reads the environment (and `.env`), and raises an error with one sentence for a wrong value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from app.attendance.rules import Rules
from app.base.store_urls import is_cluster_url
from app.settings import readers as read
from app.settings.archive import ARCHIVE_VARIABLES, ArchiveSettings
from app.settings.backups import BACKUP_VARIABLES, Backups
from app.settings.data_folder import read_data_dir
from app.settings.env_file import ENV_FILE, read_env_file
from app.settings.limits import LIMIT_VARIABLES, Limits
from app.settings.readers import Variable

MOST_SHARDS = 1_024
_SECRET_KEY_CHARACTERS = 32


class SettingsError(Exception):
    """A variable is wrong. The message contains its name, the problem and a valid example."""


VARIABLES: tuple[Variable, ...] = (
    Variable("PORT", "port", "8000", "8000", "Port of the web process.", read.whole(1, 65_535)),
    Variable(
        "HOST",
        "host",
        "127.0.0.1",
        "0.0.0.0",
        "Address that the web process listens on. The Procfile uses 0.0.0.0.",
        str,
    ),
    Variable(
        "WEB_CONCURRENCY",
        "web_concurrency",
        "2",
        "2",
        "Number of web processes. Each serves many connections at once.",
        read.whole(1, 64),
    ),
    Variable(
        "REDIS_URL",
        "redis_url",
        "",
        "redis://:password@localhost:6379/0",
        "URL of Redis 6.2 or later, or of Valkey. For Sentinel: "
        "`redis+sentinel://:password@host:26379,host:26379/SERVICE/DB`, with `?sentinel_password=…` if the "
        "sentinels have their own password. For a Cluster: `redis+cluster://:password@host:6379,host:6379`. "
        "If unset, the relay runs an embedded Valkey with an append-only file in `RELAY_DATA_DIR`.",
        read.redis_url,
        secret=True,
    ),
    Variable(
        "RELAY_RQ_URL",
        "rq_url",
        "",
        "redis://:password@localhost:6379/0",
        "URL of the Redis server for RQ's queue. It can be a single server or one under Sentinel. If unset, "
        "the store is used. Required with `redis+cluster://`, because RQ doesn't support Redis Cluster. "
        "Losing this data loses no deliveries.",
        read.rq_url,
        secret=True,
    ),
    Variable(
        "RELAY_REDIS_TLS",
        "redis_tls",
        "verify",
        "encrypt",
        "How TLS connections (`rediss://` and similar) are checked. `verify` checks the server's certificate. "
        "`encrypt` doesn't, which is needed for self-signed certificates such as Heroku's (app.json sets it).",
        read.one_of("verify", "encrypt"),
    ),
    Variable(
        "RELAY_REDIS_CONNECTIONS",
        "redis_connections",
        "32",
        "8",
        "Maximum number of connections from one process to the store (with a Cluster, to each server). A "
        "hosted Redis limits the total. Each web process counts once and the worker twice.",
        read.whole(4, 10_000),
    ),
    Variable(
        "RELAY_DATA_DIR",
        "data_dir",
        "",
        "/var/lib/cams-relay",
        "Folder for the embedded store, the spool and generated keys. If unset, it is `.data` in the current folder "
        "if the relay runs from a checkout or if a relay's data is there already. Otherwise, it is the user's data "
        "folder: `~/.local/share/cams-relay` on Linux, `~/Library/Application Support/cams-relay` on macOS.",
        read_data_dir,
    ),
    Variable(
        "RELAY_API_KEY",
        "api_key",
        "",
        "crk_a-long-random-text",
        "An initial API key with all scopes. If unset, one is generated and stored in the data folder. "
        "`cams-relay up` prints it once if its output is a terminal.",
        read.optional_key,
        secret=True,
    ),
    Variable(
        "RELAY_SECRET_KEY",
        "secret_key",
        "",
        "the-64-hex-digits-that-openssl-rand-hex-32-prints",
        "Key that encrypts secrets, photos and templates at rest. Use 32 random bytes, for example from "
        "`openssl rand -hex 32`. Any text of at least 32 characters is accepted. With the embedded store, a "
        "key is generated and stored in the data folder if this is unset. Required with `REDIS_URL`. The "
        "relay doesn't start if the store is encrypted with a different key.",
        read.optional,
        secret=True,
    ),
    Variable(
        "RELAY_SECRET_KEY_OLD",
        "secret_key_old",
        "",
        "the RELAY_SECRET_KEY before",
        "The previous key, while you are changing `RELAY_SECRET_KEY`. The relay can then read data encrypted "
        "with either key. Run `cams-relay rekey` to encrypt all data with the new key. Then remove this "
        "setting.",
        read.optional,
        secret=True,
    ),
    Variable(
        "RELAY_PUBLIC_URL",
        "public_url",
        "",
        "https://relay.example.com",
        "Public URL of the relay, used in Callback URLs and signed links. If unset, it is taken from the "
        "request.",
        read.public_url,
    ),
    Variable(
        "RELAY_TRUSTED_PROXIES",
        "trusted_proxies",
        "0",
        "1",
        "Number of reverse proxies in front of the relay whose `X-Forwarded-For`, `-Proto` and `-Host` "
        "headers are trusted.",
        read.whole(0, 10),
    ),
    Variable(
        "RELAY_ALLOW_PRIVATE_TARGETS",
        "allow_private_targets",
        "",
        "127.0.0.0/8,::1/128",
        "Comma-separated private networks (or `all`) that webhook and gateway URLs may point to. `make run` "
        "sets `127.0.0.0/8,::1/128`.",
        read.private_targets,
    ),
    Variable(
        "RELAY_RETRY_SCHEDULE",
        "retry_schedule",
        "5,15,30,60,300,1800,7200,18000,36000,50400,72000,86400",
        "5,60,600",
        "Delays before each retry of a delivery, in seconds.",
        read.schedule,
    ),
    Variable(
        "RELAY_DELIVERY_TIMEOUT",
        "delivery_timeout",
        "15",
        "15",
        "Time limit of a delivery attempt, in seconds.",
        read.seconds,
    ),
    Variable(
        "RELAY_COMMAND_WAIT",
        "command_wait",
        "20",
        "20",
        "How long an action request waits for its result, in seconds.",
        read.seconds,
    ),
    Variable(
        "RELAY_COMMAND_TIMEOUT",
        "command_timeout",
        "60",
        "60",
        "How long a command waits for the gateway's response, in seconds.",
        read.seconds,
    ),
    Variable(
        "RELAY_COMMAND_POLL_SCHEDULE",
        "command_poll_schedule",
        "15,30,60,300,900,3600",
        "15,30,60",
        "Delays between polls of a command that the gateway still holds, in seconds. After these, it is "
        "polled hourly for up to 24 h.",
        read.schedule,
    ),
    Variable(
        "RELAY_SPOOL",
        "spool",
        "on",
        "off",
        "Whether to keep callbacks on disk while the store can't be reached. Set `off` if the disk doesn't "
        "survive a restart (for example on Heroku). The relay then answers 503, and the gateway keeps the "
        "callbacks.",
        read.switch,
    ),
    Variable(
        "RELAY_DURABILITY",
        "durability",
        "auto",
        "fsync",
        "When a callback is acknowledged. With `os`, data survives the crash of any process. `fsync` waits "
        "until it is in the append-only file on disk, so it also survives a power loss. `replica` waits until "
        "a replica has it, so it also survives the loss of a machine. `auto` is `fsync` if the store can "
        "confirm it at once (the embedded store can), and otherwise `os`.",
        read.one_of("auto", "os", "fsync", "replica"),
    ),
    Variable(
        "RELAY_RETENTION_DAYS",
        "retention_days",
        "30",
        "30",
        "How long events, deliveries and photos are kept in the store, in days. After that, events are only in the "
        "archive.",
        read.whole(1, 3_650),
    ),
    Variable(
        "RELAY_AUDIT_DAYS",
        "audit_days",
        "365",
        "365",
        "How long entries in the audit log are kept, in days.",
        read.whole(1, 3_650),
    ),
    Variable(
        "RELAY_DEDUPE_DAYS",
        "dedupe_days",
        "45",
        "45",
        "How long punches are remembered to detect duplicates, in days.",
        read.whole(1, 3_650),
    ),
    Variable(
        "RELAY_DAY_STARTS",
        "day_starts",
        "00:00",
        "04:00",
        "Local time at which a day starts in the attendance view. If shifts go past midnight, choose a time "
        "when nobody comes or goes. For example, with `04:00`, a punch at 02:00 belongs to the previous day.",
        read.time_of_day,
    ),
    Variable(
        "RELAY_LATE_AFTER",
        "late_after",
        "",
        "09:15",
        "A person whose first punch is after this time of day is late in the attendance view (`is_late`). If unset, "
        "nobody is late. It has no effect on `is_late_arrival`, which marks punches that reach the relay late.",
        read.optional_time_of_day,
    ),
    Variable(
        "RELAY_SAME_VISIT_SECONDS",
        "same_visit_seconds",
        "120",
        "300",
        "Punches of a person that are less than this many seconds apart count as one in the attendance view, "
        "because people often put their finger down twice.",
        read.whole(0, 3_600),
    ),
    Variable(
        "RELAY_LONGEST_SHIFT_HOURS",
        "longest_shift_hours",
        "16",
        "14",
        "Longest duration of a shift in the attendance view, in hours. A shift within this time may end on the next "
        "day. A longer one has no hours, and is reported as a missing punch. `0` turns both off.",
        read.whole(0, 24),
    ),
    Variable(
        "RELAY_SILENT_AFTER_MINUTES",
        "silent_after_minutes",
        "0",
        "60",
        "Minutes without contact during working hours after which `device.silent` is published. `0` turns this "
        "off. You can set this for each device.",
        read.whole(0, 43_200),
    ),
    Variable(
        "RELAY_WORKING_HOURS",
        "working_hours",
        "Mon-Fri 08:00-18:00",
        "Mon-Fri 08:00-18:00, Sat 09:00-13:00",
        "Hours during which contact is expected from devices, in each device's time zone, as comma-separated "
        "parts. You can set this for each device.",
        read.working_hours,
    ),
    Variable(
        "RELAY_SHARDS",
        "shards",
        "1",
        "4",
        "Number of shards in the store. Each device belongs to one shard. More shards allow more workers to "
        "deliver in parallel. You can raise the number later; existing devices stay in their shards. The "
        "relay doesn't start with a lower number than before.",
        read.whole(1, MOST_SHARDS),
    ),
    Variable(
        "RELAY_METRICS_OPEN",
        "metrics_open",
        "0",
        "1",
        "`1` makes `/metrics` available without an API key.",
        read.switch,
    ),
    Variable(
        "RELAY_LOG_LEVEL",
        "log_level",
        "info",
        "debug",
        "Log level.",
        read.one_of("debug", "info", "warning", "error"),
    ),
    Variable(
        "RELAY_LOG_FORMAT",
        "log_format",
        "text",
        "json",
        "Log format: `text`, or `json` for one object per line, with the IDs of request and event.",
        read.one_of("text", "json"),
    ),
    *ARCHIVE_VARIABLES,
    *BACKUP_VARIABLES,
    *LIMIT_VARIABLES,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the settings, checked. The fields are those in `VARIABLES`."""

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
    same_visit_seconds: int
    longest_shift_hours: int
    silent_after_minutes: int
    working_hours: str
    shards: int
    metrics_open: bool
    log_level: str
    log_format: str
    archive: ArchiveSettings
    backups: Backups
    limits: Limits

    @property
    def attendance_rules(self) -> Rules:
        return Rules(
            self.day_starts, self.late_after, self.same_visit_seconds, self.longest_shift_hours * 3_600
        )

    @property
    def archive_url(self) -> str | None:
        """The archive's database; None if there is no archive."""
        return self.archive.url_for(self.data_dir, self.redis_url)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from `environ`, or from the environment and `.env`; the environment takes precedence.

    Raises SettingsError with one sentence about the first wrong variable.
    """
    if environ is None:
        try:
            environ = {**read_env_file(), **os.environ}
        except UnicodeDecodeError:
            raise SettingsError(
                f"{ENV_FILE.absolute()} is not a text file in UTF-8. Save it as UTF-8"
            ) from None
    values = {variable.field: _read(variable, environ) for variable in VARIABLES}
    _check_together(values)
    if values["durability"] == "auto" and not values["redis_url"]:
        values["durability"] = "fsync"  # the embedded store syncs each write
    limits = Limits(**{variable.field: values.pop(variable.field) for variable in LIMIT_VARIABLES})
    archive = ArchiveSettings(
        **{variable.field: values.pop(variable.field) for variable in ARCHIVE_VARIABLES}
    )
    backups = Backups(**{variable.field: values.pop(variable.field) for variable in BACKUP_VARIABLES})
    return Settings(**values, archive=archive, backups=backups, limits=limits)


def _read(variable: Variable, environ: Mapping[str, str]) -> Any:
    text = environ.get(variable.name, "").strip() or variable.default
    try:
        return variable.read(text)
    except ValueError as error:
        shown = (
            "its value" if variable.secret or isinstance(error, read.HiddenValueError) else f"{text[:80]!r}"
        )
        example = error.example if isinstance(error, read.ExampleError) else variable.example
        raise SettingsError(
            f"{variable.name}: {shown} {error}; use, for example, {variable.name}={example}"
        ) from None


def _check_together(values: Mapping[str, Any]) -> None:
    """Check combinations of settings that are valid separately, but not together."""
    if values["durability"] == "replica" and not values["redis_url"]:
        raise SettingsError(
            "RELAY_DURABILITY: 'replica' requires REDIS_URL with a replicated store, because the embedded "
            "store has no replica; use, for example, RELAY_DURABILITY=fsync"
        )
    if is_cluster_url(values["redis_url"]) and not values["rq_url"]:
        raise SettingsError(
            "RELAY_RQ_URL: this is required when REDIS_URL is a cluster, because RQ can't keep its queue "
            "there; use, for example, RELAY_RQ_URL=redis://:password@localhost:6379/0"
        )
    if values["redis_url"] and not values["secret_key"]:
        raise SettingsError(
            "RELAY_SECRET_KEY: this is required when REDIS_URL is set, because it encrypts the data stored "
            "there; use, for example, RELAY_SECRET_KEY=$(openssl rand -hex 32)"
        )
    if values["secret_key_old"] and is_short_key(values["secret_key"]):
        raise SettingsError(
            "RELAY_SECRET_KEY: the new key is shorter than 32 characters. Use 32 random bytes, for example "
            "RELAY_SECRET_KEY=$(openssl rand -hex 32)"
        )
    if values["secret_key_old"] and values["secret_key_old"] == values["secret_key"]:
        raise SettingsError(
            "RELAY_SECRET_KEY_OLD: this is the same as RELAY_SECRET_KEY; set it to the previous key, or unset "
            "it"
        )


def is_short_key(key: str | None) -> bool:
    """Return whether a secret key is too short for a new store."""
    return key is not None and len(key) < _SECRET_KEY_CHARACTERS


@cache
def current() -> Settings:
    """Return the settings of this process, which are read once."""
    return load()
