"""Source files are short, because each has one subject (CONTRIBUTING.md)."""

from __future__ import annotations

from tests.harness import ROOT

_FOLDERS = ("app", "workers", "simulator", "benchmarks", "tests")
_LONGEST = 400  # lines
# Each is one table with the few functions that read it.
_TABLES = {"app/settings/table.py", "app/gateway/operations.py"}


def test_no_source_file_has_more_than_400_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for folder in _FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts
    }
    assert len(lengths) > 300
    assert {name: count for name, count in lengths.items() if count > _LONGEST and name not in _TABLES} == {}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 170
