"""The layout of the store's keys.

Each device belongs to one shard. All keys that a script uses have the same shard's hash tag, so that a Redis or
Valkey Cluster keeps them on one node. Keys with the tag `{g}` belong to no device.

```
{s0}:events                     stream of flat events; b body without id, r raw (deflated), x sealed extras
{s0}:rewriting                  set while the events are being rewritten (see `scrub`)
{s0}:rewriting:events           the rewritten events, which will replace the others
{s0}:backup                     stream: earlier values of records for detecting duplicates, while a backup is made
{s0}:events:type:T              indexes: streams with the same IDs and empty entries
{s0}:events:device:D
{s0}:events:user:U
{s0}:punches:D:U:WEEK           hash: instant[/2] → revision, values, times, and the values that a correction replaced
{s0}:seen:D:DIGEST              set if this callback (other than a punch) has been received
{s0}:device:D                   hash: record, v (its version), n (version of its people), counters
{s0}:user:D:U                   hash: v, profile and c:TYPE:INDEX (both encrypted), t:c:TYPE:INDEX (its time), d (time
                                of the latest deletion; if nothing else is left, it expires)
{s0}:users:D                    sorted set of the device's user IDs
{s0}:blob:ID                    an encrypted photo or unrecognised body
{s0}:attendance                 hash: at (last punch processed), commands_at, since (ms; changes after it are published)
{s0}:attendance:week:U:WEEK     hash: device and instant of a punch → its entry, offset and direction
{s0}:attendance:day:DAY         sorted set: who punched on a day (UTC), and on which device
{s0}:attendance:latest          hash: device → instant and offset of its latest punch, "1764057704 19800"
{s0}:attendance:changed         sorted set of days and people, by the time at which to publish the change (ms)
{s0}:attendance:told:DATE       hash: person → revision and digest of the day as last published
{s0}:corrections                hash: user ID → the corrections of their punches, encrypted (JSON)
{s0}:commanded:D                set of the users that commands added to a device or found on it
{s0}:strangers:D                hash: unknown user ID → when `user.unknown` was published (s)
{s0}:refused:told               hash: source of refused callbacks → when it was last published (ms)
{s0}:silent                     hash: device that was reported silent → when it was last in contact (ms)
{s0}:fanout                     the last event added to the subscriptions' queues
{s0}:lease                      the worker that delivers for this shard
{s0}:writes                     number of writes by its holders, to detect that the store has lost some
{s0}:parked                     hash: subscription with damaged data → when and why it was parked (JSON); S:from and
                                S:to are the first and the last event that could not be queued for it
{s0}:wake                       stream that notifies that worker of changes
{s0}:subscriptions:version      counter, increased with each change to a subscription
{s0}:sub:S:queue                stream: events waiting for their first attempt, with the same IDs
{s0}:sub:S:due                  sorted set of deliveries that are due, in order of receipt
{s0}:sub:S:retry                sorted set of deliveries waiting for a retry, by its time (ms)
{s0}:sub:S:dead                 sorted set of dead letters, by the time of the last attempt (ms)
{s0}:sub:S:state                hash: failed delivery → its attempts so far (JSON)
{s0}:sub:S:batches              hash: delivery → the events of a batch
{s0}:sub:S:tests                hash: delivery → a test event's body
{s0}:sub:S:replays              hash: replay under way → its position and its end (JSON)
{s0}:sub:S:replayed             hash: replay → number of events it has queued; R:ended → when it had queued all (ms)
{s0}:sub:S:replay_records       hash: replay → its time range and when it was requested (JSON); on the first shard
{s0}:sub:S:answers              hash: failed delivery → its target's latest response (JSON), of up to 1,000 deliveries
{s0}:sub:S:settled              sorted set of deliveries that ended after their first attempt, by that time (ms)
{s0}:sub:S:health               hash: failures in a row, since when, next retry job, counters
{s0}:sub:S:log                  stream of attempts
{g}:devices                     hash: device → shard
{g}:devices:removed             hash: removed device → when it was removed (ms)
{g}:store                       the store's ID; a different or missing ID means another store (see `store_id`)
{g}:device_changes              stream: the last thousand registrations, changes and removals of devices
{g}:former_devices              hash: removed device → digest of its AuthToken, its gateway's origin (JSON)
{g}:simulated_devices           hash: device, also a removed one → 1 if it is simulated, 0 if it isn't
{g}:token:DIGEST                set of the devices that use an AuthToken (usually one)
{g}:subscriptions               hash: subscription → JSON
{g}:api_keys                    hash: digest of a key → JSON
{g}:api_keys:previous           hash: digest of a rotated key → digest of the new key, when the old one expires (JSON)
{g}:api_keys:used               hash: API key → when it was last used (ms)
{g}:vault                       what `rekey` keeps of previous secret keys, encrypted
{g}:rekeyed                     ID of the secret key that encrypts all data, as found by `rekey`
{g}:key_id                      ID of the secret key that encrypts all data, checked when a process starts
{g}:shards                      the largest RELAY_SHARDS that the store has been used with
{g}:restoring                   set while a backup is being restored, and after an interrupted restore
{g}:public_url                  JSON: the public URL, when it was last checked, and the problem found
{g}:archive                     JSON: when the archive was last written, and how far it was behind
{g}:backups                     JSON: folder of automatic backups, the newest one, and the current problem
{g}:backup_origin               distinguishes this store's backups from those of a copy; left out of backups
{g}:audit                       stream: the audit log (JSON)
{g}:upkeep                      set until the next upkeep is due
{g}:doubted                     how many times in a row the upkeep has doubted the clock
{g}:rewritten                   set until the next rewrite of the append-only file is due
{g}:signing_keys                string: Ed25519 key pairs that sign deliveries (encrypted)
{g}:employees                   hash: user ID, or user ID and device → employee ID and name, encrypted
{g}:failed:NETWORK              number of failed authentications from an address, for a minute
{g}:public_url_due              set until the public URL is checked again
{g}:sampled                     set until the next sample of the counters is due
{g}:counters                    hash: counters that belong to no device
{g}:alerts                      hash: checked (last search for silent devices, ms), since (counted from then, ms)
{g}:chores                      the worker that handles attendance and alerts
{g}:listening                   set while a web process accepts callbacks
{g}:session:DIGEST              string: digest of the API key that signed in to the console
{g}:idempotency:DIGEST          a request's Idempotency-Key: its digest, and its answer (encrypted) or its command
{g}:unreadable                  sorted set: IDs of events that can't be read, by time of receipt (ms)
{g}:wrong_types                 set of keys that have the wrong type (see `wrong_types`)
{g}:repaired                    hash: key whose damaged value was replaced → when (ms)
{g}:refused                     hash: source of refused callbacks → the latest one (JSON); ID:count → their number
{g}:loops                       hash: process → problems of its background loops, and when they were reported (JSON)
{g}:history                     stream: a sample of the counters for each minute (JSON)
{g}:workers                     sorted set of the dispatchers' tokens, by the time at which they expire (ms)
```
"""

