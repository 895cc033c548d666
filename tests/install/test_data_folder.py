"""The folder that the relay uses without RELAY_DATA_DIR, and the commands that create it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import main
from app.cli.called_as import called_as
from app.health.data_folder_checks import data_folder_warnings
from app.settings import data_folder
from app.settings.data_folder import default_data_dir, explain_data_dir, explain_ignored_data, read_data_dir
from app.settings.table import load
from tests.harness import ROOT

# These commands keep running, or never write keys or folders.
_PROCESSES = {"service", "up", "web", "worker", "store", "simulator", "mcp", "connector"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Behave as if the package was installed, in an empty current folder. Returns the user's data folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("RELAY_DATA_DIR", raising=False)
    package = tmp_path / "site-packages" / "app" / "settings" / "data_folder.py"
    monkeypatch.setattr(data_folder, "__file__", str(package))
    return tmp_path / "share" / "cams-relay"


def test_a_checkout_uses_dot_data_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_data_dir() == Path(".data")
    assert explain_data_dir(default_data_dir()) is None


def test_an_installed_relay_uses_the_users_folder_from_any_folder(installed: Path) -> None:
    assert load({}).data_dir == installed
    assert explain_data_dir(load({}).data_dir) is None


@pytest.mark.parametrize("name", ["secret_key", "store", "spool"])
def test_data_in_the_current_folder_is_still_used_with_a_message(installed: Path, name: str) -> None:
    (Path(".data") / name).mkdir(parents=True)
    chosen = load({}).data_dir
    assert chosen == Path(".data")
    explained = explain_data_dir(chosen)
    assert explained is not None and str(Path(".data").absolute()) in explained
    assert str(installed) not in explained
    (installed / "store").mkdir(parents=True)
    assert str(installed) in str(explain_data_dir(chosen))


def test_a_dot_data_folder_of_another_program_is_ignored(installed: Path) -> None:
    Path(".data").mkdir()
    assert load({}).data_dir == installed


def test_the_setting_takes_precedence(installed: Path) -> None:
    Path(".data", "store").mkdir(parents=True)
    chosen = load({"RELAY_DATA_DIR": ".data"}).data_dir
    assert chosen == Path(".data") and explain_data_dir(chosen) is None
    assert read_data_dir("~/relay") == Path.home() / "relay"


def _as_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as if another user had created the relay's folders."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (None, "belongs to another user"),
        (0o775, "users can write"),
        (0o757, "users can write"),
        (0o755, None),
    ],
)
def test_data_that_another_user_may_have_created_is_ignored_with_a_message(
    installed: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, why: str | None
) -> None:
    Path(".data", "store").mkdir(parents=True)
    if mode is None:
        _as_of_another(monkeypatch)
    else:
        Path(".data").chmod(mode)
    chosen = load({}).data_dir
    explained = explain_ignored_data(chosen)
    if why is None:
        assert chosen == Path(".data") and explained is None
        return
    assert chosen == installed and explain_data_dir(chosen) is None
    assert explained is not None and why in explained
    planted = Path(".data").absolute()
    assert f"RELAY_DATA_DIR={planted}" in explained
    named = load({"RELAY_DATA_DIR": str(planted)}).data_dir
    assert named == planted and explain_ignored_data(named) is None
    assert explain_ignored_data(load({"RELAY_DATA_DIR": str(installed)}).data_dir) is None


def test_unreadable_data_is_ignored(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's responses are simulated, because root can read everything."""
    Path(".data").mkdir()

    def denied(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", denied)
    monkeypatch.setattr(os, "access", lambda *_: False)
    chosen = load({}).data_dir
    assert chosen == installed
    assert "it can't be read" in str(explain_ignored_data(chosen))


def test_a_checkout_only_trusts_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / ".data").mkdir(parents=True)
    (tmp_path / "here" / ".data").chmod(0o775)
    monkeypatch.chdir(tmp_path / "here")
    assert default_data_dir() == Path(".data")
    root = tmp_path / "checkout"
    (root / "app" / "settings").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "Makefile").touch()
    monkeypatch.setattr(data_folder, "__file__", str(root / "app" / "settings" / "data_folder.py"))
    _as_of_another(monkeypatch)  # such as root in a user's checkout
    assert default_data_dir() == Path(".data")
    monkeypatch.setattr(data_folder, "_distrust", lambda _: "it belongs to another user")
    assert default_data_dir() != Path(".data")


