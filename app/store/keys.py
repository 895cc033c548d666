"""The layout of everything kept in the store.

A device belongs to one shard; all keys that one script touches carry that shard's hash tag, so that a Redis or
Valkey Cluster keeps them on one node. `{g}` holds the few things that belong to no device.

```
{s0}:events                     stream of flat events; b body without id, r raw (deflated), x sealed extras
{s0}:rewriting                  there while somebody writes the events anew (see `scrub`)
{s0}:rewriting:events           the copy of the events that will take their place
{s0}:events:type:T              streams with the same ids, nothing in them: the indexes
{s0}:events:device:D
{s0}:events:user:U
{s0}:punches:D:U:WEEK           hash: instant → revision and values, to tell duplicates
{s0}:seen:D:DIGEST              a callback that is no punch was here
{s0}:device:D                   hash: record, v (its version), n (version of its people), counters
{s0}:user:D:U                   hash: v, profile and c:TYPE:INDEX, all sealed
{s0}:users:D                    sorted set of the device's user ids
{s0}:blob:ID                    a sealed photo or an unrecognised body
{s0}:attendance                 hash: at (last punch taken in), commands_at, since (ms; from when on changes are told)
{s0}:attendance:week:U:WEEK     hash: device and instant of a punch → its entry, offset and direction
{s0}:attendance:day:DAY         sorted set of who punched on a day of UTC, and on which device
{s0}:attendance:latest          hash: device → instant and offset of its latest punch, "1764057704 19800"
{s0}:attendance:changed         sorted set of days and people, by when the change is to be published (ms)
{s0}:attendance:told:DATE       hash: person → revision and digest of what was published last
{s0}:commanded:D                set of the users whom commands put on a device, or found there
{s0}:strangers:D                hash: user ID in no list → when that was published (s)
{s0}:silent                     hash: device whose silence was published → when it was last heard (ms)
{s0}:fanout                     the last event handed to the subscriptions' queues
{s0}:lease                      which worker delivers for this shard
{s0}:writes                     how many writes its holders have made, to tell when the store has lost some
{s0}:wake                       stream that tells that worker what changed
{s0}:subscriptions:version      grows with every change of a subscription
{s0}:sub:S:queue                stream: events whose first attempt is to come, same ids
{s0}:sub:S:due                  sorted set of deliveries to be attempted now, by order of receipt
{s0}:sub:S:retry                sorted set of deliveries waiting for their next attempt, by its time (ms)
{s0}:sub:S:dead                 sorted set of dead letters, by time of death (ms)
{s0}:sub:S:state                hash: delivery → attempts so far (JSON), of those that failed
{s0}:sub:S:batches              hash: delivery → the events of a batch
{s0}:sub:S:tests                hash: delivery → a test event's body
{s0}:sub:S:health               hash: failures in a row, since when, next retry job, counters
{s0}:sub:S:log                  stream of attempts
{g}:devices                     hash: device → shard
{g}:device_changes              stream: devices that were registered, changed or removed, the last thousand times
{g}:token:DIGEST                set of the devices that use an AuthToken (one, as a rule)
{g}:subscriptions               hash: id → JSON
{g}:api_keys                    hash: digest of a key → JSON
{g}:vault                       what `rekey` keeps of former secret keys, sealed
{g}:rekeyed                     which secret key everything is sealed under, as `rekey` found
{g}:audit                       stream: who did what that matters, JSON
{g}:upkeep                      there while the upkeep need not run again
{g}:doubted                     how often in a row the upkeep has doubted the clock
{g}:rewritten                   there while the append-only file need not be rewritten again
{g}:employees                   hash: user ID → employee ID and name, sealed
{g}:failed:NETWORK              how often a caller's address has failed to authenticate, for a minute
{g}:sampled                     there while the counters need not be sampled again
{g}:counters                    hash: what is counted without a device
{g}:alerts                      hash: checked (when silence was looked for, ms), since (from when on it counts)
{g}:chores                      which worker does what is beside deliveries
{g}:listening                   there while a web process takes callbacks
{g}:session:DIGEST              string: digest of the API key that signed in to the console
{g}:history                     stream: a sample of the counters each minute, JSON
{g}:workers                     sorted set of the dispatchers' tokens, by when they were last here and a lease (ms)
```
"""

