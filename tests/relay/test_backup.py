"""A backup restores a relay: devices, users, events, queues and dead letters, with the same IDs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from app.settings.table import load
from app.store import Store
from tests.command_line import cli, run_for
from tests.harness import Device, Receiver, Relay, verify, wait_for
from tests.relay.tools import KEY, corrected_punch, events, key_with, problem, sealed, stored_values

TYPES = ["attendance.punch", "user.updated", "credential.updated"]  # the relay adds other events by itself
SECRET = "made-up-secret-key-of-a-backup-0123456789"


def test_a_relay_continues_from_its_backup(tmp_path: Path) -> None:
    good, bad = Receiver(), Receiver()
    bad.answer = lambda _: (500, {}, b"")
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = Relay(tmp_path / "old", RELAY_SECRET_KEY=SECRET, RELAY_RETRY_SCHEDULE="0.2")
    new = Relay(tmp_path / "new", RELAY_SECRET_KEY=SECRET, RELAY_RETRY_SCHEDULE="0.2")
    try:
        old.start()
        device = old.device(security_key=KEY)
        secret = old.subscribe(good, events=TYPES)["secret"]
        dead_id = old.subscribe(bad, events=TYPES)["id"]
        key = key_with(old, "events:read")
        user = {
            "UserID": "7",
            "FirstName": "Asha",
            "Template": [{"Type": "Card", "UserID": "7", "Data": "12345"}],
        }
        document = device.envelope(UserUpdated=user)
        assert device.send(sealed(document)).ok
        punch = device.punch("7")
        assert device.send(sealed(punch)).ok
        good.wait(3)
        corrected = corrected_punch(old, device.id, "7")
        wait_for(lambda: old.get(f"/v1/subscriptions/{dead_id}")["dead"] == 3)
        old.terminate("worker")
        waiting = device.punch("7")
        assert device.send(sealed(waiting)).ok
        before = [one for one in events(device) if one["type"] in TYPES]
        file = tmp_path / "copy"
        assert "keys saved to" in cli(old, "backup", str(file))
        assert file.stat().st_mode & 0o077 == 0
        content = file.read_bytes()
        assert not any(
            text.encode() in content for text in (SECRET, device.id, "attendance.punch", "user_id")
        )
        old.stop()

        damaged = tmp_path / "damaged"
        damaged.write_bytes(file.read_bytes()[:-50])
        new.start("store")
        wait_for(lambda: (tmp_path / "new" / "data" / "store" / "valkey.sock").exists())
        time.sleep(0.2)
        cli(new, "restore", str(damaged), status=1)
        new.environment["RELAY_SECRET_KEY"] = "another-made-up-key-0123456789-abcdef"
        cli(new, "restore", str(file), status=1)
        new.environment["RELAY_SECRET_KEY"] = SECRET
        marks = {"{g}:key_id", "{g}:shards"}  # an empty store gets these with its first command
        assert {name for name in stored_values(new) if name.startswith("{")} <= marks
        assert "keys restored" in cli(new, "restore", str(file))
        cli(new, "restore", str(file), status=1)  # it isn't empty any more
        new.start("web", "worker")
        back = Device(new, device.id, device.token, KEY)
        got = good.wait(4)
        assert verify(secret, got[3])["id"] == before[-1]["id"]  # the queued event
        assert [one["id"] for one in events(back) if one["type"] in TYPES] == [one["id"] for one in before]
        assert new.call("GET", "/v1/me", key=key).ok
        assert new.get("/v1/corrections", params={"user_id": "7"})["data"] == [corrected]
        for repeated in (document, punch, waiting):
            assert back.send(sealed(repeated)).ok
        assert back.send(sealed(device.punch("7"))).ok
        good.wait(5)
        time.sleep(0.5)
        ids = [one.headers["webhook-id"] for one in good.received]
        # The first three may have been in flight at the same time.
        assert len(ids) == 5 and len(set(ids)) == 5 and sorted(ids[:3]) + ids[3:] == sorted(ids)
        assert good.received[-1].json["user_name"] == "Asha"
        assert new.get(f"/v1/subscriptions/{dead_id}")["dead"] >= 3
        bad.answer = lambda _: (200, {}, b"")
        count = len(bad.received)
        new.call("POST", f"/v1/subscriptions/{dead_id}/replay", json={"event_ids": [before[0]["id"]]})
        wait_for(lambda: before[0]["id"] in [one.headers["webhook-id"] for one in bad.received[count:]])
        shown = new.get(f"/v1/users/7/credentials/card/0?device_id={device.id}")
        assert shown["data"] == "12345"
    finally:
        old.stop()
        new.stop()
        good.close()
        bad.close()


OF_THE_MOMENT = ("chores", "listening", "sampled", "failed:127.0.0.1", "session:")


def test_temporary_keys_are_not_backed_up_and_do_not_prevent_a_restore(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    old, new = Relay(tmp_path, RELAY_SECRET_KEY=SECRET), Relay(tmp_path / "new", RELAY_SECRET_KEY=SECRET)
    file = tmp_path / "copy"
    try:
        old.start("store", "web", "worker")
        old.device()
        problem(old.call("GET", "/v1/me", key="crk_wrong-and-made-up"), 401)
        store = Store(load(old.environment))
        store.sessions.begin("crk_made-up-of-nobody")
        store.history.sample()

        def existing_keys() -> list[str]:
            return [
                one
                for one in OF_THE_MOMENT
                if any(name.startswith(f"{{g}}:{one}") for name in stored_values(old))
            ]

        wait_for(lambda: existing_keys() == list(OF_THE_MOMENT))
        cli(old, "backup", str(file))
        assert [one for one in OF_THE_MOMENT if f"{{g}}:{one}".encode() in file.read_bytes()] == []
        new.start("store", "web")  # started for a moment by mistake
        wait_for(lambda: "{g}:listening" in stored_values(new))
        new.terminate("web")
        assert "{g}:listening" in stored_values(new)
        assert "keys restored" in cli(new, "restore", str(file))
    finally:
        old.stop()
        new.stop()


def test_a_failed_backup_leaves_no_file(relay: Relay, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app", "backup", str(tmp_path / "copy")],
        cwd=relay.folder,
        env=relay.environment,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)),
    )
    assert ended.returncode == 1 and "copy can't be written: File too large" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_kept_and_its_target_is_replaced(relay: Relay, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "copy")
    assert "keys saved to" in cli(relay, "backup", str(link))
    assert link.is_symlink() and (tmp_path / "copy").stat().st_size > 0


def test_a_device_file_is_not_replaced(relay: Relay, tmp_path: Path) -> None:
    """As root, this once replaced /dev/full by a file. /dev/stdout is what somebody without disk space might try."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = run_for(relay, "backup", str(pipe))
    assert ended.returncode == 1 and "pipe is not a file. Choose a file" in ended.stderr
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
