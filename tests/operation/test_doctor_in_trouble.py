"""What `doctor` and `up` say when the store hangs, the key file is empty, or the disk is full."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from app.health.disk_checks import disk_findings, settings_problem, unwritable
from app.health.findings import Problem
from app.settings.table import load
from app.store.server.embedded import private_file
from tests.command_line import SECRET, Up, run
from tests.processes import tree


def test_doctor_knows_a_running_relay_whose_store_hangs(tmp_path: Path) -> None:
    up = Up(tmp_path, "--no-simulator")
    try:
        up.wait_for_screen()
        (server,) = [pid for pid, command in tree(up.process.pid).items() if "valkey-server" in command]
        os.kill(server, signal.SIGSTOP)
        try:
            ran = run(tmp_path, "doctor", PORT=up.environment["PORT"])
        finally:
            os.kill(server, signal.SIGCONT)
    finally:
        up.stop()
    assert ran.returncode == 1
    assert "The relay is running with the data folder" in ran.stdout and "valkey.log" in ran.stdout
    assert "No relay is running" not in ran.stdout
    assert "No relay is running" in run(tmp_path, "doctor").stdout


def test_an_empty_key_file_is_explained_like_a_missing_one(tmp_path: Path) -> None:
    up = Up(tmp_path, "--no-simulator")
    up.wait_for_screen()
    up.stop()
    file = tmp_path / "data" / "secret_key"
    key = file.read_text()
    file.write_text("")
    for command in ("up", "doctor"):
        ran = run(tmp_path, command)
        text = ran.stdout + ran.stderr
        assert ran.returncode == 1 and "Traceback" not in text
        assert "secret_key is empty, but" in text and "Put the file back" in text, text
        assert "Remove it" not in text
    assert file.read_text() == "", "no new key may be written beside encrypted data"
    file.write_text(key)
    up = Up(tmp_path, "--no-simulator")
    up.wait_for_screen()
    up.stop()


@pytest.mark.parametrize("name", ["secret_key", "api_key"])
def test_an_empty_key_file_without_data_can_be_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text("")
    ran = run(tmp_path, "up", "--no-simulator")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert f"{name} is empty. Remove it, and start again." in ran.stderr


def test_a_key_file_that_cannot_be_written_is_not_left_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "made-up full disk")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="made-up full disk"):
        private_file(tmp_path / "api_key", "made-up-key")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_no_other_folder_is_offered(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    settings = load({"RELAY_DATA_DIR": str(folder), "RELAY_SECRET_KEY": SECRET})
    try:
        assert disk_findings(settings) == [] and unwritable(folder) is None
        with (folder / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        (finding,) = disk_findings(settings)
        assert isinstance(finding, Problem) and "is full (0 KiB free)" in finding
        problem = unwritable(folder)
        assert problem is not None and "is full" in problem and "choose another" not in problem
        assert not (folder / ".writable").exists()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_holds_a_relay_is_not_to_be_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    problem = settings_problem(tmp_path)
    assert problem is not None and "choose another one" in problem
    (tmp_path / "store").mkdir()
    problem = settings_problem(tmp_path)
    assert problem is not None and "Fix its permissions" in problem and "choose another" not in problem
