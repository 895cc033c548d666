"""Reads keys and values that may be damaged, and leaves the damaged ones out, so that none breaks a list."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from app.base.vault import SealError
from app.store.server.connection import is_away

log = logging.getLogger("relay.store")

# The errors that reading a damaged value raises
DAMAGED = (redis.ResponseError, SealError, ValueError, LookupError, TypeError, AttributeError)
_REMEMBERED = 1_000
_LARGEST = 2**53  # the largest whole number that JSON's readers and a float have exactly
_told: set[str] = set()


@contextmanager
def left_out(what: str) -> Iterator[None]:
    """Skip the rest of the block if its data is damaged, and log `what` once. Raises if the store is away."""
    try:
        yield
    except DAMAGED as error:
        if is_away(error):
            raise
        if what not in _told and len(_told) < _REMEMBERED:
            _told.add(what)
            log.error("the stored data of %s can't be read (%s) and is left out", what, type(error).__name__)


def readable(answers: list[Any], instead: Sequence[Any]) -> list[Any]:
    """Return a pipeline's answers, with defaults in place of those for damaged keys. Raises if the store is away."""
    for error in answers:
        if isinstance(error, Exception) and is_away(error):
            raise error
    return [
        instead[number % len(instead)] if isinstance(answer, Exception) else answer
        for number, answer in enumerate(answers)
    ]


def number(stored: bytes | None) -> float:
    """Return a stored number; 0 if it is missing, invalid, or larger than any that the relay stores."""
    try:
        found = float(stored or 0)
    except ValueError:
        return 0.0
    return found if abs(found) <= _LARGEST else 0.0
