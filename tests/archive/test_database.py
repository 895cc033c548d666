"""The archive's database is another one, or a process forks, while the relay runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from app.archive import Archive, ArchiveAway, ArchiveRefused, Position
from app.base.vault import Vault
from app.settings.archive import database_url
from app.settings.readers import HiddenValueError
from tests.archive.conftest import KEY, STORE
from tests.archive.test_archive import entries, event, write
from tests.harness import ROOT

BEGIN = Position("0-0", 0)


def test_a_deleted_file_is_made_again_and_not_written_to(tmp_path: Path) -> None:
    file = tmp_path / "archive.sqlite"
    archive = Archive(f"sqlite:///{file}", Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1)])
    for path in tmp_path.iterdir():
        path.unlink()
    assert entries(archive) == []
    assert not file.exists()
    with pytest.raises(ArchiveAway, match="no such table"):
        archive.position(STORE, 0)
    archive.claim(STORE)
    assert archive.position(STORE, 0) == BEGIN  # so everything in the store is archived again
    assert write(archive, [event(2)])
    assert entries(Archive(f"sqlite:///{file}", Vault(KEY))) == ["2-0"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_a_replaced_file_is_used(tmp_path: Path) -> None:
    file, other = tmp_path / "archive.sqlite", tmp_path / "other.sqlite"
    for path, number in ((other, 1), (file, 2)):
        archive = Archive(f"sqlite:///{path}", Vault(KEY))
        archive.claim(STORE)
        assert write(archive, [event(number)])
        if path == other:
            archive._database.close()
    for path in tmp_path.glob("archive.sqlite-*"):
        path.unlink()
    other.rename(file)
    assert entries(archive) == ["1-0"]
    assert archive.position(STORE, 0) == Position("1-0", 0)


def test_emptied_databases_get_tables_again(postgres_database: str) -> None:
    archive = Archive(postgres_database.replace("://", "+psycopg://"), Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1)])
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(ArchiveAway):
        archive.position(STORE, 0)
    archive.claim(STORE)
    assert write(archive, [event(2)])
    assert entries(archive) == ["2-0"]


def test_a_store_that_no_longer_owns_the_archive_does_not_write_it(url: str, archive: Archive) -> None:
    assert write(archive, [event(1)])
    Archive(url, Vault(KEY)).claim("1" * 32, accept=True)
    with pytest.raises(ArchiveRefused, match="accept-store"):
        write(archive, [event(2)])


def test_another_connection_does_not_end_the_locks_of_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'archive.sqlite'}"
    archives = [Archive(url, Vault(KEY)) for _ in range(2)]
    for archive in archives:
        archive.claim(STORE)
    inode = (tmp_path / "archive.sqlite").stat().st_ino
    locks = Path("/proc/locks").read_text().splitlines()
    assert any(f":{inode} " in line and str(os.getpid()) in line.split() for line in locks)


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    file = tmp_path / "a?b#%20" / "archive.sqlite"
    archive = Archive(f"sqlite:///{file}", Vault(KEY))
    archive.claim(STORE)
    assert file.exists()


def test_a_child_does_not_inherit_locks_of_sqlite(tmp_path: Path) -> None:
    archive = Archive(f"sqlite:///{tmp_path / 'archive.sqlite'}", Vault(KEY))
    archive.claim(STORE)
    began, end = threading.Event(), threading.Event()

    def write_for_a_while() -> None:
        with archive._database.writing():
            began.set()
            end.wait(20)

    thread = threading.Thread(target=write_for_a_while)
    thread.start()
    began.wait(20)
    threading.Timer(0.3, end.set).start()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # SQLite waits longer for another connection's lock
        os._exit(0 if write(archive, [event(1)]) else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert entries(archive) == ["1-0"]


def test_a_fork_does_not_wait_for_a_long_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archive.forks._WAIT_SECONDS", 0.2)
    archive = Archive(f"sqlite:///{tmp_path / 'archive.sqlite'}", Vault(KEY))
    archive.claim(STORE)
    began, end = threading.Event(), threading.Event()

    def write_until_told() -> None:
        with archive._database.writing() as connection:
            connection.exec_driver_sql("UPDATE relay_archive_owner SET number = 2")
            began.set()
            end.wait(60)

    thread = threading.Thread(target=write_until_told)
    thread.start()
    began.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:  # with the parent's locks, SQLite would damage the file
            archive.position(STORE, 0)
        except ArchiveAway:
            os._exit(0)
        os._exit(1)
    assert not end.is_set()
    assert thread.is_alive()
    assert os.waitpid(child, 0)[1] == 0
    end.set()
    thread.join()
    assert write(archive, [event(1)])
    with archive._database.reading() as connection:
        assert connection is not None
        assert connection.exec_driver_sql("SELECT number FROM relay_archive_owner").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_files_that_others_can_read_become_private(tmp_path: Path) -> None:
    file = tmp_path / "archive.sqlite"
    archive = Archive(f"sqlite:///{file}", Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1)])
    files = [file, tmp_path / "archive.sqlite-wal", tmp_path / "archive.sqlite-shm"]
    for path in files:
        path.chmod(0o664)
    assert entries(Archive(f"sqlite:///{file}", Vault(KEY))) == ["1-0"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600] * 3


_PROGRAM = """
import os, signal, sys, threading, time
from app.archive import Archive
from app.base.vault import Vault
from app.settings.archive import database_url
from app.settings.readers import HiddenValueError
archive = Archive(sys.argv[1], Vault("made-up-secret-key-for-tests-only-0123456789"))
archive.load()
threading.Thread(target=archive.claim, args=("0" * 32,), daemon=True).start()
time.sleep(0.05)
child = os.fork()
if child == 0:
    signal.alarm(30)
    archive.claim("0" * 32)
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_child_does_not_wait_for_the_imports_of_a_thread(url: str) -> None:
    """Without `load`, it waits forever."""
    names = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", _PROGRAM, url], env=names, check=True, timeout=120)