def test_doctor_lists_files_that_others_can_access(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    for name in ("api_key", "secret_key", "store/password"):
        (tmp_path / name).touch(mode=0o600)
    assert data_folder_warnings(tmp_path) == []
    (tmp_path / "api_key").chmod(0o640)
    (tmp_path / "store").chmod(0o755)
    tmp_path.chmod(0o775)
    found = data_folder_warnings(tmp_path)
    assert [one.partition("chmod ")[2] for one in found] == [
        f"go-w {tmp_path}`.",
        f"go-rwx {tmp_path}/api_key`.",
        f"go-rwx {tmp_path}/store`.",
    ]
    tmp_path.chmod(0o2770)  # a volume whose group is the container's
    assert [one.partition("chmod ")[2] for one in data_folder_warnings(tmp_path)] == [
        f"go-rwx {tmp_path}/store`."
    ]
    assert data_folder_warnings(tmp_path / "none") == []


def _leaves(command: click.Command, *names: str) -> list[tuple[str, ...]]:
    if isinstance(command, click.Group):
        found = [leaf for name, one in command.commands.items() for leaf in _leaves(one, *names, name)]
        return [names, *found] if command.invoke_without_command else found
    return [names]


def _arguments(names: tuple[str, ...], folder: Path) -> list[str]:
    """Return the arguments with which a command reaches the store."""
    command: click.Command = main
    for name in names:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    given: list[str] = []
    for parameter in command.params:
        if parameter.name == "yes":
            given.append("--yes")
        elif parameter.required or isinstance(parameter, click.Argument):
            value = parameter.type.choices[0] if isinstance(parameter.type, click.Choice) else "1"
            if isinstance(parameter.type, click.Path | click.File):
                value = str(folder / "input")
            if parameter.name == "scopes" or "--scope" in parameter.opts:
                value = "admin"
            given += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], str(value)]
    return given


@pytest.mark.parametrize(
    "names",
    [names for names in _leaves(main) if names[0] not in _PROCESSES],
    ids=lambda names: " ".join(names),
)
def test_a_command_without_a_relay_creates_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    """No command changes the current folder, the home folder or the folder with its input file."""
    for folder in ("here", "home", "files"):
        (tmp_path / folder).mkdir()
    (tmp_path / "files" / "input").write_text("user_id,employee_id\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "app", *names, *_arguments(names, tmp_path / "files")],
        cwd=tmp_path / "here",
        env={**clean, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    assert ran.returncode != 2, ran.stderr
    assert [*(tmp_path / "here").iterdir(), *(tmp_path / "home").iterdir()] == []
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["input"]


def test_a_command_names_the_folder_it_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_DATA_DIR", "elsewhere")
    folder = tmp_path / "elsewhere"
    for command in ("audit", "spool"):
        ran = CliRunner().invoke(main, [command])
        assert ran.exit_code == 1 and str(folder) in ran.output
    (folder / "store").mkdir(parents=True)
    for name in ("secret_key", "store/password"):
        (folder / name).write_text("made-up-" * 8)
    output = CliRunner().invoke(main, ["audit"]).output
    assert f"No relay is running with the data folder {folder}" in output


@pytest.mark.parametrize("on_path", [True, False])
def test_messages_name_the_command_as_the_user_called_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    program = tmp_path / ".venv" / "bin" / "cams-relay"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program), "up"])
    if on_path:
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert called_as() == ("cams-relay" if on_path else ".venv/bin/cams-relay")
    monkeypatch.setattr(sys, "argv", ["/x/app/__main__.py"])
    assert called_as() == "python3 -m app"
