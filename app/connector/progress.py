"""The connector's position, in a file that survives crashes, and the rows that were put aside."""

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
SAVE_SECONDS = 0.25  # what was acknowledged since the last save is sent again after a crash, as the same


class PlaceFile:
    """The place in one source, for one process at a time. A context; `Stop` where another one has it.

    `source` says what the place is in; a file of another source is refused rather than misread.
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
            os.close(self._lock)  # and so unlocks it

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
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._saved >= SAVE_SECONDS

    def save(self, value: dict[str, Any]) -> None:
        """Keeps the place. Raises Stop if it can't."""
        self.value = value
        document = {"version": VERSION, "source": self._source, "place": value}
        try:
            _write(self.path, json.dumps(document, indent=1).encode())
        except OSError as error:
            raise Stop(f"--state: {self.path} can't be written: {error.strerror}") from None
        self._saved = time.monotonic()


def _write(path: Path, content: bytes) -> None:
    """All of it or, after a crash, what was there before."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """So that the new name, too, outlives a power cut; Windows can't, and needn't."""
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
    """Rows that can't be read, a line of JSON each: `at`, `where`, `problem`, `row`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, where: str, problem: str, row: str) -> None:
        """Appends one, synced to disk: the place may move on afterwards. Raises Stop if it can't."""
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
