"""Each preset reads the export of its product. The files in exports/ are made up, in the form of these products."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.connector.presets import PRESETS
from tests.connector.conftest import Connector, punches
from tests.harness import ROOT, Receiver

EXPORTS = Path(__file__).parent / "exports"
PAGE = (ROOT / "docs/connector.md").read_text()
IN, OUT = "CheckIn", "CheckOut"
MORNING, LATER = "08:02:11", "08:05:40"
EVENING, LATE = "17:31:09", "17:40:00"

FOUND = {
    "zkteco-attlog": [
        f"7 {MORNING} {IN} Fingerprint",
        f"12 {LATER} {IN} Face",
        f"7 {EVENING} {OUT} Fingerprint",
        f"12 {LATE} - Card",
    ],
    "essl-etimetrack": [f"7 {MORNING} {IN}", f"12 {LATER} {IN}", f"7 {EVENING} {OUT}", f"12 {LATE} -"],
    "hikvision-ivms": [
        f"00000007 {MORNING} {IN} 36.4",
        f"00000012 {LATER} - -",
        f"00000007 {EVENING} {OUT} -",
        f"00000012 {LATE} OverTimeOut -",
    ],
    "biotime": [f"7 {MORNING} {IN}", f"12 08:05:00 {IN}", f"7 {EVENING} {OUT}", f"12 {LATE} BreakOut"],
    "zktime": [f"7 {MORNING} {IN}", f"12 {LATER} {IN}", f"7 {EVENING} {OUT}", f"12 {LATE} OverTimeOut"],
    "anviz": [f"7 {MORNING} {IN}", f"12 {LATER} {IN}", f"7 {EVENING} {OUT}", f"12 {LATE} -"],
    "fingertec": ["000000007 08:02:00", "000000012 08:05:00", "000000007 17:31:00", f"000000012 {LATE}"],
    "horilla": [
        f"PEP07 08:02:00 {IN}",
        f"PEP07 17:31:00 {OUT}",
        f"PEP12 22:00:00 {IN}",
        f"PEP12 06:05:00 {OUT}",
        f"PEP13 09:00:00 {IN}",
    ],
}


def _export(name: str) -> Path:
    return next(EXPORTS.glob(f"{name}.*"))


def _shown(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["connector", "try", *words, "--timezone", "Asia/Kolkata"])
    assert done.exit_code == status, done.output
    return done.stdout


def _rows(shown: str) -> list[str]:
    """Return the rows of the table without the line, the date and the offset."""
    pattern = re.compile(r"^\d+ +(\S+ +)2026-11-2\d (\S+) GMT \+0530(.*)$", re.MULTILINE)
    return [" ".join("".join(found.groups()).split()) for found in pattern.finditer(shown)]


def test_every_preset_has_an_export_to_test_it() -> None:
    assert set(PRESETS) == set(FOUND) == {path.stem for path in EXPORTS.iterdir()}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_its_export_whole(name: str) -> None:
    shown = _shown(str(_export(name)), "--preset", name)
    assert _rows(shown) == FOUND[name]
    count = len(FOUND[name])
    assert f"{count} rows read: {count} would be sent, 0 rejected." in shown


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_options_say(name: str) -> None:
    spelled_out = shlex.split(str(PRESETS[name]))
    assert _rows(_shown(str(_export(name)), *spelled_out)) == FOUND[name]


def test_the_page_lists_the_presets_and_their_options() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| `(.+?)` \|$", PAGE, re.MULTILINE)
    output = {
        name: (export, options.replace("\\|", "|")) for name, export, options in rows if name in PRESETS
    }
    for name, preset in PRESETS.items():
        if name != "horilla":  # whose many formats of dates the page describes instead
            assert output[name] == (preset.export, str(preset)), name
    export, options = output["horilla"]
    assert export == PRESETS["horilla"].export and str(PRESETS["horilla"]).startswith(options)


def test_an_option_takes_precedence_over_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("AC-No.,Card,Time,State\n7,70,24/11/2026 08:02:11,C/In\n")
    assert "would be sent, 1 rejected" in _shown(str(path), "--preset", "zktime", status=3)
    words = ("--map", "user=Card,time=Time", "--time-format", "%d/%m/%Y %H:%M:%S", "--preset", "zktime")
    assert _rows(_shown(str(path), *words)) == [f"70 {MORNING}"]


def test_a_row_with_two_punches_is_sent_as_two(connector: Connector, gate: Receiver) -> None:
    path = connector.folder / "horilla.csv"
    shutil.copy(_export("horilla"), path)
    assert "5 rows read: 5 sent, 0 rejected" in connector.run("file", "horilla.csv", "--preset", "horilla")
    assert [(punch["UserId"], punch["LogTime"][:19], punch["Type"]) for punch in punches(gate)] == [
        ("PEP07", "2026-11-24 08:02:00", IN),
        ("PEP07", "2026-11-24 17:31:00", OUT),
        ("PEP12", "2026-11-24 22:00:00", IN),
        ("PEP12", "2026-11-25 06:05:00", OUT),
        ("PEP13", "2026-11-24 09:00:00", IN),
    ]
    text = path.read_text()
    path.write_text(text.replace("2026-11-24,09:00,,,", "2026-11-24,09:00,18:00,2026-11-24,09:00:00"))
    output = connector.run("file", "horilla.csv", "--preset", "horilla")
    assert "1 sent, 5 sent before" in output and punches(gate)[-1]["LogTime"][:19] == "2026-11-24 18:00:00"


def test_a_bad_time_of_two_costs_that_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("ID,Date,First,Last\n7,2026-11-24,08:00,late\n8,2026-11-24,,\n9,,08:00,\n")
    words = ("--map", "user=ID,date=Date,time_in=First,time_out=Last")
    shown = _shown(str(path), *words, status=3)
    assert _rows(shown) == [f"7 08:00:00 {IN}"] and "3 rows read: 1 would be sent, 2 rejected" in shown


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ("user=ID,time_in=A", "no column is given for time_out"),
        ("user=ID,time=A,time_in=B,time_out=C", "can't be combined with time or type"),
    ],
)
def test_a_map_of_two_punches_must_be_whole(tmp_path: Path, mapping: str, problem: str) -> None:
    path = tmp_path / "export.csv"
    path.write_text("ID,A,B,C\n")
    done = CliRunner().invoke(main, ["connector", "try", str(path), "--map", mapping])
    assert done.exit_code == 1 and problem in done.output


def test_a_database_row_is_one_punch(connector: Connector) -> None:
    words = ("db", "sqlite:///x.db", "--query", "SELECT 1", "--since-column", "a")
    assert "time_in is only for files" in connector.run(
        *words, "--map", "user=a,time_in=b,time_out=c", status=1
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04\x14\0\6\0", "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (b"\xef\xbb\xbf\r\n<HTML><body><table>", "a web page"),
    ],
)
def test_a_workbook_is_refused_with_what_to_do(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "export.xls"
    path.write_bytes(content)
    done = CliRunner().invoke(main, ["connector", "try", str(path), "--preset", "zktime"])
    assert done.exit_code == 1 and what in done.output and "save it as CSV UTF-8" in done.output
