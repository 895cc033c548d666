"""The wheel contains everything needed at run time, and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.harness import ROOT, Receiver, free_port, wait_for
from tests.install.conftest import PYTHON, clean_environment, copy_checkout, run

pytestmark = pytest.mark.timeout(600)  # packages are downloaded

UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that it can only contain files in git."""
    copy, out = copy_checkout(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("dist")
    built = run(UV, "build", "--quiet", "--wheel", "--out-dir", out, folder=copy)
    assert built.returncode == 0, built.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`cams-relay` in a separate environment with the packages in requirements.txt."""
    folder = tmp_path_factory.mktemp("installed")
    steps: tuple[tuple[str | Path, ...], ...] = (
        (UV, "venv", "--quiet", "--python", PYTHON, folder / "venv"),
        (UV, "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements.txt"),
        (UV, "pip", "install", "--quiet", "--no-deps", wheel),
    )
    for step in steps:
        done = run(*step, folder=folder, VIRTUAL_ENV=str(folder / "venv"))
        assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin" / "cams-relay"


def test_it_contains_all_data_files(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "app", "workers", "simulator"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = set(zipfile.ZipFile(wheel).namelist())
    missing = set(listed.stdout.split()) - packed
    assert missing == set()
    folders = {name.split("/")[0] for name in packed if ".dist-info/" not in name}
    assert folders == {"app", "workers", "simulator"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def screen(
    program: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """Run `cams-relay up` in an empty folder. The values are its URL, its output and that folder."""
    here, port = tmp_path_factory.mktemp("here"), free_port()
    environment = clean_environment(
        HOME=str(home),
        PORT=str(port),
        SIMULATOR_PORT=str(free_port()),
        RELAY_ALLOW_PRIVATE_TARGETS="127.0.0.0/8",
        PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    )
    environment.pop("XDG_DATA_HOME", None)
    log = home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["cams-relay", "up"], cwd=here, env=environment, stdout=output, stderr=output
        )
    try:
        wait_for(lambda: "Press Ctrl-C" in log.read_text() or process.poll() is not None, 90)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}", log.read_text(), here
    finally:
        process.terminate()
        process.wait(30)


def _key(home: Path) -> str:
    return (home / ".local" / "share" / "cams-relay" / "api_key").read_text().strip()


def test_it_keeps_its_data_in_the_users_folder(screen: tuple[str, str, Path], home: Path) -> None:
    _, _, here = screen
    assert (home / ".local" / "share" / "cams-relay" / "secret_key").exists()
    assert list(here.iterdir()) == []


def test_messages_name_the_command_as_it_was_called(screen: tuple[str, str, Path]) -> None:
    _, shown, _ = screen
    assert " cams-relay simulate punch" in shown
    assert ".venv" not in shown


def test_punches_are_delivered_and_pages_are_shown(
    screen: tuple[str, str, Path], home: Path, receiver: Receiver
) -> None:
    url, _, _ = screen
    key = {"X-API-Key": _key(home)}
    body = {"target_url": receiver.url, "events": ["attendance.punch"]}
    assert requests.post(f"{url}/v1/subscriptions", json=body, headers=key, timeout=30).status_code == 201
    assert receiver.wait(1, 60)[0].json["type"] == "attendance.punch"
    for path in ("/console/sign-in", "/docs", "/openapi.json", "/openapi.yaml", "/postman.json", "/metrics"):
        answer = requests.get(url + path, headers=key, timeout=30)
        assert answer.status_code == 200, path


def test_a_command_finds_the_relay_from_any_folder(
    screen: tuple[str, str, Path], program: Path, home: Path, tmp_path: Path
) -> None:
    found = run(program, "audit", folder=tmp_path, HOME=str(home))
    assert found.returncode == 0, found.stderr
    assert list(tmp_path.iterdir()) == []


def test_data_in_the_current_folder_is_used_with_a_message(program: Path, tmp_path: Path) -> None:
    """If an earlier version was used in this folder, its data must not seem lost."""
    (tmp_path / ".data" / "spool").mkdir(parents=True)
    doctor = run(program, "doctor", folder=tmp_path, HOME=str(tmp_path / "home"))
    assert f"Using the relay's data in {tmp_path / '.data'}" in doctor.stderr
    assert "Traceback" not in doctor.stderr


def test_uvx_runs_it_without_installing(wheel: Path, tmp_path: Path) -> None:
    ran = run(
        UV, "tool", "run", "--python", PYTHON, "--from", wheel, "cams-relay", "--version", folder=tmp_path
    )
    assert ran.returncode == 0 and ran.stdout.startswith("cams-relay"), ran.stderr
