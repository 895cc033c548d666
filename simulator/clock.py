"""The gateway's time format, and a device's clock that may be wrong.

`YYYY-MM-DD HH:MM:SS GMT +0530` everywhere except in UpdateAccessTime, which has no offset.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

_WIRE = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) GMT ([+-])(\d\d)(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def parse_offset(text: str) -> timezone:
    """`+0530` or `+05:30` as a time zone. ValueError for anything else."""
    match = _OFFSET.fullmatch(text)
    if not match:
        raise ValueError(f"timezone must look like +0530, not {text!r}")
    delta = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-delta if match[1] == "-" else delta)


def to_wire(moment: datetime) -> str:
    """Return an aware time as `2020-09-17 07:48:22 GMT +0530`."""
    return moment.strftime("%Y-%m-%d %H:%M:%S GMT %z")


def from_wire(text: str) -> datetime:
    """Read a time in that form. ValueError if it isn't exactly of that form."""
    match = _WIRE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a time such as 2020-09-17 07:48:22 GMT +0530")
    zone = parse_offset(f"{match[7]}{match[8]}{match[9]}")
    year, month, day, hour, minute, second = (int(match[n]) for n in range(1, 7))
    return datetime(year, month, day, hour, minute, second, tzinfo=zone)


class Clock:
    """A device's clock: the true time in the device's zone, plus its error."""

    def __init__(self, offset: str) -> None:
        self.zone = parse_offset(offset)
        self.skew = timedelta()

    def true_time(self) -> datetime:
        return datetime.now(UTC).astimezone(self.zone)

    def now(self) -> datetime:
        """Return the time on the device's display, to the second."""
        return (self.true_time() + self.skew).replace(microsecond=0)

    def set_to(self, moment: datetime) -> None:
        """Set the clock by hand. It continues from there."""
        self.skew = moment - self.true_time()

    def read(self, text: str) -> datetime:
        """Read a time from a person: the gateway's form or ISO 8601; without an offset, in the device's time zone."""
        try:
            moment = from_wire(text)
        except ValueError:
            moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        return moment.astimezone(self.zone).replace(microsecond=0)
