"""Automatic backups are complete and on time, never replace other files, and are never silently missing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.health.backup_checks import backup_details, backup_warnings
from app.settings.table import load
from app.store import Store
from app.store.server.embedded import making_nothing
from app.store.server.keys import BACKUP_ORIGIN
from app.store.upkeep import backup as copying
from app.store.upkeep.backup_file import head_of
from app.store.upkeep.backup_origin import backup_origin
from app.store.upkeep.backup_partial import partial_copy
from app.store.upkeep.backup_schedule import BackupSchedule
from tests.clocks import Clock
from tests.command_line import Up, cli
from tests.harness import Relay, wait_for
from tests.operation.backups import DAY, names, prefix, put, running


def test_a_backup_is_made_when_one_is_due_and_the_newest_are_kept(relay_store: Store, tmp_path: Path) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, tmp_path, DAY, 2, clock)
    made = []
    for _ in range(4):
        path = schedule.turn()
        assert path is not None and head_of(path)["key_id"] == relay_store.vault.key_id
        assert path.stat().st_mode & 0o077 == 0
        made.append(path.name)
        assert schedule.turn() is None
        clock.now += DAY - 10
        assert schedule.turn() is None
        clock.now += 10
    assert names(tmp_path) == sorted(made[-2:])
    restarted = BackupSchedule(relay_store, tmp_path, 2 * DAY, 2, clock)
    assert restarted.turn() is None  # a restart alone doesn't make a backup


def test_only_the_relays_own_files_of_this_store_are_removed(relay_store: Store, tmp_path: Path) -> None:
    store_id = relay_store.identity.store_id()
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
        (tmp_path / name).write_text("made up")  # an old backup, and one left by a killed process
    before = set(names(tmp_path))
    made = BackupSchedule(relay_store, tmp_path, DAY, 1).turn()
    assert made is not None
    gone = before - set(names(tmp_path))
    assert gone == {
        f"{prefix}20200102T000000Z-0000.backup",
        f"{prefix}20200102T000000Z-0000.backup.partial",
    }


def test_a_backup_dated_in_the_future_does_not_delay_or_outlive_the_next(
    relay_store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    clock.now += 10 * DAY
    first = BackupSchedule(relay_store, tmp_path, DAY, 1, clock).turn()
    clock.now -= 10 * DAY
    schedule = BackupSchedule(relay_store, tmp_path, DAY, 1, clock)
    second = schedule.turn()
    assert first is not None and second is not None and names(tmp_path) == [second.name]
    assert schedule.turn() is None  # no second backup is made


def test_backups_dated_in_the_future_are_removed_first_and_reported(
    relay: Relay, relay_store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    genuine = [put(relay_store, tmp_path, clock.now - days * DAY) for days in (1, 2, 3)]
    ahead = [put(relay_store, tmp_path, clock.now + days * DAY) for days in (300, 3_000)]
    made = BackupSchedule(relay_store, tmp_path, DAY, 4, clock).turn()
    assert made is not None and names(tmp_path) == sorted(path.name for path in (*genuine, made))
    planted = put(relay_store, tmp_path, clock.now + 300 * DAY)
    assert BackupSchedule(relay_store, tmp_path, DAY, 9, clock).turn() is None
    (sentence,) = [one for one in backup_details(relay_store) if "in the future" in one]
    assert planted.name in sentence and ahead[0].name not in sentence
    (shown,) = [one for one in relay.get("/health")["warnings"] if "in the future" in one]
    assert "1 backup is dated" in shown and str(tmp_path) not in shown


def test_files_of_another_user_are_kept(
    relay_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root can change a file's owner, so the result of lstat is faked."""
    clock, lstat = Clock(), Path.lstat
    theirs, ours = (put(relay_store, tmp_path, clock.now - days * DAY) for days in (2, 3))

    def as_if(self: Path) -> os.stat_result:
        fields = list(lstat(self))
        fields[4] += 12_345 if self == theirs else 0
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "lstat", as_if)
    made = BackupSchedule(relay_store, tmp_path, DAY, 1, clock).turn()
    assert made is not None and names(tmp_path) == sorted([theirs.name, made.name]) and not ours.exists()


