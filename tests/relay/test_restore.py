"""One command restores a backup into an empty folder, with all its keys."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from app.store.upkeep.backup_file import BackupError, head_of
from tests.command_line import run_for
from tests.harness import Device, Relay, wait_for
from tests.relay.tools import problem, stored_values


def cli(relay: Relay, *arguments: str, status: int = 0) -> str:
    """Return both outputs of a command."""
    ran = run_for(relay, *arguments)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def without_keys(folder: Path) -> Relay:
    """Return a relay that creates its keys in its folder, like `make run`."""
    folder.mkdir()
    relay = Relay(folder)
    del relay.environment["RELAY_API_KEY"]
    return relay


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], Device, list[str]]:
    """A folder with the backup and secret key of a lost relay; its API keys, a device, and its events."""
    folder = tmp_path_factory.mktemp("lost")
    relay = without_keys(folder / "relay").start()
    data = folder / "relay" / "data"
    first = (data / "api_key").read_text().strip()
    relay.session.headers["X-API-Key"] = first
    try:
        made = relay.call(
            "POST",
            "/v1/devices",
            first,
            json={"device_id": "ZHM1100001", "auth_token": "0123456789abcdef" * 2},
        )
        assert made.status_code == 201, made.text
        answer = relay.call("POST", "/v1/api-keys", first, json={"name": "reads", "scopes": ["events:read"]})
        keys = {"first": first, "reads": answer.json()["key"]}
        device = Device(relay, "ZHM1100001", "0123456789abcdef" * 2)
        for _ in range(3):
            device.send_done(device.punch())
        found = [row["id"] for row in relay.get("/v1/events", key=first)["data"]]
        assert "keys saved to" in cli(relay, "backup", str(folder / "copy"))
        (folder / "secret_key").write_text((data / "secret_key").read_text())
        assert first not in (folder / "copy").read_bytes().decode("latin-1")
    finally:
        relay.stop()
    return folder, keys, device, found


def test_one_command_restores_into_an_empty_folder_and_every_key_stays_valid(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, keys, device, before = lost
    relay = without_keys(tmp_path / "new")
    output = cli(relay, "restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"))
    assert "keys restored" in output and "no new first key is made" in output
    data = tmp_path / "new" / "data"
    assert (data / "secret_key").stat().st_mode & 0o077 == 0
    assert not (data / "api_key").exists()
    relay.start()
    try:
        assert relay.get("/v1/me", key=keys["first"])["scopes"]
        assert relay.call("GET", "/v1/events", keys["reads"]).ok
        assert relay.call("POST", "/v1/api-keys", keys["first"], json={"name": "x", "scopes": ["admin"]}).ok
        rows = relay.get("/v1/events", key=keys["first"])["data"]
        assert [row["id"] for row in rows if row["type"] == "attendance.punch"] == before
        back = Device(relay, device.id, device.token)
        back.send_done(back.punch())
        assert not (data / "api_key").exists(), "a first key was created without notice"
        listed = relay.get("/v1/api-keys", key=keys["first"])["data"]
        assert {row["name"] for row in listed} == {"first key", "reads", "x"}
    finally:
        relay.stop()


def test_a_first_api_key_in_the_folder_is_not_duplicated(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, keys, _, _ = lost
    relay = without_keys(tmp_path / "new")
    data = tmp_path / "new" / "data"
    data.mkdir()
    (data / "api_key").write_text(keys["first"])
    relay.environment["RELAY_SECRET_KEY"] = (folder / "secret_key").read_text()
    assert "keys restored" in cli(relay, "restore", str(folder / "copy"))
    assert not (data / "secret_key").exists()  # it is in the environment
    relay.start("store", "web")
    try:
        assert [row["name"] for row in relay.get("/v1/api-keys", key=keys["first"])["data"]] == ["reads"]
    finally:
        relay.stop()


def test_a_wrong_or_missing_secret_key_leaves_the_folder_unchanged(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    wrong = tmp_path / "wrong"
    wrong.write_text("f" * 64)
    output = cli(relay, "restore", str(folder / "copy"), "--secret-key-file", str(wrong), status=1)
    assert f"{wrong} is not the secret key that the backup was made with" in output
    output = cli(relay, "restore", str(folder / "copy"), status=1)
    assert "the secret key of the backup is missing" in output and "--secret-key-file FILE" in output
    relay.environment["RELAY_SECRET_KEY"] = "a" * 64
    output = cli(
        relay, "restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"), status=1
    )
    assert "are different keys" in output
    damaged = tmp_path / "damaged"
    damaged.write_bytes((folder / "copy").read_bytes()[:-50])
    assert "damaged or incomplete" in cli(relay, "restore", str(damaged), status=1)
    assert not (tmp_path / "new" / "data").exists()
    assert not [name for name in os.listdir(tmp_path / "new") if name != "data"]


def test_a_store_with_data_is_not_changed(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    arguments = ("restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"))
    cli(relay, *arguments)
    assert "the store isn't empty" in cli(relay, *arguments, status=1)
    relay.start("store", "web")
    try:
        device = relay.get("/v1/devices/ZHM1100001", key=lost[1]["first"])
        assert device["callbacks"] == 3
        problem(relay.call("GET", "/v1/me", "crk_made-up"), 401)
    finally:
        relay.stop()


KILLED_HALF_WAY = """
import os, signal
from app.store.upkeep import backup
from app.cli import main

