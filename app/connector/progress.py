"""The connector's place, saved in a file that survives crashes, and the rejected rows."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from app.connector.errors import Stop

VERSION = 1
SAVE_SECONDS = 0.25  # after a crash, rows since the last save are sent again with the same OperationIDs


class PlaceFile:
    """The place in one source. Used as a context manager, it locks the file; raises Stop if another process has it.

    `source` identifies the source. A file for another source is refused.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self._source = source
        self._saved = 0.0
        self._lock: int | None = None
        self.value: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        try:
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Stop(f"--state: {self.path} can't be written: {error.strerror}") from None
        if not _locked(self._lock):
            os.close(self._lock)
            raise Stop(f"another connector is using {self.path}. Stop it, or use another file with --state")
        self.value = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)  # closing it releases the lock

    def _read(self) -> dict[str, Any] | None:
        try:
            kept = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Stop(
                f"--state: {self.path} can't be read ({error}). Restore the file, or remove it to start from "
                "the beginning"
            ) from None
        if not isinstance(kept, dict) or kept.get("version") != VERSION:
            raise Stop(f"--state: {self.path} is not a state file of this connector. Use another file")
        if kept["source"] != self._source:
            raise Stop(
                f"--state: {self.path} belongs to {kept['source']}, not to {self._source}. Use another file"
            )
        place: dict[str, Any] = kept["place"]
        return place

    def is_due(self) -> bool:
        """Return whether SAVE_SECONDS have passed since the last save."""
        return time.monotonic() - self._saved >= SAVE_SECONDS

    def save(self, value: dict[str, Any]) -> None:
        """Save the place. Raises Stop if it can't be written."""
        self.value = value
        document = {"version": VERSION, "source": self._source, "place": value}
        try:
            _write(self.path, json.dumps(document, indent=1).encode())
        except OSError as error:
            raise Stop(f"--state: {self.path} can't be written: {error.strerror}") from None
        self._saved = time.monotonic()


def _write(path: Path, content: bytes) -> None:
    """Replace a file's content atomically: after a crash, it has either the old or the new content."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the folder, so that the new name survives a power cut. Windows doesn't support this or need it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _locked(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _locked(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


class Rejects:
    """The file of rejected rows, one JSON object per line: `at`, `where`, `problem`, `row`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, where: str, problem: str, row: str) -> None:
        """Append a row and flush it to disk, after which the place can move past it. Raises Stop if that fails."""
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "where": where,
            "problem": problem,
            "row": row,
        }
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Stop(f"--rejects: {self.path} can't be written: {error.strerror}") from None
