"""A damaged event among others: each reader skips it, records it once, and reads the events after it."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
import pytest
import redis

from app.base import ids
from app.events.samples import sample
from app.settings.table import load
from app.store import Store
from app.store.deliveries.lists import DeliveryQuery
from app.store.events.query import Query
from app.store.server.codec import deflate
from app.store.server.keys import Shard
from app.store.subscriptions.records import Subscription
from tests.harness import Receiver, Relay, wait_for
from workers.delivery.log_lines import Live

SHARD = Shard(0)
PUNCH, PHOTO, COMMAND = "attendance.punch", "attendance.photo", "command.completed"
DAY = "attendance.day_changed"


class Placed(NamedTuple):
    """Three stored events of a made-up user and device. The second one is damaged."""

    store: Store
    user: str
    device: str
    before: str  # the newest entry before these
    entries: list[str]

    @property
    def readable(self) -> list[str]:
        return [self.entries[0], self.entries[2]]

    @property
    def damaged_id(self) -> str:
        return ids.event_id(0, self.entries[1])

    def entries_of(self, events: list[dict[str, Any]]) -> list[str]:
        """Return the entries of those events that belong to this user, oldest first."""
        found = [place.entry for event in events if (place := ids.event_place(event["id"])) is not None]
        return sorted(entry for entry in found if entry in self.entries)


# Kinds of damage, each with the type of the damaged event.
DAMAGES: dict[str, tuple[str, Callable[[dict[str, Any]], bytes]]] = {
    "no JSON": (PUNCH, lambda event: b"neither JSON nor deflated"),
    "no object": (PUNCH, lambda event: b"[]"),
    "a field is missing": (PUNCH, lambda event: orjson.dumps({**event, "occurred_at": None})),
    "a list for a text": (PUNCH, lambda event: orjson.dumps({**event, "user_id": [event["user_id"]]})),
    "no time": (PUNCH, lambda event: orjson.dumps({**event, "received_at": None})),
    "a text for a number": (PUNCH, lambda event: orjson.dumps({**event, "revision": "2"})),
    "a list for a number": (DAY, lambda event: orjson.dumps({**event, "worked_hours": []})),
    "a link that is none": (PHOTO, lambda event: orjson.dumps({**event, "photo_url": "none"})),
    "a list that no type needs": ("user.deleted", lambda event: orjson.dumps({**event, "user_id": ["2"]})),
    "a command without action": (COMMAND, lambda event: orjson.dumps({**event, "action": 7})),
}


def answers(store: Store) -> bool:
    """Return whether the store responds."""
    with suppress(redis.RedisError, OSError):
        return bool(store.connection.redis.ping())
    return False


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An embedded store that nothing else reads."""
    relay = Relay(tmp_path_factory.mktemp("relay"))
    try:
        relay.start("store")
        made = Store(load(relay.environment))
        wait_for(lambda: answers(made))
        assert made.admission.look()
        yield made
    finally:
        relay.stop()


def place(store: Store, damage: str) -> Placed:
    client, user, device = store.connection.redis, secrets.token_hex(4), f"DEV{secrets.token_hex(4)}"
    event_type, damaged = DAMAGES[damage]
    event = {**sample(event_type), "user_id": user, "device_id": device}
    del event["id"]
    if event_type == COMMAND:
        event["action"] = "add-user"
    before = store.events.last_entries()[0]
    entries = []
    for number in range(3):
        body = damaged(event) if number == 1 else orjson.dumps(event)
        entry = client.xadd(SHARD.events, {"b": body, "r": b""})
        for index in (SHARD.by_type(event_type), SHARD.by_user(user), SHARD.by_device(device)):
            client.xadd(index, {"": ""}, id=entry)
        entries.append(entry.decode())
    return Placed(store, user, device, before, entries)


# Readers, each of which returns the entries it has read


def page_of_the_user(placed: Placed) -> list[str]:
    return placed.entries_of(placed.store.events.page(Query(user_ids=(placed.user,)), 10).events)


def page_of_the_device(placed: Placed) -> list[str]:
    return placed.entries_of(placed.store.events.page(Query(device_ids=(placed.device,)), 10).events)


def page_of_everything(placed: Placed) -> list[str]:
    return placed.entries_of(placed.store.events.page(Query(), 10).events)


def all_of_the_user(placed: Placed) -> list[str]:
    return placed.entries_of(list(placed.store.events.all(Query(user_ids=(placed.user,)))))


def one_by_one(placed: Placed) -> list[str]:
    found = [placed.store.events.get(ids.event_id(0, entry)) for entry in placed.entries]
    return placed.entries_of([event for event in found if event is not None])


def history(placed: Placed) -> list[str]:
    return [found.entry for found in placed.store.events.history({0: placed.before})]


def stream(placed: Placed) -> list[str]:
    return [found.entry for found in placed.store.events.follow({0: placed.before}, 10)]


