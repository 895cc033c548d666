"""Failing, late or missing backups are reported until the problem is solved."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path

import pytest
import redis

from app.base.loops import LOOPS
from app.health.backup_checks import backup_age, backup_details, backup_warnings, newest_backup
from app.run.up import _lock
from app.settings.table import load
from app.store import Store
from app.store.server.keys import BACKUPS
from app.store.upkeep import backup as copying
from app.store.upkeep.backup_schedule import LOOP, BackupSchedule
from tests.clocks import Clock
from tests.command_line import run_for
from tests.harness import Relay, wait_for
from tests.operation.backups import DAY, names, put, running


def test_old_backups_that_cannot_be_removed_are_reported_until_they_are(
    relay_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    old = put(relay_store, tmp_path, clock.now - 2 * DAY)
    schedule = BackupSchedule(relay_store, tmp_path, DAY, 1, clock)
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
    (sentence,) = backup_details(relay_store)
    assert (
        "can't be removed" in sentence
        and old.name in sentence
        and old.name not in backup_warnings(relay_store)[0]
    )
    assert schedule.turn() is None and backup_details(relay_store) == [] and names(tmp_path) == [made.name]


@pytest.mark.parametrize("error", [redis.ResponseError("WRONGTYPE made up"), KeyError("made up")])
def test_all_failures_are_reported_and_not_only_those_of_the_disk(
    relay_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(copying, "_copy", fails)
        assert BackupSchedule(relay_store, tmp_path, DAY, 1, Clock()).turn() is None
    assert "Backups have failed since" in backup_details(relay_store)[0] and names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_reported_and_the_process_continues(
    relay: Relay, relay_store: Store
) -> None:
    file = relay.folder / "not-a-folder"
    file.write_text("made up")
    with running(relay, "--to", str(file), "--every", "1d") as process:
        wait_for(lambda: backup_details(relay_store), 60)
        assert f"{file} is not a folder" in backup_details(relay_store)[0] and process.poll() is None
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
def test_a_damaged_report_is_ignored(
    relay: Relay, relay_store: Store, tmp_path: Path, fields: dict[str, object]
) -> None:
    assert BackupSchedule(relay_store, tmp_path, DAY, 1).turn() is not None
    report = json.loads(relay_store.connection.redis.get(BACKUPS) or b"")
    relay_store.connection.redis.set(
        BACKUPS, json.dumps({**report, "error": "x", "failing_since": 1.0, **fields})
    )
    for asked in (backup_warnings, backup_details):
        assert asked(relay_store) == []
    assert newest_backup(relay_store) is None and backup_age(relay_store) is None
    assert relay.get("/health")["newest_backup_at"] is None


def test_a_report_of_an_earlier_version_is_read(relay_store: Store) -> None:
    now = time.time()
    fields = {"at": now, "folder": "/mnt", "every": DAY, "newest_at": now, "failing_since": None}
    relay_store.connection.redis.set(BACKUPS, json.dumps({**fields, "error": None}))
    assert backup_age(relay_store, now) == "The newest backup is 0 min old, in /mnt"


def test_a_failure_is_logged_once_a_minute_counted_and_reported_until_it_is_over(
    relay: Relay, relay_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, folder = Clock(), tmp_path / "disk"
    LOOPS.end(LOOP)  # another test's failure in the same minute would suppress the log line
    schedule = BackupSchedule(relay_store, folder, DAY, 3, clock)
    failures = schedule._loop.failures
    with caplog.at_level(logging.ERROR, "relay.loops"):
        for _ in range(4):
            assert schedule.turn() is None
    assert len([one for one in caplog.records if "backups" in one.getMessage()]) == 1
    assert schedule._loop.failures == failures + 4
    shown = relay.get("/health")
    assert [one for one in shown["problems"] if "Backups have failed since" in one]
    assert str(folder) not in str(shown) and shown["status"] == "ok"
    ran = run_for(relay, "doctor")
    assert f"the folder {folder} doesn't exist" in ran.stdout and ran.returncode == 1
    folder.mkdir()
    clock.now += 3_600
    assert schedule.turn() is not None
    shown = relay.get("/health")
    assert shown["newest_backup_at"] is not None
    assert not [one for one in shown["warnings"] if "Backups" in one]


def test_a_backup_that_would_fill_the_disk_is_not_started(relay_store: Store, tmp_path: Path) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, tmp_path, DAY, 3, clock)
    first = schedule.turn()
    assert first is not None
    os.truncate(first, shutil.disk_usage(tmp_path).free)  # a sparse file
    clock.now += DAY
    assert schedule.turn() is None and names(tmp_path) == [first.name]
    assert (
        "Free up space" in backup_details(relay_store)[0] and "Free up" not in backup_warnings(relay_store)[0]
    )
    os.truncate(first, 1)
    clock.now += 30
    assert (
        schedule.turn() is None and "Free up space" in backup_details(relay_store)[0]
    )  # not tried again so soon
    clock.now += 30
    assert schedule.turn() is not None


def test_missing_and_late_backups_are_reported(relay: Relay, tmp_path: Path, relay_store: Store) -> None:
    wanted = Store(load({**relay.environment, "RELAY_BACKUP_TO": str(tmp_path), "RELAY_BACKUP_EVERY": "1h"}))
    assert "no process makes backups" in backup_warnings(wanted)[0]
    assert backup_warnings(relay_store) == []
    clock = Clock()
    assert BackupSchedule(wanted, tmp_path, 3_600, 3, clock).turn() is not None
    assert backup_warnings(wanted) == []
    (stopped,) = backup_warnings(wanted, clock.now + 3 * 3_600)
    assert "no process makes backups. The newest backup is 3 h old" in stopped
    assert (
        backup_warnings(relay_store, clock.now + 3 * 3_600) == []
    )  # automatic backups are off in these settings


def test_a_missing_folder_is_only_named_to_the_operator(
    relay: Relay, tmp_path: Path, relay_store: Store
) -> None:
    folder = tmp_path / "not-there"
    wanted = Store(load({**relay.environment, "RELAY_BACKUP_TO": str(folder)}))
    for _ in range(2):
        (named,) = backup_details(wanted)
        assert (
            named.startswith(f"RELAY_BACKUP_TO={folder}: this folder doesn't exist") and "Create it" in named
        )
        (unnamed,) = backup_warnings(wanted)
        assert "folder in RELAY_BACKUP_TO doesn't exist" in unnamed and str(tmp_path) not in unnamed
        BackupSchedule(relay_store, tmp_path, 3_600, 3).turn()  # and after backups in another folder


def test_no_process_is_reported_missing_while_up_starts(
    relay: Relay, tmp_path: Path, relay_store: Store
) -> None:
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
