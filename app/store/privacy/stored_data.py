"""What the store contains, about whom, and for how long: one entry for each kind of key in the layout.

The table in docs/security.md is generated from it. A test fails if a kind of key is missing here: for each, it must be
known whether it contains data about a person, because `erasure` and `export` must then handle it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Whom = Literal["person", "device", "none"]
RedisType = Literal["string", "hash", "list", "set", "zset", "stream"]

RETENTION = "`RELAY_RETENTION_DAYS`"
DEDUPE = "`RELAY_DEDUPE_DAYS`"
_AND_A_WEEK = f"{RETENTION} plus a week"
_UNTIL_REMOVED = "until removed"
_WITH_EVENT = f"until delivered; dead letters for {RETENTION}"
_MOMENT = "briefly"
_ALWAYS = "as long as the store"


@dataclass(frozen=True, slots=True)
class StoredData:
    """One kind of key: name in the layout, type, content, about whom, how long it is kept, what is encrypted."""

    key: str
    type: RedisType
    what: str
    of: Whom
    how_long: str
    sealed: str = "no"


STORED_DATA: tuple[StoredData, ...] = (
    StoredData("{s0}:events", "stream", "events", "person", RETENTION, "card numbers"),
    StoredData("{s0}:rewriting", "string", "set while events are being rewritten", "none", _MOMENT),
    StoredData(
        "{s0}:rewriting:events",
        "stream",
        "events, while they are being rewritten",
        "person",
        _MOMENT,
        "card numbers",
    ),
    StoredData(
        "{s0}:backup",
        "stream",
        "punches as they were before a change, while a backup is made",
        "person",
        _MOMENT,
    ),
    StoredData("{s0}:events:type:T", "stream", "index of events by type", "none", RETENTION),
    StoredData("{s0}:events:device:D", "stream", "index of events by device", "device", RETENTION),
    StoredData("{s0}:events:user:U", "stream", "index of events by user", "person", RETENTION),
    StoredData(
        "{s0}:punches:D:U:WEEK", "hash", "punches, to detect duplicates", "person", f"{DEDUPE} plus a week"
    ),
    StoredData(
        "{s0}:seen:D:DIGEST", "string", "keyed digests of callbacks, to detect duplicates", "none", DEDUPE
    ),
    StoredData(
        "{s0}:device:D",
        "hash",
        "a device's settings, AuthToken, Security Keys and callback secrets",
        "device",
        _UNTIL_REMOVED,
        "secrets",
    ),
    StoredData(
        "{s0}:user:D:U",
        "hash",
        "name, card, PIN, fingerprints, faces, palms, photo",
        "person",
        "until the user or the device is removed. After a deletion, the time of the deletion is kept for "
        "`RELAY_DEDUPE_DAYS` or `RELAY_RETENTION_DAYS`, whichever is longer",
        "yes",
    ),
    StoredData("{s0}:users:D", "zset", "user IDs", "person", "until the user or the device is removed"),
    StoredData(
        "{s0}:blob:ID", "string", "an attendance photo or an unrecognised body", "person", RETENTION, "yes"
    ),
    StoredData("{s0}:sub:S:queue", "stream", "IDs of events to deliver", "person", _WITH_EVENT),
    StoredData("{s0}:sub:S:due", "zset", "IDs of events to deliver", "person", _WITH_EVENT),
    StoredData("{s0}:sub:S:retry", "zset", "IDs of events to deliver", "person", _WITH_EVENT),
    StoredData("{s0}:sub:S:dead", "zset", "IDs of dead letters", "person", RETENTION),
    StoredData("{s0}:sub:S:state", "hash", "attempts of failed deliveries", "person", _WITH_EVENT),
    StoredData("{s0}:sub:S:batches", "hash", "IDs of the events in a batch", "person", _WITH_EVENT),
    StoredData("{s0}:sub:S:tests", "hash", "test events", "none", _WITH_EVENT),
    StoredData("{s0}:sub:S:replays", "hash", "positions of replays", "none", "until the replay is finished"),
    StoredData("{s0}:sub:S:replayed", "hash", "how many events replays have queued", "none", RETENTION),
    StoredData("{s0}:sub:S:replay_records", "hash", "time ranges of replays", "none", RETENTION),
    StoredData(
        "{s0}:sub:S:answers", "hash", "what targets answered to failed attempts", "person", _WITH_EVENT
    ),
    StoredData(
        "{s0}:sub:S:settled", "zset", "IDs of events that were delivered by a retry", "none", RETENTION
    ),
    StoredData("{s0}:sub:S:health", "hash", "failures and counters of a target", "none", _UNTIL_REMOVED),
    StoredData("{s0}:sub:S:log", "stream", "delivery attempts, with IDs of events", "none", RETENTION),
    StoredData(
        "{s0}:command:C",
        "hash",
        "a command, its data until it has ended, and its result",
        "person",
        RETENTION,
        "its data",
    ),
    StoredData("{s0}:commands", "stream", "IDs of commands", "none", f"{RETENTION} plus two days"),
    StoredData("{s0}:commands:device:D", "stream", "IDs of commands", "device", f"{RETENTION} plus two days"),
    StoredData("{s0}:commands:queue:D", "list", "IDs of commands", "device", "until sent"),
    StoredData(
        "{s0}:commands:busy",
        "set",
        "IDs of devices with queued commands",
        "device",
        "until the commands are sent",
    ),
    StoredData("{s0}:commands:waiting", "zset", "IDs of commands", "device", "a day"),
    StoredData("{s0}:commands:wake", "stream", "IDs of devices with something to send", "device", _MOMENT),
    StoredData("{s0}:attendance", "hash", "positions in the events", "none", _ALWAYS),
    StoredData(
        "{s0}:attendance:week:U:WEEK",
        "hash",
        "a person's punches in a week, by device",
        "person",
        _AND_A_WEEK,
    ),
    StoredData("{s0}:attendance:day:DAY", "zset", "who punched on a day, and where", "person", _AND_A_WEEK),
    StoredData(
        "{s0}:attendance:latest",
        "hash",
        "when a device last punched",
        "device",
        f"{_AND_A_WEEK}, or until the device is removed",
    ),
    StoredData(
        "{s0}:attendance:changed",
        "zset",
        "days and people whose attendance is to be published",
        "person",
        _MOMENT,
    ),
    StoredData(
        "{s0}:attendance:told:DATE",
        "hash",
        "people, and digests of the attendance published for them",
        "person",
        _AND_A_WEEK,
    ),
    StoredData(
        "{s0}:corrections",
        "hash",
        "corrections of punches, with their reasons and authors",
        "person",
        f"{RETENTION} or, with an archive, as long as `attendance.punch` is archived (`RELAY_ARCHIVE_DAYS`)",
        "yes",
    ),
    StoredData(
        "{s0}:commanded:D",
        "set",
        "user IDs that commands put on the device or found there",
        "person",
        "until the device is removed",
    ),
    StoredData("{s0}:strangers:D", "hash", "user IDs that no list of users has", "person", RETENTION),
    StoredData(
        "{s0}:silent", "hash", "devices that were reported silent", "device", "until they are heard again"
    ),
    StoredData(
        "{s0}:refused:told",
        "hash",
        "sources of refused callbacks that were published",
        "none",
        "an hour after the last one",
    ),
    StoredData("{s0}:fanout", "string", "a position in the events", "none", _ALWAYS),
    StoredData("{s0}:lease", "string", "the worker that delivers", "none", _MOMENT),
    StoredData("{s0}:writes", "string", "a counter of writes", "none", _ALWAYS),
    StoredData(
        "{s0}:parked", "hash", "parked subscriptions, why, and IDs of events", "none", "until repaired"
    ),
    StoredData("{s0}:wake", "stream", "IDs of subscriptions that changed", "none", _MOMENT),
    StoredData("{s0}:subscriptions:version", "string", "a counter of changes", "none", _ALWAYS),
    StoredData("{g}:devices", "hash", "IDs of devices", "device", _UNTIL_REMOVED),
    StoredData(
        "{g}:devices:removed",
        "hash",
        "IDs of removed devices, and when",
        "device",
        f"{RETENTION} plus a day, then until the next device is removed",
    ),
    StoredData("{g}:store", "string", "the store's own ID", "none", _ALWAYS),
    StoredData(
        "{g}:device_changes", "stream", "IDs of changed devices", "device", "until a thousand later changes"
    ),
    StoredData(
        "{g}:former_devices",
        "hash",
        "IDs of removed devices, with a keyed digest of the AuthToken and the gateway's origin",
        "device",
        _ALWAYS,
    ),
    StoredData(
        "{g}:simulated_devices",
        "hash",
        "IDs of devices, also removed ones, and whether they are simulated",
        "device",
        _ALWAYS,
    ),
    StoredData("{g}:token:DIGEST", "set", "keyed digests of AuthTokens", "device", _UNTIL_REMOVED),
    StoredData(
        "{g}:subscriptions",
        "hash",
        "subscriptions. A filter may contain user IDs; `forget` leaves it",
        "none",
        _UNTIL_REMOVED,
        "secrets",
    ),
    StoredData("{g}:api_keys", "hash", "keyed digests of API keys, names, scopes", "none", _UNTIL_REMOVED),
    StoredData(
        "{g}:api_keys:previous",
        "hash",
        "keyed digests of rotated API keys, and when they expire",
        "none",
        "until they have expired, at most 30 days",
    ),
    StoredData("{g}:api_keys:used", "hash", "when each API key was last used", "none", _UNTIL_REMOVED),
    StoredData(
        "{g}:idempotency:DIGEST",
        "string",
        "keyed digests of requests with an Idempotency-Key, and their answers. An answer may contain user IDs; "
        "`forget` leaves it",
        "none",
        "a day",
        "answers",
    ),
    StoredData(
        "{g}:audit",
        "stream",
        "the audit log. It may contain user IDs; `forget` leaves it",
        "none",
        "`RELAY_AUDIT_DAYS`",
    ),
    StoredData("{g}:vault", "string", "what `rekey` keeps of former secret keys", "none", _ALWAYS, "yes"),
    StoredData("{g}:rekeyed", "string", "which secret key `rekey` last found in use", "none", _ALWAYS),
    StoredData("{g}:key_id", "string", "which secret key the store is encrypted with", "none", _ALWAYS),
    StoredData("{g}:shards", "string", "the largest `RELAY_SHARDS` used", "none", _ALWAYS),
    StoredData(
        "{g}:restoring",
        "string",
        "set while a backup is being restored",
        "none",
        "until the restore is complete",
    ),
    StoredData("{g}:signing_keys", "string", "key pairs that sign deliveries", "none", _ALWAYS, "yes"),
    StoredData("{g}:employees", "hash", "employee IDs and names", "person", _UNTIL_REMOVED, "yes"),
    StoredData(
        "{g}:wrong_types",
        "set",
        "names of keys that were found to have the wrong type",
        "person",
        "an hour",
    ),
    StoredData("{g}:repaired", "hash", "names of keys whose damaged value was replaced", "none", "a day"),
    StoredData("{g}:alerts", "hash", "when silent devices were last looked for", "none", _ALWAYS),
    StoredData("{g}:chores", "string", "a worker's token", "none", _MOMENT),
    StoredData("{g}:listening", "string", "set while a web process takes callbacks", "none", _MOMENT),
    StoredData("{g}:history", "stream", "samples of counters", "none", "a little over a day"),
    StoredData(
        "{g}:refused",
        "hash",
        "refused callbacks by source: address, claimed device ID, keyed digest and last four characters of the "
        "AuthToken, reason, size",
        "device",
        "seven days after the latest of a source, at most 200 sources",
    ),
    StoredData(
        "{g}:loops", "hash", "background loops that fail, and their errors", "none", "until they work again"
    ),
    StoredData(
        "{g}:backups", "string", "where backups are made, the newest one, and what is wrong", "none", _ALWAYS
    ),
    StoredData(
        "{g}:backup_origin",
        "string",
        "tells this store's backups from those of a copy of it",
        "none",
        _ALWAYS,
    ),
    StoredData("{g}:archive", "string", "when the archive was last written", "none", _ALWAYS),
    StoredData(
        "{g}:public_url", "string", "the public URL, and whether this relay answers there", "none", _ALWAYS
    ),
    StoredData("{g}:public_url_due", "string", "set until the public URL is checked again", "none", _MOMENT),
    StoredData("{g}:unreadable", "zset", "IDs of events that can't be read", "none", RETENTION),
    StoredData("{g}:sampled", "string", "set until the next sample is due", "none", _MOMENT),
    StoredData(
        "{g}:failed:NETWORK", "string", "networks that sent wrong API keys, and how often", "none", "a minute"
    ),
    StoredData(
        "{g}:session:DIGEST",
        "string",
        "a console session: the keyed digest of its API key",
        "none",
        "until it ends, or after 12 hours without a request",
    ),
    StoredData("{g}:counters", "hash", "counters", "none", _ALWAYS),
    StoredData("{g}:workers", "zset", "tokens of workers", "none", _MOMENT),
    StoredData(
        "{g}:rewritten",
        "string",
        "set until the next rewrite of the append-only file is due",
        "none",
        "a day",
    ),
    StoredData("{g}:upkeep", "string", "set until the next upkeep is due", "none", "an hour"),
    StoredData(
        "{g}:doubted",
        "string",
        "how often in a row the upkeep doubted the clock",
        "none",
        "until the clock is right, or a day has passed",
    ),
)

_VARIABLE = re.compile(r"\b[A-Z]+\b")


def is_of_one_key(kept: StoredData) -> bool:
    """Return whether a store or a shard has only one key of this kind, named like the kind."""
    return _VARIABLE.search(kept.key) is None


def pattern(kept: StoredData) -> re.Pattern[str]:
    """Return a pattern that matches keys of this kind."""
    parts = _VARIABLE.split(kept.key.replace("{s0}", "{sN}").replace("{sN}", "\0"))
    return re.compile(".+".join(map(re.escape, parts)).replace("\0", r"\{s\d+\}"), re.DOTALL)
