"""The findings of checks: sentences with the fix. If something doesn't work now, the finding is a `Problem`."""

from __future__ import annotations

from collections.abc import Iterable


class Problem(str):
    """A finding that something is broken. All other findings are warnings: it works, but maybe not for long."""

    __slots__ = ()


def problems(found: Iterable[str]) -> list[str]:
    """Return the problems among findings."""
    return [one for one in found if isinstance(one, Problem)]


def warnings(found: Iterable[str]) -> list[str]:
    """Return the findings that aren't problems."""
    return [one for one in found if not isinstance(one, Problem)]
