"""The settings of the archive, which keeps events after the store has removed them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.events.types import EVENT_TYPES, is_pattern, matches
from app.settings.readers import ExampleError, HiddenValueError, Variable

FILE = "archive.sqlite"
_MOST_DAYS = 36_500
_POSTGRESQL = ("postgres", "postgresql")

Days = dict[str, int]
"""event type → days; 0 for types that aren't archived"""


def database_url(text: str) -> str | None:
    """Return the URL of a database as SQLAlchemy writes it; None if it is empty. Raises HiddenValueError."""
    if not text:
        return None
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _POSTGRESQL:
        try:
            found = urlsplit(text)
            # With an unescaped @ in the password, errors would contain a part of it as the host.
            usable = found.port != 0 and bool(found.path.strip("/")) and found.netloc.count("@") < 2
        except ValueError:
            usable = False
        if usable:
            return f"postgresql+psycopg://{rest}"
    elif re.fullmatch(r"sqlite:///[^?:][^?]*", text):  # not :memory:
        return text
    raise HiddenValueError(
        "is not the URL of a database, such as postgresql://user:password@host/database or sqlite:////folder/file"
    )


def archive_days(text: str) -> Days:
    """Read the days, and maybe other days for some types: `1095,device.*=90`. Raises ValueError."""
    default: int | None = None
    exceptions: list[tuple[str, int]] = []
    for part in text.split(","):
        pattern, separator, days = part.strip().rpartition("=")
        if not re.fullmatch(r"\d{1,5}", days) or int(days) > _MOST_DAYS:
            raise ValueError(
                f"contains {days[:20]!r}, which is not a whole number of days up to {_MOST_DAYS}"
            )
        if separator and not is_pattern(pattern):
            raise ExampleError(
                f"contains {pattern[:40]!r}, which is not an event type such as device.silent or device.*",
                "1095,device.*=90",
            )
        if separator:
            exceptions.append((pattern, int(days)))
        elif default is None:
            default = int(days)
        else:
            raise ExampleError("contains two numbers without an event type", "1095,device.*=90")
    found = dict.fromkeys(EVENT_TYPES, 1_095 if default is None else default)
    for pattern, days_of_these in exceptions:
        found |= {name: days_of_these for name in EVENT_TYPES if matches(pattern, name)}
    return found


ARCHIVE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "DATABASE_URL",
        "url",
        "",
        "postgresql://relay:password@localhost/relay",
        "Database for the archive, which keeps events after `RELAY_RETENTION_DAYS`: PostgreSQL, or "
        "`sqlite:////folder/file`. If unset, it is an SQLite file in `RELAY_DATA_DIR`, or, with `REDIS_URL`, there is "
        "no archive.",
        database_url,
        secret=True,
    ),
    Variable(
        "RELAY_ARCHIVE_DAYS",
        "days",
        "1095",
        "3650,device.*=90",
        "How long events are kept in the archive, in days, counted from when they were received. Event types can have "
        "their own number, such as `device.*=90`. `0` means no archive.",
        archive_days,
    ),
)


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """The database as set, and for how long each event type is kept there."""

    url: str | None
    days: Days

    def url_for(self, data_dir: Path, redis_url: str | None) -> str | None:
        """Return the URL of the database to use; None if there is no archive."""
        if not any(self.days.values()):
            return None
        if self.url is None and redis_url is None:
            return f"sqlite:///{data_dir.absolute() / FILE}"
        return self.url
