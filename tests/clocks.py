"""A clock that tests set."""

from __future__ import annotations

import time


class Clock:
    """A function that returns `now`, in seconds, which a test changes; at first, the present time if none is given."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now
