"""Backups on S3-compatible storage: complete, kept apart, and restorable. A failure is explained without secrets."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from app.health.backup_checks import backup_details, backup_warnings
from app.settings.s3_url import S3Url
from app.settings.table import SettingsError, load
from app.store import Store
from app.store.upkeep import backup_s3
from app.store.upkeep.backup_file import BackupError, head_of
from app.store.upkeep.backup_s3 import S3Backups, download
from app.store.upkeep.backup_schedule import BackupSchedule
from tests.clocks import Clock
from tests.command_line import Up
from tests.harness import ROOT, Relay, wait_for

DAY = 86_400.0
ACCESS_KEY, SECRET = "AKIAMADEUPMADEUPMADE", "made-up-secret-access-key"
FOLDER = "backup-upload"


class Bucket:
    """A new bucket, and the environment variables for the relay to use it."""

    def __init__(self, endpoint: str) -> None:
        self.name = f"made-up-{secrets.token_hex(4)}"
        self.place = S3Url(self.name, "office/backups")
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET,
        )
        self.client.create_bucket(Bucket=self.name)

    def objects(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return sorted(entry["Key"] for entry in found)

    def put(self, key: str) -> str:
        self.client.put_object(Bucket=self.name, Key=key, Body=b"made up")
        return key


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    made = Bucket(endpoint)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def relay_store(relay_store: Store) -> Iterator[Store]:
    """The shared relay's store. After the test, no copies of backups may be left on disk."""
    yield relay_store
    assert not _local(relay_store)


def _local(relay_store: Store) -> list[Path]:
    """The copies of backups on the local disk."""
    folder = relay_store.settings.data_dir / FOLDER
    return list(folder.iterdir()) if folder.is_dir() else []


def test_backups_are_made_when_due_and_the_newest_are_kept(
    relay_store: Store, bucket: Bucket, tmp_path: Path
) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, bucket.place, DAY, 2, clock)
    made = []
    for number in range(4):
        place = schedule.turn()
        assert isinstance(place, S3Url) and place.path.startswith("office/backups/cams-relay-")
        download(place, tmp_path / str(number))
        assert head_of(tmp_path / str(number))["key_id"] == relay_store.vault.key_id
        made.append(place.path)
        assert schedule.turn() is None
        clock.now += DAY
    assert bucket.objects() == sorted(made[-2:])
    restarted = BackupSchedule(relay_store, bucket.place, 2 * DAY, 2, clock)
    assert restarted.turn() is None and backup_details(relay_store) == []  # it has found the newest backup


def test_only_backups_of_this_store_in_this_folder_are_removed(relay_store: Store, bucket: Bucket) -> None:
    start = f"cams-relay-{(relay_store.identity.store_id() or '')[:8]}-"
    foreign = [
        bucket.put(f"office/backups/{name}")
        for name in (
            "holiday.jpg",
            f"{start}00000000-20200101T000000Z-0000.backup",
            f"{start}20200101T000000Z-0000.backup.old",
            f"older/{start}20200101T000000Z-0000.backup",
        )
    ]
    foreign.append(bucket.put(f"office/backups-2/{start}20200101T000000Z-0000.backup"))
    old = bucket.put(f"office/backups/{start}20200101T000000Z-0000.backup")
    made = BackupSchedule(relay_store, bucket.place, DAY, 1).turn()
    assert isinstance(made, S3Url) and old not in bucket.objects()
    assert bucket.objects() == sorted([*foreign, made.path])


def test_a_bucket_without_a_folder_can_be_used(relay_store: Store, bucket: Bucket) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, S3Url(bucket.name, ""), DAY, 1, clock)
    for _ in range(2):
        made = schedule.turn()
        clock.now += DAY
    assert isinstance(made, S3Url) and bucket.objects() == [made.path] and "/" not in made.path


