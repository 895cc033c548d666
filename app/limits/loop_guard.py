"""Watches how long the event loop of a web process is blocked, and by what.

While a request computes, nothing else in its process runs. A greenlet notes when it could last run. If that is
overdue, a separate thread checks what the main thread is doing. A block of more than 250 ms is logged, at most once a
minute.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
from gevent.monkey import get_original

from app.base.throttle import OnceAMinute

log = logging.getLogger("relay.loop")

_HELD_SECONDS = 0.25
_TURN_SECONDS = 0.05
_OURS = str(Path(__file__).parents[2])
_REMEMBERED_SECONDS = 600.0
_ALARMING_SECONDS = 5.0


class LoopGuard:
    """Watches the event loop of this process."""

    def __init__(self) -> None:
        self.longest = 0.0  # in seconds, since the process began
        self.holds = 0
        self._latest: tuple[float, float, str] | None = None  # when it ended, how long it was, what caused it
        self._turned = time.monotonic()
        self._seen: tuple[float, str] = (0.0, "")  # the turn, and the code that ran
        self._once = OnceAMinute()
        self._unlogged = 0

    def start(self) -> None:
        """Begin to watch the calling thread."""
        watched = get_original("_thread", "get_ident")()
        gevent.spawn(self._turn)
        get_original("_thread", "start_new_thread")(self._watch, (watched,))

    def trouble(self) -> str | None:
        """Return a sentence about a block of more than 5 s within the last ten minutes; None if there was none."""
        if self._latest is None or time.monotonic() - self._latest[0] > _REMEMBERED_SECONDS:
            return None
        return f"A web process was blocked for {self._latest[1]:.1f} s in {self._latest[2]}. See its log."

    def _turn(self) -> None:
        while True:
            self._turned = before = time.monotonic()
            gevent.sleep(_TURN_SECONDS)
            held = time.monotonic() - before - _TURN_SECONDS
            if held > _HELD_SECONDS:
                self.note(held, self._seen[1] if self._seen[0] == before else "not seen")

    def note(self, held: float, what: str) -> None:
        """Note that something blocked the loop for so many seconds."""
        now = time.monotonic()
        self.holds += 1
        self._unlogged += 1
        self.longest = max(self.longest, held)
        if held > _ALARMING_SECONDS:
            self._latest = now, held, what
        if self._once.may_say():
            log.warning(
                "the event loop was blocked for %.0f ms by %s (%d times since the last message like this)",
                held * 1000,
                what,
                self._unlogged,
            )
            self._unlogged = 0

    def _watch(self, watched: int) -> None:
        sleep: Any = get_original("time", "sleep")
        while True:
            sleep(_HELD_SECONDS / 2)
            turned = self._turned
            if time.monotonic() - turned > _HELD_SECONDS and self._seen[0] != turned:
                self._seen = (turned, place_of(sys._current_frames().get(watched)))


def place_of(frame: FrameType | None) -> str:
    """Return the innermost of the relay's functions in a frame, as `app/x.py:12 in name`."""
    innermost = frame
    while frame is not None and not _is_ours(frame):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "not seen"
    path = frame.f_code.co_filename.removeprefix(f"{_OURS}/")
    return f"{path}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _is_ours(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    return path.startswith((f"{_OURS}/app/", f"{_OURS}/workers/")) and not path.endswith("loop_guard.py")
