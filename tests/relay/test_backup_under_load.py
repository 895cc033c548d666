"""A backup made while callbacks arrive is consistent: nothing in it is duplicated or missing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.callbacks.receiver import Receiver
from app.settings.table import load
from app.store import Store
from app.store.server.embedded import die_with_parent
from app.store.server.keys import Shard
from app.store.upkeep.backup import backup, restore
from app.store.upkeep.backup_cut import Cut, CutLost
from app.store.upkeep.backup_file import BackupError
from tests.harness import ROOT, Device, wait_for

pytestmark = pytest.mark.timeout(400)

KEY = "made-up-secret-key-of-a-backup-0123456789"
TOKEN = "0123456789abcdef0123456789abcdef"
SHARD = Shard(0)
_BEFORE, _WRITERS, _BULK = 60, 2, 3_000


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Return a function that creates separate embedded stores."""
    servers = []

    def begin(name: str) -> Store:
        settings = load({"RELAY_DATA_DIR": str(tmp_path / name), "RELAY_SECRET_KEY": KEY})
        environment = {"RELAY_DATA_DIR": str(settings.data_dir), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
        command = [sys.executable, "-m", "app", "store"]
        servers.append(subprocess.Popen(command, env=environment, preexec_fn=die_with_parent))
        store = Store(settings)
        wait_for(lambda: (settings.data_dir / "store" / "valkey.sock").exists(), 60)
        wait_for(lambda: answers(store), 60)
        store.admission.check()
        return store

    yield begin
    for server in servers:
        server.terminate()
        server.wait(30)


def answers(store: Store) -> bool:
    try:
        return bool(store.connection.redis.ping())
    except Exception:
        return False


def registered(store: Store, device_id: str = "DEV1") -> None:
    record = {
        "device_id": device_id,
        "gateway_url": None,
        "label": "Door",
        "serial_number": None,
        "mode": "native",
        "timezone": "UTC",
    }
    store.devices.register(record, {"auth_token": TOKEN, "security_key": None})


def send(receiver: Receiver, document: dict[str, Any]) -> None:
    receiver.receive(json.dumps(document).encode(), [], "http://relay")


def stored(store: Store) -> list[tuple[str, dict[str, Any]]]:
    """Return the entry and body of all stored events of devices."""
    rows = store.connection.redis.xrange(SHARD.events)
    bodies = [(entry.decode(), json.loads(fields[b"b"])) for entry, fields in rows]
    return [(entry, body) for entry, body in bodies if body["device_id"]]


def meaning(body: dict[str, Any]) -> str:
    """Return what an event is about. It doesn't change if the event is stored again."""
    return f"{body['type']} {body['operation_id']} {body.get('punch_id')} {body.get('revision')}"


def test_earlier_callbacks_are_duplicates_and_later_ones_are_accepted_after_a_restore(
    make: Callable[[str], Store], tmp_path: Path
) -> None:
    old, new = make("old"), make("new")
    registered(old)
    device = Device(None, "DEV1", TOKEN)  # type: ignore[arg-type]
    receiver = Receiver(old, None)
    sent: list[dict[str, Any]] = []
    lock, stop = threading.Lock(), threading.Event()

    def document(number: int) -> dict[str, Any]:
        with lock:
            if number % 10 == 3:
                made = device.envelope(SomethingNew={"Value": number})
            elif number % 10 == 7 and len(sent) > 20:  # the same punch with another value: its next revision
                log = {**sent[-15]["RealTime"].get("PunchLog", {}), "InputType": f"Kind{number}"}
                made = device.envelope(PunchLog=log) if "UserId" in log else device.punch(str(number % 5))
            else:
                made = device.punch(str(number % 5))
            return made

    def write(first: int) -> None:
        number = first
        while not stop.is_set():
            made = document(number)
            send(receiver, made)
            with lock:
                sent.append(made)
            number += _WRITERS
            time.sleep(0.02)  # repeated one by one at the end

    for number in range(_BEFORE):
        sent.append(document(number))
        send(receiver, sent[-1])
    pipeline = old.connection.redis.pipeline(transaction=False)
    for number in range(_BULK):  # so that copying takes a while
        pipeline.set(f"{{s0}}:blob:pho_{number:026}", "x" * 100)
    pipeline.execute()
    before = dict(stored(old))
    writers = [threading.Thread(target=write, args=(first,)) for first in range(_WRITERS)]
    for writer in writers:
        writer.start()
    try:
        wait_for(lambda: len(sent) > _BEFORE + 20, 60)
        acknowledged = {entry for entry, _ in stored(old)}
        backup(old.connection, tmp_path / "copy", old.past)
        meanwhile = len(stored(old))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    everything = dict(stored(old))
    assert meanwhile > len(acknowledged), "no callbacks arrived during the backup"

    restore(new.connection, tmp_path / "copy", new.past)
    copied = dict(stored(new))
    assert acknowledged <= copied.keys() and before.keys() <= copied.keys(), (
        "an acknowledged event is missing"
    )
    assert all(everything[entry] == body for entry, body in copied.items())
    for name in (SHARD.by_device("DEV1"), SHARD.by_type("attendance.punch")):
        assert {entry.decode() for entry, _ in new.connection.redis.xrange(name)} <= copied.keys()
    again = Receiver(new, None)
    for made in sent:
        send(again, made)
    found = stored(new)
    assert [entry for entry, _ in found][: len(copied)] == list(copied)
    senses = Counter(meaning(body) for _, body in found)
    copies = {meaning(body) for body in copied.values()}
    assert [what for what, count in senses.items() if count > 1 and what in copies] == [], (
        "an event got a second ID"
    )
    wanted = {made["RealTime"]["OperationID"] for made in sent}
    known = {body["operation_id"] for body in everything.values()}
    assert {body["operation_id"] for _, body in found} >= wanted & known, "a later callback was lost"
    assert old.connection.redis.ttl(SHARD.backup) > 0, (
        "changes are still recorded although the backup has ended"
    )


def test_a_delivery_that_moves_during_the_backup_is_not_missed(
    make: Callable[[str], Store], tmp_path: Path
) -> None:
    old, new = make("old"), make("new")
    client = old.connection.redis
    names = {part: SHARD.subscription("sub_1", part) for part in ("queue", "due", "retry", "dead", "batches")}
    entries = [client.xadd(SHARD.events, {"b": b"{}"}).decode() for _ in range(2_000)]
    for entry in entries[1:]:
        client.xadd(names["queue"], {"": ""}, id=entry)
    client.zadd(names["due"], {entries[0]: 1})
    client.hset("{g}:subscriptions", "sub_1", "{}")
    for number in range(200):  # further subscriptions, between which the backup looks for it
        client.zadd(SHARD.subscription(f"sub_0{number:04}", "due"), {"1-1": 1})
    stop = threading.Event()

    def move() -> None:
        """Move the first delivery to retry, dead and back, and batch the others, atomically like the scripts."""
        left = iter(entries[1:])
        while not stop.is_set():
            for source, target in pairwise(("due", "retry", "dead", "due")):
                pipeline = client.pipeline()
                pipeline.zrem(names[source], entries[0])
                pipeline.zadd(names[target], {entries[0]: 1})
                pipeline.execute()
            entry = next(left, None)
            if entry is not None:
                pipeline = client.pipeline()
                pipeline.xdel(names["queue"], entry)
                pipeline.hset(names["batches"], f"{entry}:bAAAAAA", entry)
                pipeline.zadd(names["due"], {f"{entry}:bAAAAAA": 1})
                pipeline.execute()

    mover = threading.Thread(target=move)
    wanted = set(entries)
    mover.start()
    try:
        wait_for(lambda: client.exists(names["batches"]), 60)
        for number in range(6):
            backup(old.connection, tmp_path / f"copy{number}", old.past)
    finally:
        stop.set()
        mover.join()
    for number in range(6):
        new.connection.redis.flushall()
        restore(new.connection, tmp_path / f"copy{number}", new.past)
        copy = new.connection.redis
        queued = {entry.decode() for entry, _ in copy.xrange(names["queue"])}
        for part in ("due", "retry", "dead"):
            for name in copy.zrange(names[part], 0, -1):
                queued |= set((copy.hget(names["batches"], name) or name).decode().split())
        assert queued == wanted, number


def test_a_delayed_backup_is_reported(make: Callable[[str], Store], tmp_path: Path) -> None:
    store = make("old")
    cut = Cut(store.connection)
    store.connection.redis.delete(SHARD.backup)
    with pytest.raises(CutLost):
        cut.read_changes()
    beginning = Cut.__init__

    def lost(self: Cut, connection: Any) -> None:
        beginning(self, connection)
        connection.redis.delete(SHARD.backup)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cut, "__init__", lost)
        with pytest.raises(BackupError, match="run it again"):
            backup(store.connection, tmp_path / "copy", store.past)
    assert not list(tmp_path.glob("copy*"))


def test_an_erased_person_is_not_left_in_the_changes_recorded_for_a_backup(
    make: Callable[[str], Store],
) -> None:
    store = make("old")
    cut = Cut(store.connection)
    assert store.connection.redis.exists(SHARD.backup)
    store.person_erasure.forget("made-up-7")
    assert not store.connection.redis.exists(SHARD.backup)
    with pytest.raises(CutLost):
        cut.read_changes()
