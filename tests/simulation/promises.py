"""The promises that must hold at the end of every run, once everything works again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from app.base import ids
from app.store.server.codec import inflate
from app.store.server.keys import Shard
from app.store.spool.spool import Summary
from tests.simulation.actors import URLS
from tests.simulation.machines import BEHIND, Document, Key
from tests.simulation.stage import Stage
from tests.simulation.world import BEGINNING


def broken(stage: Stage) -> list[str]:
    """Return a sentence for each broken promise."""
    stage.world.end()
    found = [f"No process fails for good: {problem}" for problem in stage.world.problems]
    for promise in PROMISES:
        found += promise(stage)
    return found


def nothing_acknowledged_is_lost(stage: Stage) -> Iterator[str]:
    """Each acknowledged callback is in the store, or on disk and shown there."""
    world, stored_callbacks = stage.world, stage.world.stored_callbacks()
    missing = [name for name in world.ledger.owed if name not in stored_callbacks]
    summary = _summary(stage)
    shown = summary.waiting + summary.parked
    if len(missing) > shown + world.ledger.destroyed:
        yield f"Nothing acknowledged is lost: {', '.join(missing)}"
    elif len(missing) > shown and not summary.damaged:
        yield f"Nothing acknowledged is lost: of {', '.join(missing)} no damaged file is shown"


def _summary(stage: Stage) -> Summary:
    found = stage.summary()
    assert found is not None
    return found


def every_queue_empties(stage: Stage) -> Iterator[str]:
    """Once everything works again, no callback stays at a gateway or in the spool."""
    for machine in stage.world.machines.values():
        if machine.queue:
            yield f"Every queue empties: {len(machine.queue)} callbacks of {machine.device_id} are refused"
    summary = _summary(stage)
    if summary.waiting or summary.parked:
        yield f"Every queue empties: {summary.waiting} callbacks wait on disk, {summary.parked} are parked"


def no_event_comes_twice(stage: Stage) -> Iterator[str]:
    """A callback creates each of its events once, unless the store has lost its memory of it."""
    made: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for entry, event in stage.world.events():
        if event["operation_id"] and event["operation_id"] not in stage.world.ledger.lost:
            fields = ("operation_id", "type", "user_id", "credential_type", "credential_index")
            made[tuple(event.get(name) for name in fields)].append(entry)
    for what, entries in made.items():
        if len(entries) > 1:
            yield f"No event comes twice: {what[0]} {what[1]} {len(entries)} times"


def one_id_means_one_event(stage: Stage) -> Iterator[str]:
    """A webhook-id always stands for the same event."""
    if stage.world.ledger.store_losses:
        return
    bodies: dict[tuple[str, str], bytes] = {}
    for url, name, body in stage.world.targets.accepted:
        if bodies.setdefault((url, name), body) != body:
            yield f"One id means one event: {name} had two bodies"


def the_newest_wins(stage: Stage) -> Iterator[str]:
    """Punches, users and credentials end with their newest values, in any order of callbacks."""
    sent = list(stage.world.ledger.sent.values())
    ledger, stored_callbacks = stage.world.ledger, stage.world.stored_callbacks()
    owing = [one for name, one in ledger.owed.items() if name in stored_callbacks or not ledger.destroyed]
    owed = sorted(owing, key=lambda document: document.happened)
    least: dict[Key, int] = {}
    for document in owed:
        for key in _keys(sent):
            if document.says(key):
                least[key] = document.happened
    state = _State(stage)
    for key, since in least.items():
        right = {one.values.get(key) for one in sent if one.happened >= since and one.says(key)}
        actual = state.value(key)
        if actual not in right:
            shown = "one that is older" if actual else "none"
            yield f"The newest wins: {key} is {shown}, since {since} it should be another"


def _keys(documents: list[Document]) -> list[Key]:
    return list(dict.fromkeys(key for document in documents for key in document.values))


class _State:
    """The final punches, users and credentials in the relay."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._store = stage.administrator.store
        self._device = lru_cache(maxsize=None)(self._store.devices.refresh)
        self._punches: dict[str, dict[str, Any]] = {}
        for _, event in stage.world.events():
            if event["type"] == "attendance.punch":
                known = self._punches.get(event["punch_id"])
                if known is None or event["revision"] >= known["revision"]:
                    self._punches[event["punch_id"]] = event

    def value(self, key: Key) -> str | None:
        value: str | None = self._stage.administrator.run(self._value, key)
        return value

    def _value(self, key: Key) -> str | None:
        if key[0] == "punch":
            return self._punch(*key[1:])
        device = self._device(key[1])
        if device is None:
            return None
        if key[0] == "profile":
            known = self._store.users.known(device, key[2])
            name: str | None = known.profile.get("first_name")
            return name
        credential = self._store.users.credential(device, key[2], key[3], key[4])
        return credential["data"] if credential else None

    def _punch(self, device_id: str, user: str, instant: int, direction: str | None) -> str | None:
        """Return the temperature and type; of several punches, those of all."""
        moment = datetime.fromtimestamp(BEGINNING - BEHIND, UTC) - timedelta(hours=1 + instant)
        place = device_id, user, moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return ", ".join(
            f"{event['temperature_celsius']:.2f} {event['punch_type']}"
            for event in self._punches.values()
            if (event["device_id"], event["user_id"], event["occurred_at_utc"]) == place
            and direction in (None, event["direction"])
        )