from __future__ import annotations

DEVICES = "{g}:devices"
DEVICE_CHANGES = "{g}:device_changes"
SUBSCRIPTIONS = "{g}:subscriptions"
API_KEYS = "{g}:api_keys"
COUNTERS = "{g}:counters"
AUDIT = "{g}:audit"
VAULT = "{g}:vault"
REWRITTEN = "{g}:rewritten"
REKEYED = "{g}:rekeyed"
UPKEEP = "{g}:upkeep"

DOUBTED = "{g}:doubted"
WORKERS = "{g}:workers"
ALERTS = "{g}:alerts"
CHORES = "{g}:chores"
EMPLOYEES = "{g}:employees"
LISTENING = "{g}:listening"
HISTORY = "{g}:history"
SAMPLED = "{g}:sampled"


def token(digest: str) -> str:
    """The key of the devices that use an AuthToken."""
    return f"{{g}}:token:{digest}"


def session(digest: str) -> str:
    """The key of a console session, by the digest of its token."""
    return f"{{g}}:session:{digest}"


def failed_tries(network: str) -> str:
    """The key of an address' failed tries to authenticate."""
    return f"{{g}}:failed:{network}"


class Shard:
    """The keys of one shard."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tag = f"{{s{number}}}"
        self.events = f"{self.tag}:events"
        self.rewriting = f"{self.tag}:rewriting"
        self.rewritten_events = f"{self.tag}:rewriting:events"
        self.attendance = f"{self.tag}:attendance"
        self.attendance_changed = f"{self.tag}:attendance:changed"
        self.attendance_latest = f"{self.tag}:attendance:latest"
        self.silent = f"{self.tag}:silent"
        self.fanout = f"{self.tag}:fanout"
        self.lease = f"{self.tag}:lease"
        self.writes = f"{self.tag}:writes"
        self.wake = f"{self.tag}:wake"
        self.subscriptions_version = f"{self.tag}:subscriptions:version"

    def by_type(self, event_type: str) -> str:
        return f"{self.tag}:events:type:{event_type}"

    def by_device(self, device_id: str) -> str:
        return f"{self.tag}:events:device:{device_id}"

    def by_user(self, user_id: str) -> str:
        return f"{self.tag}:events:user:{user_id}"

    def punches(self, device_id: str, user_id: str, week: int) -> str:
        return f"{self.tag}:punches:{device_id}:{user_id}:{week}"

    def seen(self, device_id: str, digest: str) -> str:
        return f"{self.tag}:seen:{device_id}:{digest}"

    def device(self, device_id: str) -> str:
        return f"{self.tag}:device:{device_id}"

    def user(self, device_id: str, user_id: str) -> str:
        return f"{self.tag}:user:{device_id}:{user_id}"

    def users(self, device_id: str) -> str:
        return f"{self.tag}:users:{device_id}"

    def blob(self, blob_id: str) -> str:
        return f"{self.tag}:blob:{blob_id}"

    def attendance_week(self, user_id: str, week: int) -> str:
        return f"{self.tag}:attendance:week:{user_id}:{week}"

    def attendance_day(self, day: int) -> str:
        return f"{self.tag}:attendance:day:{day}"

    def attendance_told(self, date: str) -> str:
        return f"{self.tag}:attendance:told:{date}"

    def commanded(self, device_id: str) -> str:
        return f"{self.tag}:commanded:{device_id}"

    def strangers(self, device_id: str) -> str:
        return f"{self.tag}:strangers:{device_id}"

    def subscription(self, subscription_id: str, what: str) -> str:
        return f"{self.tag}:sub:{subscription_id}:{what}"


SUBSCRIPTION_PARTS = ("queue", "due", "retry", "dead", "state", "batches", "tests", "health", "log")
