"""Every file and module in a page, docstring or comment exists."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator

from tests.docs.conftest import PAGES
from tests.harness import ROOT

TOP = "app|workers|simulator|tests|scripts|benchmarks|docs|examples|postman|n8n-nodes|zapier-app|make-app"
FILE = re.compile(rf"(?<![\w./:-])(?:{TOP})/[\w./*-]*[\w*]")
MODULE = re.compile(r"(?<![\w./:@-])(?:app|workers|simulator|benchmarks)(?:\.[A-Za-z_]\w*)+")
SOURCES = ("app", "workers", "simulator", "benchmarks", "tests", "scripts")
# Built files, names made up in examples, and variables in examples
ABSENT = {
    "n8n-nodes/nodes/catalog.json",
    "zapier-app/catalog.json",
    "app/x.py",
    "scripts/docsc",
    "simulator.command_url",
}
ENDINGS = (".com", ".json", ".py", ".lua", ".md")


def _texts() -> Iterator[tuple[str, str]]:
    """Yield the place of each text, and the text: whole pages, and the docstrings and comments of code."""
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "Makefile"):
        if page.name != "CHANGELOG.md":
            yield str(page.relative_to(ROOT)), page.read_text()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            name = str(path.relative_to(ROOT))
            if path.suffix == ".lua":
                yield name, "\n".join(re.findall(r"--.*", path.read_text()))
            elif path.suffix == ".py" or (folder == "scripts" and path.is_file() and not path.suffix):
                text = path.read_text()
                if path.suffix == ".py" or text.startswith("#!/usr/bin/env python"):
                    yield name, "\n".join((*_docstrings(text), *_comments(text)))


def _docstrings(text: str) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and (found := ast.get_docstring(node)):
            yield found


def _comments(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _exists(path: str) -> bool:
    if path in ABSENT or re.search("NAME|NN-|VERSION", path):
        return True
    return any(ROOT.glob(path)) or any(ROOT.glob(f"{path}.*"))


def _resolves(name: str) -> bool:
    """Return whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        return length > 1 and all(
            (found := getattr(found, part, None)) is not None for part in parts[length:]
        )
    return False


def test_every_file_named_in_a_text_exists() -> None:
    wrong = [
        f"{where}: {path}" for where, text in _texts() for path in FILE.findall(text) if not _exists(path)
    ]
    assert wrong == []


def test_every_module_named_in_a_text_exists() -> None:
    wrong = [
        f"{where}: {name}"
        for where, text in _texts()
        for name in MODULE.findall(text)
        if name not in ABSENT and not name.endswith(ENDINGS) and not _resolves(name)
    ]
    assert wrong == []
