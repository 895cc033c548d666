"""Faults that the relay had, each with the shortest plan that found it and a patch that restores it.

A plan must break its promise with the fault, and keep it without. This shows that the simulation finds the fault.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from app.callbacks.receiver import Receiver
from app.store.intake import script_call as ingest_call
from app.store.server.store_id import StoreIdentity
from app.store.spool import drain_lock as spool_turn
from app.store.spool import records as spool_records
from app.store.spool.writer import Writer
from app.store.subscriptions import records
from tests.simulation.plan import Step
from tests.simulation.runner import Runner, runner
from tests.simulation.seams import Seams
from workers.delivery.shard_context import Context
from workers.delivery.target import Target
from workers.rq import jobs

_FIRST_LENGTH = spool_records.HEADER + len(spool_records.MARKER)  # offset of the first record's length


@dataclass(frozen=True)
class Fault:
    """A fault: the promise it breaks, a plan that shows it, and a function that restores it."""

    promise: str
    steps: list[Step]
    bring_back: Callable[[Seams], None]


def _arrival_decides(seams: Seams) -> None:
    """A callback that arrives later counts as newer."""
    arrivals = count(1)
    seams.put(ingest_call, "device_ms", lambda *_: next(arrivals))


def _nobody_takes_replays_on(seams: Seams) -> None:
    """A replay is never finished if its job is killed."""
    seams.put(jobs, "_take_on", lambda store: None)


def _versions_count(seams: Seams) -> None:
    """The subscriptions' version is a counter, so an emptied store reaches the same number again."""
    announce = records.announce

    def announce_by_ones(connection: Any, subscription_id: str) -> None:
        client = connection.redis
        names = [shard.subscriptions_version for shard in connection.shards]
        versions = [int(client.get(name) or 0) + 1 for name in names]
        announce(connection, subscription_id)
        for name, version in zip(names, versions, strict=True):
            client.set(name, version)

    seams.put(records, "announce", announce_by_ones)


def _unknown_is_removed(seams: Seams) -> None:
    """Any store is taken for the relay's own, and a device that isn't in it counts as removed."""

    def leave_out(self: Any, item: Any) -> None:
        self._is_stored(item)

    seams.put(StoreIdentity, "check", lambda self: None)
    seams.put(Receiver, "_store_spooled", leave_out)


def _nothing_is_written_again(seams: Seams) -> None:
    """A segment that was unlinked isn't written again."""
    seams.put(Writer, "_check", lambda self: None)


def _damage_hides_the_rest(seams: Seams) -> None:
    """A segment is only read up to its first damage."""
    read = spool_records.records

    def read_up_to_damage(*arguments: Any) -> Iterator[Any]:
        for found in read(*arguments):
            yield found
            if isinstance(found, spool_records.Damage):
                yield spool_records.Damage(found.end, arguments[2])
                return

    seams.put(spool_records, "records", read_up_to_damage)


def _second_sync_is_believed(seams: Seams) -> None:
    """After a failed sync, the segment is written further, and a later successful sync counts for all of it."""
    sync = Writer._sync

    def sync_and_go_on(self: Any, segment: Any) -> None:
        written = segment.written
        try:
            sync(self, segment)
        except OSError:
            segment.failed = segment.ended = False
            segment.written = written
            raise

    seams.put(Writer, "_sync", sync_and_go_on)
    seams.put(Writer, "_cut", lambda self, segment, size: None)


def _the_frozen_are_waited_for(seams: Seams) -> None:
    """A process keeps the lock for draining the spool for as long as it lives, even while frozen."""
    seams.put(spool_turn, "FROZEN_SECONDS", 1e9)


def _position_is_moved_first(seams: Seams) -> None:
    """The position in the event queue is moved forward even if the store has lost the events before it."""
    write = Context.write

    async def write_anyway(
        self: Any, script: Any, keys: Any, arguments: Any, *more: Any, **named: Any
    ) -> Any:
        if script is self.scripts.fanout:
            stored = await self.redis.get(self.shard.fanout)
            arguments = [arguments[0], (stored or b"0-0").decode(), *arguments[2:]]
        return await write(self, script, keys, arguments, *more, **named)

    seams.put(Context, "write", write_anyway)


def _fresh_passes_what_is_loaded(seams: Seams) -> None:
    """An event from the queue starts while due deliveries are still being read."""
    may_start_fresh = Target.may_start_fresh

    def started_too_early(self: Target) -> bool:
        self.due_loading = False
        return may_start_fresh(self)

    seams.put(Target, "may_start_fresh", started_too_early)


