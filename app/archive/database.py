"""Connections to the archive's database: SQLite or PostgreSQL.

SQLAlchemy is imported when the archive is first used, because most processes never need it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.base.private_folder import make_private

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

NEWEST = "1"
_BUSY_SECONDS = 20  # how long SQLite waits for another process's transaction
_CONNECT_SECONDS = 5
_MIGRATION_LOCK = 0x63616D73  # of PostgreSQL's advisory locks
_SYSTEM_MESSAGE = 200  # characters of a driver's message


class ArchiveAway(Exception):
    """The database can't be reached, or can't write. It may work again later; the message says what happened."""


class ArchiveCannotHold(Exception):
    """The database refuses the values for good; the message says why."""


class ArchiveRefused(Exception):
    """The archive must not be used. The message says why and what to do."""


class Database:
    """Opens connections. The tables are created by `migrate`; before that, the archive is empty."""

    def __init__(self, url: str) -> None:
        """`url` is `sqlite:///PATH` or `postgresql+psycopg://…`."""
        self._url = url
        self._lock = Lock()
        self._engine: Engine | None = None
        self._process = 0
        self._ready = False

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Yield a connection; None if there are no tables yet. Raises ArchiveAway and ArchiveRefused."""
        if not self._ready and self._is_missing():
            yield None
            return
        with self._connected(reading=True) as connection:
            yield connection if self._ready or self._has_tables(connection) else None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed at the end. The tables must exist."""
        with self._connected(reading=False) as connection, connection.begin():
            yield connection

    def migrate(self) -> None:
        """Create the tables, or change those of an earlier version. Raises ArchiveAway and ArchiveRefused."""
        if self._ready:
            return
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            if self._version(connection) != NEWEST:
                _upgrade(connection)
        self._ready = True

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _is_missing(self) -> bool:
        """Return whether there is no SQLite file yet, which reading doesn't create."""
        from sqlalchemy import make_url

        parsed = make_url(self._url)
        return parsed.get_backend_name() == "sqlite" and not os.path.exists(parsed.database or "")

    # Connections

    @contextmanager
    def _connected(self, *, reading: bool) -> Iterator[Connection]:
        from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

        try:
            with self._open().connect().execution_options(relay_reads=reading) as connection:
                yield connection
        except (DataError, IntegrityError) as error:
            raise ArchiveCannotHold(_reason(error)) from None
        except (SQLAlchemyError, OSError) as error:
            raise ArchiveAway(_reason(error)) from None

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None or self._process != os.getpid():
                self._engine, self._process, self._ready = _engine(self._url), os.getpid(), False
            return self._engine

    def _has_tables(self, connection: Connection) -> bool:
        version = self._version(connection)
        if version not in (None, NEWEST):
            raise ArchiveAway("a worker of this version hasn't changed its tables yet")
        self._ready = version == NEWEST
        return self._ready

    @staticmethod
    def _version(connection: Connection) -> str | None:
        from sqlalchemy import inspect, text

        from app.archive.tables import VERSION_TABLE

        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        if found is not None and int(found) > int(NEWEST):
            raise ArchiveRefused(
                "The archive was written by a newer version of cams-relay. Install that version again."
            )
        return found


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, make_url

    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(
            parsed,
            pool_pre_ping=True,
            pool_recycle=600,
            pool_size=2,
            max_overflow=2,
            connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "cams-relay"},
        )
    file = Path(parsed.database or "")
    make_private(file.parent)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
    _prepare_sqlite(engine)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        # SQLAlchemy begins the transactions: the driver would begin them late, and none for the creation of tables.
        connection.isolation_level = None
        # The log survives a crash; what a power loss undoes is archived again, as the position is undone as well.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail if another process wrote in between.
        reads = connection.get_execution_options().get("relay_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _reason(error: Exception) -> str:
    """Return a driver's message in one line, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    text = str(original).strip().partition("\n")[0]
    return f"{type(original).__name__}: {text[:_SYSTEM_MESSAGE]}"
