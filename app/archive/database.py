"""Connections to the archive's database: SQLite or PostgreSQL.

SQLAlchemy is imported when the archive is first used, because most processes never need it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.archive.forks import FORKS
from app.archive.postgresql import engine_of_postgresql, has_not_answered, limited
from app.base.private_folder import make_private

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

log = logging.getLogger("relay.archive")

NEWEST = "1"
_BUSY_SECONDS = 20  # how long the database waits for another process's transaction
_READ_SECONDS = 60  # for a statement
_WRITE_SECONDS = 600
_BRIEF_WRITE_SECONDS = 30
_GRACE_SECONDS = 1  # so that the server ends a statement before the client stops waiting
_PAUSE_SECONDS = 5  # after the server hasn't answered: so many requests don't wait for it one after the other
_MIGRATION_LOCK = 0x63616D73  # of PostgreSQL's advisory locks
_SYSTEM_MESSAGE = 200  # characters of a driver's message
_TOO_LONG = "54000"  # PostgreSQL's code if a value is too long for an index
_SQLITE = "sqlite:///"
_LIBRARIES = (
    "alembic.command",
    "alembic.config",
    "alembic.context",
    "alembic.op",
    "app.archive.tables",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
)


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
        self._file = Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None
        self._lock = Lock()
        self._engine: Engine | None = None
        self._process = 0
        self._ready = False
        self._read_seconds: float = _READ_SECONDS
        self._paused_until = 0.0
        self._may_be_used = True
        self.changes = 0
        """increased whenever it may be another database from now on"""
        FORKS.databases.add(self)

    @property
    def is_sqlite(self) -> bool:
        return self._file is not None

    def limit_reads(self, seconds: float) -> None:
        """Set how long a statement that reads may take, and after how long to stop waiting for a frozen server."""
        self._read_seconds = seconds

    @staticmethod
    def load() -> None:
        """Import the libraries. If a process forked while a thread imports them, the child would wait forever."""
        for name in _LIBRARIES:
            import_module(name)

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Yield a connection; None if there are no tables yet. Raises ArchiveAway and ArchiveRefused."""
        if self._file is not None and not self._file.exists():  # reading doesn't create it
            yield None
            return
        with self._connected(self._read_seconds, reading=True) as connection:
            yield connection if self._ready or self._has_tables(connection) else None

    @contextmanager
    def writing(self, *, briefly: bool = False) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed at the end. The tables must exist.

        With `briefly`, it has few rows, and a server that doesn't answer is noticed earlier.
        """
        seconds = _BRIEF_WRITE_SECONDS if briefly else _WRITE_SECONDS
        with self._connected(seconds, reading=False) as connection, connection.begin():
            yield connection

    def migrate(self) -> None:
        """Create the tables, or change those of an earlier version. Raises ArchiveAway and ArchiveRefused."""
        if self._ready:
            return
        with self._connected(None, reading=False) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
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

    def before_fork(self) -> None:
        """Close SQLite's connections."""
        if self._file is not None:
            self.close()

    def after_fork_in_child(self, *, was_in_use: bool) -> None:
        """Replace the lock, which a thread may have held that doesn't exist here."""
        self._lock = Lock()
        if was_in_use and self._engine is not None and self.is_sqlite:
            self._may_be_used = False

    # Connections

    @contextmanager
    def _connected(self, seconds: float | None, *, reading: bool) -> Iterator[Connection]:
        """Yield a connection. `seconds` limits a statement, and how long to wait for a server that doesn't answer."""
        from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

        if not self._may_be_used:
            raise ArchiveAway("this process was forked while the file was in use")
        if reading and time.monotonic() < self._paused_until:
            raise ArchiveAway("the server hasn't answered a moment ago")
        patience = None if seconds is None else seconds + _GRACE_SECONDS
        options = {"relay_reads": reading, "relay_seconds": seconds or 0}
        try:
            with (
                FORKS.delayed() if self.is_sqlite else limited(patience),
                self._open().connect().execution_options(**options) as connection,
            ):
                yield connection
        except (DataError, IntegrityError) as error:
            raise ArchiveCannotHold(_reason(error)) from None
        except (UnicodeEncodeError, OverflowError) as error:  # SQLite's driver raises them as they are
            raise ArchiveCannotHold(type(error).__name__) from None
        except (SQLAlchemyError, OSError) as error:
            original = getattr(error, "orig", None)
            if getattr(original, "sqlstate", None) == _TOO_LONG:
                raise ArchiveCannotHold(_reason(error)) from None
            if not self.is_sqlite and has_not_answered(original):
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
            self._may_be_another()  # such as an empty one in its place
            raise ArchiveAway(_reason(error)) from None

    def _may_be_another(self) -> None:
        self._ready = False
        self.changes += 1

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None or self._process != os.getpid():
                self._engine, self._process = self._made(), os.getpid()
                self._may_be_another()
            return self._engine

    def _made(self) -> Engine:
        if self._file is None:
            return engine_of_postgresql(self._url, _BUSY_SECONDS)
        engine = _engine_of_sqlite(self._file)
        _watch_file(engine, self._file, self._may_be_another)
        return engine

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


def _engine_of_sqlite(file: Path) -> Engine:
    from sqlalchemy import URL, create_engine

    make_private(file.parent)
    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": _BUSY_SECONDS})
    _prepare_sqlite(engine)
    return engine


def _watch_file(engine: Engine, file: Path, replaced: Callable[[], None]) -> None:
    """Use a new connection after the file was deleted or replaced, because the open one has the former file."""
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError

    def identity() -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            found = file.stat()
            return found.st_dev, found.st_ino
        return None

    @event.listens_for(engine, "do_connect")
    def before_connect(*_: Any) -> None:
        _tighten(file)
        # Only a new file: closing a descriptor of the file would end the locks of this process's other connections.
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    @event.listens_for(engine, "connect")
    def on_connect(_: Any, record: Any) -> None:
        record.info["file"] = identity()

    @event.listens_for(engine, "checkout")
    def on_checkout(_: Any, record: Any, __: Any) -> None:
        if record.info["file"] != identity():
            log.warning("the file of the archive was deleted or replaced, and is opened again")
            replaced()
            raise DisconnectionError


def _tighten(file: Path) -> None:
    """Make the files of a database private, such as one that was restored or created by another program."""
    for path in (file, *(file.with_name(f"{file.name}{ending}") for ending in ("-wal", "-shm"))):
        try:
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
                log.warning("%s could be read by other users. Its mode is 0600 now.", path.name)
        except FileNotFoundError:
            continue
        except OSError as error:  # another user's
            log.warning("the mode of %s can't be changed: %s", path.name, error.strerror)


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