from __future__ import annotations

DEVICES = "{g}:devices"
DEVICES_REMOVED = "{g}:devices:removed"
STORE = "{g}:store"
DEVICE_CHANGES = "{g}:device_changes"
FORMER_DEVICES = "{g}:former_devices"
SIMULATED_DEVICES = "{g}:simulated_devices"
SUBSCRIPTIONS = "{g}:subscriptions"
API_KEYS = "{g}:api_keys"
API_KEYS_PREVIOUS = "{g}:api_keys:previous"
API_KEYS_USED = "{g}:api_keys:used"
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
SIGNING_KEYS = "{g}:signing_keys"
LISTENING = "{g}:listening"
HISTORY = "{g}:history"
SAMPLED = "{g}:sampled"
KEY_ID = "{g}:key_id"
SHARDS = "{g}:shards"
RESTORING = "{g}:restoring"
LOOPS = "{g}:loops"
ARCHIVE = "{g}:archive"
BACKUPS = "{g}:backups"
BACKUP_ORIGIN = "{g}:backup_origin"
PUBLIC_URL = "{g}:public_url"
PUBLIC_URL_DUE = "{g}:public_url_due"
REFUSED = "{g}:refused"
UNREADABLE = "{g}:unreadable"
WRONG_TYPES = "{g}:wrong_types"
REPAIRED = "{g}:repaired"


def token(digest: str) -> str:
    """Return the key of the devices that use an AuthToken."""
    return f"{{g}}:token:{digest}"


def session(digest: str) -> str:
    """Return the key of a console session, by the digest of its token."""
    return f"{{g}}:session:{digest}"


def idempotency(digest: str) -> str:
    """Return the key of a request with an Idempotency-Key, by the digest of both the caller and that key."""
    return f"{{g}}:idempotency:{digest}"


def failed_tries(network: str) -> str:
    """Return the key of the failed authentications from a network."""
    return f"{{g}}:failed:{network}"


class Shard:
    """The keys of one shard."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tag = f"{{s{number}}}"
        self.events = f"{self.tag}:events"
        self.rewriting = f"{self.tag}:rewriting"
        self.rewritten_events = f"{self.tag}:rewriting:events"
        self.backup = f"{self.tag}:backup"
        self.attendance = f"{self.tag}:attendance"
        self.attendance_changed = f"{self.tag}:attendance:changed"
        self.attendance_latest = f"{self.tag}:attendance:latest"
        self.corrections = f"{self.tag}:corrections"
        self.silent = f"{self.tag}:silent"
        self.refused_told = f"{self.tag}:refused:told"
        self.fanout = f"{self.tag}:fanout"
        self.lease = f"{self.tag}:lease"
        self.writes = f"{self.tag}:writes"
        self.parked = f"{self.tag}:parked"
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


# A target's failures in `health`, in the order of settle.lua: how many in a row, since when, paused until, for how
# long (as observed), and when last; in seconds.
FAILURES = ("failures", "failing_since", "paused_until", "failing_for", "failed_at")

SUBSCRIPTION_PARTS = (
    "queue",
    "due",
    "retry",
    "dead",
    "state",
    "batches",
    "tests",
    "replays",
    "replayed",
    "replay_records",
    "answers",
    "settled",
    "health",
    "log",
)
