"""Background loops of a process. None may die or stall unnoticed.

After each turn, a loop reports whether it worked. Failures are counted, and logged at most once a minute for each
loop. A thread writes the problems to the store every few seconds, where `/health`, `/metrics` and `doctor` of any
process find them.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable

import redis

from app.base.store_errors import is_wrong_type
from app.base.throttle import OnceAMinute

log = logging.getLogger("relay.loops")

_REPORT_SECONDS = 5.0
_TOLERATED = 3  # failures in a row that don't cause a warning yet

Write = Callable[[str, dict[str, str], dict[str, int]], None]
"""(process, loop → what is wrong with it, loop → failures since the last time)"""


class Loop:
    """The health of a background loop."""

    def __init__(self, name: str, stalls_after: float | None = None) -> None:
        """`stalls_after`: the seconds without a turn after which the loop counts as stalled; None: it may wait."""
        self.name = name
        self.stalls_after = stalls_after
        self.failures = 0
        self.failures_in_a_row = 0
        self.last_error = ""
        self._turned_at = time.monotonic()
        self._once = OnceAMinute()

    def worked(self) -> None:
        """Note a turn that succeeded, even if there was nothing to do."""
        self.failures_in_a_row = 0
        self._turned_at = time.monotonic()

    def waited(self) -> None:
        """Note a turn in which the store was away. This isn't a failure of the loop; `/health` reports it anyway."""
        self._turned_at = time.monotonic()

    def failed(self, error: BaseException, *, explained: bool = False) -> None:
        """Note a turn that failed. It is logged at most once a minute, with its traceback if that is helpful.

        `explained`: whether the error's text says what is wrong, like that of an OSError.
        """
        self._turned_at = time.monotonic()
        self.failures += 1
        self.failures_in_a_row += 1
        self.last_error = type(error).__name__
        if not self._once.may_say():
            return
        if explained or isinstance(error, OSError):
            log.error(
                "the background loop %s failed (%d times in a row) and will try again: %s",
                *(self.name, self.failures_in_a_row, error),
            )
        elif is_wrong_type(error):
            log.error(
                "the background loop %s failed (%d times in a row), because a key in the store has the wrong type; "
                "`cams-relay doctor` names the key, and the loop will try again",
                *(self.name, self.failures_in_a_row),
            )
        else:
            log.error(
                "the background loop %s failed (%d times in a row) and will try again",
                *(self.name, self.failures_in_a_row),
                exc_info=error,
            )

    def trouble(self) -> str | None:
        """Return a sentence about the loop's problem; None if it is healthy."""
        if self.failures_in_a_row >= _TOLERATED:
            return (
                f"The background loop {self.name} has failed {self.failures_in_a_row} times in a row "
                f"({self.last_error}). See the log of its process."
            )
        idle = time.monotonic() - self._turned_at
        if self.stalls_after is not None and idle > self.stalls_after:
            return f"The background loop {self.name} has not run for {idle:.0f} s. Restart its process."
        return None


class Loops:
    """The background loops of one process."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._loops: dict[str, Loop] = {}
        self._watched: dict[str, Callable[[], str | None]] = {}
        self._reported: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def get(self, name: str, stalls_after: float | None = None) -> Loop:
        """Return the loop with that name, which is created by the first call."""
        loop = self._loops.get(name)
        if loop is None:
            loop = self._loops[name] = Loop(name, stalls_after)
        return loop

    def watch(self, name: str, trouble: Callable[[], str | None]) -> None:
        """Also report another part of this process: `trouble` returns its problem, or None if it is healthy."""
        self._watched[name] = trouble

    def end(self, name: str) -> None:
        """Forget a loop that was ended on purpose."""
        self._loops.pop(name, None)

    def troubles(self) -> dict[str, str]:
        """Return loop (or other watched part) → its problem, for those with one."""
        found = {name: loop.trouble() for name, loop in list(self._loops.items())}
        found |= {name: trouble() for name, trouble in list(self._watched.items())}
        return {name: text for name, text in found.items() if text is not None}

    def start(self, write: Write) -> None:
        """Report with `write` every few seconds from now on, in a separate thread."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._report_for_ever, args=(write,), name="loops", daemon=True
            )
            self._thread.start()

    def _report_for_ever(self, write: Write) -> None:
        own = self.get("loop reports")
        while True:
            try:
                self.report(write)
                own.worked()
            except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
                # The store is away: the report is written once it is back.
                log.debug(
                    "the state of the background loops could not be reported (%s)", type(error).__name__
                )
            except Exception as error:
                own.failed(error)
            time.sleep(_REPORT_SECONDS)

    def report(self, write: Write) -> None:
        """Report once. If `write` raises, nothing is lost."""
        counts = {name: loop.failures for name, loop in list(self._loops.items())}
        new = {name: count - self._reported.get(name, 0) for name, count in counts.items()}
        write(self._process, self.troubles(), {name: count for name, count in new.items() if count > 0})
        self._reported |= counts


LOOPS = Loops()
"""Those of this process."""
