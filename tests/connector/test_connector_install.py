"""A connector as a service: the unit runs exactly the command that was given, and a wrong command is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.connector import install

FILE = ("file", "/srv/a b/attlog.dat", "--preset", "zkteco-attlog", "--time-format", '%d/%m/%Y $x "q" \\n')
REST = ("--to", "https://relay.example.com/callback", "--stgid", "GATE1")


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, ["connector", "install", "--name", "GATE1", *words])


def _words(line: str) -> list[str]:
    """The words of an ExecStart line, read as systemd.service(5) says."""
    found = []
    for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        word = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        found.append(word.replace("%%", "%").replace("$$", "$"))
    return found


def test_the_unit_runs_the_command_as_it_was_given() -> None:
    done = _run("--print", "--for", "systemd", *FILE, *REST)
    assert done.exit_code == 0, done.output
    (line,) = re.findall(r"^ExecStart=(.*)$", done.output, re.MULTILINE)
    assert _words(line)[1:] == ["connector", *FILE, *REST]
    assert "StateDirectory=cams-relay-connector-GATE1\n" in done.output
    assert "EnvironmentFile=-/etc/cams-relay-connector.env\n" in done.output


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "cams-relay-connector-GATE1.service"
    text = _run("--print", "--for", "systemd", *FILE, *REST).stdout
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_unit_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_UNITS", tmp_path)
    done = _run("--for", "systemd", *FILE, *REST)
    assert done.exit_code == 0 and "systemctl enable --now cams-relay-connector-GATE1" in done.output
    unit = tmp_path / "cams-relay-connector-GATE1.service"
    assert unit.read_text().startswith("# Written by") and unit.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(install, "_UNITS", tmp_path / "none")
    failed = _run("--for", "systemd", *FILE, *REST)
    assert failed.exit_code == 1 and "Run this as root, or use --print" in failed.output


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("try", "/srv/a.csv"), "'try' is not a connector"),
        (("file", "a.csv", *REST), "a.csv must be an absolute path"),
        (("file", "/srv/a.csv", *REST, "--rejects", "r.jsonl"), "rejects: r.jsonl must be an absolute path"),
        (("file", "/srv/a.csv", *REST, "--once"), "--once can't be used for a service"),
        (("file", "/srv/a.csv", "--stgid", "A"), "--to"),
        (("file", "/srv/a.csv", *REST, "--presets", "x"), "--presets"),
        (("db", "sqlite:////srv/a.db", *REST), "--query"),
        (("file", "/srv/a.csv", "--stgid", "A", "--to", "https://r.example/c?a=b?k=x"), "--to env:ITS_NAME"),
        (("file", "/srv/a.csv", "--stgid", "A", "--to", "https://u:x@r.example/c"), "--to env:ITS_NAME"),
        (
            (
                "db",
                "mysql://u:made-up@h/d",
                "--query",
                "select 1",
                "--since-column",
                "t",
                "--map",
                "user=u",
                *REST,
            ),
            "every user can read a service's command",
        ),
        (
            ("file", "/srv/a.csv", "--stgid", "A", "--to", "https://r.example/callback?k=made-up"),
            "--to env:ITS_NAME",
        ),
        (
            (
                "db",
                "sqlite:////srv/a.db",
                "--query",
                "select 1\nfrom t",
                "--since-column",
                "t",
                "--map",
                "user=u",
                *REST,
            ),
            "Write it on one line",
        ),
    ],
)
def test_a_command_that_could_not_run_is_refused(words: tuple[str, ...], problem: str) -> None:
    done = _run("--print", "--for", "systemd", *words)
    assert done.exit_code == 2 and problem in done.output


def test_a_name_that_is_no_file_name_is_refused() -> None:
    done = CliRunner().invoke(main, ["connector", "install", "--name", "../x", "--print", *FILE, *REST])
    assert done.exit_code == 2 and "use letters, digits" in done.output


def test_for_windows_it_prints_what_to_do() -> None:
    words = ("file", r"C:\Att Log\attlog.dat", "--preset", "zkteco-attlog", "--time-format", "%d/%m", *REST)
    done = _run("--for", "windows", *words)
    assert done.exit_code == 0, done.output
    assert "This has not been tested on Windows." in done.output
    assert (
        r'"connector" "file" "C:\Att Log\attlog.dat" "--preset" "zkteco-attlog" "--time-format" "%%d/%%m"'
        in done.output
    )
    refused = _run("--for", "windows", *words, "--map", 'user="No|Id"')
    assert refused.exit_code == 2 and "batch file" in refused.output
    assert 'schtasks /Create /TN "cams-relay-connector-GATE1" /SC ONSTART /RU SYSTEM /TR "C:' in done.output
    assert "must be an absolute path" in _run("--for", "windows", "file", "attlog.dat", *REST).output
