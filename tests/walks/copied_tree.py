"""A copy of the tree that a walk-through changes, generates and tests, and the files that a page lists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CopiedTree:
    """A copy of everything that git tracks or would track."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_hand: set[str] = set()
        for path in _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
            if path and (ROOT / path).exists():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, folder / path)
        _git(folder, "init", "-q")
        self.accept()

    def insert(self, path: str, text: str, *, before: str = "", after: str = "") -> None:
        """Insert a text before or after a piece of a file. The piece must occur exactly once."""
        content, anchor = (self.folder / path).read_text(), before or after
        found = content.count(anchor)
        if found != 1:
            raise ValueError(f"{path} has {anchor!r} {found} times. Change the walk in tests/walks")
        self._write(path, content.replace(anchor, text + anchor if before else anchor + text))

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a piece of a file. The piece must occur exactly once."""
        self.insert(path, "", before=old)
        self._write(path, (self.folder / path).read_text().replace(old, new))

    def create(self, path: str, text: str) -> None:
        """Create a file that isn't there yet."""
        if (self.folder / path).exists():
            raise ValueError(f"{path} exists already")
        self._write(path, text)

    def _write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)
        self.by_hand.add(path)

    def accept(self) -> None:
        """Make the present state the one with which `changed` compares."""
        _git(self.folder, "add", "-A")
        _git(self.folder, *_AUTHOR, "commit", "-q", "--allow-empty", "-m", "Accept")

    def changed(self) -> set[str]:
        """Return the files that differ from the accepted state."""
        _git(self.folder, "add", "-A")
        return {
            path for path in _git(self.folder, "diff", "--cached", "--name-only", "-z").split("\0") if path
        }

    def show_changes(self) -> None:
        """Print the difference from the accepted state."""
        self.changed()
        print(_git(self.folder, "diff", "--cached", "--no-color", "--unified=2"), flush=True)

    def make_docs(self) -> set[str]:
        """Run what `make docs` runs. Return the files that it changed."""
        self.accept()
        for script in ("scripts/docs", "scripts/openapi"):
            done = self.python(script)
            assert done.returncode == 0, done.stdout
        return self.changed()

    def python(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run Python in the copy. Its output, including errors, is in `stdout`."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
                "PYTHONPATH": str(self.folder),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )

    def failing(self, *tests: str) -> dict[str, str]:
        """Run tests in the copy. Return the failed ones as file::name, with pytest's messages."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            done = self.python(
                *("-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={folder}/tests"),
                *("-o", "junit_family=xunit1", f"--junit-xml={report}", *tests),
            )
            assert report.exists() and done.returncode in (0, 1), done.stdout
            return {
                f"{case.get('file')}::{case.get('name')}": str(bad.text)
                for case in ElementTree.parse(report).getroot().iter("testcase")
                for bad in case
                if bad.tag in ("failure", "error")
            }

    def checks(self) -> str:
        """Check lint, types and import contracts of the copy. Return the complaints, or an empty string."""
        commands = (
            ("-m", "ruff", "check", "-q", "--no-cache", "."),
            ("-m", "ruff", "format", "-q", "--no-cache", "--check", "."),
            ("-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"),
        )
        ran = [self.python(*command) for command in commands]
        return "".join(done.stdout for done in ran if done.returncode)

    def unlisted(self, page: str) -> set[str]:
        """Return the files changed by hand that no table of the page lists."""
        listed = files_of(self.folder / page)
        return {path for path in self.by_hand if not any(fnmatchcase(path, pattern) for pattern in listed)}


_AUTHOR = ("-c", "user.name=walk", "-c", "user.email=walk@example.com")


def files_of(page: Path) -> list[str]:
    """Return the file patterns in the first column of a page's tables. Words in capitals stand for any name."""
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|", page.read_text(), re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    patterns = (re.sub(r"(?<![A-Z])(NN-Name|NAME)(?![a-z])", "*", path) for path in paths)
    return [f"{pattern}*" if pattern.endswith("/") else pattern for pattern in patterns]


@contextmanager
def copied_tree() -> Iterator[CopiedTree]:
    """Yield a copy in a temporary folder, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="walk-") as folder:
        yield CopiedTree(Path(folder))


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
