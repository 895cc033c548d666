"""The names of automatic backups.

A name has the beginning of the store's ID, and its origin (see `backup_origin`), so that several relays, and copies of
one, can share a place. Names without an origin are of an earlier version.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from app.settings.s3_url import S3Url

_TIME = "%Y%m%dT%H%M%SZ"
_AHEAD_SECONDS = 300.0  # a name dated later than this was written when a clock was wrong


class Kept(NamedTuple):
    """A backup in its place; `made_at` is in seconds since 1970, by its name."""

    made_at: float
    path: Path | S3Url

    def is_ahead(self, now: float) -> bool:
        """Return whether it is dated in the future."""
        return self.made_at > now + _AHEAD_SECONDS


class BackupNames:
    """The names of one store's backups."""

    def __init__(self, store_id: str, origin: str) -> None:
        """`origin` tells copies of a store apart."""
        self.start = f"cams-relay-{store_id[:8]}-"
        """The beginning that all of them share, also those of copies of the store."""
        self._start = f"{self.start}{origin}-"
        self._pattern = re.compile(
            rf"{re.escape(self.start)}(?:{re.escape(origin)}-)?(\d{{8}}T\d{{6}}Z)-[0-9a-f]{{4}}\.backup",
            re.ASCII,
        )

    def new(self, now: float) -> str:
        """Return a name for a backup made now."""
        return f"{self._start}{datetime.fromtimestamp(now, UTC):{_TIME}}-{secrets.token_hex(2)}.backup"

    def made_at(self, name: str) -> float | None:
        """Return when a backup was made, in seconds since 1970; None if this isn't the name of one."""
        found = self._pattern.fullmatch(name)
        try:
            return datetime.strptime(found[1], _TIME).replace(tzinfo=UTC).timestamp() if found else None
        except ValueError:
            return None

    def begins_one(self, name: str) -> str | None:
        """Return the part of a longer name that is a backup's name; None if it doesn't begin with one."""
        found = self._pattern.match(name)
        return found[0] if found else None


def newest_of(all_kept: Iterable[Kept], now: float) -> Kept | None:
    """Return the newest backup, except those dated ahead."""
    return max((kept for kept in all_kept if not kept.is_ahead(now)), key=_order, default=None)


def surplus(all_kept: Iterable[Kept], count: int, new: Path | S3Url, now: float) -> list[Kept]:
    """Return the backups to remove so that `count` are left.

    The new backup stays, whatever the clock said when it was made. Backups dated in the future count as the oldest:
    the clock was wrong when they were made.
    """
    others = [kept for kept in all_kept if kept.path != new]
    others.sort(key=lambda kept: (not kept.is_ahead(now), _order(kept)), reverse=True)
    return others[count - 1 :]


def _order(kept: Kept) -> tuple[float, str]:
    return kept.made_at, str(kept.path)
