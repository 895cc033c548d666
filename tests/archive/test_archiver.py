"""Events reach the archive once, whatever fails: kills, a full disk, a database that is away or restored."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.archive import ArchiveAway, ArchiveRefused
from app.archive.archive import Archive
from app.archive.database import ArchiveCannotHold
from app.events.samples import sample
from app.health.archive_checks import archive_details, archive_warnings
from app.health.findings import problems
from app.settings.table import load
from app.store import Store
from app.store.events.query import Query
from app.store.server.keys import DOUBTED, STORE, Shard
from app.store.upkeep.backup import backup, restore
from app.store.upkeep.backup_file import BackupError
from app.web.application import create_app
from tests.harness import API_KEY, ROOT
from tests.stores import Server
from workers.rq.archiving import Archiving
from workers.rq.removal import remove_all_old, remove_older

SHARD = Shard(0)
KEY = "made-up-secret-key-for-tests-only-0123456789"


def environment(server: Server, folder: Path, database: str | None = None, **more: str) -> dict[str, str]:
    return {
        "REDIS_URL": server.url,
        "RELAY_SECRET_KEY": KEY,
        "RELAY_DATA_DIR": str(folder),
        "RELAY_SHARDS": "1",
        "DATABASE_URL": database or f"sqlite:///{folder / 'archive.sqlite'}",
        **more,
    }


@pytest.fixture
def kept(server: Server, tmp_path: Path) -> Store:
    made = Store(load(environment(server, tmp_path / "data")))
    made.connection.redis.set(STORE, "0" * 32)
    return made


def add(kept: Store, count: int, user: str = "7") -> None:
    """Add events of a user to the stream."""
    pipeline = kept.connection.redis.pipeline(transaction=False)
    at = "2026-11-30T00:00:00.000Z"
    event = {
        "type": "device.silent",
        "device_id": "D1",
        "user_id": user,
        "received_at": at,
        "occurred_at": at,
    }
    body = orjson.dumps(event)
    for _ in range(count):
        pipeline.xadd(SHARD.events, {"b": body})
    pipeline.execute()


def remove_old(kept: Store) -> None:
    """Remove from the store what is older than its newest event. Without one, the upkeep would doubt the clock."""
    time.sleep(0.01)
    add(kept, 1)
    remove_older(kept, int(stored(kept)[-1].partition("-")[0]))


def archive_all(kept: Store) -> None:
    while kept.archiver.advance():
        pass


def stored(kept: Store) -> list[str]:
    return [entry.decode() for entry, _ in kept.connection.redis.xrange(SHARD.events)]


def archived(kept: Store) -> list[str]:
    opened = kept.past.opened()
    assert opened is not None
    archive, store_id = opened
    return sorted(
        (entry for entry, _ in archive.scan(store_id, 0, None, None, {})),
        key=lambda entry: [int(part) for part in entry.split("-")],
    )


def shown(kept: Store) -> list[str]:
    return [event["id"] for event in kept.events.all(Query())]


def test_what_is_removed_from_the_store_is_in_the_archive(kept: Store) -> None:
    add(kept, 2_500)
    everything = stored(kept)
    before = shown(kept)
    kept.archiver.advance(batches=1)
    remove_old(kept)  # also archives the rest
    assert len(stored(kept)) == 1
    assert archived(kept) == [*everything, *stored(kept)]
    assert shown(kept)[1:] == before
    before = shown(kept)
    page = kept.events.page(Query(), 1_000)
    rest = kept.events.page(Query(), 5_000, page.next_cursor)
    assert [event["id"] for event in page.events + rest.events] == before


@pytest.mark.parametrize("damage", ["PING", f"SET {DOUBTED} made-up", f"HSET {DOUBTED} made up"])
def test_a_clock_that_jumps_years_ahead_removes_nothing_for_a_day(kept: Store, damage: str) -> None:
    kept.connection.redis.execute_command(*damage.split())  # a damaged count of doubts starts again
    add(kept, 10)
    archive_all(kept)
    everything = archived(kept)
    kept.audit.record("key_first", "device.registered", device_id="D1")
    jumped = time.time() + 4 * 365 * 86_400
    for _ in range(24):  # it runs each hour
        remove_all_old(kept, jumped)
    assert archived(kept) == stored(kept) == everything
    assert kept.audit.page(10)[0]

    remove_all_old(kept, jumped)  # nobody has corrected the clock, so it is probably right
    assert archived(kept) == stored(kept) == []
    assert not kept.audit.page(10)[0]


def test_nothing_is_removed_from_the_store_that_could_not_be_archived(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(kept, 10)
    everything = stored(kept)
    monkeypatch.setattr(Archive, "write", away)
    remove_old(kept)
    assert stored(kept)[:-1] == everything
    monkeypatch.setattr(Archive, "positions", away)
    remove_old(kept)
    assert stored(kept)[:-2] == everything
    monkeypatch.undo()
    remove_old(kept)
    assert len(stored(kept)) == 1 and archived(kept)[:10] == everything


def away(*_: Any, **__: Any) -> Any:
    raise ArchiveAway("made up: the disk is full")


def test_a_database_that_is_away_is_reported_and_caught_up(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Archiving(kept, lambda: True)
    add(kept, 3)
    loop.turn()
    assert archive_warnings(kept) == []
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "write", away)
        add(kept, 3)
        assert loop.turn() > 1
        assert archive_warnings(kept) == []  # it may only be restarting
        later = time.time() + 3_600
        (warning,) = problems(archive_warnings(kept, later))
        assert "made up" not in warning and "stay in the store" in warning
        (detail,) = problems(archive_details(kept, later))
        assert "the disk is full" in detail
    loop.turn()
    assert archive_warnings(kept) == []
    assert archived(kept) == stored(kept)
    (stopped,) = problems(archive_warnings(kept, time.time() + 3_600))
    assert "No worker" in stopped


def test_a_page_ends_with_the_stores_last_event_if_the_archive_is_away(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(kept, 5)
    monkeypatch.setattr(Archive, "scan", away)
    page = kept.events.page(Query(), 50)
    assert len(page.events) == 5 and page.next_cursor == page.events[-1]["id"]
    with pytest.raises(ArchiveAway):
        kept.events.page(Query(), 50, page.next_cursor)
    assert len(kept.events.page(Query(since=int(time.time() * 1000) - 60_000), 50).events) == 5


def test_a_restored_older_database_is_brought_up_to_date(kept: Store, tmp_path: Path) -> None:
    file, copy = tmp_path / "data" / "archive.sqlite", tmp_path / "copy.sqlite"
    add(kept, 5)
    kept.archiver.advance()
    assert kept.past.archive is not None
    kept.past.archive._database.close()
    shutil.copy(file, copy)
    add(kept, 5)
    kept.archiver.advance()
    kept.past.archive._database.close()
    for path in file.parent.glob("archive.sqlite-*"):
        path.unlink()
    shutil.copy(copy, file)
    add(kept, 1)
    archive_all(kept)
    assert archived(kept) == stored(kept)


def test_values_that_the_database_refuses_leave_out_only_their_event(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(kept, 20)
    refused = stored(kept)[13]
    write = Archive.write

    def picky(self: Archive, *args: Any) -> bool:
        if any(event.entry == refused for event in args[4]):
            raise ArchiveCannotHold("made up")
        return write(self, *args)

    monkeypatch.setattr(Archive, "write", picky)
    kept.archiver.advance()
    assert archived(kept) == [entry for entry in stored(kept) if entry != refused]
    assert kept.event_reader.noted()[0] == 1
    add(kept, 1)
    kept.archiver.advance()
    assert archived(kept)[-1] == stored(kept)[-1]


def test_types_without_days_are_not_archived(server: Server, tmp_path: Path) -> None:
    days = {"RELAY_ARCHIVE_DAYS": "100,device.*=0"}
    kept = Store(load(environment(server, tmp_path / "data", **days)))
    kept.connection.redis.set(STORE, "0" * 32)
    add(kept, 3)
    kept.archiver.advance()
    assert archived(kept) == []
    remove_old(kept)
    assert len(stored(kept)) == 1


def test_an_archive_of_another_store_is_a_problem_and_stays_as_it_is(kept: Store) -> None:
    add(kept, 3)
    kept.archiver.advance()
    other = Store(kept.settings)
    kept.connection.redis.set(STORE, "1" * 32)
    with pytest.raises(ArchiveRefused):
        other.archiver.advance()
    with pytest.raises(ArchiveRefused):
        other.person_erasure.forget("7")
    assert len(stored(other)) == 3


_PROGRAM = """
from app.settings.table import load
from app.store import Store
store = Store(load())
while True:
    store.archiver.advance(batches=1)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kills_neither_lose_nor_double_events(
    request: pytest.FixtureRequest, server: Server, tmp_path: Path, database: str
) -> None:
    url = request.getfixturevalue("postgres_database") if database == "postgresql" else None
    names = environment(server, tmp_path / "data", url)
    kept = Store(load(names))
    kept.connection.redis.set(STORE, "2" * 32)
    assert kept.past.archive is not None
    kept.past.archive.claim("2" * 32, accept=True)
    randomly = random.Random(20261130)
    for _ in range(8):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], env={**names, "PYTHONPATH": str(ROOT)}, cwd=tmp_path
            )
            for _ in range(2)
        ]
        add(kept, 2_000)
        time.sleep(randomly.uniform(0.5, 2.0))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    archive_all(kept)
    assert archived(kept) == stored(kept)
    assert len(stored(kept)) == 16_000


