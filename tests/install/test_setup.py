"""`make run` and `make test` set up .venv, report their progress, and refuse unknown files."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.install.conftest import PYTHON, clean_environment

pytestmark = pytest.mark.timeout(600)  # packages are downloaded

UV = Path(sys.executable).with_name("uv")
WRONG = "click==8.1.8 --hash=sha256:" + "0" * 64 + "\n"


def _environment(tmp_path: Path, *, uv: bool) -> dict[str, str]:
    """Return an environment with or without uv on the PATH."""
    environment = clean_environment()
    folders = [
        folder for folder in environment["PATH"].split(os.pathsep) if not (Path(folder) / "uv").exists()
    ]
    if uv:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "uv").symlink_to(UV)
        folders.insert(0, str(tmp_path / "bin"))
    return {**environment, "PATH": os.pathsep.join(folders)}


def test_a_checkout_is_set_up_step_by_step(checkout: Path, tmp_path: Path) -> None:
    environment = _environment(tmp_path, uv=False)
    made = subprocess.run(
        ["make", ".venv/.run", f"PYTHON={PYTHON}"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    steps = [line for line in made.stdout.splitlines() if line.startswith("[")]
    assert [step.split()[0] for step in steps] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"], made.stdout
    assert made.stdout.startswith("[1/4]")
    for program in (("cams-relay", "--version"), ("python", "-m", "pip", "--version")):
        ran = subprocess.run(
            [checkout / ".venv" / "bin" / program[0], *program[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
    again = subprocess.run(
        ["make", ".venv/.run"], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert "[" not in again.stdout


def _wheel(folder: Path) -> None:
    """Build an empty package with this name and version."""
    with zipfile.ZipFile(folder / "click-8.1.8-py3-none-any.whl", "w") as wheel:
        wheel.writestr("click/__init__.py", "")
        info = "click-8.1.8.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: click\nVersion: 8.1.8\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize("uv", [True, False], ids=["with uv", "with pip"])
def test_a_file_with_a_wrong_hash_is_not_installed(tmp_path: Path, uv: bool) -> None:
    """uv and pip both refuse it, and it is never installed unchecked."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (tmp_path / "lock.txt").write_text(WRONG)
    _wheel(tmp_path)
    # The only package that is available, so uv can't be installed if it is missing.
    environment = {**_environment(tmp_path, uv=uv), "PIP_FIND_LINKS": str(tmp_path), "PIP_NO_INDEX": "1"}
    environment["UV_NO_INDEX"] = "1"
    ran = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", ROOT / "scripts" / "setup", tmp_path / "lock.txt"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.returncode == 1
    assert "The packages could not be installed" in ran.stdout, ran.stdout + ran.stderr
    assert ("[3/4] Installing up to 1 packages into .venv with " + ("uv" if uv else "pip")) in ran.stdout
    assert "DO NOT MATCH THE HASHES" in ran.stderr  # pip, which is tried after uv
    assert ("Hash mismatch" in ran.stderr) is uv
    assert list((tmp_path / "venv").glob("lib/python*/site-packages/click*")) == []
