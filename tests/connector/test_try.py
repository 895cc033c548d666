"""`connector try` shows what would be sent and what would be rejected, and does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.connector.conftest import TOKEN, Connector, punches
from tests.harness import ROOT, Receiver

MAP = ("--map", "user=ID,time=At,type=Way")
HEADING = "ID,At,Way\n"


def _try(folder: Path, *words: str, status: int = 0, zone: str = "Asia/Kolkata") -> str:
    """Run it without a URL, a token or a Service Tag ID, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    done = subprocess.run(
        [sys.executable, "-m", "app", "connector", "try", *words, "--timezone", zone],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr + done.stdout


def test_rows_are_shown_as_they_would_be_sent_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text(
        HEADING + "'00042,2026-11-24 08:00:00,in\n8,2026-11-24 08:05:00,255\n"
    )
    before = sorted(tmp_path.iterdir())
    output = _try(tmp_path, "export.csv", *MAP)
    assert "2     00042   2026-11-24 08:00:00 GMT +0530  CheckIn\n" in output
    assert "3     8       2026-11-24 08:05:00 GMT +0530  -\n" in output
    assert "Unknown values, left out of punches: type '255' (1)" in output
    assert output.splitlines()[-1] == "2 rows read: 2 would be sent, 0 rejected. Nothing was sent."
    assert sorted(tmp_path.iterdir()) == before


def test_what_it_shows_is_what_is_sent(connector: Connector, gate: Receiver) -> None:
    rows = "7,2026-11-24 08:00:00,in,F\n7,2026-11-24 08:00:00,in,F\n9,2026-11-24 17:00:00,out,C\n"
    (connector.folder / "export.csv").write_text("ID,At,Way,How\n" + rows)
    words = ("export.csv", "--map", "user=ID,time=At,type=Way,input=How", "--input-words", "F=Face,C=Card")
    connector.run("try", *words)
    assert gate.received == [] and not connector.state.exists()
    sent = connector.run("file", *words)
    assert "3 rows read: 2 sent, 1 sent before" in sent
    shown = _try(connector.folder, *words)
    assert "3 rows read: 2 would be sent, 1 repeated, 0 rejected" in shown
    assert len(punches(gate)) == 2
    for punch in punches(gate):
        line = next(line for line in shown.splitlines() if punch["LogTime"] in line)
        assert (
            line.split()[1:]
            == " ".join(punch[name] for name in ("UserId", "LogTime", "Type", "InputType")).split()
        )


def test_rejected_rows_are_shown_with_the_reason(tmp_path: Path) -> None:
    rows = "7,2026-11-24 08:00:00,in\n,2026-11-24 08:00:00,in\n8,yesterday\x1b[2J,in\n"
    (tmp_path / "export.csv").write_text(HEADING + rows)
    output = _try(tmp_path, "export.csv", *MAP, status=3)
    assert "export.csv, line 3: user" in output
    assert "export.csv, line 4: time 'yesterday" in output and "\x1b" not in output
    assert "3 rows read: 1 would be sent, 2 rejected." in output
    assert not list(tmp_path.glob("connector-*"))


def test_twenty_rows_of_each_kind_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    good = "".join(f"{number},2026-11-24 08:00:00,in\n" for number in range(100, 150))
    (tmp_path / "export.csv").write_text(HEADING + good + ",2026-11-24 08:00:00,in\n" * 30)
    output = _try(tmp_path, "export.csv", *MAP, status=3)
    assert "The first 20 of 50 rows" in output and "The first 20 of 30 rejected rows" in output
    assert output.count("GMT +0530") == 20 and output.count("export.csv, line") == 20
    assert "80 rows read: 50 would be sent, 30 rejected." in output


def test_a_last_line_without_a_break_is_shown(tmp_path: Path) -> None:
    (tmp_path / "attlog.dat").write_text("        7\t2026-11-24 08:00:00\t1\t0\t1\t0")
    output = _try(tmp_path, "attlog.dat", "--format", "attlog")
    assert "1     7       2026-11-24 08:00:00 GMT +0530  CheckIn  Fingerprint" in output


def test_each_device_of_a_file_is_named_and_no_secret_is_read(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("ID,At,SN\n7,2026-11-24 08:00:00,A\n8,2026-11-24 03:00:00,B\n9,x,C\n")
    (tmp_path / "devices.toml").write_text(
        '["A"]\nstgid = "GATE1"\nauth_token_env = "NOT_SET"\n["B"]\nauth_token_file = "none"\ntimezone = "UTC"\n'
    )
    words = ("all.csv", "--map", "user=ID,time=At,device=SN", "--devices", "devices.toml")
    output = _try(tmp_path, *words, status=3)
    assert "2     GATE1  7       2026-11-24 08:00:00 GMT +0530" in output
    assert "3     B      8       2026-11-24 03:00:00 GMT +0000" in output
    assert "device 'C' isn't in the file" in output


def test_rows_of_other_devices_are_counted(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("ID,At,SN\n7,2026-11-24 08:00:00,A\n8,2026-11-24 08:00:00,B\n")
    output = _try(tmp_path, "all.csv", "--map", "user=ID,time=At", "--stgid", "A")
    assert "2 rows read: 1 would be sent, 1 from other devices, 0 rejected." in output


def test_wrong_options_and_missing_files_are_said(tmp_path: Path) -> None:
    assert "there is no file" in _try(tmp_path, "none.csv", *MAP, status=1)
    (tmp_path / "export.csv").write_text("A,B\n1,2\n")
    assert "no column 'ID' for user" in _try(tmp_path, "export.csv", *MAP, status=1)
    assert "is not a time zone" in _try(tmp_path, "export.csv", *MAP, zone="Nowhere", status=1)
    assert TOKEN not in _try(tmp_path, "export.csv", "--map", "user=A", status=1)