FAULTS = {
    "a new event overtakes one whose retry is being loaded": Fault(
        "Strict webhooks keep the order",
        [
            ["dispatch", "deliver0", 10],
            ["target", "strict", "away"],
            ["advance", 5.0],
            ["happen", "web0", "DEV0", "punch", "2", 1, "CheckOut"],
            ["dispatch", "deliver0", 40],
            ["advance", 0.5],
            ["dispatch", "deliver0", 40],
            ["advance", 1.0],
            ["advance", 0.5],
            ["advance", 1.0],
            ["advance", 1.0],
            ["calm"],
            ["job"],
            ["happen", "web0", "DEV0", "punch", "1", 1, "BreakIn"],
        ],
        _fresh_passes_what_is_loaded,
    ),
    "events that an older store hasn't queued are passed over": Fault(
        "Each webhook gets every event",
        [
            ["happen", None, "DEV0", "update", "1", "Fingerprint"],
            ["happen", None, "DEV0", "punch", "1", 0, "BreakIn"],
            ["dispatch", "deliver0", 40],
            ["advance", 0.1],
            ["happen", "web1", "DEV0", "punch", "1", 1, "BreakIn"],
            ["snapshot", 1],
            ["dispatch", "deliver0", 10],
            ["store", "away"],
            ["calm"],
            ["happen", "web0", "DEV0", "delete", "1"],
            ["store", "back older"],
        ],
        _position_is_moved_first,
    ),
    "a segment that is unlinked is lost": Fault(
        "Nothing acknowledged is lost",
        [
            ["store", "away"],
            ["happen", "web0", "DEV0", "punch", "1", 0, "CheckIn"],
            ["outside", "unlinked", 0],
            ["drain", "web0"],
            ["kill", "web0"],
        ],
        _nothing_is_written_again,
    ),
    "a folder that is replaced takes what is written to it": Fault(
        "Nothing acknowledged is lost",
        [
            ["store", "away"],
            ["happen", "web0", "DEV0", "punch", "1", 0, "CheckIn"],
            ["outside", "folder replaced", 0],
            ["happen", "web0", "DEV0", "punch", "2", 0, "CheckIn"],
            ["drain", "web0"],
            ["kill", "web0"],
        ],
        _nothing_is_written_again,
    ),
    "a damaged length hides what follows": Fault(
        "Nothing acknowledged is lost",
        [
            ["store", "away"],
            ["happen", "web0", "DEV0", "punch", "1", 0, "CheckIn"],
            ["happen", "web0", "DEV0", "punch", "1", 1, "CheckIn"],
            ["happen", "web0", "DEV0", "punch", "2", 0, "CheckIn"],
            ["outside", "bit flipped", _FIRST_LENGTH],
        ],
        _damage_hides_the_rest,
    ),
    "what a failed sync has lost is acknowledged after the next": Fault(
        "Nothing acknowledged is lost",
        [
            ["store", "away"],
            ["happen", "web0", "DEV0", "punch", "1", 0, "CheckIn"],
            ["disk", "web0", 1, "sync", "failed"],
            ["happen", "web0", "DEV0", "punch", "2", 0, "CheckIn"],
            ["send", "web0", "DEV0", 1],
            ["power"],
        ],
        _second_sync_is_believed,
    ),
    "what a frozen process has spooled waits for it": Fault(
        "No process fails for good",
        [
            ["store", "away"],
            ["happen", "web0", "DEV0", "punch", "1", 0, "CheckIn"],
            ["store", "back"],
            ["keep_up", "web0"],
            ["fail", "web0", 2, "freeze"],
            ["drain", "web0"],
        ],
        _the_frozen_are_waited_for,
    ),
    "callbacks are deleted where another store is in place of ours": Fault(
        "Nothing acknowledged is lost",
        [
            ["partition", "web1", True],
            ["foreign", True],
            ["happen", "web1", "DEV1", "delete", "1"],
            ["kill", "web1"],
            ["keep_up", "web1"],
            ["drain", "web1"],
        ],
        _unknown_is_removed,
    ),
    "callbacks are deleted where the store comes up empty": Fault(
        "Nothing acknowledged is lost",
        [
            ["store", "away"],
            ["happen", "web0", "DEV0", "punch", "1", 0, "CheckIn"],
            ["store", "back empty"],
            ["kill", "web0"],
            ["keep_up", "web0"],
            ["drain", "web0"],
        ],
        _unknown_is_removed,
    ),
    "a stale punch wins": Fault(
        "The newest wins",
        [
            ["partition", "web0", True],
            ["happen", "web0", "DEV1", "punch", "1", 0, "CheckIn"],
            ["happen", "web2", "DEV1", "punch", "1", 0, "CheckOut"],
        ],
        _arrival_decides,
    ),
    "a deleted user comes back": Fault(
        "The newest wins",
        [
            ["partition", "web0", True],
            ["happen", "web0", "DEV0", "update", "1", "Fingerprint"],
            ["happen", "web2", "DEV0", "delete", "1"],
        ],
        _arrival_decides,
    ),
    "a killed replay loses its rest": Fault(
        "Every replay is finished",
        [
            ["happen", "web1", "DEV0", "update", "1", "Fingerprint"],
            ["calm"],
            ["replay", "strict"],
            ["job_killed", 9],
        ],
        _nobody_takes_replays_on,
    ),
    "an emptied store's webhooks are taken for the ones before": Fault(
        "Each webhook gets every event",
        [["happen", None, "DEV1", "update", "2", "Fingerprint"], ["dispatch", "deliver0", 10], ["empty"]],
        _versions_count,
    ),
}


def found(made: Runner, fault: Fault, *, there: bool) -> bool:
    """Return whether the plan breaks the fault's promise, with the fault (`there`) or without it."""
    seams = Seams(made)
    if there:
        fault.bring_back(seams)
    try:
        result = made.play(0, fault.steps)
    finally:
        seams.remove()
    return any(sentence.startswith(fault.promise) for sentence in result.broken)


def main() -> None:
    """Print for each fault whether it is found while it is present, and whether it is found without it."""
    with runner() as made:
        print(
            json.dumps(
                {
                    name: [found(made, fault, there=is_there) for is_there in (True, False)]
                    for name, fault in FAULTS.items()
                }
            )
        )


if __name__ == "__main__":
    sys.exit(main())
