"""The keys that encrypt archived events. They are in the database, encrypted with RELAY_SECRET_KEY."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable

from app.archive.database import Database
from app.archive.writing import insert_unless_there
from app.base.vault import SealError, Vault

_PURPOSE = "archived event"
Seal = Callable[[bytes, str], bytes]
"""(an event's JSON, its place) → what is stored"""


class DataKeys:
    """Encrypts and decrypts events."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._keys: dict[int, Vault] = {}

    def rekey(self) -> tuple[int, int]:
        """Encrypt the data keys again with RELAY_SECRET_KEY, and begin a new one.

        Return how many were encrypted, and how many can't be decrypted, such as those of a former store.
        """
        from sqlalchemy import insert, select, update

        from app.archive.tables import data_keys

        count = lost = 0
        with self._database.reading() as connection:
            if connection is None:
                return 0, 0
        with self._database.writing() as connection:
            rows = connection.execute(select(data_keys)).all()
            for row in rows:
                try:
                    sealed = self._vault.seal_anew("archive", row.sealed, str(row.number))
                except SealError:
                    lost += 1
                    continue
                if sealed is not None:
                    chosen = data_keys.c.number == row.number
                    connection.execute(update(data_keys).where(chosen).values(sealed=sealed))
                    count += 1
            if count:
                number = max(row.number for row in rows) + 1
                connection.execute(insert(data_keys).values(number=number, sealed=self._new_key(number)))
        self._keys.clear()
        return count, lost

    def _new_key(self, number: int) -> bytes:
        return self._vault.seal("archive", secrets.token_hex(32).encode(), str(number))

    def newest(self) -> tuple[int, Seal]:
        """Return the number of the newest data key, and what encrypts with it.

        One is created if there is none, or RELAY_SECRET_KEY doesn't decrypt it: after an accepted change of the store,
        or while a change of the key isn't complete.
        """
        from sqlalchemy import select

        from app.archive.tables import data_keys

        with self._database.writing(briefly=True) as connection:
            row = connection.execute(select(data_keys).order_by(data_keys.c.number.desc()).limit(1)).first()
            number = 0 if row is None else row.number
            if row is None or not self._opens(number, row.sealed):
                number += 1
                insert_unless_there(connection, data_keys, number=number, sealed=self._new_key(number))
        key = self._key(number)
        return number, lambda event, place: key.seal(_PURPOSE, zlib.compress(event), place)

    def _opens(self, number: int, sealed: bytes) -> bool:
        try:
            return number in self._keys or bool(self._vault.open("archive", sealed, str(number)))
        except SealError:
            return False

    def _key(self, number: int) -> Vault:
        """Return a data key. Raises SealError if there is none, or RELAY_SECRET_KEY doesn't decrypt it."""
        from sqlalchemy import select

        from app.archive.tables import data_keys

        if number not in self._keys:
            with self._database.reading() as connection:
                chosen = select(data_keys.c.sealed).where(data_keys.c.number == number)
                sealed = None if connection is None else connection.execute(chosen).scalar()
            if sealed is None:
                raise SealError("a data key of the archive is missing")
            self._keys[number] = Vault(self._vault.open("archive", sealed, str(number)).decode())
        return self._keys[number]

    def opened(self, number: int, body: bytes, place: str) -> bytes | None:
        """Return an event's JSON; None if it can't be decrypted."""
        try:
            return zlib.decompress(self._key(number).open(_PURPOSE, body, place))
        except (SealError, zlib.error):
            return None

    def foreign(self) -> ForeignKeys:
        """Return a place for the data keys of a backup."""
        return ForeignKeys(self._vault)


class ForeignKeys:
    """The data keys of a backup, which may have the same numbers as others in the database."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: dict[int, Vault] = {}

    def add(self, number: int, sealed: bytes) -> None:
        """Add a key. Raises SealError if RELAY_SECRET_KEY doesn't decrypt it."""
        self._keys[number] = Vault(self._vault.open("archive", sealed, str(number)).decode())

    def open(self, number: int, body: bytes, place: str) -> bytes:
        """Return an event's JSON. Raises SealError, ValueError and KeyError."""
        return zlib.decompress(self._keys[number].open(_PURPOSE, body, place))
