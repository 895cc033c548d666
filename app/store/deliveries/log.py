"""The log of a subscription's attempts: its pages, and the position of a delivery in it."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from app.base import ids
from app.base.yielding import let_others_run
from app.store.deliveries.delivery_ids import DeliveryPlace, order, received_ms
from app.store.deliveries.rows import Attempted, Row, attempts_of, iso, row
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import Shard
from app.store.subscriptions.records import Subscription

_SCAN = 500
_SCAN_LIMIT = 5_000  # attempts that are read for a page
_WINDOW = 10_000  # attempts that are examined on each side of the expected position
_MARGIN_MS = 5_000
_PROBED = 50
_PROBES = 48
Fields = dict[bytes, bytes]
Entry = tuple[bytes, Fields]


class DeliveryLog:
    """Reads the attempts of subscriptions' deliveries."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._around_ms = int(connection.settings.delivery_timeout * 1000) + _MARGIN_MS

    def page(
        self,
        subscription_id: str,
        limit: int,
        cursor: str | None,
        status: str | None,
        since_ms: int = 0,
        until_ms: int | None = None,
    ) -> tuple[list[Row], str | None]:
        """Return deliveries with their attempts, latest activity first. The cursor is `shard:entry` of the log.

        It reads a limited part of the log, so a page may have fewer rows than `limit`, or none, and still a cursor.
        Raises ValueError for an invalid cursor.
        """
        shards = self._connection.shards
        newest = "+" if until_ms is None else str(until_ms)
        number, before = _place(cursor, len(shards))
        rows: list[Row] = []
        scanned, place = 0, None
        for shard in shards[number:]:
            seen: set[bytes] = set()  # a delivery that was replayed is there twice
            end = newest if before == "+" else f"({before}"
            while True:
                found = self._rows(shard, subscription_id, end, str(since_ms))
                for entry, delivery, shown in found:
                    if len(rows) == limit or scanned == _SCAN_LIMIT:
                        return rows, place
                    scanned += 1
                    place = f"{shard.number}:{entry}"
                    if shown is None or delivery in seen:
                        continue
                    seen.add(delivery)
                    if status in (None, shown["status"]):
                        rows.append(shown)
                if len(found) < _SCAN:
                    break
                end = f"({found[-1][0]}"
            before = "+"
        return rows, None

    def _rows(
        self, shard: Shard, subscription_id: str, newest: str, oldest: str
    ) -> list[tuple[str, bytes, Row | None]]:
        """Return log entries as rows; None for an attempt that a later one supersedes, or that can't be read."""
        client = self._connection.redis
        entries = client.xrevrange(shard.subscription(subscription_id, "log"), newest, oldest, count=_SCAN)
        open_ones = [fields[b"d"] for _, fields in entries if _is_open(fields)]
        state_key = shard.subscription(subscription_id, "state")
        states = dict(zip(open_ones, client.hmget(state_key, open_ones), strict=True)) if open_ones else {}
        rows: list[tuple[str, bytes, Row | None]] = []
        for entry, fields in entries:
            shown = None
            with left_out(f"attempts of subscription {subscription_id}"):
                superseded = _is_open(fields) and states[fields[b"d"]] != fields[b"h"]
                shown = None if superseded else _row(shard, subscription_id, (entry, fields))
            rows.append((entry.decode(), fields.get(b"d", b""), shown))
        return rows

    def of_event(self, subscription: Subscription, event_id: str) -> Row | None:
        """Return the state of an event's delivery; None if no attempt is found.

        It is searched for among the attempts after its receipt. After a replay, or with a long queue, it may be later
        in the log.
        """
        place = ids.event_place(event_id)
        if place is None or place.shard >= len(self._connection.shards):
            return None
        shard = self._connection.shards[place.shard]
        log = shard.subscription(subscription.id, "log")
        found: Entry | None = None
        for entry, fields in self._connection.redis.xrange(log, place.entry.partition("-")[0], count=_SCAN):
            delivery = fields[b"d"].decode()
            known = found[1][b"d"].decode() if found else ""
            # Batches follow each other: an event is in the last batch that begins before it.
            begins = ":b" in delivery and (order(known) if known else 0) <= order(delivery) <= order(
                place.entry
            )
            if delivery in (place.entry, known) or begins:
                found = entry, fields
        return _row(shard, subscription.id, found) if found else None

    # One delivery

    def find(self, place: DeliveryPlace, settled_ms: int | None) -> Row | None:
        """Return the row of a delivery that ended; None if it isn't found. `settled_ms` is when it ended, if known."""
        shard = self._connection.shards[place.shard]
        key, name = shard.subscription(place.subscription_id, "log"), place.name.encode()
        for entries in self._candidates(key, place.name, settled_ms):
            ended = [
                entry
                for entry in entries
                if entry[1].get(b"d") == name and entry[1].get(b"x") in (b"delivered", b"dropped")
            ]
            if ended:
                with left_out(f"attempts of subscription {place.subscription_id}"):
                    return _row(shard, place.subscription_id, max(ended, key=lambda entry: _ms(entry[0])))
        return None

    def _candidates(self, key: str, name: str, settled_ms: int | None) -> Iterator[list[Entry]]:
        """Yield parts of the log that may contain a delivery, the likeliest first."""
        client, received = self._connection.redis, received_ms(name)
        if settled_ms is not None:
            yield client.xrange(key, settled_ms, settled_ms)
        yield client.xrange(key, received, count=_SCAN)
        around = self._where_first_attempts_reach(key, name)
        for read, start, end in (
            (client.xrange, around, around + self._around_ms),
            (client.xrevrange, around, max(received, around - self._around_ms)),
        ):
            left, place = _WINDOW, str(start)
            while left > 0 and (found := read(key, place, end, count=_SCAN)):
                yield found
                left -= len(found)
                place = f"({found[-1][0].decode()}"
                let_others_run()

    def _where_first_attempts_reach(self, key: str, name: str) -> int:
        """Return about when (ms) the first attempt of an event received then was logged: they begin in order."""
        client, wanted, low = self._connection.redis, order(name), received_ms(name)
        newest = client.xrevrange(key, count=1)
        high = _ms(newest[0][0]) if newest else low
        for _ in range(_PROBES):
            if low >= high:
                break
            middle = (low + high) // 2
            probed = client.xrange(key, middle, count=_PROBED)
            first = next((entry for entry in probed if _is_first(entry[1])), None)
            if first is not None and order(first[1][b"d"].decode()) < wanted:
                low = max(middle, _ms(first[0])) + 1
            else:
                high = middle
        return low


