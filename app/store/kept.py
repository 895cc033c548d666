"""What is kept in the store, of whom, and for how long: each kind of key of the layout in one line.

The documentation's table is made from it, and a test fails where a kind of key is missing here: whoever adds one has to
say whether it tells of a person, and then `person` has to erase and to export it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Whom = Literal["person", "device", "none"]

RETENTION = "`RELAY_RETENTION_DAYS`"
DEDUPE = "`RELAY_DEDUPE_DAYS`"
_AND_A_WEEK = f"{RETENTION} and a week"
_UNTIL_REMOVED = "until it is removed"
_WITH_EVENT = f"until it is delivered; dead letters {RETENTION}"
_MOMENT = "a moment"


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of key: the layout's name for it, what it holds, of whom, how long, and whether that is encrypted."""

    key: str
    what: str
    of: Whom
    how_long: str
    sealed: str = "no"


KEPT: tuple[Kept, ...] = (
    Kept("{s0}:events", "events; card numbers sealed", "person", RETENTION, "in part"),
    Kept("{s0}:rewriting", "a mark", "none", _MOMENT),
    Kept("{s0}:rewriting:events", "events, while they are written anew", "person", _MOMENT, "in part"),
    Kept("{s0}:events:type:T", "index of events", "none", RETENTION),
    Kept("{s0}:events:device:D", "index of events", "device", RETENTION),
    Kept("{s0}:events:user:U", "index of events", "person", RETENTION),
    Kept("{s0}:punches:D:U:WEEK", "punches, to tell duplicates", "person", f"{DEDUPE} and a week"),
    Kept("{s0}:seen:D:DIGEST", "keyed digests of callbacks", "none", DEDUPE),
    Kept("{s0}:device:D", "device; its AuthToken and security keys", "device", _UNTIL_REMOVED, "secrets"),
    Kept(
        "{s0}:user:D:U",
        "name, card, PIN, fingerprints, faces, palms, photo",
        "person",
        "until the user or the device is removed",
        "yes",
    ),
    Kept("{s0}:users:D", "user IDs", "person", "until the user or the device is removed"),
    Kept("{s0}:blob:ID", "attendance photo, or unrecognised body", "person", RETENTION, "yes"),
    Kept("{s0}:sub:S:queue", "ids of events to be delivered", "person", _WITH_EVENT),
    Kept("{s0}:sub:S:due", "ids of events to be delivered", "person", _WITH_EVENT),
    Kept("{s0}:sub:S:retry", "ids of events to be delivered", "person", _WITH_EVENT),
    Kept("{s0}:sub:S:dead", "ids of dead letters", "person", RETENTION),
    Kept("{s0}:sub:S:state", "attempts of failed deliveries", "person", _WITH_EVENT),
    Kept("{s0}:sub:S:batches", "ids of the events of a batch", "person", _WITH_EVENT),
    Kept("{s0}:sub:S:tests", "made-up events", "none", _WITH_EVENT),
    Kept("{s0}:sub:S:health", "counters of a target", "none", _UNTIL_REMOVED),
    Kept("{s0}:sub:S:log", "attempts, with ids of events", "none", RETENTION),
    Kept("{s0}:command:C", "command, its data until it ends, its result", "person", RETENTION, "its data"),
    Kept("{s0}:commands", "ids of commands", "none", f"{RETENTION} and two days"),
    Kept("{s0}:commands:device:D", "ids of commands", "device", f"{RETENTION} and two days"),
    Kept("{s0}:commands:queue:D", "ids of commands", "device", "until they are sent"),
    Kept("{s0}:commands:busy", "device ids", "device", "until they are sent"),
    Kept("{s0}:commands:waiting", "ids of commands", "device", "a day"),
    Kept("{s0}:commands:wake", "device ids", "device", _MOMENT),
    Kept("{s0}:attendance", "positions", "none", "always"),
    Kept("{s0}:attendance:week:U:WEEK", "a person's punches of a week, by device", "person", _AND_A_WEEK),
    Kept("{s0}:attendance:day:DAY", "who punched on a day, and where", "person", _AND_A_WEEK),
    Kept(
        "{s0}:attendance:latest",
        "when a device last punched",
        "device",
        f"{_AND_A_WEEK}, or until it is removed",
    ),
    Kept("{s0}:attendance:changed", "days and people to be published", "person", _MOMENT),
    Kept("{s0}:attendance:told:DATE", "people and digests of what was published", "person", _AND_A_WEEK),
    Kept("{s0}:commanded:D", "user IDs", "person", _UNTIL_REMOVED),
    Kept("{s0}:strangers:D", "user IDs in no list", "person", RETENTION),
    Kept("{s0}:silent", "silent devices", "device", "until they are heard"),
    Kept("{s0}:fanout", "a position", "none", "always"),
    Kept("{s0}:lease", "which worker delivers", "none", _MOMENT),
    Kept("{s0}:writes", "a counter", "none", "always"),
    Kept("{s0}:wake", "ids of subscriptions", "none", _MOMENT),
    Kept("{s0}:subscriptions:version", "a counter", "none", "always"),
    Kept("{g}:devices", "device ids", "device", _UNTIL_REMOVED),
    Kept("{g}:device_changes", "device ids", "device", "until a thousand later changes of devices"),
    Kept("{g}:token:DIGEST", "keyed digests of AuthTokens", "device", _UNTIL_REMOVED),
    Kept(
        "{g}:subscriptions",
        "subscriptions; secrets and headers sealed. A filter may name users: it stays",
        "none",
        _UNTIL_REMOVED,
        "secrets",
    ),
    Kept("{g}:api_keys", "keyed digests of API keys, names, scopes", "none", _UNTIL_REMOVED),
    Kept("{g}:idempotency:DIGEST", "keyed digests of requests", "none", "a day"),
    Kept("{g}:audit", "who did what; it may name users, and stays", "none", "`RELAY_AUDIT_DAYS`"),
    Kept("{g}:vault", "what rekey keeps of former keys", "none", "always", "yes"),
    Kept("{g}:rekeyed", "which key is in use", "none", "always"),
    Kept("{g}:employees", "employee IDs and names", "person", _UNTIL_REMOVED, "yes"),
    Kept("{g}:alerts", "times", "none", "always"),
    Kept("{g}:chores", "a worker's token", "none", _MOMENT),
    Kept("{g}:listening", "a mark", "none", _MOMENT),
    Kept("{g}:history", "samples of counters", "none", "a day and a bit"),
    Kept("{g}:sampled", "a mark", "none", _MOMENT),
    Kept("{g}:failed:NETWORK", "addresses that sent wrong API keys", "none", "a minute"),
    Kept(
        "{g}:session:DIGEST",
        "keyed digest of the API key of a console session",
        "none",
        "until it ends, or 12 hours without a request",
    ),
    Kept("{g}:counters", "counters", "none", "always"),
    Kept("{g}:workers", "tokens of workers", "none", _MOMENT),
    Kept("{g}:rewritten", "a mark", "none", "a day"),
    Kept("{g}:upkeep", "a mark", "none", "an hour"),
    Kept("{g}:doubted", "a number", "none", "until the clock is right, or a day has passed"),
)

_VARIABLE = re.compile(r"\b[A-Z]+\b")


def pattern(kept: Kept) -> re.Pattern[str]:
    """What matches keys of this kind."""
    parts = _VARIABLE.split(kept.key.replace("{s0}", "{sN}").replace("{sN}", "\0"))
    return re.compile(".+".join(map(re.escape, parts)).replace("\0", r"\{s\d+\}"), re.DOTALL)
