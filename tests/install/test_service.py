"""`cams-relay service install` writes units that systemd accepts and that limit the damage of a compromised relay."""

from __future__ import annotations

import importlib
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.run.service_units import PROCESSES, systemd_unit, unit_name, unreadable_place

service_cli = importlib.import_module("app.cli.service")  # app.cli has a command of this name
_MOST_EXPOSED = 30  # of 100: "OK"; an unhardened unit has 96


def _written(folder: Path) -> list[Path]:
    program = folder / "cams-relay"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    files = [folder / f"{unit_name(process)}.service" for process in PROCESSES]
    for process, file in zip(PROCESSES, files, strict=True):
        file.write_text(systemd_unit(process, program))
    return files


def test_systemd_accepts_the_units_and_rates_them_as_hardened(tmp_path: Path) -> None:
    files = _written(tmp_path)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # this isn't a machine with systemd, but the beginning of its message is checked
        assert all("NoNewPrivileges=yes" in file.read_text() for file in files)
        return
    verified = subprocess.run([analyze, "verify", *files], capture_output=True, text=True)
    ours = [line for line in verified.stderr.splitlines() if str(tmp_path) in line or "cams-relay" in line]
    assert ours == [] and verified.returncode == 0, verified.stderr
    for file in files:
        judged = subprocess.run(
            [analyze, "security", "--no-pager", "--offline=true", f"--threshold={_MOST_EXPOSED}", file],
            capture_output=True,
            text=True,
        )
        assert judged.returncode == 0, judged.stdout


def test_it_prints_units_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_cli, "_UNITS", tmp_path)
    ran = CliRunner().invoke(main, ["service", "install", "--print", "--for", "systemd", "web", "worker"])
    assert ran.exit_code == 0, ran.output
    program = Path(sys.executable).with_name("cams-relay")
    assert f"ExecStart={program} web\n" in ran.stdout and f"ExecStart={program} worker\n" in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_it_writes_units_and_says_how_to_start_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_cli, "_UNITS", tmp_path)
    monkeypatch.setattr(service_cli.units, "unreadable_place", lambda _: None)
    ran = CliRunner().invoke(main, ["service", "install", "--for", "systemd"])
    assert ran.exit_code == 0, ran.output
    assert " up --no-simulator\n" in (tmp_path / "cams-relay.service").read_text()
    assert "systemctl enable --now cams-relay" in ran.output


def test_a_program_in_a_home_folder_is_refused_as_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail to start, and the message wouldn't say why."""
    assert (
        unreadable_place([Path("/usr/bin/python3"), Path("/home/somebody/.local/bin/cams-relay")]) is not None
    )
    assert unreadable_place([Path("/opt/cams-relay/bin/cams-relay")]) is None
    monkeypatch.setattr(service_cli, "_UNITS", tmp_path)
    monkeypatch.setattr(service_cli, "_program", lambda: Path("/home/somebody/bin/cams-relay"))
    ran = CliRunner().invoke(main, ["service", "install", "--for", "systemd"])
    assert ran.exit_code == 1 and "/home/somebody/bin/cams-relay" in ran.output
    assert list(tmp_path.iterdir()) == []


def test_up_is_refused_together_with_its_own_processes() -> None:
    ran = CliRunner().invoke(main, ["service", "install", "--print", "up", "web"])
    assert ran.exit_code == 1 and "up already runs all processes" in ran.output


def test_launchd_gets_a_property_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    ran = CliRunner().invoke(main, ["service", "install", "--for", "launchd"])
    assert ran.exit_code == 0, ran.output
    (file,) = (tmp_path / "Library" / "LaunchAgents").iterdir()
    content = plistlib.loads(file.read_bytes())
    assert content["ProgramArguments"][1:] == ["up", "--no-simulator"]
    assert content["EnvironmentVariables"]["RELAY_DATA_DIR"] == str(tmp_path / "share" / "cams-relay")
    assert (tmp_path / "share" / "cams-relay").is_dir()
    assert content["Label"] == file.stem
