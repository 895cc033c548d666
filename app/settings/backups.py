"""The settings for automatic backups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.settings import readers as read
from app.settings.readers import Variable

BACKUP_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "RELAY_BACKUP_TO",
        "to",
        "",
        "/mnt/backups",
        "Folder for the backups that `cams-relay up` makes automatically, for example on another disk. The folder "
        "must exist. Names and punches in backups are not encrypted. If unset, no backups are made.",
        read.optional_folder,
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
    """The folder for backups, if any, the seconds between them, and how many are kept."""

    to: Path | None
    every: float
    keep: int
