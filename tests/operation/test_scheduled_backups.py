"""Backups that the relay makes by itself: whole, in time, never at another file's cost, and never silently missing."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from app.base.loops import LOOPS
from app.health.backup_checks import backup_age, backup_details, backup_warnings, newest_backup
from app.run.up import _lock
from app.settings.table import load
from app.store import Store
from app.store.server.embedded import making_nothing
from app.store.server.keys import BACKUP_ORIGIN, BACKUPS
from app.store.upkeep import backup as copying
from app.store.upkeep.backup_file import head_of
from app.store.upkeep.backup_origin import backup_origin
from app.store.upkeep.backup_partial import partial_copy
from app.store.upkeep.backup_schedule import LOOP, BackupSchedule
from tests.harness import Relay, wait_for
from tests.relay.test_cli import Up
from tests.relay.test_rekey import cli

DAY = 86_400.0


class Clock:
    """Seconds since 1970, as a test says."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kept(relay: Relay) -> Iterator[Store]:
    store = Store(load(relay.environment))
    yield store
    store.connection.redis.delete(BACKUPS)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def prefix(kept: Store) -> str:
    """How names of an earlier version begin, which had no origin."""
    return f"cams-relay-{(kept.identity.store_id() or '')[:8]}-"


def put(kept: Store, folder: Path, at: float) -> Path:
    """A file that has the name of a backup made at a time."""
    path = (
        folder
        / f"{prefix(kept)}{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.backup"
    )
    path.write_text("made up")
    return path


def test_a_backup_is_made_when_one_is_due_and_the_newest_are_kept(kept: Store, tmp_path: Path) -> None:
    clock = Clock()
    schedule = BackupSchedule(kept, tmp_path, DAY, 2, clock)
    made = []
    for _ in range(4):
        path = schedule.turn()
        assert path is not None and head_of(path)["key_id"] == kept.vault.key_id
        assert path.stat().st_mode & 0o077 == 0
        made.append(path.name)
        assert schedule.turn() is None
        clock.now += DAY - 10
        assert schedule.turn() is None
        clock.now += 10
    assert names(tmp_path) == sorted(made[-2:])
    restarted = BackupSchedule(kept, tmp_path, 2 * DAY, 2, clock)
    assert restarted.turn() is None  # a restart alone makes none


def test_only_the_relays_own_files_of_this_store_are_removed(kept: Store, tmp_path: Path) -> None:
    store_id = kept.identity.store_id()
    assert store_id is not None
    other = "0" * 8 if store_id[:8] != "0" * 8 else "1" * 8
    prefix = f"cams-relay-{store_id[:8]}-"
    foreign = [
        f"cams-relay-{other}-20200101T000000Z-0000.backup",
        f"{prefix}20200101T000000Z-0000.backup.old",
        f"{prefix}20200101T000000Z.backup",
        f"my-{prefix}20200101T000000Z-0000.backup",
        "holiday.jpg",
    ]
    for name in foreign:
        (tmp_path / name).write_text("made up")
    (tmp_path / f"{prefix}20200101T000000Z-0001.backup").symlink_to(tmp_path / "holiday.jpg")
    (tmp_path / f"{prefix}20200101T000000Z-0002.backup").mkdir()
    for name in (f"{prefix}20200102T000000Z-0000.backup", f"{prefix}20200102T000000Z-0000.backup.partial"):
        (tmp_path / name).write_text("made up")  # an old one, and one that a kill has left
    before = set(names(tmp_path))
    made = BackupSchedule(kept, tmp_path, DAY, 1).turn()
    assert made is not None
    gone = before - set(names(tmp_path))
    assert gone == {
        f"{prefix}20200102T000000Z-0000.backup",
        f"{prefix}20200102T000000Z-0000.backup.partial",
    }


def test_a_backup_dated_ahead_neither_puts_off_the_next_nor_outlives_it(kept: Store, tmp_path: Path) -> None:
    clock = Clock()
    clock.now += 10 * DAY
    first = BackupSchedule(kept, tmp_path, DAY, 1, clock).turn()
    clock.now -= 10 * DAY
    schedule = BackupSchedule(kept, tmp_path, DAY, 1, clock)
    second = schedule.turn()
    assert first is not None and second is not None and names(tmp_path) == [second.name]
    assert schedule.turn() is None  # one is enough


