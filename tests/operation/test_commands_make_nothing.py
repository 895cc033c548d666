"""Commands that only read create no keys or folders, report misspelt settings, and obey NO_COLOR."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.settings.unknown import unknown_variables
from app.store.server.embedded import private_file
from tests.harness import ROOT
from workers.delivery.log_lines import _echo


def _run(folder: Path, *arguments: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    assert ran.returncode == 1
    return ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("doctor",),
        ("audit",),
        ("keys", "create", "--name", "x", "--scope", "admin"),
        ("export", "--user", "7"),
    ],
)
def test_a_command_creates_nothing_in_the_current_folder(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "RELAY_DATA_DIR" in _run(tmp_path, *command)
    assert list(tmp_path.iterdir()) == []


def test_a_process_can_still_create_keys_after_running_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_DATA_DIR", str(tmp_path / "none"))
    assert CliRunner().invoke(main, ["audit"]).exit_code == 1
    assert private_file(tmp_path / "key", "made-up") == "made-up"


def test_doctor_names_a_misspelt_setting(tmp_path: Path) -> None:
    process = _run(tmp_path, "doctor", RELAY_RETENTION_DAY="7")
    assert "RELAY_RETENTION_DAY is set" in process and "Did you mean RELAY_RETENTION_DAYS?" in process


def test_only_unknown_settings_are_reported() -> None:
    assert unknown_variables({"RELAY_SHARDS": "1", "RELAY_URL": "x", "PATH": "x"}) == []
    (one,) = unknown_variables({"RELAY_" + "Z" * 30: "1"})
    assert ".env.example" in one


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    _echo("\x1b[32msent\x1b[0m")
    assert capsys.readouterr().out == "sent\n"