write, left = backup.write_into_store, [5]

def some(*arguments):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    write(*arguments)

backup.write_into_store = some
main()
"""


def test_a_store_whose_restore_was_interrupted_is_refused_until_it_is_restored_again(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, keys, _, before = lost
    relay = without_keys(tmp_path / "new")
    data = tmp_path / "new" / "data"
    arguments = ("restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_HALF_WAY, *arguments],
        cwd=relay.folder,
        env=relay.environment,
        stdin=subprocess.DEVNULL,
        timeout=180,
    )
    assert ended.returncode == -signal.SIGKILL
    sentence = "its restore was interrupted, so that data is missing"
    advice = "data/store away, and run"
    for command in (("up", "--no-simulator"), arguments):
        output = cli(relay, *command, status=1)
        assert sentence in output and advice in output and "Traceback" not in output
    relay.start("store")
    wait_for(lambda: (data / "store" / "valkey.sock").exists(), 60)
    try:
        for command in (("doctor",), ("web",), ("backup", str(tmp_path / "half"))):
            ran = run_for(relay, *command)
            assert ran.returncode != 0 and sentence in ran.stdout + ran.stderr, command
        assert not (data / "api_key").exists(), "a key was created for a store that may not be used"
    finally:
        relay.stop()
    (data / "store").rename(tmp_path / "half-restored")
    assert "keys restored" in cli(relay, *arguments)
    relay.start("store", "web")
    try:
        rows = relay.get("/v1/events", key=keys["first"])["data"]
        assert [row["id"] for row in rows if row["type"] == "attendance.punch"] == before
        assert "{g}:restoring" not in stored_values(relay)
    finally:
        relay.stop()


@pytest.mark.parametrize("text", ["", "e" * 64], ids=["empty", "fresh"])
def test_the_given_secret_key_replaces_an_unused_one(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path, text: str
) -> None:
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    data = tmp_path / "new" / "data"
    data.mkdir()
    (data / "secret_key").write_text(text)
    output = cli(relay, "restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"))
    assert "keys restored" in output
    assert (data / "secret_key").read_text() == (folder / "secret_key").read_text()
    assert [file.read_text() for file in data.glob("secret_key.unused-*")] == [text]


def test_a_secret_key_in_use_is_kept_and_the_message_says_what_to_do(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    data = tmp_path / "new" / "data"
    relay.start("store", "web")
    relay.stop()
    own = (data / "secret_key").read_text()
    arguments = ("restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"))
    output = cli(relay, *arguments, status=1)
    assert "are different keys" in output and "move" in output
    assert (data / "secret_key").read_text() == own
    for name in ("secret_key", "store", "spool"):
        if (data / name).exists():
            (data / name).rename(tmp_path / name)
    assert "keys restored" in cli(relay, *arguments)


def made_up(head: object, *records: tuple[bytes, ...], end: bytes = struct.pack(">Q", 0)) -> bytes:
    """Return a made-up backup of version 1.0.0, which isn't encrypted, with a correct checksum."""
    if isinstance(head, dict):
        head = head | {"format": "cams-relay backup 2"}

    def packed(parts: tuple[bytes, ...]) -> bytes:
        return struct.pack(">Q", len(parts)) + b"".join(struct.pack(">Q", len(part)) + part for part in parts)

    content = orjson.dumps(head) + b"\n" + b"".join(map(packed, records)) + end
    return content + hashlib.sha256(content).digest()


