"""`/metrics` shows the age of the newest automatic backup, and agrees with `/health` about failing backups."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

from app.store import Store
from app.store.upkeep.backup_reports import BackupReport
from tests.harness import Relay

DAY = 86_400.0


def shown(relay: Relay) -> tuple[float, float | None, bool]:
    """Returns `cams_relay_backups_failing`, the newest backup's age, and whether `/health` reports a problem."""
    text = relay.call("GET", "/metrics").text
    failing = re.search(r"^cams_relay_backups_failing (\S+)$", text, re.MULTILINE)
    age = re.search(r"^cams_relay_backup_newest_seconds (\S+)$", text, re.MULTILINE)
    assert failing
    problems = [one for one in relay.get("/health")["problems"] if "ackup" in one]
    return float(failing[1]), None if age is None else float(age[1]), bool(problems)


def test_without_automatic_backups_there_is_no_failure_and_no_age(relay: Relay, relay_store: Store) -> None:
    assert shown(relay) == (0.0, None, False)


def test_the_age_is_that_of_the_newest_backup(relay: Relay, relay_store: Store, tmp_path: Path) -> None:
    now = time.time()
    report = BackupReport(now, str(tmp_path), DAY, now - 7_200, None, None)
    relay_store.backup_reports.write(report)
    failing, age, problem = shown(relay)
    assert (failing, problem) == (0.0, False)
    assert age is not None and 7_200 <= age < 7_500
    relay_store.backup_reports.write(
        replace(report, newest_at=now + 60)
    )  # the other machine's clock is ahead
    assert shown(relay)[1] == 0.0


def test_failing_and_late_backups_are_reported_until_the_next_success(
    relay: Relay, relay_store: Store, tmp_path: Path
) -> None:
    now = time.time()
    good = BackupReport(now, str(tmp_path), DAY, now, None, None)
    failing = replace(good, newest_at=now - 10, failing_since=now - 5, error="the disk is full")
    late = replace(good, newest_at=now - 2 * DAY - 60)
    never = replace(good, newest_at=None, failing_since=now, error="the disk is full")
    for bad in (failing, late, never):
        relay_store.backup_reports.write(bad)
        value, age, problem = shown(relay)
        assert (value, problem) == (1.0, True)
        assert (age is None) == (bad.newest_at is None)
        relay_store.backup_reports.write(good)
        assert shown(relay)[::2] == (0.0, False)


def test_backups_dated_in_the_future_are_a_warning_and_not_a_failure(
    relay: Relay, relay_store: Store, tmp_path: Path
) -> None:
    now = time.time()
    relay_store.backup_reports.write(
        BackupReport(now, str(tmp_path), DAY, now, None, None, ahead=["made-up.backup"])
    )
    assert shown(relay)[::2] == (0.0, False)
    assert [one for one in relay.get("/health")["warnings"] if "in the future" in one]