def subscription(placed: Placed) -> Subscription:
    fields = {
        "target_url": "http://127.0.0.1:9/",
        "events": ("*",),
        "device_ids": frozenset((placed.device,)),
        "user_ids": frozenset((placed.user,)),
        "punch_types": frozenset(),
        "command_ids": frozenset(),
        "format": "flat",
        "description": None,
        "max_in_flight": 1,
        "batch_max": 1,
        "batch_wait_ms": 500,
        "include_card_numbers": False,
        "headers": {},
    }
    return placed.store.subscriptions.create(fields, {0: "0-0"})


def deliveries(placed: Placed) -> list[str]:
    made, store = subscription(placed), placed.store
    store.connection.redis.zadd(SHARD.subscription(made.id, "due"), dict.fromkeys(placed.entries, 1))
    rows, _ = store.delivery_lists.page(made, 10, None, DeliveryQuery("pending"))
    return placed.entries_of([{"id": row["event_id"]} for row in rows if row["event_type"] is not None])


def due(placed: Placed, made: Subscription) -> list[str]:
    found = placed.store.connection.redis.zrange(SHARD.subscription(made.id, "due"), 0, -1)
    return [name.decode() for name in found]


def replay_of_a_range(placed: Placed) -> list[str]:
    made, store = subscription(placed), placed.store
    since = int(placed.entries[0].partition("-")[0])
    until = int(placed.entries[2].partition("-")[0])
    assert store.replays.count(made, since, until) == (2, True)
    replay_id = store.replays.begin(made.id, since, until)
    while store.replays.advance(made, replay_id, 1.0):
        pass
    return due(placed, made)


def what_was_missed_while_parked(placed: Placed) -> list[str]:
    made, store = subscription(placed), placed.store
    store.parked.note_unreadable(SHARD, made.id, placed.before)
    store.connection.redis.set(SHARD.fanout, placed.entries[2])
    assert store.parked.queue_missed(SHARD, made) == 2
    return due(placed, made)


def attendance(placed: Placed) -> list[str]:
    store, client = placed.store, placed.store.connection.redis
    while store.attendance_index.catch_up(10):
        pass
    # Both punches have the same time, for which the index has one entry: the newer one, after the damaged one.
    (key,) = client.scan_iter(match=SHARD.attendance_week(placed.user, 0)[:-1] + "*")
    newest = {value.decode().split()[0] for value in client.hvals(key)}
    assert client.hget(SHARD.attendance, "at").decode() >= placed.entries[2]
    return placed.readable if newest <= set(placed.readable) else sorted(newest)


def users_that_commands_put_there(placed: Placed) -> list[str]:
    placed.store.unknown_users.note_all_commands()
    client = placed.store.connection.redis
    assert client.smembers(SHARD.commanded(placed.device)) == {placed.user.encode()}
    assert client.hget(SHARD.attendance, "commands_at").decode() == placed.entries[2]
    return placed.readable


def export(placed: Placed) -> list[str]:
    found = placed.store.person_export.export(placed.user)
    assert found["unreadable_events"] == [placed.damaged_id]
    return placed.entries_of(found["events"])


def forget(placed: Placed) -> list[str]:
    on_device = placed.store.person_erasure.forget(placed.user, placed.device)
    assert any(name.startswith("events that can't be read, not erased") for name in on_device)
    everywhere = placed.store.person_erasure.forget(placed.user)
    assert everywhere["events that could not be read"] == 1
    client = placed.store.connection.redis
    assert not any(client.xrange(SHARD.events, entry, entry) for entry in placed.entries)
    assert not client.exists(SHARD.by_user(placed.user))
    return placed.readable if on_device["events"] == 2 else []


ANY_TYPE = (
    *(page_of_the_user, page_of_the_device, page_of_everything, all_of_the_user, one_by_one, history, stream),
    *(replay_of_a_range, what_was_missed_while_parked, deliveries, export, forget),
)


@pytest.mark.parametrize(
    ("reader", "damage"),
    [(reader, damage) for reader in ANY_TYPE for damage in DAMAGES]
    + [(attendance, damage) for damage, (event_type, _) in DAMAGES.items() if event_type == PUNCH]
    + [(users_that_commands_put_there, "a command without action")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_reader_only_skips_the_damaged_event(
    store: Store, caplog: pytest.LogCaptureFixture, reader: Callable[[Placed], list[str]], damage: str
) -> None:
    placed, (before, _) = place(store, damage), store.event_reader.noted()
    with caplog.at_level(logging.ERROR, "relay.store"):
        assert reader(placed) == placed.readable
        page_of_the_user(placed)  # another reader meets it again
    count, newest = store.event_reader.noted()
    assert (count, newest[0]) == (before + 1, placed.damaged_id)
    messages = [record.getMessage() for record in caplog.records if placed.damaged_id in record.getMessage()]
    assert len(messages) == 1, messages


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-5],
        lambda raw: b"\x01junk\xff\xff",
        lambda raw: deflate(b'{"cut'),
        lambda raw: b"an unknown mark",
    ],
    ids=["cut", "garbage", "no JSON", "an unknown mark"],
)
def test_a_damaged_body_of_the_gateway_is_not_shown(store: Store, damage: Callable[[bytes], bytes]) -> None:
    body = orjson.dumps({**sample(PUNCH), "id": None})
    raw = deflate(orjson.dumps({"RealTime": {"PunchLog": {"UserId": secrets.token_hex(20)}}}))
    entry = store.connection.redis.xadd(SHARD.events, {"b": body, "r": damage(raw)}).decode()
    event_id = ids.event_id(0, entry)
    assert store.events.raw(event_id) is None
    assert store.event_reader.noted()[1][0] == event_id
    assert store.events.get(event_id) is not None, "the event itself is shown"


