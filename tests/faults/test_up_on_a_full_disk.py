"""`up` with its data folder on a disk that fills up: the store stops, and `up` continues once there is room."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.harness import ROOT, free_port, wait_for
from tests.operation.test_up_restarts import start

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a file system of 24 MiB."""
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        wait_for(lambda: not subprocess.run(["umount", str(folder)], check=False).returncode)


def test_up_continues_when_there_is_room_again(small_disk: Path, tmp_path: Path) -> None:
    port = free_port()
    url, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    log = tmp_path / "up.log"
    statuses: Counter[int] = Counter()
    acknowledged: list[str] = []

    def punch() -> int:
        user = str(statuses.total() + 1)
        punched = {
            "UserID": user,
            "LogTime": "2026-11-30 09:00:00 GMT +0000",
            "Type": "CheckIn",
            "InputType": "Card",
        }
        about = {
            "OperationID": secrets.token_hex(6),
            "AuthToken": token,
            "Time": "2026-11-30 09:00:00 GMT +0000",
        }
        document = {"RealTime": {**about, "SerialNumber": "S1", "PunchLog": punched}}
        status = 0
        with suppress(requests.RequestException):
            status = requests.post(f"{url}/callback?stgid=DEV1", json=document, timeout=20).status_code
        statuses[status] += 1
        if status == 200:
            acknowledged.append(user)
        return status

    def seen() -> set[str]:
        users: set[str] = set()
        after = None
        while True:
            query = {"type": "attendance.punch", "limit": "200", **({"cursor": after} if after else {})}
            answer = requests.get(f"{url}/v1/events", headers={"X-API-Key": key}, params=query, timeout=20)
            if not answer.ok:  # a moment ago, the store was away
                return set()
            page = answer.json()
            users |= {event["user_id"] for event in page["data"]}
            after = page["next_cursor"]
            if not after:
                return users

    up = start(tmp_path, port)
    try:
        wait_for(lambda: log.exists() and "is running" in log.read_text(), 120)
        key = (small_disk / "api_key").read_text().strip()
        body = {"device_id": "DEV1", "auth_token": token}
        requests.post(
            f"{url}/v1/devices", headers={"X-API-Key": key}, json=body, timeout=20
        ).raise_for_status()
        assert {punch() for _ in range(20)} == {200}

        ballast = small_disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        wait_for(lambda: punch() != 200 and "the store can't run" in log.read_text(), 60)
        for _ in range(20):
            punch()
        (line,) = [line for line in log.read_text().splitlines() if "the store can't run" in line]
        assert " ERROR   relay.store the disk of " in line, "one line a minute, as a log line"
        found = " ".join(requests.get(f"{url}/health", timeout=20).json()["problems"])
        assert "Free up space" in found and "start it again" not in found
        assert set(statuses) <= {0, 200, 503}

        ballast.unlink()
        wait_for(lambda: punch() == 200 and requests.get(f"{url}/health", timeout=20).ok, 60)
        wait_for(lambda: seen() >= set(acknowledged), 60)
        assert up.poll() is None
    finally:
        up.terminate()
        up.wait(60)


def test_a_store_that_waits_for_room_ends_at_once_when_told_to(small_disk: Path, tmp_path: Path) -> None:
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    log = tmp_path / "store.log"
    with log.open("wb") as output:
        store = subprocess.Popen(
            [sys.executable, "-m", "app", "store"],
            cwd=tmp_path,
            env={**os.environ, "RELAY_DATA_DIR": str(small_disk), "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: "the store can't run" in log.read_text(), 60)
    finally:
        store.terminate()
        assert store.wait(5) == 0
