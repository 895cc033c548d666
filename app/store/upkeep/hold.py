"""`cams-relay restore --hold`: a restored relay that sends nothing, because the relay it was copied from may still run.

All this happens while the store is marked as being restored, so no worker uses it in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.base import ids
from app.store.commands.keys import CommandKeys
from app.store.commands.outcomes import end_call
from app.store.commands.records import NOT_SENT, Command, not_asked_again
from app.store.server.damage import left_out
from app.store.server.keys import Shard
from app.store.subscriptions.matching import Matcher
from app.store.subscriptions.queueing_position import find_position
from app.store.subscriptions.records import Subscription
from app.store.upkeep.backup_cut import order

if TYPE_CHECKING:
    from app.store import Store

HELD = "It was restored with --hold."

_EVENTS_AT_ONCE = 500
_MESSAGE = (
    "Ended by `cams-relay restore --hold`. The relay that made the backup may have sent it. Check the device before "
    "you send it again."
)
_NO_LEASE = "restore"  # instead of a worker's token: a restored store has no leases


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many active subscriptions a backup contains, and what a relay that is restored from it sends at its start."""

    subscriptions: int
    deliveries: int
    commands: int


def waiting(store: Store) -> Waiting:
    """Count what is waiting in a restored store. Raises redis errors."""
    active = _active(store)
    counts = store.delivery_counts.overview([one.id for one in active], 0.0).values()
    queued = sum(one["pending"] + one["retrying"] for one in counts)
    new = sum(len(entries) for _, _, entries in _not_queued(store, active))
    return Waiting(len(active), queued + new, len(_commands(store)))


def hold(store: Store) -> Waiting:
    """Disable all subscriptions, with their queues kept, and end all commands; return what was waiting.

    Events that no worker had queued yet are queued before. Raises redis errors.
    """
    found = waiting(store)
    active = _active(store)
    for shard, subscription_id, entries in _not_queued(store, active):
        with left_out(f"subscription {subscription_id}"):
            store.deliveries.replay(subscription_id, shard, entries)
    for subscription in active:
        store.subscriptions.change(subscription.id, _disable)
    _end_commands(store)
    newest = store.events.last_entries()
    for (
        shard
    ) in store.connection.shards:  # these events aren't queued again, nor are the ends of the commands
        store.connection.redis.set(shard.fanout, newest[shard.number])
    return found


# Subscriptions


def is_held(subscription: Subscription) -> bool:
    """Return whether `hold` disabled a subscription, and nobody has enabled it since."""
    return subscription.disabled_reason == HELD


def _active(store: Store) -> list[Subscription]:
    return [one for one in store.subscriptions.all() if one.status == "active"]


def _disable(subscription: Subscription) -> None:
    subscription.status, subscription.disabled_reason = "disabled", HELD


def _not_queued(store: Store, active: list[Subscription]) -> Iterator[tuple[Shard, str, list[str]]]:
    """Yield (shard, subscription, events) of the stored events that no worker had queued yet, some at a time."""
    matcher = Matcher(active)
    for shard in store.connection.shards:
        with left_out(f"the events of shard {shard.number}"):
            for rows in _new_rows(store, shard):
                matched: dict[str, list[str]] = defaultdict(list)
                for entry, fields in rows:
                    event = store.event_reader.read(shard, entry.decode(), fields.get(b"b"))
                    for subscription in () if event is None else matcher.find(event):
                        if order(entry) > order(subscription.after.get(str(shard.number), "0-0").encode()):
                            matched[subscription.id].append(entry.decode())
                for subscription_id, entries in matched.items():
                    yield shard, subscription_id, entries


def _new_rows(store: Store, shard: Shard) -> Iterator[list[tuple[bytes, dict[bytes, bytes]]]]:
    client = store.connection.redis
    position = find_position(store.connection, shard).position.encode()
    while rows := client.xrange(shard.events, b"(" + position, "+", count=_EVENTS_AT_ONCE):
        yield rows
        position = rows[-1][0]


# Commands


def _queues(store: Store) -> list[bytes]:
    """Return the keys of all devices' queues, also of those that aren't marked as busy."""
    return list(store.connection.redis.scan_iter(match="{s*}:commands:queue:*", count=1_000))


def _commands(store: Store) -> list[Command]:
    """Return the commands that are queued, being sent, or held by the gateway."""
    client, command_ids = store.connection.redis, set()
    for queue in _queues(store):
        with left_out(f"the queue {queue.decode(errors='replace')}"):
            command_ids.update(client.lrange(queue, 0, -1))
    for shard in store.connection.shards:
        with left_out("the waiting commands"):
            command_ids.update(
                member.rpartition(b" ")[2] for member in client.zrange(CommandKeys(shard).waiting, 0, -1)
            )
    found = (store.commands.get(command_id.decode(errors="replace")) for command_id in sorted(command_ids))
    return [command for command in found if command is not None and not command.ended]


def _end_commands(store: Store) -> None:
    client, end = store.connection.redis, store.connection.script("command_end")
    for command in _commands(store):
        with left_out(f"command {command.id}"):
            ended = NOT_SENT if command.status == "queued" else not_asked_again(command)
            outcome = replace(ended, message=_MESSAGE)
            keys = CommandKeys(store.connection.shards[ids.shard_of(command.id) or 0])
            names, arguments = end_call(
                keys, command.record, command.id, outcome, _NO_LEASE, store.commands.keep_seconds
            )
            end(keys=names, args=arguments)
    for queue in _queues(store):  # what is left can't be read
        client.delete(queue)
    for shard in store.connection.shards:
        keys = CommandKeys(shard)
        client.delete(keys.busy)
        client.delete(keys.waiting)
