"""The connector's memory of acknowledged punches: a set of digests in a SQLite file, which is kept forever.

The relay recognises a punch for `RELAY_DEDUPE_DAYS`. A device that keeps its whole log exports the same rows even a
year later, so the connector remembers them itself: 16 bytes per row, derived from the receiver, the device and the
punch. A receiver is a relay's store (`sender.relay_store`), whatever its URL, or otherwise a URL. Earlier versions used
only the URL, so its digests are looked up as well, or only the host, whose digests match nothing here. Digests are
written before the place is saved. Failure policy: a punch that was sent, but not yet written here, is sent again with
the same OperationID.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from app.connector.errors import Stop

_WAIT_SECONDS = 30  # for another connector that writes to the same file
_DEFAULT_PORTS = {"http": 80, "https": 443}


def receiver_of(url: str) -> str:
    """Return the scheme, host, port and path of a URL, which identify a receiver, without the secrets in its query."""
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path or '/'}"


class Memory:
    """The punches that a receiver acknowledged. If `path` is None, nothing is remembered."""

    def __init__(self, path: Path | None, url: str, store: str | None = None) -> None:
        """`url` is the receiver's (see `receiver_of`), and `store` identifies the store of a relay, if it is known."""
        self._path = path
        self._receivers = [url] if store is None else [store, url]  # the first one is used for new punches
        self._unsaved: set[bytes] = set()
        self._database: sqlite3.Connection | None = None
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(path, timeout=_WAIT_SECONDS)
            self._database.execute("CREATE TABLE IF NOT EXISTS sent (digest BLOB PRIMARY KEY) WITHOUT ROWID")
            self._database.commit()
        except (OSError, sqlite3.Error) as error:
            raise self._stop(error) from None

    def has(self, stgid: str, contents: Iterable[str]) -> bool:
        """Return whether a punch with these contents was acknowledged before. Raises Stop."""
        if self._database is None:
            return False
        said = list(contents)
        return any(self._has(self._digest(receiver, stgid, said)) for receiver in self._receivers)

    def _has(self, digest: bytes) -> bool:
        assert self._database is not None
        if digest in self._unsaved:
            return True
        try:
            with closing(self._database.execute("SELECT 1 FROM sent WHERE digest = ?", (digest,))) as found:
                return found.fetchone() is not None
        except sqlite3.Error as error:
            raise self._stop(error) from None

    def add(self, stgid: str, contents: Iterable[str]) -> None:
        """Remember an acknowledged punch. The next `save` writes it to the file."""
        if self._database is not None:
            self._unsaved.add(self._digest(self._receivers[0], stgid, contents))

    def save(self) -> None:
        """Write the punches that were added since the last save. Raises Stop."""
        if self._database is None or not self._unsaved:
            return
        try:
            with self._database:
                self._database.executemany(
                    "INSERT OR IGNORE INTO sent VALUES (?)", [(digest,) for digest in self._unsaved]
                )
        except sqlite3.Error as error:
            raise self._stop(error) from None
        self._unsaved.clear()

    def close(self) -> None:
        """Close the file without saving."""
        if self._database is not None:
            self._database.close()

    def _digest(self, receiver: str, stgid: str, contents: Iterable[str]) -> bytes:
        said = "\n".join((receiver, stgid, *contents))
        return hashlib.sha256(said.encode()).digest()[:16]

    def _stop(self, error: Exception) -> Stop:
        return Stop(
            f"--memory: {self._path} can't be used ({error}). Use another file, or remove this one. Rows that are "
            "read again are then sent again"
        )
