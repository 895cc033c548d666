"""Repeated errors are logged in one sentence, once a minute, because many tracebacks hide what matters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.base.throttle import OnceAMinute
from app.settings.table import load
from app.store import Store
from tests.harness import Relay, wait_for


def test_the_same_message_is_logged_once_a_minute_and_another_immediately() -> None:
    now = 100.0
    once = OnceAMinute(lambda: now)
    assert (once.may_say("a"), once.may_say("a"), once.may_say("b")) == (True, False, True)
    now = 159.9
    assert not once.may_say("a")
    now = 160.1
    assert once.may_say("a") and not once.may_say("a")


def test_only_the_latest_messages_are_remembered() -> None:
    once = OnceAMinute(lambda: 0.0)
    assert all(once.may_say(str(number)) for number in range(5_000))
    assert not once.may_say("4999") and once.may_say("0")


def test_parked_callbacks_are_logged_in_a_sentence(tmp_path: Path) -> None:
    with Relay(tmp_path, WEB_CONCURRENCY="1") as relay:
        device = relay.device()
        store = Store(load(relay.environment))
        shard = store.connection.shard_of(device.id)
        assert shard is not None
        store.connection.redis.set(shard.by_device(device.id), "damaged")
        for _ in range(20):
            device.send_done(device.punch())
        summary = "parked_callbacks 20"
        wait_for(lambda: summary in relay.call("GET", "/metrics").text)
        log_text = (tmp_path / "web.log").read_text()
        assert "Traceback" not in log_text
        assert log_text.count("is parked") == 2, "one line for the failure, one for the device's callback"
        assert shard.by_device(device.id) in " ".join(relay.get("/health")["warnings"])


def a_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    "name, made",
    [
        ("", a_file),
        ("drain.lock", a_folder),
        ("00000000000000000001-0badcafe.spool", a_folder),
        ("00000000000000000001-0badcafe.parked", a_folder),
        ("00000000000000000001-0badcafe.unreadable", a_folder),
    ],
)
def test_a_folder_in_place_of_a_spool_file_is_logged_in_a_sentence(
    tmp_path: Path, name: str, made: Callable[[Path], None]
) -> None:
    with Relay(tmp_path, WEB_CONCURRENCY="1") as relay:
        device = relay.device()
        relay.kill("web")
        spool = tmp_path / "data" / "spool"
        if not name and spool.exists():
            shutil.rmtree(spool)
        made(spool / name if name else spool)
        relay.start("web")
        device.send_done(device.punch())
        relay.kill("store")
        wait_for(lambda: relay.call("GET", "/health").json()["store"] == "away")
        answers = {device.send(device.punch()).status_code for _ in range(5)}
        assert answers == ({503} if not name else {200})
        relay.start("store")
        relay.wait_healthy()
        wait_for(lambda: device.send(device.punch()).status_code == 200)
        if name != "drain.lock" and name:
            wait_for(lambda: len(relay.events(device_id=device.id)) == 7, 30)
        assert relay.call("GET", "/health").status_code == 200
        assert relay.call("GET", "/metrics").status_code == 200
    assert "Traceback" not in (tmp_path / "web.log").read_text()
    assert (spool / name).exists(), "nothing may be deleted"
