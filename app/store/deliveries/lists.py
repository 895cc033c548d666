"""Deliveries for the API: one by its ID, or pages for a subscription. Open ones come from the queue and the indexes,
others from the log of attempts, of which a page reads a limited part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest, nsmallest

import orjson

from app.base import ids
from app.base.yielding import in_turns
from app.store.deliveries.delivery_ids import (
    DeliveryPlace,
    delivery_place,
    names_of_event,
    order,
    received_ms,
)
from app.store.deliveries.log import DeliveryLog
from app.store.deliveries.rows import NOTHING, Row, Sees, add_answer, attempted, iso, row
from app.store.events.unreadable import EventReader
from app.store.server.connection import Connection
from app.store.server.keys import Shard
from app.store.subscriptions.records import Subscription

STATUSES = ("pending", "delivered", "retrying", "dead", "dropped")
_INDEXES = {"dead": "dead", "retrying": "retry", "pending": "due"}  # status → part of a subscription
_MARK = "i"  # marks a cursor in an index: i:SHARD:SCORE:DELIVERY
_QUEUE = "queue"  # in place of the score, in a cursor of the queue
_CHUNK = 200
_SCAN_LIMIT = 5_000  # deliveries that are examined for a page
_BATCHES_BEFORE = 100  # that are read to find those with an event
_BATCHES_AT_ONCE = 20
_BATCHES_AFTER = 20  # the same, in case the clock was set back
Rows = list[Row]


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """The filters of a list. Times are in ms since 1970, those of the last attempt or else of the creation."""

    status: str | None = None
    since_ms: int = 0
    until_ms: int | None = None
    event_id: str | None = None

    def takes(self, shown: Row) -> bool:
        """Return whether a delivery passes the filters by status and time."""
        at = shown["last_attempt_at"] or shown["created_at"]
        return (
            self.status in (None, shown["status"])
            and at >= iso(self.since_ms)
            and (self.until_ms is None or at <= iso(self.until_ms))
        )


class DeliveryLists:
    """Reads deliveries."""

    def __init__(self, connection: Connection, log: DeliveryLog, reader: EventReader) -> None:
        self._connection = connection
        self._log = log
        self._reader = reader

    # One

    def find(self, place: DeliveryPlace, sees: Sees = "none") -> Row | None:
        """Return a delivery's present state; None if there is none, or its record is older than the retention."""
        if place.shard >= len(self._connection.shards):
            return None
        for _ in range(2):  # it may be queued again between the two
            shown, settled_ms = self._find_open(place, sees)
            shown = shown or self._log.find(place, settled_ms)
            if shown is not None:
                self._add_types([shown])
                return shown
        return None

    def _find_open(self, place: DeliveryPlace, sees: Sees) -> tuple[Row | None, int | None]:
        """Return a delivery that is open or dead; if there is none, when (ms) it ended, if that is noted."""
        shard, name = self._connection.shards[place.shard], place.name
        key = {
            part: shard.subscription(place.subscription_id, part)
            for part in ("queue", "due", "retry", "dead", "state", "batches", "tests", "answers", "settled")
        }
        pipeline = self._connection.at(shard.events).pipeline(transaction=True)
        entry = name.partition(":")[0]
        pipeline.xrange(key["queue"], entry, entry)
        for part in ("due", "retry", "dead", "settled"):
            pipeline.zscore(key[part], name)
        for part in ("state", "batches", "tests", "answers"):
            pipeline.hget(key[part], name)
        queued, due, retry, dead, settled, state, batch, test, answer = pipeline.execute()
        if retry is not None:
            status, next_ms = "retrying", int(retry)
        elif dead is not None:
            status, next_ms = "dead", None
        elif due is not None or (queued and ":" not in name):
            status, next_ms = "pending", None
        elif test is not None:
            status, next_ms = "pending", received_ms(name)
        else:
            return None, None if settled is None else int(settled)
        is_replayed = due is not None and not queued
        shown = _open_row(place, status, state, batch, test, next_ms=next_ms, is_replayed=is_replayed)
        if shown is not None:
            add_answer(shown, answer, sees)
        return shown, None

    # Many

    def page(
        self,
        subscription: Subscription,
        limit: int,
        cursor: str | None,
        query: DeliveryQuery,
        sees: Sees = "none",
    ) -> tuple[Rows, str | None]:
        """Return deliveries with their attempts, the latest first within a shard, and the cursor of the next page.

        Without a status, these are the attempted ones. A page may have fewer rows than `limit`, or none, and still a
        cursor. Raises ValueError for an invalid cursor.
        """
        if query.event_id is not None:
            rows, more = self._of_event(subscription, query), None
        elif query.status in _INDEXES:
            rows, more = self._open_page(subscription, limit, cursor, query)
        else:
            rows, more = self._log.page(
                subscription.id, limit, cursor, query.status, query.since_ms, query.until_ms
            )
        self._add_types(rows)
        self._add_answers(subscription.id, rows, sees)
        return rows, more

    def _of_event(self, subscription: Subscription, query: DeliveryQuery) -> Rows:
        """Return an event's deliveries: single ones, and in a batch."""
        found = names_of_event(query.event_id or "")
        if found is None or found[0] >= len(self._connection.shards):
            return []
        shard, names = self._connection.shards[found[0]], list(found[1])
        entry = names[0].partition(":")[0]
        names += self._batches_with(shard, subscription.id, entry)
        places = [DeliveryPlace(subscription.id, shard.number, name) for name in dict.fromkeys(names)]
        rows = [shown for place in places if (shown := self.find(place)) is not None]
        if not rows:
            batch = self._log.of_event(subscription, query.event_id or "")
            rows = [batch] if batch is not None else []
        return [shown for shown in rows if query.takes(shown)]

    def _batches_with(self, shard: Shard, subscription_id: str, entry: str) -> list[str]:
        """Return the stored batches with an event. Only those nearest to it are read, because each may be large."""
        key, event = shard.subscription(subscription_id, "batches"), order(entry)
        places = [
            (order(name.decode()), name.decode()) for name in in_turns(self._connection.redis.hkeys(key))
        ]
        # A batch begins with its first event, so it begins at this one or before.
        near = nlargest(_BATCHES_BEFORE, (place for place in places if place[0] <= event))
        near += nsmallest(_BATCHES_AFTER, (place for place in places if place[0] > event))

        names = [name for _, name in near]
        found = []
        for start in range(0, len(names), _BATCHES_AT_ONCE):
            chunk = names[start : start + _BATCHES_AT_ONCE]
            stored = self._connection.redis.hmget(key, chunk)
            found += [
                name
                for name, entries in zip(chunk, stored, strict=True)
                if entries and entry.encode() in entries.split()
            ]
        return found

    def _open_page(
        self, subscription: Subscription, limit: int, cursor: str | None, query: DeliveryQuery
    ) -> tuple[Rows, str | None]:
        number, score, delivery = _place(cursor, len(self._connection.shards))
        rows: Rows = []
        place, looked_at = None, 0
        for shard in self._connection.shards[number:]:
            for at, name, shown in self._open(shard, subscription, query, score, delivery):
                if len(rows) == limit or looked_at == _SCAN_LIMIT:
                    return rows, place
                looked_at += 1
                if shown is not None and query.takes(shown):
                    rows.append(shown)
                place = f"{_MARK}:{shard.number}:{at}:{name}"
            score, delivery = "", ""
        return rows, None

    def _open(
        self, shard: Shard, subscription: Subscription, query: DeliveryQuery, score: str, delivery: str
    ) -> Iterator[tuple[str, str, Row | None]]:
        """Yield score, name and row of deliveries after a place, from the queue and then from an index."""
        if query.status == "pending" and score in ("", _QUEUE):
            # Events that will form batches aren't deliveries yet.
            if subscription.batch_max == 1:
                yield from self._queued(shard, subscription.id, delivery)
            score, delivery = "", ""
        yield from self._indexed(shard, subscription, query.status or "", score or "+inf", delivery)

    def _queued(self, shard: Shard, subscription_id: str, after: str) -> Iterator[tuple[str, str, Row]]:
        key, newest = shard.subscription(subscription_id, "queue"), f"({after}" if after else "+"
        while found := self._connection.redis.xrevrange(key, newest, "-", count=_CHUNK):
            for entry, _ in found:
                name = entry.decode()
                yield (
                    _QUEUE,
                    name,
                    row(DeliveryPlace(subscription_id, shard.number, name), "pending", NOTHING),
                )
            newest = f"({found[-1][0].decode()}"

    def _indexed(
        self, shard: Shard, subscription: Subscription, status: str, score: str, delivery: str
    ) -> Iterator[tuple[str, str, Row | None]]:
        """Yield the same from an index, from the highest score."""
        client, key = self._connection.redis, shard.subscription(subscription.id, _INDEXES[status])
        start = 0
        while found := client.zrevrangebyscore(key, score, "-inf", start=start, num=_CHUNK, withscores=True):
            start += len(found)
            members = [(f"{at:.0f}", name.decode()) for name, at in found]
            left = [(at, name) for at, name in members if not delivery or at != score or name < delivery]
            for (at, name), shown in zip(left, self._rows(shard, subscription, status, left), strict=True):
                yield at, name, shown

    def _rows(
        self, shard: Shard, subscription: Subscription, status: str, found: list[tuple[str, str]]
    ) -> list[Row | None]:
        if not found:
            return []
        names = [name for _, name in found]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for part in ("state", "batches", "tests"):
            pipeline.hmget(shard.subscription(subscription.id, part), names)
        return [
            None
            if status == "pending" and subscription.batch_max > 1 and ":" not in name and not state
            else _open_row(
                DeliveryPlace(subscription.id, shard.number, name),
                status,
                state,
                batch,
                test,
                next_ms=int(at) if status == "retrying" else None,
                is_replayed=True,
            )
            for (at, name), state, batch, test in zip(found, *pipeline.execute(), strict=True)
        ]

    # Data from other places

    def _add_types(self, rows: Rows) -> None:
        """Add the types of single events that are still stored."""
        wanted: dict[int, dict[str, Row]] = {}
        for shown in rows:
            place = ids.event_place(shown["event_id"] or "")
            if place is not None and shown["event_type"] is None:
                wanted.setdefault(place.shard, {})[place.entry] = shown
        for number, by_entry in wanted.items():
            shard, pipeline = Shard(number), self._connection.redis.pipeline(transaction=False)
            for entry in by_entry:
                pipeline.xrange(shard.events, entry, entry)
            for (entry, shown), stored in zip(by_entry.items(), pipeline.execute(), strict=True):
                event = self._reader.read(shard, entry, stored[0][1].get(b"b")) if stored else None
                shown["event_type"] = event["type"] if event else None

    def _add_answers(self, subscription_id: str, rows: Rows, sees: Sees) -> None:
        """Add the targets' last answers to failed deliveries."""
        open_rows = [shown for shown in rows if shown["status"] in _INDEXES and shown["attempts"]]
        places = [(shown, _named(shown)) for shown in open_rows]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for _, (shard, name) in places:
            pipeline.hget(Shard(shard).subscription(subscription_id, "answers"), name)
        for (shown, _), stored in zip(places, pipeline.execute(), strict=True):
            add_answer(shown, stored, sees)


