"""A `.env` that another user may have written isn't read, with a message. New folders are private to their owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.base.private_folder import make_private
from app.cli import main
from app.settings import data_folder, env_file
from app.settings.env_file import explain_ignored_env_file, read_env_file
from app.settings.table import SettingsError, load
from app.settings.unknown import unknown_variables
from tests.harness import ROOT, wait_for


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a `.env` that belongs to this user, as if the package was installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        data_folder, "__file__", str(tmp_path / "site-packages" / "app" / "settings" / "x.py")
    )
    file = tmp_path / ".env"
    file.write_text("RELAY_RETENTION_DAYS=7\nRELAY_MISSPELT=1\n")
    file.chmod(0o644)
    return file


@pytest.mark.parametrize(
    ("mode", "owner", "group", "why"),
    [
        (0o600, None, None, None),
        (0o644, None, None, None),
        (0o664, None, None, None),  # of the user's own group
        (0o664, None, 12_345, "other users can write to it"),
        (0o646, None, None, "other users can write to it"),
        (0o600, 12_345, None, "it belongs to another user"),
    ],
)
def test_an_env_file_is_only_read_if_no_other_user_can_have_written_it(
    written: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int | None,
    group: int | None,
    why: str | None,
) -> None:
    written.chmod(mode)
    real = env_file._distrust

    def as_if(found: os.stat_result) -> str | None:
        fields = list(found)
        fields[4] = os.geteuid() if owner is None else owner
        fields[5] = os.getegid() if group is None else group
        return real(os.stat_result(fields))

    monkeypatch.setattr(env_file, "_distrust", as_if)
    monkeypatch.delenv("RELAY_RETENTION_DAYS", raising=False)
    message = explain_ignored_env_file()
    assert load().retention_days == (7 if why is None else 30)
    assert any("RELAY_MISSPELT" in one for one in unknown_variables()) == (why is None)
    if why is None:
        assert message is None
    else:
        assert message is not None and why in message and str(written) in message and "\n" not in message
        shown = CliRunner().invoke(main, ["audit"]).output
        assert shown.count("Ignoring the settings in") == 1


def test_a_missing_or_unreadable_env_file_is_not_an_error(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's response is simulated, because root can read everything."""

    def denied(path: object, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", denied)
        assert read_env_file() == {}
        assert "it can't be read" in (explain_ignored_env_file() or "")
    written.unlink()
    assert read_env_file() == {} and explain_ignored_env_file() is None
    written.mkdir()
    assert read_env_file() == {} and explain_ignored_env_file() is None  # a virtual environment, as a rule


def test_a_pipe_is_not_read_and_a_link_to_an_own_file_is_followed(written: Path) -> None:
    written.rename(written.with_name("settings"))
    written.symlink_to("settings")
    assert read_env_file()["RELAY_RETENTION_DAYS"] == "7" and explain_ignored_env_file() is None
    written.unlink()
    os.mkfifo(written)
    assert read_env_file() == {}
    assert "it is not a regular file" in (explain_ignored_env_file() or "")


def test_an_env_file_that_is_not_text_is_reported_in_one_sentence(written: Path) -> None:
    written.write_bytes(b"RELAY_RETENTION_DAYS=\xff\xfe7\n")
    with pytest.raises(SettingsError, match="UTF-8"):
        load()
    ran = subprocess.run(
        [sys.executable, "-m", "app", "audit"],
        cwd=written.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 1 and str(written) in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("process", ["up", "web", "worker", "store"])
def test_no_process_starts_with_defaults_while_an_env_file_is_ignored(written: Path, process: str) -> None:
    written.chmod(0o666)
    before = sorted(written.parent.rglob("*"))
    shown = CliRunner().invoke(main, [process])
    assert shown.exit_code == 1 and "other users can write to it" in shown.output
    assert "doesn't start without them" in shown.output and sorted(written.parent.rglob("*")) == before


def test_gunicorn_without_the_command_does_not_start_either(written: Path) -> None:
    written.chmod(0o666)
    ran = subprocess.run(
        [sys.executable, "-c", "import app.web.wsgi"],
        cwd=written.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RELAY_DATA_DIR": str(written.parent / "data")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 4 and "doesn't start without them" in ran.stderr
    assert not (written.parent / "data").exists()


def test_a_new_folder_and_its_new_parents_are_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o002)
    try:
        make_private(tmp_path / "a" / "b" / "c")
        make_private(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("", "a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o700, 0o700, 0o700]


def test_the_store_process_creates_a_private_data_folder(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))}
    data = tmp_path / "data"
    store = subprocess.Popen(
        [sys.executable, "-m", "app", "store"],
        env={**clean, "PYTHONPATH": str(ROOT), "RELAY_DATA_DIR": str(data)},
        cwd=tmp_path,
        umask=0o002,
    )
    try:
        wait_for(lambda: (data / "store" / "valkey.sock").exists(), 60)
        assert [folder.stat().st_mode & 0o777 for folder in (data, data / "store")] == [0o700, 0o700]
    finally:
        store.terminate()
        store.wait(30)
