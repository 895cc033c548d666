"""A clock that tests set."""

from __future__ import annotations

import time


class Clock:
    """A function that returns `now`, in seconds, which a test can change. It starts at the present time by default."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now
