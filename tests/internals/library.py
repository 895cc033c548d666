"""Checks internals of libraries that the relay relies on. A failed check names the module that uses them."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any, NamedTuple


class Library(NamedTuple):
    """A library, and the only module that uses its internals."""

    name: str
    module: str

    def takes(self, function: Any, *parameters: str, more: bool = False) -> None:
        """Check that a function has these parameters; with `more`, also others that are optional."""
        found = inspect.signature(function).parameters
        first = list(found)[: len(parameters)]
        rest = [one for name, one in found.items() if name not in first]
        optional = all(
            one.default is not one.empty or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in rest
        )
        what = getattr(function, "__qualname__", str(function))
        self.holds(
            tuple(first) == parameters and (optional if more else not rest),
            f"{what}{inspect.signature(function)} takes {', '.join(parameters)}",
        )

    def has(self, owner: Any, *names: str) -> None:
        """Check that a class, module or object has these attributes."""
        where = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", type(owner).__qualname__)
        for name in names:
            self.holds(hasattr(owner, name), f"{where} has the attribute {name}")

    def holds(self, so: object, what: str) -> None:
        """Check something that the relay relies on."""
        assert so, (
            f"In {self.name} {version(self.name)}, this is no longer true: {what}. {self.module} relies on it, so "
            "change that module, and then this test."
        )