def _named(shown: Row) -> tuple[int, str]:
    place = delivery_place(shown["id"])
    assert place is not None
    return place.shard, place.name


def _open_row(
    place: DeliveryPlace,
    status: str,
    state: bytes | None,
    batch: bytes | None,
    test: bytes | None,
    *,
    next_ms: int | None,
    is_replayed: bool,
) -> Row | None:
    """Return a delivery that waits or is dead; None if it was settled meanwhile, or can't be read."""
    try:
        known = attempted(state or b"")
    except (ValueError, LookupError, TypeError, AttributeError):
        if status != "pending":
            return None
        # A first attempt would be in the queue.
        known = replace(NOTHING, by="replay" if is_replayed and ":" not in place.name else "")
    if test is not None:
        known = replace(known, mark=_mark_of_test(test))
    elif status == "pending":
        known = replace(known, mark="")  # it belongs to the previous attempt
    entries: Sequence[str] | None = batch.decode().split() if batch else None
    return row(place, status, known, entries=entries, next_ms=next_ms)


def _mark_of_test(test: bytes) -> str:
    try:
        return f"test {orjson.loads(test)['type']}"
    except (ValueError, LookupError, TypeError):
        return "test"


def _place(cursor: str | None, shards: int) -> tuple[int, str, str]:
    """Return the shard, score and delivery of a cursor; without one, the beginning."""
    if not cursor:
        return 0, "", ""
    mark, number, score, delivery = (*cursor.split(":", 3), "", "", "")[:4]
    is_score = score == _QUEUE or (score.isascii() and score.isdecimal())
    numbers = number.isascii() and number.isdecimal() and is_score
    if mark != _MARK or not numbers or int(number) >= shards or not ids.is_entry(delivery.partition(":")[0]):
        raise ValueError("cursor")
    return int(number), score, delivery