def test_it_is_recorded_later_if_the_store_is_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    relay = Relay(tmp_path_factory.mktemp("relay"))
    try:
        relay.start("store")
        made = Store(load(relay.environment))
        wait_for(lambda: answers(made))
        placed = place(made, "no JSON")
        relay.kill("store")
        with pytest.raises((redis.RedisError, OSError)):
            made.event_reader.note(SHARD, placed.entries[1])
        relay.start("store")
        wait_for(lambda: answers(made))
        made.event_reader.note(SHARD, placed.entries[1])
        assert made.event_reader.noted() == (1, [placed.damaged_id])
    finally:
        relay.stop()


# Deliveries


def test_a_name_of_another_type_does_not_stop_the_lines_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Live(shown=True).event(0, "1-0", {**sample(PUNCH), "user_name": ["Asha"]})
    assert "['Asha']" in capsys.readouterr().out


def damage_second(relay: Relay) -> str:
    """Damage the second stored punch in place. Return its ID. The worker must not run."""
    store = Store(load(relay.environment))
    (_, second, _) = [event["id"] for event in relay.events(type=PUNCH)]
    place = ids.event_place(second)
    assert place is not None
    client = store.connection.redis
    rows = client.xrange(SHARD.events)
    with client.pipeline(transaction=True) as pipeline:
        pipeline.delete(SHARD.events)
        for entry, fields in rows:
            if entry.decode() == place.entry:
                fields = {**fields, b"b": fields[b"b"][:-9]}
            pipeline.xadd(SHARD.events, fields, id=entry)
        pipeline.execute()
    return second


@pytest.mark.parametrize("waiting", ["in the queue", "for a retry", "in a batch"])
def test_a_damaged_waiting_event_is_not_delivered_and_does_not_block_others(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, waiting: str
) -> None:
    may_answer = threading.Event()

    def none_at_first(_: Any) -> tuple[int, dict[str, str], bytes]:
        if waiting == "in the queue":
            may_answer.wait(60)
        return (200 if may_answer.is_set() else 500), {}, b""

    receiver.answer = none_at_first
    relay = Relay(tmp_path_factory.mktemp("relay"), RELAY_RETRY_SCHEDULE="1,1,1,1")
    try:
        relay.start("store", "web", "worker")
        device = relay.device()
        batch = {"batch_max": 3, "batch_wait_ms": 5_000} if waiting == "in a batch" else {}
        made = relay.subscribe(
            receiver, device, max_in_flight=1 if waiting == "in the queue" else 16, **batch
        )
        for _ in range(3):
            device.send_done(device.punch())
        store = Store(load(relay.environment))
        queue, first = SHARD.subscription(made["id"], "queue"), 3 if waiting == "for a retry" else 1
        receiver.wait(first, 30)
        newest = store.events.last_entries()[0].encode()
        wait_for(lambda: (store.connection.redis.get(SHARD.fanout) or b"") >= newest)
        assert store.connection.redis.xlen(queue) == (3 if waiting == "in the queue" else 0)
        relay.kill("worker")
        damaged = damage_second(relay)
        seen = len(receiver.accepted)
        may_answer.set()
        relay.start("worker")

        def delivered() -> list[str]:
            bodies = [got.json for got in receiver.accepted[seen:]]
            events = [event for body in bodies for event in (body if isinstance(body, list) else [body])]
            return list(dict.fromkeys(event["id"] for event in events))

        wanted = {event["id"] for event in relay.events(type=PUNCH)}
        assert len(wanted) == 2 and damaged not in wanted
        wait_for(lambda: set(delivered()) == wanted, 60)
        wait_for(lambda: store.event_reader.noted() == (1, [damaged]))
        parts = ("queue", "due", "retry", "dead")
        keys = [SHARD.subscription(made["id"], part) for part in parts]
        client = store.connection.redis
        wait_for(
            lambda: not any(client.xlen(keys[0]) if key == keys[0] else client.zcard(key) for key in keys)
        )
        assert relay.logs().count(f"event {damaged} can't be read") == 1
        assert "can't be put together" not in relay.logs()
    finally:
        may_answer.set()
        relay.stop()
