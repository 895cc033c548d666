"""The archive keeps each event once, whatever happens while it is written."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive import (
    Archive,
    ArchiveAway,
    ArchiveCannotHold,
    Archived,
    ArchivedPunch,
    ArchiveRefused,
    Position,
)
from app.archive.database import NEWEST
from app.archive.texts import as_read, written
from app.base.vault import Vault
from tests.archive.conftest import KEY, STORE

BEGIN = Position("0-0", 0)


def event(ms: int, sequence: int = 0, user: str | None = "7", name: str = "attendance.punch") -> Archived:
    body = f'{{"type":"{name}","device_id":"D1","user_id":"{user}","number":{ms}}}'.encode()
    return Archived(0, ms, sequence, name, "D1", user, body)


def punch(
    at: int, ms: int, sequence: int = 0, user: str = "7", direction: str | None = "in"
) -> ArchivedPunch:
    return ArchivedPunch(user, at, "D1", 1, ms, sequence, 19_800, direction)


def write(archive: Archive, events: list[Archived], punches: list[ArchivedPunch] | None = None) -> bool:
    after = archive.position(STORE, 0)
    return archive.write(STORE, 0, after, events[-1].entry, events, punches or [])


def entries(archive: Archive, below: str | None = None, **conditions: list[str]) -> list[str]:
    return [entry for entry, _ in archive.scan(STORE, 0, below, None, conditions)]


def test_events_are_read_as_they_were_written_newest_first(archive: Archive) -> None:
    some = [event(ms, sequence) for ms in range(1_000, 1_400) for sequence in (0, 1)]
    assert write(archive, some)
    found = list(archive.scan(STORE, 0, None, None, {}))
    assert found == [(one.entry, one.body) for one in reversed(some)]
    assert entries(archive, below="1001-1") == ["1001-0", "1000-1", "1000-0"]
    assert [entry for entry, _ in archive.scan(STORE, 0, None, 1_399, {})] == ["1399-1", "1399-0"]
    assert archive.get(STORE, 0, "1200-1") == event(1_200).body
    assert archive.get(STORE, 0, "1200-2") is None
    assert entries(archive, type=["device.silent"]) == []
    assert len(entries(archive, user_id=["7"], device_id=["D1"])) == 800


def test_a_batch_and_its_position_are_written_together_or_not_at_all(archive: Archive) -> None:
    assert archive.position(STORE, 0) == BEGIN
    assert archive.write(STORE, 0, BEGIN, "1-0", [event(1)], [])
    assert archive.position(STORE, 0) == Position("1-0", 0)
    assert not archive.write(STORE, 0, BEGIN, "2-0", [event(2)], [])  # another process was faster
    assert entries(archive) == ["1-0"]
    assert archive.write(STORE, 0, Position("1-0", 0), "3-0", [event(1), event(3)], [])  # one of them again
    assert entries(archive) == ["3-0", "1-0"]


def test_an_erasure_discards_a_batch_that_was_read_before(archive: Archive) -> None:
    assert write(archive, [event(1), event(2, user="8")], [punch(1, 1)])
    before = archive.position(STORE, 0)
    assert archive.forget(STORE, "7", None) == 1
    assert not archive.write(STORE, 0, before, "3-0", [event(3)], [])
    assert entries(archive) == ["2-0"]
    assert archive.people(STORE, 0, 10, 10) == set()
    assert archive.forget(STORE, "8", "D2") == 0
    assert archive.forget(STORE, "nobody", None, [(0, "2-0")]) == 1


def test_erased_rows_are_not_left_in_the_files(tmp_path: Path) -> None:
    archive = Archive(f"sqlite:///{tmp_path / 'archive.sqlite'}", Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1, user="a-made-up-person")], [punch(1, 1, user="a-made-up-person")])
    archive.forget(STORE, "a-made-up-person", None)
    files = sorted(tmp_path.iterdir())
    assert files
    for path in files:
        assert b"a-made-up-person" not in path.read_bytes(), path.name
        assert path.stat().st_mode & 0o077 == 0


def test_the_latest_revision_of_a_punch_counts(archive: Archive) -> None:
    assert write(archive, [event(1)], [punch(50, 5, direction="out"), punch(50, 1)])
    assert [one.direction for one in archive.marks(STORE, ["7"], 0, 100, 10)] == ["out"]
    assert write(archive, [event(2)], [punch(50, 4, direction=None)])
    assert [one.direction for one in archive.marks(STORE, ["7"], 0, 100, 10)] == ["out"]
    assert write(archive, [event(3)], [punch(50, 5, 1, direction=None)])
    (found,) = archive.marks(STORE, ["7", "8"], 50, 51, 6)
    assert found == punch(50, 5, 1, direction=None)
    assert archive.marks(STORE, ["7"], 51, 60, 6) == []
    assert archive.marks(STORE, ["7"], 50, 51, 5) == []
    assert archive.people(STORE, 50, 51, 6) == {("7", "D1")}


def test_old_events_are_removed_by_type(archive: Archive) -> None:
    some = [
        event(ms, name=name)
        for ms, name in ((1, "device.silent"), (2, "attendance.punch"), (3, "device.silent"))
    ]
    assert write(archive, some, [punch(2, 2)])
    assert archive.remove_older(STORE, 3, ["device.silent"], punches_too=False) == 1
    assert entries(archive) == ["3-0", "2-0"]
    assert archive.people(STORE, 0, 10, 10)
    assert archive.remove_older(STORE, 10, ["device.silent", "attendance.punch"], punches_too=True) == 2
    assert not archive.people(STORE, 0, 10, 10)


def test_the_content_is_encrypted_and_survives_a_change_of_the_key(url: str) -> None:
    archive = Archive(url, Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1)])
    new = "made-up-new-secret-key-for-tests-only-987654"
    other = Archive(url, Vault(new))
    assert list(other.scan(STORE, 0, None, None, {})) == [("1-0", None)]
    changed = Archive(url, Vault(new, KEY))
    assert changed.rekey() == (1, 0)
    assert changed.rekey() == (0, 0)
    assert write(changed, [event(2)])
    assert [body for _, body in Archive(url, Vault(new)).scan(STORE, 0, None, None, {})] == [
        event(2).body,
        event(1).body,
    ]
    assert [body for _, body in Archive(url, Vault(KEY)).scan(STORE, 0, None, None, {})] == [None, None]


def test_an_archive_of_another_store_is_neither_read_nor_written(url: str, archive: Archive) -> None:
    assert write(archive, [event(1)])
    other = Archive(url, Vault(KEY))
    with pytest.raises(ArchiveRefused, match="accept-store"):
        other.claim("1" * 32)
    with pytest.raises(ArchiveRefused, match="accept-store"):
        list(other.scan("1" * 32, 0, None, None, {}))
    other.claim("1" * 32, accept=True)
    assert [entry for entry, _ in other.scan("1" * 32, 0, None, None, {})] == ["1-0"]
    assert other.position("1" * 32, 0) == BEGIN


def test_reading_creates_nothing(tmp_path: Path) -> None:
    archive = Archive(f"sqlite:///{tmp_path / 'none' / 'archive.sqlite'}", Vault(KEY))
    assert list(archive.scan(STORE, 0, None, None, {})) == []
    assert archive.get(STORE, 0, "1-0") is None
    assert archive.marks(STORE, ["7"], 0, 10, 10) == []
    assert archive.rekey() == (0, 0)
    assert not (tmp_path / "none").exists()


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    archive = Archive("postgresql+psycopg://made_up:a-secret@127.0.0.1:1/none", Vault(KEY))
    with pytest.raises(ArchiveAway) as caught:
        archive.claim(STORE)
    assert "a-secret" not in str(caught.value)


def test_a_newer_version_of_the_tables_is_refused(url: str, archive: Archive) -> None:
    with archive._database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE relay_schema_version SET version_num = '{int(NEWEST) + 1}'")
    with pytest.raises(ArchiveRefused, match="newer version"):
        Archive(url, Vault(KEY)).claim(STORE)


def test_the_migrations_create_the_tables_that_the_program_uses(archive: Archive) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from app.archive.tables import VERSION_TABLE, metadata

    with archive._database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


@given(st.text(st.sampled_from("a0\x00\x7f"), max_size=6), st.text(st.sampled_from("a0\x00\x7f"), max_size=6))
def test_user_ids_have_a_form_without_nul(first: str, second: str) -> None:
    stored = [written(first), written(second)]
    assert [as_read(one) for one in stored] == [first, second]
    assert all("\0" not in (one or "") for one in stored)
    assert all((one == other) == (first == second) for one, other in pairwise(stored))


def test_values_that_the_database_can_never_hold_are_told_apart(url: str, archive: Archive) -> None:
    """A database that is away is tried again. With such an event, nothing later would be archived."""
    unusual = [event(1)._replace(user_id="\ud800"), event(2**64)]
    if not url.startswith("sqlite"):  # an index of PostgreSQL holds 2.7 kB
        unusual.append(event(1, user="".join(map(str, range(9_000)))))
    for one in unusual:
        with pytest.raises(ArchiveCannotHold):
            archive.write(STORE, 0, archive.position(STORE, 0), "1-0", [one], [])


def test_a_store_with_a_new_secret_key_goes_on_with_the_archive(url: str, archive: Archive) -> None:
    assert write(archive, [event(1)])
    new = Archive(url, Vault("made-up-new-secret-key-for-tests-only-987654"))
    assert write(new, [event(2)])
    assert [body for _, body in new.scan(STORE, 0, None, None, {})] == [event(2).body, None]
    # A lost key doesn't keep the others from being encrypted again.
    newest = "made-up-newest-secret-key-for-tests-only-5555"
    assert Archive(url, Vault(newest, "made-up-new-secret-key-for-tests-only-987654")).rekey() == (1, 1)
    assert Archive(url, Vault(newest)).get(STORE, 0, "2-0") == event(2).body


def test_several_processes_begin_at_the_same_time(url: str) -> None:
    start = Barrier(4)

    def begin(_: int) -> bool:
        archive = Archive(url, Vault(KEY))
        start.wait(20)
        archive.claim(STORE)
        archive.position(STORE, 0)
        return archive.write(STORE, 0, BEGIN, "1-0", [event(1)], [])

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(begin, range(4))) == 1
    assert len(entries(Archive(url, Vault(KEY)))) == 1


def test_an_erasure_says_so_if_a_reader_keeps_erased_rows_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.archive.database._BUSY_SECONDS", 0.2)
    file = tmp_path / "archive.sqlite"
    archive = Archive(f"sqlite:///{file}", Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1, user="a-made-up-person")])
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM relay_events").fetchall()
        with pytest.raises(ArchiveAway, match="another program"):
            archive.forget(STORE, "a-made-up-person", None)
    archive.forget(STORE, "a-made-up-person", None)
    assert not any(b"a-made-up-person" in path.read_bytes() for path in tmp_path.iterdir())


def test_events_are_found_before_the_store_has_a_position_in_the_archive(archive: Archive, url: str) -> None:
    other = "1" * 32
    after = archive.position(STORE, 3)
    assert archive.write(STORE, 3, after, "1-0", [event(1)._replace(shard=3)], [])
    new = Archive(url, Vault(KEY))
    new.claim(other, accept=True)
    assert [entry for _, entry, _ in new.of_person(other, "7", None)] == ["1-0"]
    assert new.remove_older(other, 2, ["attendance.punch"], punches_too=True) == 1
