"""Limits messages to one per minute, however often something happens."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_SECONDS = 60.0
_REMEMBERED = 1_000


class OnceAMinute:
    """Allows each message once a minute.

    With more than a thousand messages at once, the oldest ones are forgotten, and may be repeated earlier.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}  # message → when, oldest first

    def may_say(self, about: str = "") -> bool:
        """Return whether this message hasn't been sent for a minute. If so, it now counts as sent."""
        now = self._clock()
        said = self._said.get(about)
        if said is not None and now - said < _SECONDS:
            return False
        self._said.pop(about, None)
        while len(self._said) >= _REMEMBERED:
            self._said.pop(next(iter(self._said)), None)
        self._said[about] = now
        return True

    def say_failure(self, log: logging.Logger, error: BaseException, what: str) -> None:
        """Log that `what` (a clause) failed with `error`, once a minute for each clause and type of error.

        The traceback is also logged, unless the store or the disk has refused something, which it wouldn't explain.
        """
        import redis  # here, because the connector logs without this package

        if not self.may_say(f"{what} {type(error).__name__}"):
            return
        if isinstance(error, redis.ResponseError):
            log.error("%s: the store refused a call (%s)", what, type(error).__name__)
        elif isinstance(error, OSError):
            log.error("%s: %s", what, error)
        else:
            log.error("%s", what, exc_info=error)