def test_a_locked_table_does_not_hold_up_the_relay_forever(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.archive.database._BUSY_SECONDS", 1)
    archive = Archive(postgres_database.replace("://", "+psycopg://"), Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1)])
    with psycopg.connect(postgres_database) as connection:
        connection.execute("LOCK TABLE relay_events, relay_positions")
        with pytest.raises(ArchiveAway, match="lock timeout"):
            entries(archive)
        with pytest.raises(ArchiveAway, match="lock timeout"):
            archive.forget(STORE, "7", None)
    assert entries(archive) == ["1-0"]


def test_a_slow_statement_ends(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archive.database._READ_SECONDS", 1)
    archive = Archive(postgres_database.replace("://", "+psycopg://"), Vault(KEY))
    archive.claim(STORE)
    with (
        pytest.raises(ArchiveAway, match="statement timeout"),
        archive._database.reading() as connection,
    ):
        assert connection is not None
        connection.exec_driver_sql("SELECT pg_sleep(20)")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://relay:my@secret@db/relay",  # an error would name the host secret@db
        "sqlite:///:memory:",
        "sqlite:///",
        "sqlite:////data/a.sqlite?mode=memory",
        "postgresql://db/",
    ],
)
def test_urls_that_would_mislead_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(HiddenValueError) as caught:
        database_url(text)
    assert "secret" not in str(caught.value)


def test_usual_urls_are_accepted() -> None:
    assert database_url("postgres://u:p%40ss@h/db?sslmode=require") == (
        "postgresql+psycopg://u:p%40ss@h/db?sslmode=require"
    )
    assert database_url("postgresql:///db?host=/run/postgresql") == (
        "postgresql+psycopg:///db?host=/run/postgresql"
    )
    assert database_url("sqlite:///data/archive.sqlite") == "sqlite:///data/archive.sqlite"
