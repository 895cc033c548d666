"""The settings for automatic backups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.settings import readers as read
from app.settings.readers import Variable
from app.settings.s3_url import SCHEME, S3Url, s3_url


def backup_place(text: str) -> Path | S3Url:
    """Read a folder or an S3 URL. Raises ValueError, with the end of a sentence."""
    if text.lower().startswith(SCHEME):
        return s3_url(text)
    if "://" in text:
        raise read.HiddenValueError("is a URL, but must be a folder or s3://bucket/prefix")
    return Path(text).expanduser()


BACKUP_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "RELAY_BACKUP_TO",
        "to",
        "",
        "/mnt/backups",
        "Folder for the backups that `cams-relay up` makes automatically, for example on another disk, or "
        "`s3://bucket/prefix` for S3-compatible storage. The folder or bucket must exist. Names and punches in backups "
        "are not encrypted. If unset, no backups are made.",
        lambda text: backup_place(text) if text else None,
    ),
    Variable(
        "RELAY_BACKUP_EVERY",
        "every",
        "1d",
        "12h",
        "Time between backups, in minutes (`m`), hours (`h`) or days (`d`).",
        read.interval,
    ),
    Variable(
        "RELAY_BACKUP_KEEP",
        "keep",
        "14",
        "30",
        "Number of backups to keep. After each new backup, all but the newest are removed.",
        read.whole(1, 10_000),
    ),
)


@dataclass(frozen=True, slots=True)
class Backups:
    """Where backups are made, if at all, the seconds between them, and how many are kept."""

    to: Path | S3Url | None
    every: float
    keep: int