def test_backups_dated_ahead_are_removed_before_genuine_ones_and_named(
    relay: Relay, kept: Store, tmp_path: Path
) -> None:
    clock = Clock()
    genuine = [put(kept, tmp_path, clock.now - days * DAY) for days in (1, 2, 3)]
    ahead = [put(kept, tmp_path, clock.now + days * DAY) for days in (300, 3_000)]
    made = BackupSchedule(kept, tmp_path, DAY, 4, clock).turn()
    assert made is not None and names(tmp_path) == sorted(path.name for path in (*genuine, made))
    planted = put(kept, tmp_path, clock.now + 300 * DAY)
    assert BackupSchedule(kept, tmp_path, DAY, 9, clock).turn() is None
    (sentence,) = [one for one in backup_details(kept) if "in the future" in one]
    assert planted.name in sentence and ahead[0].name not in sentence
    (shown,) = [one for one in relay.get("/health")["warnings"] if "in the future" in one]
    assert "1 backup is dated" in shown and str(tmp_path) not in shown


def test_the_files_of_another_user_stay(kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root can give a file away, so the answer of the system is made up."""
    clock, lstat = Clock(), Path.lstat
    theirs, ours = (put(kept, tmp_path, clock.now - days * DAY) for days in (2, 3))

    def as_if(self: Path) -> os.stat_result:
        fields = list(lstat(self))
        fields[4] += 12_345 if self == theirs else 0
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "lstat", as_if)
    made = BackupSchedule(kept, tmp_path, DAY, 1, clock).turn()
    assert made is not None and names(tmp_path) == sorted([theirs.name, made.name]) and not ours.exists()


def test_a_restored_copy_removes_no_backup_of_the_store_it_was_copied_from(
    kept: Store, tmp_path: Path
) -> None:
    clock = Clock()
    first = BackupSchedule(kept, tmp_path, DAY, 1, clock).turn()
    assert first is not None
    assert BACKUP_ORIGIN.encode() not in first.read_bytes()
    origin = kept.connection.redis.getdel(BACKUP_ORIGIN)
    try:
        copy = BackupSchedule(kept, tmp_path, DAY, 1, clock).turn()  # what a restored copy finds
        assert copy is not None and names(tmp_path) == sorted([first.name, copy.name])
    finally:
        kept.connection.redis.set(BACKUP_ORIGIN, origin)
    clock.now += DAY
    second = BackupSchedule(kept, tmp_path, DAY, 1, clock).turn()
    assert second is not None and names(tmp_path) == sorted([second.name, copy.name])


def test_a_copied_data_folder_has_another_origin(relay: Relay, kept: Store, tmp_path: Path) -> None:
    elsewhere = Store(load(relay.environment))
    assert backup_origin(elsewhere.connection) == backup_origin(kept.connection)
    elsewhere.connection.settings = replace(kept.settings, data_dir=tmp_path)
    same = kept.settings.redis_url is not None  # the store isn't in the folder then
    assert (backup_origin(elsewhere.connection) == backup_origin(kept.connection)) == same


def test_two_processes_make_one_backup_in_a_folder_at_a_time(kept: Store, tmp_path: Path) -> None:
    clock = Clock()
    schedule = BackupSchedule(kept, tmp_path, DAY, 1, clock)
    folder = schedule.folder()
    assert folder is not None
    with folder.locked():
        assert schedule.turn() is None and backup_details(kept) == []
    assert schedule.turn() is not None


def test_copies_that_a_kill_left_are_removed_before_the_next_and_none_that_is_being_written(
    kept: Store, tmp_path: Path
) -> None:
    clock = Clock()
    left = [
        put(kept, tmp_path, clock.now - 5).rename(
            tmp_path / f"{prefix(kept)}20260101T000000Z-0000.backup{end}"
        )
        for end in (".partial", ".0123456789abcdef.partial")
    ]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("made up")
    link = tmp_path / f"{prefix(kept)}20260101T000000Z-0001.backup.0123456789abcdef.partial"
    link.symlink_to(elsewhere)
    fifo = tmp_path / f"{prefix(kept)}20260101T000000Z-0002.backup.0123456789abcdef.partial"
    os.mkfifo(fifo)
    with partial_copy(tmp_path / f"{prefix(kept)}20260101T000000Z-0003.backup") as (_, written):
        made = BackupSchedule(kept, tmp_path, DAY, 1, clock).turn()
        assert made is not None and not any(path.exists() for path in left)
        assert written.exists() and link.is_symlink() and fifo.exists()


def test_a_process_that_is_killed_while_it_makes_a_backup_leaves_a_pause_and_a_report(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    class Killed(BaseException):
        """What no code of a killed process sees."""

    def killed(*_: object) -> None:
        raise Killed

    schedule = BackupSchedule(kept, tmp_path, DAY, 1, clock)
    for interrupted in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(copying, "_copy", killed)
            with pytest.raises(Killed):
                schedule.turn()
        schedule = BackupSchedule(kept, tmp_path, DAY, 1, clock)  # of the process that is started again
        assert schedule.turn() is None
        assert "killed or crashed" in backup_details(kept)[0]
        clock.now += 60 * interrupted - 1
        assert schedule.turn() is None
        clock.now += 1
    assert schedule.turn() is not None and backup_details(kept) == []


def test_a_backup_follows_no_link_and_takes_no_file_that_is_there_already(
    kept: Store, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("made up")
    (tmp_path / "copy.partial").symlink_to(elsewhere)
    copying.backup(kept.connection, tmp_path / "copy")
    assert elsewhere.read_text() == "made up" and head_of(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["copy", "copy.partial", "elsewhere"]


def test_old_backups_that_cannot_be_removed_are_reported_until_they_are(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    old = put(kept, tmp_path, clock.now - 2 * DAY)
    schedule = BackupSchedule(kept, tmp_path, DAY, 1, clock)
    unlink = Path.unlink

    def denied(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".backup":
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", denied)
        made = schedule.turn()
        assert made is not None and old.exists()
        assert schedule.turn() is None
    (sentence,) = backup_details(kept)
    assert (
        "can't be removed" in sentence and old.name in sentence and old.name not in backup_warnings(kept)[0]
    )
    assert schedule.turn() is None and backup_details(kept) == [] and names(tmp_path) == [made.name]


@pytest.mark.parametrize("error", [redis.ResponseError("WRONGTYPE made up"), KeyError("made up")])
def test_any_failure_is_reported_not_only_those_of_the_disk(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(copying, "_copy", fails)
        assert BackupSchedule(kept, tmp_path, DAY, 1, Clock()).turn() is None
    assert "Backups have failed since" in backup_details(kept)[0] and names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_reported_and_the_process_stays(relay: Relay, kept: Store) -> None:
    file = relay.folder / "not-a-folder"
    file.write_text("made up")
    with running(relay, "--to", str(file), "--every", "1d") as process:
        wait_for(lambda: backup_details(kept), 60)
        assert f"{file} is not a folder" in backup_details(kept)[0] and process.poll() is None
    assert file.read_text() == "made up"


@pytest.mark.parametrize(
    "fields",
    [
        {"at": True},
        {"at": 1e300},
        {"every": "1"},
        {"newest_at": "2026"},
        {"newest_at": -1e18},
        {"failing_since": []},
        {"error": 1},
        {"folder": None},
        {"began_at": {}},
        {"interrupted": None},
        {"ahead": "x"},
        {"ahead": [1]},
        {"unknown": 1},
    ],
)
def test_a_damaged_report_is_left_out(
    relay: Relay, kept: Store, tmp_path: Path, fields: dict[str, object]
) -> None:
    assert BackupSchedule(kept, tmp_path, DAY, 1).turn() is not None
    report = json.loads(kept.connection.redis.get(BACKUPS) or b"")
    kept.connection.redis.set(BACKUPS, json.dumps({**report, "error": "x", "failing_since": 1.0, **fields}))
    for asked in (backup_warnings, backup_details):
        assert asked(kept) == []
    assert newest_backup(kept) is None and backup_age(kept) is None
    assert relay.get("/health")["newest_backup_at"] is None


def test_a_report_of_an_earlier_version_is_read(kept: Store) -> None:
    now = time.time()
    fields = {"at": now, "folder": "/mnt", "every": DAY, "newest_at": now, "failing_since": None}
    kept.connection.redis.set(BACKUPS, json.dumps({**fields, "error": None}))
    assert backup_age(kept, now) == "The newest backup is 0 min old, in /mnt"


def test_each_backup_has_the_first_key_of_that_moment(relay: Relay) -> None:
    from_file = {name: value for name, value in relay.environment.items() if name != "RELAY_API_KEY"}
    store = Store(load(from_file))
    file = store.settings.data_dir / "api_key"
    with making_nothing():
        assert store.api_keys.first_record() is None and not store.api_keys.has_first
        seen = []
        try:
            for key in ("crk_made-up-one", "crk_made-up-two"):
                file.write_text(key)
                seen.append(store.api_keys.first_record())
        finally:
            file.unlink()
    assert None not in seen and seen[0] != seen[1]


def test_older_backups_stay_until_the_new_one_was_verified(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    schedule = BackupSchedule(kept, tmp_path, DAY, 1, clock)
    first = schedule.turn()
    assert first is not None
    clock.now += DAY
    write = copying._copy

    def damaged(connection: Any, file: Any, api_key: Any) -> int:
        count = write(connection, file, api_key)
        file.seek(-60, os.SEEK_END)
        file.write(b"made up")
        return count

    with monkeypatch.context() as patched:
        patched.setattr(copying, "_copy", damaged)
        assert schedule.turn() is None
    assert names(tmp_path) == [first.name]
    (warning,) = backup_details(kept)
    assert "checksum" in warning
    clock.now += DAY
    assert schedule.turn() is not None and backup_warnings(kept) == []


def test_a_failure_is_logged_once_a_minute_counted_and_shown_until_it_is_over(
    relay: Relay, kept: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, folder = Clock(), tmp_path / "disk"
    LOOPS.end(LOOP)  # a failure of another test would be in the same minute
    schedule = BackupSchedule(kept, folder, DAY, 3, clock)
    failures = schedule._loop.failures
    with caplog.at_level(logging.ERROR, "relay.loops"):
        for _ in range(4):
            assert schedule.turn() is None
    assert len([one for one in caplog.records if "backups" in one.getMessage()]) == 1
    assert schedule._loop.failures == failures + 4
    shown = relay.get("/health")
    assert [one for one in shown["problems"] if "Backups have failed since" in one]
    assert str(folder) not in str(shown) and shown["status"] == "ok"
    ran = subprocess.run(
        [sys.executable, "-m", "app", "doctor"],
        cwd=relay.folder,
        env=relay.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"the folder {folder} doesn't exist" in ran.stdout and ran.returncode == 1
    folder.mkdir()
    clock.now += 3_600
    assert schedule.turn() is not None
    shown = relay.get("/health")
    assert shown["newest_backup_at"] is not None
    assert not [one for one in shown["warnings"] if "Backups" in one]


def test_a_backup_that_would_fill_the_disk_is_not_begun(kept: Store, tmp_path: Path) -> None:
    clock = Clock()
    schedule = BackupSchedule(kept, tmp_path, DAY, 3, clock)
    first = schedule.turn()
    assert first is not None
    os.truncate(first, shutil.disk_usage(tmp_path).free)  # sparse
    clock.now += DAY
    assert schedule.turn() is None and names(tmp_path) == [first.name]
    assert "Free up space" in backup_details(kept)[0] and "Free up" not in backup_warnings(kept)[0]
    os.truncate(first, 1)
    clock.now += 30
    assert schedule.turn() is None and "Free up space" in backup_details(kept)[0]  # not again that soon
    clock.now += 30
    assert schedule.turn() is not None


def test_missing_and_late_backups_are_shown(relay: Relay, tmp_path: Path, kept: Store) -> None:
    wanted = Store(load({**relay.environment, "RELAY_BACKUP_TO": str(tmp_path), "RELAY_BACKUP_EVERY": "1h"}))
    assert "no process makes backups" in backup_warnings(wanted)[0]
    assert backup_warnings(kept) == []
    clock = Clock()
    assert BackupSchedule(wanted, tmp_path, 3_600, 3, clock).turn() is not None
    assert backup_warnings(wanted) == []
    (stopped,) = backup_warnings(wanted, clock.now + 3 * 3_600)
    assert "no process makes backups. The newest backup is 3 h old" in stopped
    assert backup_warnings(kept, clock.now + 3 * 3_600) == []  # they were turned off


def test_a_missing_folder_is_named_to_the_operator_only(relay: Relay, tmp_path: Path, kept: Store) -> None:
    folder = tmp_path / "not-there"
    wanted = Store(load({**relay.environment, "RELAY_BACKUP_TO": str(folder)}))
    for _ in range(2):
        (named,) = backup_details(wanted)
        assert (
            named.startswith(f"RELAY_BACKUP_TO={folder}: this folder doesn't exist") and "Create it" in named
        )
        (unnamed,) = backup_warnings(wanted)
        assert "folder in RELAY_BACKUP_TO doesn't exist" in unnamed and str(tmp_path) not in unnamed
        BackupSchedule(kept, tmp_path, 3_600, 3).turn()  # and once backups were made in another folder


def test_while_up_starts_no_process_is_said_to_be_missing(relay: Relay, tmp_path: Path, kept: Store) -> None:
    settings = load({**relay.environment, "RELAY_BACKUP_TO": str(tmp_path)})
    wanted, lock_file = Store(settings), settings.data_dir / "up.lock"
    lock_file.touch()
    try:
        os.utime(lock_file, (0, 0))
        assert "no process makes backups" in backup_warnings(wanted)[0]
        os.close(_lock(settings))
        assert backup_warnings(wanted) == backup_details(wanted) == []
        assert "no process makes backups" in backup_warnings(wanted, time.time() + 600)[0]
    finally:
        lock_file.unlink()


def test_one_backup_into_a_folder_removes_nothing_unless_told(relay: Relay, tmp_path: Path) -> None:
    for count in (1, 2, 3):
        assert "Saved to" in cli(relay, "backup", "--to", str(tmp_path))
        assert len(names(tmp_path)) == count
    cli(relay, "backup", "--to", str(tmp_path), "--keep", "1")
    assert len(names(tmp_path)) == 1
    assert head_of(next(tmp_path.iterdir()))
    cli(relay, "backup", "--to", str(tmp_path / "none"), status=1)
    cli(relay, "backup", "--to", str(tmp_path), "--every", "daily", status=2)
    cli(relay, "backup", "file", "--to", str(tmp_path), status=2)
    cli(relay, "backup", status=1)


@contextmanager
def running(relay: Relay, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "backup", *options], cwd=relay.folder, env=relay.environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_a_process_makes_backups_until_it_is_told_to_stop(relay: Relay, kept: Store, tmp_path: Path) -> None:
    with running(relay, "--to", str(tmp_path), "--every", "1d", "--keep", "3") as process:
        wait_for(lambda: any(name.endswith(".backup") for name in names(tmp_path)), 60)
        wait_for(lambda: relay.get("/health")["newest_backup_at"], 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(names(tmp_path)) == 1


def test_up_makes_backups_by_itself_and_one_restores(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    up = Up(tmp_path, "--no-simulator", RELAY_BACKUP_TO=str(folder), RELAY_BACKUP_EVERY="12h")
    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        assert f"Backups        {folder}" in up.text()
        wait_for(lambda: any(name.endswith(".backup") for name in names(folder)), 60)
        (made,) = folder.iterdir()
        doctor = subprocess.run(
            [sys.executable, "-m", "app", "doctor", "--json"],
            cwd=tmp_path,
            env=up.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        found = json.loads(doctor.stdout)
        (age,) = found["facts"]
        assert re.fullmatch(rf"The newest backup is \d+ min old, in {re.escape(str(folder))}\.", age), age
        assert not [one for one in found["problems"] if "ackup" in one]
    finally:
        up.stop()
    key = Path(up.environment["RELAY_DATA_DIR"]) / "secret_key"
    restored = subprocess.run(
        [sys.executable, "-m", "app", "restore", str(made), "--secret-key-file", str(key)],
        cwd=tmp_path,
        env={**up.environment, "RELAY_DATA_DIR": str(tmp_path / "new")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert restored.returncode == 0, restored.stderr