def each_webhook_gets_every_event(stage: Stage) -> Iterator[str]:
    """Every event in the store reached each webhook that subscribes to it."""
    for subscription in stage.administrator.subscriptions():
        got = {event["id"] for event in stage.world.targets.events(subscription.target_url)}
        after = subscription.after.get("0", "0-0")
        wanted = [ids.event_id(0, entry) for entry, _ in stage.world.events() if _later(entry, after)]
        missing = [name for name in wanted if name not in got]
        if missing:
            yield f"Each webhook gets every event: {subscription.target_url} misses {len(missing)}"


def _later(entry: str, than: str) -> bool:
    return tuple(map(int, entry.split("-"))) > tuple(map(int, than.split("-")))


def every_replay_is_finished(stage: Stage) -> Iterator[str]:
    """A replay sends all its events, even if processes were killed meanwhile."""
    stored = {ids.event_id(0, entry) for entry, _ in stage.world.events()}
    for replay in stage.world.ledger.replays:
        later = {name for url, name, _ in stage.world.targets.accepted[replay.after :] if url == replay.url}
        missing = (replay.events & stored) - later
        if missing:
            yield f"Every replay is finished: {replay.url} misses {len(missing)} of {len(replay.events)}"


def strict_webhooks_keep_the_order(stage: Stage) -> Iterator[str]:
    """With one delivery at a time, events are first accepted in their order."""
    ledger = stage.world.ledger
    if ledger.store_losses or ledger.replays or stage.replayed:
        return
    seen: dict[str, None] = {}
    for url, name, _ in stage.world.targets.accepted:
        if url == URLS["strict"]:
            seen.setdefault(name)
    if list(seen) != sorted(seen):
        yield "Strict webhooks keep the order: an event overtook another"


def no_secret_is_told(stage: Stage) -> Iterator[str]:
    """No event, delivery or log line contains an AuthToken, PIN, card number or template."""
    world = stage.world
    secrets = {machine.token for machine in world.machines.values()}
    secrets |= {
        value
        for document in world.ledger.sent.values()
        for key, value in document.values.items()
        if key[0] == "credential"
    }
    outputs: dict[str, list[str]] = {
        "the log": world.output,
        "a delivery": [body.decode() for _, _, body in world.targets.accepted],
        "an event": list(_events_as_stored(stage)),
    }
    for where, texts in outputs.items():
        together = "\n".join(texts)
        if any(secret in together for secret in secrets):
            yield f"A secret was leaked: {where} contains one"


def _events_as_stored(stage: Stage) -> Iterator[str]:
    for _, fields in stage.world.server.admin.xrange(Shard(0).events):
        yield fields[b"b"].decode()
        if fields.get(b"r"):
            yield inflate(fields[b"r"]).decode()


PROMISES: tuple[Callable[[Stage], Iterator[str]], ...] = (
    nothing_acknowledged_is_lost,
    every_queue_empties,
    no_event_comes_twice,
    one_id_means_one_event,
    the_newest_wins,
    each_webhook_gets_every_event,
    every_replay_is_finished,
    strict_webhooks_keep_the_order,
    no_secret_is_told,
)
