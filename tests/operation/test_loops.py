"""A background loop that fails or stalls is logged at most once a minute, counted, and reported."""

from __future__ import annotations

import errno
import logging
import secrets
from pathlib import Path

import pytest

from app.base.loops import Loop, Loops
from app.settings.table import load
from app.store import Store
from app.store.jobs import QUEUE
from app.store.server.connection import make_rq_client
from app.store.server.embedded import _sync_append_only_file
from app.store.server.keys import LOOPS
from tests.command_line import run_for
from tests.delivery.tools import act
from tests.harness import Device, Receiver, Relay, wait_for


def test_failures_are_counted_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop("made-up")
    with caplog.at_level(logging.ERROR, "relay.loops"):
        for _ in range(50):
            loop.failed(TypeError("made up"))
    assert len(caplog.records) == 1 and "made-up" in caplog.text
    assert loop.failures == 50
    assert "failed 50 times in a row (TypeError)" in (loop.trouble() or "")
    loop.worked()
    assert loop.trouble() is None and loop.failures == 50


def test_a_loop_that_does_not_run_any_more_is_stalled() -> None:
    loops = Loops()
    loops.get("patient")
    assert loops.troubles() == {}
    loops.get("stuck", stalls_after=-1)  # already in the past
    assert "has not run" in loops.troubles()["stuck"]


def test_problems_of_any_process_are_reported(relay: Relay) -> None:
    relay_store = Store(load(relay.environment))
    loops, name = Loops(), f"made-up {secrets.token_hex(4)}"
    for _ in range(5):
        loops.get(name).failed(ValueError("made up"))

    def health() -> list[str]:
        found: list[str] = relay.get("/health")["warnings"]
        return [text for text in found if name in text]

    def doctor() -> str:
        return run_for(relay, "doctor").stdout

    try:
        loops.report(relay_store.loop_reports.write)
        loops.report(relay_store.loop_reports.write)  # failures are counted once
        assert len(health()) == 1
        assert name in doctor()
        assert f'cams_relay_loop_failures_total{{loop="{name}"}} 5.0' in relay.call("GET", "/metrics").text
        loops.get(name).worked()
        loops.report(relay_store.loop_reports.write)
        assert health() == [] and name not in doctor()
    finally:
        relay_store.connection.redis.hdel(LOOPS, loops._process)


def test_a_failed_sync_of_the_stores_file_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.1.incr.aof").write_bytes(b"made up")
    loop = Loop("store.sync")

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "made up")

    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fails)
        _sync_append_only_file(tmp_path, loop)
    assert loop.failures_in_a_row == 1 and "store.sync" in caplog.text
    _sync_append_only_file(tmp_path, loop)
    assert loop.failures_in_a_row == 0


def test_a_damaged_job_queue_is_reported_and_jobs_continue_afterwards(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    store = make_rq_client(load(relay.environment))
    key = f"rq:queue:{QUEUE}"
    store.delete(key)
    store.set(key, "damaged")

    def warned() -> bool:
        return any("background loop jobs " in text for text in relay.get("/health")["warnings"])

    try:
        wait_for(warned, 60)
    finally:
        store.delete(key)
    device.send_done(device.punch())
    subscription = relay.subscribe(receiver, device, events=["attendance.punch"])
    act(relay, subscription, "replay", since="2020-01-01T00:00:00Z")
    receiver.wait(1, 40)
    wait_for(lambda: not warned(), 60)


def test_other_monitored_parts_are_reported_with_the_loops() -> None:
    loops, reports = Loops(), []
    loops.watch("made-up", lambda: "It is too long." if reports else None)
    assert loops.troubles() == {}
    reports.append(1)
    written: list[dict[str, str]] = []
    loops.report(lambda _process, troubles, _failures: written.append(troubles))
    assert written == [{"made-up": "It is too long."}]