def test_a_large_backup_is_uploaded_in_parts_and_complete(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_s3, "_PART_BYTES", 5 << 20)
    content = secrets.token_bytes(12 << 20)
    backups = S3Backups(bucket.place, "0123456789", "abcdef01", tmp_path)
    with backups.locked():
        place, count = backups.save(lambda path: path.write_bytes(content), time.time())
    etag = bucket.client.head_object(Bucket=bucket.name, Key=place.path)["ETag"]
    assert count == len(content) and etag.endswith('-3"')  # three parts
    download(place, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_what_a_killed_process_left_on_the_disk_is_removed(relay_store: Store, bucket: Bucket) -> None:
    folder = relay_store.settings.data_dir / FOLDER
    folder.mkdir(exist_ok=True)
    name = f"cams-relay-{(relay_store.identity.store_id() or '')[:8]}-20200101T000000Z-0000.backup"
    (folder / name).write_text("made up")
    (folder / f"{name}.0123456789abcdef.partial").write_text("made up")
    assert BackupSchedule(relay_store, bucket.place, DAY, 1).turn() is not None
    assert not _local(relay_store)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials for S3 were found"),
        ({"AWS_ENDPOINT_URL": "http://user:made-up-password@127.0.0.1:9"}, "can't be reached"),
        ({"AWS_ENDPOINT_URL": "made-up-password"}, "AWS_ENDPOINT_URL is not a URL"),
        ({"AWS_PROFILE": "made-up-password"}, "ProfileNotFound"),
    ],
)
def test_wrong_settings_are_explained_without_their_values(
    relay_store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    assert BackupSchedule(relay_store, bucket.place, DAY, 1).turn() is None
    (detail,) = backup_details(relay_store)
    assert message in detail and "made-up-password" not in detail and SECRET not in detail
    (shown,) = backup_warnings(relay_store)
    assert bucket.name not in shown and message not in shown


def test_a_missing_bucket_is_named_to_the_operator_only(relay_store: Store, bucket: Bucket) -> None:
    assert BackupSchedule(relay_store, S3Url("made-up-and-missing", "x"), DAY, 1).turn() is None
    (detail,) = backup_details(relay_store)
    assert "s3://made-up-and-missing/x: the bucket doesn't exist" in detail
    assert "made-up-and-missing" not in backup_warnings(relay_store)[0]


def test_refused_access_is_explained_and_leaves_older_backups(
    relay_store: Store, bucket: Bucket, endpoint: str
) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, bucket.place, DAY, 1, clock)
    first = schedule.turn()
    assert isinstance(first, S3Url)
    clock.now += DAY
    requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=10)  # from now on, keys are checked
    try:
        assert schedule.turn() is None
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data="inf", timeout=10)
    (detail,) = backup_details(relay_store)
    assert "the storage refused access (InvalidAccessKeyId)" in detail
    assert ACCESS_KEY not in detail and SECRET not in detail
    assert bucket.objects() == [first.path]
    clock.now += DAY
    second = schedule.turn()
    assert (
        isinstance(second, S3Url) and bucket.objects() == [second.path] and backup_details(relay_store) == []
    )


def test_while_the_storage_cannot_be_reached_the_newest_backup_stays_known(
    relay_store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, bucket.place, DAY, 1, clock)
    made = schedule.turn()
    assert made is not None
    target = schedule.folder()
    assert isinstance(target, S3Backups)
    clock.now += DAY
    monkeypatch.setattr(backup_s3, "_LISTED_SECONDS", 0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    target._client = backup_s3.open_client()
    assert schedule.turn() is None
    (detail,) = backup_details(relay_store, clock.now)
    assert "can't be reached" in detail and "The newest backup is 24 h old" in detail


def test_a_backup_does_not_fill_the_disk_of_the_store(
    relay_store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    schedule = BackupSchedule(relay_store, bucket.place, DAY, 2, clock)
    assert schedule.turn() is not None
    usage = shutil.disk_usage(relay_store.settings.data_dir)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 << 20))
    clock.now += DAY
    assert schedule.turn() is None
    assert len(bucket.objects()) == 1
    assert (
        "whose disk has only 10 MiB free. It needs about 64 MiB" in backup_details(relay_store, clock.now)[0]
    )