def test_a_backup_contains_what_only_the_archive_has(kept: Store, server: Server, tmp_path: Path) -> None:
    add(kept, 1_200)
    remove_old(kept)
    add(kept, 9)
    kept.archiver.advance()
    before = shown(kept)
    assert len(before) == 1_210 and len(stored(kept)) < 20
    backup(kept.connection, tmp_path / "backup", kept.past)
    kept.connection.redis.flushall()

    without = Store(load(environment(server, tmp_path / "none", RELAY_ARCHIVE_DAYS="0")))
    restore(without.connection, tmp_path / "backup", without.past)
    assert len(shown(without)) < 20
    kept.connection.redis.flushall()

    new = Store(load(environment(server, tmp_path / "new")))
    restore(new.connection, tmp_path / "backup", new.past)
    assert shown(new) == before
    new.archiver.advance()
    assert len(archived(new)) == 1_210
    assert shown(new) == before


def test_a_backup_with_an_archive_is_not_restored_without_one_by_mistake(
    kept: Store, server: Server, tmp_path: Path
) -> None:
    add(kept, 3)
    kept.archiver.advance()
    backup(kept.connection, tmp_path / "needless", kept.past)
    remove_old(kept)
    backup(kept.connection, tmp_path / "backup", kept.past)
    kept.connection.redis.flushall()
    names = environment(server, tmp_path / "new")
    del names["DATABASE_URL"]
    new = Store(load(names))
    with pytest.raises(BackupError, match="DATABASE_URL"):
        restore(new.connection, tmp_path / "backup", new.past)
    assert not new.connection.redis.dbsize()
    restore(new.connection, tmp_path / "needless", new.past)  # the store has all of its events
    assert len(stored(new)) == 3


