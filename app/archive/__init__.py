"""The archive: events in an SQL database, kept for years after the store has removed them. It doesn't know Redis."""

from __future__ import annotations

from app.archive.archive import Archive
from app.archive.database import ArchiveAway, ArchiveCannotHold, ArchiveRefused
from app.archive.records import Archived, ArchivedPunch, Position

__all__ = [
    "Archive",
    "ArchiveAway",
    "ArchiveCannotHold",
    "ArchiveRefused",
    "Archived",
    "ArchivedPunch",
    "Position",
]