def test_without_the_extra_the_error_says_what_to_install(
    relay_store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("boto3", "botocore", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    assert BackupSchedule(relay_store, bucket.place, DAY, 1).turn() is None
    assert "require the extra s3" in backup_details(relay_store)[0]
    with pytest.raises(BackupError, match="pip install boto3"):
        download(bucket.place.below("x"), tmp_path / "x")


def test_boto3_is_only_imported_for_backups_on_s3(relay: Relay, tmp_path: Path) -> None:
    code = (
        "import sys; import app.cli, app.cli.backup, app.cli.restore, app.run.up, app.run.backups, app.store\n"
        "from app.cli import main\n"
        "try: main(['backup', '--to', sys.argv[1]])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**relay.environment, "PYTHONPATH": str(ROOT)},
        cwd=relay.folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert list(tmp_path.glob("*.backup"))


@pytest.mark.parametrize(
    "value",
    [
        f"s3://{ACCESS_KEY}:{SECRET}@bucket/x",
        "s3://",
        "s3:///x",
        "s3://a/x",
        "s3://bucket/a//b",
        "s3://bucket/../x",
        "S3://bucket/x",
        f"https://{SECRET}@s3.example.com/bucket",
    ],
)
def test_a_wrong_url_is_refused_without_showing_it(relay: Relay, value: str) -> None:
    with pytest.raises(SettingsError, match="RELAY_BACKUP_TO: its value") as refused:
        load({**relay.environment, "RELAY_BACKUP_TO": value})
    assert repr(value) not in str(refused.value) and SECRET not in str(refused.value)
    for command in (("backup", "--to", value), *([("restore", value)] if value.lower()[:3] == "s3:" else [])):
        ran = _run(relay.environment, relay.folder, *command)
        assert ran.returncode == 2 and repr(value) not in ran.stderr and SECRET not in ran.stderr


def test_a_slash_at_the_end_of_a_url_changes_nothing(relay: Relay) -> None:
    settings = load({**relay.environment, "RELAY_BACKUP_TO": "s3://my-bucket/a/b/"})
    assert (
        settings.backups.to == S3Url("my-bucket", "a/b") and str(settings.backups.to) == "s3://my-bucket/a/b"
    )
    assert load({**relay.environment, "RELAY_BACKUP_TO": "s3://my-bucket/"}).backups.to == S3Url(
        "my-bucket", ""
    )


def _run(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_up_makes_backups_on_s3_and_one_restores_in_one_command(bucket: Bucket, tmp_path: Path) -> None:
    settings = {"RELAY_BACKUP_TO": f"{bucket.place}/", "RELAY_LOG_LEVEL": "debug", **bucket.environment}
    up = Up(tmp_path, "--no-simulator", **settings)
    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        assert f"Backups        {bucket.place}" in up.text()
        wait_for(bucket.objects, 60)
        doctor = _run(up.environment, tmp_path, "doctor")
        assert f"old, in {bucket.place}" in doctor.stdout and "ackups have failed" not in doctor.stdout
        by_hand = _run(up.environment, tmp_path, "backup", "--to", str(bucket.place))
        assert f"Saved to {bucket.place}/cams-relay-" in by_hand.stdout, by_hand.stderr
        assert len(bucket.objects()) == 2
        key = up.get("/v1/me", (Path(up.environment["RELAY_DATA_DIR"]) / "api_key").read_text().strip())
        assert key["scopes"]
    finally:
        up.stop()
    for text in (up.text(), doctor.stdout, doctor.stderr, by_hand.stdout, by_hand.stderr):
        assert SECRET not in text and ACCESS_KEY not in text and "AWS4-HMAC" not in text
    secret_key = Path(up.environment["RELAY_DATA_DIR"]) / "secret_key"
    environment = {**up.environment, "RELAY_DATA_DIR": str(tmp_path / "new")}
    options = ("--secret-key-file", str(secret_key))
    missing = _run(environment, tmp_path, "restore", f"{bucket.place}/missing.backup", *options)
    assert missing.returncode == 1 and f"{bucket.place}/missing.backup doesn't exist" in missing.stderr
    restored = _run(environment, tmp_path, "restore", f"s3://{bucket.name}/{bucket.objects()[0]}", *options)
    assert restored.returncode == 0 and "keys restored" in restored.stdout, restored.stderr
    assert not list((tmp_path / "new").glob("restore-*"))