Crafted = Callable[[dict[str, object]], bytes]
KEY = b"{g}:counters"
CRAFTED: dict[str, Crafted] = {
    "no key_id": lambda head: made_up({name: head[name] for name in head if name != "key_id"}),
    "no shards": lambda head: made_up({name: head[name] for name in head if name != "shards"}),
    "shards as text": lambda head: made_up(head | {"shards": "1"}),
    "too many shards": lambda head: made_up(head | {"shards": 1 << 60}),
    "not an object": lambda head: made_up([head]),
    "absurd length": lambda head: made_up(head, end=struct.pack(">QQ", 4, (1 << 64) - 1)),
    "absurd count": lambda head: made_up(head, end=struct.pack(">Q", (1 << 64) - 1)),
    "no end": lambda head: made_up(head, (KEY, b"hash", b"0", b"a", b"1"), end=b""),
    "few parts": lambda head: made_up(head, (KEY, b"hash")),
    "no values": lambda head: made_up(head, (KEY, b"hash", b"0")),
    "odd values": lambda head: made_up(head, (KEY, b"hash", b"0", b"a")),
    "unknown type": lambda head: made_up(head, (KEY, b"json", b"0", b"a")),
    "no time": lambda head: made_up(head, (KEY, b"hash", b"soon", b"a", b"1")),
    "absurd time": lambda head: made_up(head, (KEY, b"hash", b"9" * 30, b"a", b"1")),
    "no score": lambda head: made_up(head, (KEY, b"zset", b"0", b"high", b"a")),
    "no fields": lambda head: made_up(head, (KEY, b"stream", b"0", b"1-1", b"2", b"a")),
    "odd fields": lambda head: made_up(head, (KEY, b"stream", b"0", b"1-1", b"1", b"a")),
    "two strings": lambda head: made_up(head, (KEY, b"string", b"0", b"a", b"b")),
}


def test_a_crafted_backup_with_a_valid_checksum_is_refused_before_anything_is_written(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    with (folder / "copy").open("rb") as file:
        head = orjson.loads(file.readline())
    for name, craft in CRAFTED.items():
        (tmp_path / name).write_bytes(craft(head))
        with pytest.raises(BackupError, match=r"this is not a backup that|can't read this backup"):
            head_of(tmp_path / name)
    for name in ("no key_id", "absurd length"):
        output = cli(
            relay, "restore", str(tmp_path / name), "--secret-key-file", str(folder / "secret_key"), status=1
        )
        assert "Traceback" not in output, (name, output)
        assert (
            "Error: this is not a backup" in output or "Error: cams-relay can't read this backup" in output
        ), output
    assert not (tmp_path / "new" / "data").exists()


def test_an_encrypted_backup_that_was_altered_is_refused_before_anything_is_written(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    """Anybody can compute its checksum again."""
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    content = (folder / "copy").read_bytes()[:-32]
    head, _, chunk = content.partition(b"\n")
    altered = {
        "another first line": orjson.dumps(orjson.loads(head) | {"archive": False}) + b"\n" + chunk,
        "another byte": content[:-1] + bytes([content[-1] ^ 1]),
        "cut off": content[:-1],
    }
    for name, text in altered.items():
        (tmp_path / name).write_bytes(text + hashlib.sha256(text).digest())
        output = cli(
            relay, "restore", str(tmp_path / name), "--secret-key-file", str(folder / "secret_key"), status=1
        )
        assert "Error: cams-relay can't read this backup" in output and "Traceback" not in output, output
    assert not (tmp_path / "new" / "data").exists()


def test_a_restore_that_fails_midway_leaves_a_store_that_is_refused(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    folder, _, _, _ = lost
    relay = without_keys(tmp_path / "new")
    with (folder / "copy").open("rb") as file:
        head = orjson.loads(file.readline())
    records = (KEY, b"hash", b"0", b"a", b"1"), (KEY, b"zset", b"0", b"1", b"a")
    (tmp_path / "crafted").write_bytes(made_up(head, *records))
    arguments = (
        "restore",
        str(tmp_path / "crafted"),
        "--secret-key-file",
        str(folder / "secret_key"),
    )
    output = cli(relay, *arguments, status=1)
    assert "the store refused part of the backup" in output and "Traceback" not in output
    assert "its restore was interrupted" in cli(relay, *arguments, status=1)


def test_restored_files_belong_to_the_owner_of_the_folder(
    lost: tuple[Path, dict[str, str], Device, list[str]], tmp_path: Path
) -> None:
    """Only root can give files away. Any other user owns the files they create."""
    folder, _, _, _ = lost
    owner = 12_345 if os.geteuid() == 0 else os.geteuid()
    relay = without_keys(tmp_path / "new")
    data = tmp_path / "new" / "data"
    data.mkdir()
    (data / "notes").write_text("of somebody else")
    os.chown(data, owner, -1)
    cli(relay, "restore", str(folder / "copy"), "--secret-key-file", str(folder / "secret_key"))
    made = [path for path in data.rglob("*") if path != data / "notes"]
    assert data / "secret_key" in made and any(path.suffix == ".aof" for path in made)
    assert {path: path.stat().st_uid for path in made} == dict.fromkeys(made, owner)
    assert (data / "notes").stat().st_uid == os.geteuid()
