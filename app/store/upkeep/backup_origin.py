"""Distinguishes copies of a store in the names of their backups.

A restored copy has the store's ID, because it must accept the same callbacks. But its backups must not count as those
of the original store, because a trial restore would then remove those. So part of a backup's name is derived from a
key that isn't in backups and, with the embedded store, from the machine and the data folder, which may have been
copied.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path

from app.store.server.connection import Connection
from app.store.server.keys import BACKUP_ORIGIN

_MACHINE_ID = Path("/etc/machine-id")  # containers usually have none, and their host names change


def backup_origin(connection: Connection) -> str:
    """Return eight hexadecimal digits, the same ones each time. Raises redis errors."""
    client, settings = connection.redis, connection.settings
    client.set(BACKUP_ORIGIN, secrets.token_hex(8), nx=True)
    parts = [client.get(BACKUP_ORIGIN) or b""]
    if settings.redis_url is None:
        parts += [_machine_id(), str(settings.data_dir.resolve()).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]


def _machine_id() -> bytes:
    with suppress(OSError):
        return _MACHINE_ID.read_bytes().strip()
    return b""
