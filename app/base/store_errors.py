"""Errors of the store that every layer must distinguish."""

from __future__ import annotations

import redis

_SAID_BY_STORE = "WRONGTYPE Operation against"


def is_wrong_type(error: BaseException) -> bool:
    """Return whether the store refused a call because a key has the wrong type."""
    return isinstance(error, redis.ResponseError) and _SAID_BY_STORE in str(error)