def _row(shard: Shard, subscription_id: str, found: Entry) -> Row:
    entry, fields = found
    delivery, what = fields[b"d"].decode(), fields[b"x"].decode()
    log = orjson.loads(fields[b"h"])["log"] if fields.get(b"h") else []
    count = int(fields[b"n"])
    if not log and count:  # it succeeded at once
        error = fields[b"e"].decode() or None
        log = [[iso(_ms(entry)), int(fields[b"s"]), int(fields[b"t"]), error]]
    shown = row(
        DeliveryPlace(subscription_id, shard.number, delivery),
        {"retry": "retrying"}.get(what, what),
        Attempted(attempts_of(log), count, fields.get(b"g", b"").decode()),
        event_count=int(fields[b"c"]),
        next_ms=int(fields[b"w"]) if what == "retry" else None,
    )
    if what == "dropped":
        shown["error"] = fields[b"e"].decode() or None
    shown["last_attempt_at"] = iso(_ms(entry))
    return shown


def _place(cursor: str | None, shards: int) -> tuple[int, str]:
    number, _, before = (cursor or "0:+").partition(":")
    if not (number.isascii() and number.isdecimal()) or int(number) >= shards:
        raise ValueError("cursor")
    if before != "+" and not ids.is_entry(before):
        raise ValueError("cursor")
    return int(number), before


def _is_open(fields: Fields) -> bool:
    """Return whether an attempt in the log left its delivery waiting or dead."""
    return fields.get(b"x") in (b"retry", b"dead") and b"d" in fields


def _is_first(fields: Fields) -> bool:
    """Return whether it was the first attempt of a single event, and not a replay or a test."""
    return fields.get(b"n") == b"1" and b"g" not in fields and b":" not in fields.get(b"d", b":")


def _ms(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])
