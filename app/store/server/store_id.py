"""Identifies the store: an ID in the store, which is set once, and a copy of it in the spool's folder.

Otherwise, a store that starts empty, or another one at the same address, would look like one from which all devices
were removed. While the ID isn't the remembered one, nothing is moved from the spool to the store, and processes keep
the devices they know. An operator can accept another store on purpose.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from app.base.private_folder import make_private
from app.store.server.admission_repairs import text_of
from app.store.server.connection import Connection
from app.store.server.keys import STORE
from app.store.server.repairs import note_repair

_ID = re.compile(rb"[0-9a-f]{32}")
FILE = "store_id"


class StoreIdentity:
    """Compares the store's ID with the one in the spool's folder."""

    def __init__(self, connection: Connection, folder: Path | None) -> None:
        """`folder` is the spool's. If it is None, the ID is only remembered while the process is running."""
        self._connection = connection
        self._folder = folder
        self._remembered: str | None = None
        self.foreign: str | None = None  # the problem and what to do; None while the store is ours
        self.verified = False  # whether the ID was checked since the store was last away

    def check(self, *, look_only: bool = False) -> None:
        """Check the store's ID. If neither the store nor this machine has one, it is created. Raises redis errors.

        With `look_only`, nothing is written to the store or on this machine.
        """
        self.verified = False
        expected = self._read() or self._remembered
        found = self._found()
        if expected is not None and found is not None and not _ID.fullmatch(found.encode()) and not look_only:
            self._connection.redis.set(STORE, expected)  # damaged: another store would have a proper ID
            note_repair(self._connection, STORE)
            found = expected
        if look_only and (expected is None or found == expected):
            self.foreign = None
            return
        if expected is None:
            expected = found or self._given()
            found = expected
        if found == expected:
            # On a full disk, the spool couldn't be drained otherwise. `write_again` reports the error.
            with suppress(OSError):
                self._remember(expected)
            self._remembered = expected
            self.foreign = None
        else:
            what = "it has no id, so it was empty when it started" if found is None else "it has another id"
            self.foreign = (
                f"This isn't the store that this machine's callbacks belong to: {what}. The callbacks are "
                "waiting on disk. A web process that restarts in this state knows no devices. It answers 503, "
                "and the gateway keeps the callbacks. Bring back the previous store or restore a backup. Only "
                "if you want to start again with this store, run `cams-relay spool accept-store` and register "
                "the devices again."
            )
        self.verified = True

    def is_foreign(self) -> bool:
        """Return whether the store isn't ours, checked once after each time it was away. Raises redis errors."""
        if not self.verified:
            self.check()
        return self.foreign is not None

    def write_again(self) -> None:
        """Write the ID into the spool's folder if it is missing, e.g. with the folder removed. Raises OSError."""
        if self._remembered is not None and self._read() is None:
            self._remember(self._remembered)

    def accept(self) -> str:
        """Accept the store as ours, and return its ID. Raises redis errors and OSError."""
        found = self._found() or self._given()
        self._remembered = None
        self._remember(found)
        self.foreign = None
        return found

    def store_id(self) -> str | None:
        """Return the store's ID; None if it has none yet. Raises redis errors."""
        return self._found()

    def _found(self) -> str | None:
        return text_of(self._connection, STORE)

    def _given(self) -> str:
        self._connection.redis.set(STORE, secrets.token_hex(16), nx=True)
        return self._found() or ""

    def _read(self) -> str | None:
        return None if self._folder is None else remembered_id(self._folder)

    def _remember(self, store_id: str) -> None:
        """Save the ID in the spool's folder. Raises OSError."""
        if self._folder is not None and self._read() != store_id:
            make_private(self._folder)
            partial = self._folder / f"{FILE}.{secrets.token_hex(4)}"
            try:
                with partial.open("w") as file:
                    file.write(store_id)
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(self._folder / FILE)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
        self._remembered = store_id


def remembered_id(folder: Path) -> str | None:
    """Return the ID that is saved in a spool's folder."""
    with suppress(OSError):
        text = (folder / FILE).read_bytes().strip()
        if _ID.fullmatch(text):
            return text.decode()
    return None
