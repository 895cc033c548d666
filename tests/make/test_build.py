"""One command builds the app into a folder of the user. Make's editor stores upload information in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from app.openapi import make
from tests.docs.conftest import block
from tests.harness import ROOT
from tests.make.app import BY_HAND, App, build

ORIGIN = {"label": "My account", "appId": "cams-relay", "idMapping": {"module": [{"local": "addUser"}]}}


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def by_hand() -> dict[str, str]:
    return {name: text for name, text in files(BY_HAND).items() if name.endswith(".json")}


def test_it_contains_generated_and_handwritten_files(app: App) -> None:
    built = files(app.folder)
    assert set(built) == {*make.files(), *by_hand()}
    assert {name: json.loads(built[name]) for name in make.files()} == make.files()
    assert {name: built[name] for name in by_hand()} == by_hand()


def test_the_documented_command_builds_it(app: App, tmp_path: Path) -> None:
    """The command runs as documented, but without setting up .venv again."""
    script = block("make-app/README.md", "run", "build")
    assert "make make-app" in script
    script = script.replace("make ", f'make -o .venv/.run BIN="{Path(sys.executable).parent}" ', 1)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    ran = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert files(tmp_path / "cams-relay-make") == files(app.folder)


def test_building_it_again_keeps_the_upload_information(tmp_path: Path) -> None:
    assert build(tmp_path).returncode == 0
    manifest, key = tmp_path / "makecomapp.json", tmp_path / ".secrets" / "apikey"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "origins": [ORIGIN]}))
    key.parent.mkdir()
    key.write_text("made-up-token")
    base = tmp_path / "general" / "base.iml.json"
    base.write_text("{}")
    assert build(tmp_path).returncode == 0
    assert json.loads(manifest.read_text())["origins"] == [ORIGIN]
    assert key.read_text() == "made-up-token"
    assert json.loads(base.read_text()) == make.files()["general/base.iml.json"]


def test_a_damaged_manifest_is_not_changed(tmp_path: Path) -> None:
    manifest = tmp_path / "makecomapp.json"
    for damaged in ('{"origins": [', "[]", '{"origins": {}}'):
        manifest.write_text(damaged)
        built = build(tmp_path)
        assert built.returncode == 1 and f"{manifest}: can't be read" in built.stdout
        assert files(tmp_path) == {"makecomapp.json": damaged}


def test_the_folder_of_handwritten_files_is_refused() -> None:
    before = files(BY_HAND)
    for folder in (BY_HAND, BY_HAND / "modules"):
        built = build(folder)
        assert built.returncode == 1 and "Choose another folder" in built.stdout
    assert files(BY_HAND) == before