def test_a_restored_copy_does_not_remove_backups_of_the_original_store(
    relay_store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    first = BackupSchedule(relay_store, tmp_path, DAY, 1, clock).turn()
    assert first is not None
    assert BACKUP_ORIGIN.encode() not in first.read_bytes()
    origin = relay_store.connection.redis.getdel(BACKUP_ORIGIN)
    try:
        copy = BackupSchedule(relay_store, tmp_path, DAY, 1, clock).turn()  # a restored copy has no origin
        assert copy is not None and names(tmp_path) == sorted([first.name, copy.name])
    finally:
        relay_store.connection.redis.set(BACKUP_ORIGIN, origin)
    clock.now += DAY
    second = BackupSchedule(relay_store, tmp_path, DAY, 1, clock).turn()
    assert second is not None and names(tmp_path) == sorted([second.name, copy.name])


def test_a_copied_data_folder_has_another_origin(relay: Relay, relay_store: Store, tmp_path: Path) -> None:
    elsewhere = Store(load(relay.environment))
    assert backup_origin(elsewhere.connection) == backup_origin(relay_store.connection)
    elsewhere.connection.settings = replace(relay_store.settings, data_dir=tmp_path)
    same = relay_store.settings.redis_url is not None  # then the store isn't in the data folder
    assert (backup_origin(elsewhere.connection) == backup_origin(relay_store.connection)) == same


def test_two_processes_make_one_backup_in_a_folder_at_a_time(relay_store: Store, tmp_path: Path) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, tmp_path, DAY, 1, clock)
    folder = schedule.folder()
    assert folder is not None
    with folder.locked():
        assert schedule.turn() is None and backup_details(relay_store) == []
    assert schedule.turn() is not None


def test_incomplete_backups_of_killed_processes_are_removed_but_not_running_ones(
    relay_store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    left = [
        put(relay_store, tmp_path, clock.now - 5).rename(
            tmp_path / f"{prefix(relay_store)}20260101T000000Z-0000.backup{end}"
        )
        for end in (".partial", ".0123456789abcdef.partial")
    ]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("made up")
    link = tmp_path / f"{prefix(relay_store)}20260101T000000Z-0001.backup.0123456789abcdef.partial"
    link.symlink_to(elsewhere)
    fifo = tmp_path / f"{prefix(relay_store)}20260101T000000Z-0002.backup.0123456789abcdef.partial"
    os.mkfifo(fifo)
    with partial_copy(tmp_path / f"{prefix(relay_store)}20260101T000000Z-0003.backup") as (_, written):
        made = BackupSchedule(relay_store, tmp_path, DAY, 1, clock).turn()
        assert made is not None and not any(path.exists() for path in left)
        assert written.exists() and link.is_symlink() and fifo.exists()


def test_a_process_killed_during_a_backup_causes_a_pause_and_a_report(
    relay_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    class Killed(BaseException):
        """Stands for a kill, which no code in the process handles."""

    def killed(*_: object) -> None:
        raise Killed

    schedule = BackupSchedule(relay_store, tmp_path, DAY, 1, clock)
    for interrupted in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(copying, "_copy", killed)
            with pytest.raises(Killed):
                schedule.turn()
        schedule = BackupSchedule(relay_store, tmp_path, DAY, 1, clock)  # as after a restart of the process
        assert schedule.turn() is None
        assert "killed or crashed" in backup_details(relay_store)[0]
        clock.now += 60 * interrupted - 1
        assert schedule.turn() is None
        clock.now += 1
    assert schedule.turn() is not None and backup_details(relay_store) == []


def test_a_backup_follows_no_links_and_replaces_no_existing_file(relay_store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("made up")
    (tmp_path / "copy.partial").symlink_to(elsewhere)
    copying.backup(relay_store.connection, tmp_path / "copy", relay_store.past)
    assert elsewhere.read_text() == "made up" and head_of(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["copy", "copy.partial", "elsewhere"]


def test_each_backup_contains_the_first_key_at_that_time(relay: Relay) -> None:
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


def test_older_backups_are_kept_until_the_new_one_is_verified(
    relay_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, tmp_path, DAY, 1, clock)
    first = schedule.turn()
    assert first is not None
    clock.now += DAY
    write = copying._copy

    def damaged(connection: Any, file: Any, *more: Any) -> int:
        count = write(connection, file, *more)
        file.seek(-60, os.SEEK_END)
        file.write(b"made up")
        return count

    with monkeypatch.context() as patched:
        patched.setattr(copying, "_copy", damaged)
        assert schedule.turn() is None
    assert names(tmp_path) == [first.name]
    (warning,) = backup_details(relay_store)
    assert "checksum" in warning
    clock.now += DAY
    assert schedule.turn() is not None and backup_warnings(relay_store) == []


def test_a_single_backup_into_a_folder_removes_nothing_by_default(relay: Relay, tmp_path: Path) -> None:
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


def test_a_process_makes_backups_until_it_is_stopped(
    relay: Relay, relay_store: Store, tmp_path: Path
) -> None:
    with running(relay, "--to", str(tmp_path), "--every", "1d", "--keep", "3") as process:
        wait_for(lambda: any(name.endswith(".backup") for name in names(tmp_path)), 60)
        wait_for(lambda: relay.get("/health")["newest_backup_at"], 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(names(tmp_path)) == 1


def test_up_makes_backups_automatically_and_one_can_be_restored(tmp_path: Path) -> None:
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
