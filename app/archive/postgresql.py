"""Connections to PostgreSQL, with limits for everything that could wait.

A server that vanished from the network is noticed by TCP. One that is frozen isn't, because its system still confirms
what it receives. So the client stops waiting, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CONNECT_SECONDS = 5
_LEAST_CONNECT_SECONDS = 2  # of psycopg
_INTERVAL_SECONDS = 0.1  # after which psycopg looks for Ctrl-C
# How soon a server that vanished from the network is noticed.
_NETWORK = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


class _Limit(threading.local):
    """When this thread stops waiting for the server (monotonic seconds); None: never."""

    ends: float | None = None


_limit = _Limit()


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Wait for the server for at most so many seconds altogether."""
    before = _limit.ends
    _limit.ends = None if seconds is None else time.monotonic() + seconds
    try:
        yield
    finally:
        _limit.ends = before


def _seconds_left() -> float | None:
    return None if _limit.ends is None else _limit.ends - time.monotonic()


def has_not_answered(error: Exception | None) -> bool:
    """Return whether an error of the driver means that the server didn't answer in time."""
    from psycopg.errors import ConnectionTimeout

    return isinstance(error, ConnectionTimeout)


@cache
def _limited_connection() -> Any:
    """Return a class of connections that are closed if the server doesn't answer in time."""
    import psycopg
    from psycopg.errors import ConnectionTimeout

    class LimitedConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> Any:
            left = _seconds_left()
            if left is None:
                return super().wait(gen, interval, timeout)
            least = left if timeout is None else min(left, timeout)
            try:
                return super().wait(gen, interval, max(0.0, least))
            except psycopg.OperationalError:
                if time.monotonic() < (_limit.ends or 0):
                    raise
                self.close()
                raise ConnectionTimeout("the server doesn't answer") from None

    return LimitedConnection


def engine_of_postgresql(url: str, busy_seconds: float) -> Engine:
    """Return an engine. `busy_seconds` limits waiting for locks.

    Connections need the execution option `relay_seconds`, how long a statement may take. 0 means that it isn't limited.
    """
    from psycopg.errors import ConnectionTimeout
    from sqlalchemy import create_engine, event

    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_recycle=600,
        pool_size=2,
        max_overflow=2,
        connect_args={
            "application_name": "cams-relay",
            "prepare_threshold": None,  # poolers may give each transaction another session
            **_NETWORK,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        left = _seconds_left()
        if left is not None and left <= 0:  # after the check of a connection that was open
            raise ConnectionTimeout("the server doesn't answer")
        seconds = CONNECT_SECONDS if left is None else min(CONNECT_SECONDS, round(left))
        named["connect_timeout"] = max(_LEAST_CONNECT_SECONDS, seconds)
        return _limited_connection().connect(*arguments, **named)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # For this transaction only, because poolers share sessions, and don't know options of the connection.
        seconds = connection.get_execution_options()["relay_seconds"]
        locked = min(busy_seconds, seconds or busy_seconds)
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = '{locked * 1000:.0f}ms'; "
            f"SET LOCAL statement_timeout = '{seconds * 1000:.0f}ms'"
        )

    return engine
