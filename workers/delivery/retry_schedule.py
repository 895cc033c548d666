"""When a failed delivery is attempted again: by the schedule, or as its target asks. Times are in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from random import uniform

import orjson

from workers.http.messages import Response

MAX_RETRY_AFTER = 86_400.0
OVERLOADED = (429, 502, 503, 504)  # status of an overloaded target, or of its proxy
_LONGEST_IN_BODY = 3_600.0
_JITTER = 0.1


def retry_after(response: Response) -> float | None:
    """Return how many seconds an OVERLOADED answer asks us to wait, or None.

    libcurl reads whole seconds from the header. Fractions, as sent by Discord, are in the JSON.
    """
    if response.status not in OVERLOADED:
        return None
    try:
        return min(max(0.0, float(response.headers["retry-after"])), MAX_RETRY_AFTER)
    except (LookupError, ValueError):
        return _in_body(response)


def _in_body(response: Response) -> float | None:
    """Read `{"retry_after": 0.3}` in a 429, as sent by Discord. More than an hour may be in milliseconds."""
    if response.status != 429 or b'"retry_after"' not in response.body:
        return None
    try:
        wait = orjson.loads(response.body)["retry_after"]
    except (ValueError, LookupError, TypeError):
        return None
    return float(wait) if type(wait) in (int, float) and 0 <= wait <= _LONGEST_IN_BODY else None


def next_attempt(schedule: Sequence[float], step: int, response: Response) -> tuple[float, int] | None:
    """Return the seconds until the next attempt, and its step; None if the schedule is used up.

    `step` counts the delays of the schedule that are used up. A delay that the target asks for uses up none.
    """
    wait = retry_after(response)
    if wait is not None:
        return max(wait, 0.1), step
    if step >= len(schedule):
        return None
    return schedule[step] * uniform(1, 1 + _JITTER), step + 1
