"""Stamps: when something happened by the device's own time. They decide which of two values is newer.

Stamps are ordered by the device's time, then by the time of receipt, then by a digest of the callback. So the result
is the same in whatever order the processes store callbacks. In the store, a stamp is a text, `DEVICE_MS+DELAY_MS+TIE`,
with the delay from the device's time to the receipt. Values from earlier versions without stamps count as the oldest.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple


class Stamp(NamedTuple):
    """Sorts from older to newer. Times are ms since 1970."""

    device_ms: int
    received_ms: int
    tie: str

    @property
    def text(self) -> str:
        """Return the stored text; empty for OLDEST."""
        if self == OLDEST:
            return ""
        return f"{self.device_ms}+{self.received_ms - self.device_ms}+{self.tie}"


OLDEST = Stamp(-1, -1, "")


def read_stamp(text: str | bytes | None) -> Stamp:
    """Read a stored stamp; OLDEST if there is none, or if it can't be read."""
    if not text:
        return OLDEST
    stored = text.decode(errors="replace") if isinstance(text, bytes) else text
    device_ms, _, rest = stored.partition("+")
    delay_ms, _, tie = rest.partition("+")
    if not (device_ms.isdecimal() and delay_ms.isdecimal()):
        return OLDEST
    return Stamp(int(device_ms), int(device_ms) + int(delay_ms), tie)


def device_ms(times: Iterable[datetime | None], received_ms: int, retention: timedelta) -> int:
    """Return the first plausible one of `times`, in ms since 1970; if there is none, the second of the receipt.

    A time after the receipt, or older than the retention, isn't plausible: the clock is wrong. The result is in whole
    seconds, like the gateway's times, so that the time of receipt decides within a second.
    """
    oldest = received_ms - int(retention.total_seconds() * 1000)
    for at in times:
        if at is not None and oldest <= (ms := int(at.timestamp() * 1000)) <= received_ms:
            return ms
    return received_ms - received_ms % 1000
