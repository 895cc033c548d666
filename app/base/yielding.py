"""Splits long work into turns, so that other tasks of the same process can run in between."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_A_TURN = 200  # items; those of the slowest kind take some 20 ms


def in_turns(items: Iterable[Item], count: int = _A_TURN) -> Iterator[Item]:
    """Yield the items. After each `count` of them, other tasks of this process can run."""
    for number, item in enumerate(items, 1):
        yield item
        if number % count == 0:
            let_others_run()


def let_others_run() -> None:
    """End the turn, and return when the other tasks of this process have had theirs."""
    time.sleep(0)  # in a web process, this is gevent's function