def test_an_erased_person_does_not_come_back_from_a_batch_read_before(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(kept, 5, user="7")
    add(kept, 5, user="8")
    for entry in stored(kept)[:5]:
        kept.connection.redis.xadd(SHARD.by_user("7"), {"": ""}, id=entry)
    write = Archive.write

    def late(self: Archive, *args: Any) -> bool:
        monkeypatch.setattr(Archive, "write", write)
        kept.person_erasure.forget("7")
        return write(self, *args)

    monkeypatch.setattr(Archive, "write", late)
    kept.archiver.advance()
    kept.archiver.advance()
    assert len(archived(kept)) == 5
    assert {event["user_id"] for event in kept.events.all(Query())} == {"8"}


def test_the_api_takes_for_stored_only_what_can_be_delivered(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"RELAY_API_KEY": API_KEY, "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8"}
    client = create_app(load(environment(server, tmp_path / "data", **more))).test_client()
    kept: Store = client.application.extensions["store"]
    kept.connection.redis.set(STORE, "0" * 32)
    event = {name: value for name, value in sample("user.deleted").items() if name != "id"}
    kept.connection.redis.xadd(SHARD.events, {"b": orjson.dumps(event), "r": b""})
    (event_id,) = shown(kept)
    remove_old(kept)
    assert len(stored(kept)) == 1
    headers = {"Authorization": f"Bearer {API_KEY}"}
    assert client.get(f"/v1/events/{event_id}", headers=headers).status_code == 200
    body = {"target_url": "http://127.0.0.1:9/hook", "event_types": ["*"]}
    subscription = client.post("/v1/subscriptions", headers=headers, json=body).json["id"]
    replay = client.post(
        f"/v1/subscriptions/{subscription}/replay", headers=headers, json={"event_ids": [event_id]}
    )
    assert replay.status_code == 422 and "has been removed" in replay.text
    monkeypatch.setattr(Archive, "scan", away)
    samples = client.get("/v1/events/samples?type=user.deleted", headers=headers)
    assert (samples.status_code, len(samples.json)) == (200, 1)


def test_a_page_ends_if_the_archive_can_no_longer_be_decrypted(
    kept: Store, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise read all of the archive, which may be millions of events."""
    monkeypatch.setattr("app.store.events.reading._SCAN_LIMIT", 20)
    add(kept, 50)
    remove_old(kept)
    changed = environment(
        server, tmp_path / "data", RELAY_SECRET_KEY="made-up-other-key-for-tests-only-9876543"
    )
    other = Store(load(changed))
    events, cursors = [], []
    page = other.events.page(Query(), 10)
    while page.next_cursor is not None:
        cursors.append(page.next_cursor)
        events += page.events
        page = other.events.page(Query(), 10, page.next_cursor)
    assert len(events) == 1  # the store's
    assert len(cursors) == len(set(cursors)) == 2
