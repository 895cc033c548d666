"""Lets a process fork while a thread uses SQLite.

In the child, SQLite would take the locks of the parent's open connections for its own. So forking waits until they can
be closed. It doesn't wait long: if the file is still in use, the child must not use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Protocol
from weakref import WeakSet

_WAIT_SECONDS = 2.0


class _Forking(Protocol):
    def before_fork(self) -> None:
        """Close SQLite's connections."""

    def after_fork_in_child(self, *, was_in_use: bool) -> None:
        """Continue in the child."""


class _Forks:
    """Delays forks while SQLite is in use."""

    def __init__(self) -> None:
        self._in_use = RLock()
        self._was_free = True
        self.databases: WeakSet[_Forking] = WeakSet()
        os.register_at_fork(
            before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
        )

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Use SQLite."""
        with self._in_use:
            yield

    def _before(self) -> None:
        self._was_free = self._in_use.acquire(timeout=_WAIT_SECONDS)
        if self._was_free:
            for database in list(self.databases):
                database.before_fork()

    def _after_in_parent(self) -> None:
        if self._was_free:
            self._in_use.release()

    def _after_in_child(self) -> None:
        if self._was_free:
            self._in_use.release()
        else:  # the thread that holds it doesn't exist here
            self._in_use = RLock()
        for database in list(self.databases):
            database.after_fork_in_child(was_in_use=not self._was_free)


FORKS = _Forks()
