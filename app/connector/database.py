"""Reads the new rows of a query, using a column with increasing values.

The place is the greatest value of that column so far. Rows with lower values can be committed later, and several rows
can have the same value. So each query starts a little before the place (the overlap), and skips known rows: the place
includes digests of the rows within the overlap. A row that has changed there is sent again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

from app.connector.errors import Away, Stop
from app.connector.push import Read
from app.connector.rows import NEEDED

log = logging.getLogger("connector")

_AT_ONCE = 500  # rows read before they are sent, so that no query stays open while waiting for the receiver
DEFAULT_OVERLAP: Final = {"number": 1000.0, "time": 3600.0}
_TABLE_IS_MISSING = re.compile(
    r"no such table|does(?:n't| not) exist|invalid object name|cannot find the input table", re.IGNORECASE
)
# Not the extra of cams-relay, because the connector may be installed alone.
_INSTALL = "pip install sqlalchemy"
_DRIVERS: Final[Mapping[str, tuple[str, str]]] = {
    "mysql": ("mysql+pymysql", f"{_INSTALL} pymysql"),
    "mariadb": ("mariadb+pymysql", f"{_INSTALL} pymysql"),
    "postgres": ("postgresql+psycopg", f"{_INSTALL} 'psycopg[binary]'"),
    "postgresql": ("postgresql+psycopg", f"{_INSTALL} 'psycopg[binary]'"),
    "mssql": ("mssql+pyodbc", "pip install pyodbc"),
    "access": ("access+pyodbc", "pip install sqlalchemy-access"),
    "sqlite": ("sqlite", _INSTALL),
}


def open_engine(url: str, password: str | None) -> Any:
    """Return a SQLAlchemy engine for the URL. Raises Stop, which says what to install if a library is missing."""
    try:
        import sqlalchemy
        from sqlalchemy import exc
    except ModuleNotFoundError:
        raise Stop(f"reading from a database requires SQLAlchemy: {_INSTALL}") from None
    try:
        parsed = sqlalchemy.make_url(url)
    except exc.ArgumentError:
        raise Stop("the URL is not a database URL; use, for example, mysql://user@host/database") from None
    scheme = parsed.drivername
    named, install = _DRIVERS.get(scheme, (scheme, _DRIVERS.get(scheme.partition("+")[0], ("", ""))[1]))
    parsed = parsed.set(drivername=named)
    if password is not None:
        parsed = parsed.set(password=password)
    if named == "sqlite" and parsed.database and not os.path.exists(parsed.database):
        raise Stop(f"there is no SQLite file {parsed.database}")
    try:
        return sqlalchemy.create_engine(parsed, pool_pre_ping=True, pool_recycle=300)
    except exc.NoSuchModuleError:
        raise Stop(f"no driver is installed for {scheme}://: {install or _INSTALL}") from None
    except ImportError as error:
        raise Stop(f"the driver for {scheme}:// is missing ({error}): {install or _INSTALL}") from None


class QueryFailed(Exception):
    """The query for one month failed, because its table or a column is missing."""


class QuerySource:
    """The rows of a query.

    If the query contains `{month}` or `{year}`, it runs for each month from the place until now, because some software
    uses one table per month.
    """

    def __init__(
        self,
        engine: Any,
        query: str,
        since: str,
        mapping: Mapping[str, str],
        place: dict[str, Any] | None,
        *,
        start: str | None = None,
        overlap: float | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        self._engine = engine
        self._query = query.strip().rstrip(";")
        self._since = since
        self._mapping = mapping
        self._zone = zone or UTC
        self._overlap = overlap
        self._monthly = "{month" in query or "{year" in query
        kept = place or {}
        self._place = _load(kept.get("value"))
        self._floor = _load(kept["floor"]) if "floor" in kept else _read_start(start)
        # Months whose table is missing or can't be read, with the value from which to read them.
        self._unread: dict[str, Any] = {month: _load(low) for month, low in kept.get("unread", {}).items()}
        self._told: set[str] = set()
        self._seen: dict[str, Any] = {row: _load(value) for row, value in kept.get("seen", {}).items()}
        if engine.dialect.name == "sqlite" and isinstance(self._floor, datetime):
            self._floor = self._floor.isoformat(" ")  # SQLite stores times as text
        if self._monthly and not isinstance(self._place or self._floor, datetime | str):
            raise Stop(
                "a query with {month} requires --start with the time to begin at, e.g. --start 2026-11-01"
            )

    def rows(self) -> Iterator[Read]:
        """Yield the new rows in the order of the column. Raises Away."""
        if not self._monthly:
            yield from self._rows_of(self._query, self._from())
            return
        problem, was_read = "", False
        for month in self._months():
            low = self._unread.get(month, self._from())
            try:
                yield from self._rows_of(self._of_month(month), low)
                was_read = True
                self._unread.pop(month, None)
            except QueryFailed as error:
                self._unread.setdefault(month, low)
                if self._place is None or not _TABLE_IS_MISSING.search(str(error)):
                    problem = str(error)
                if month not in self._told:
                    self._told.add(month)
                    log.warning(
                        "no rows were read for %s: %s. The connector reads the other months, and will try this one "
                        "again",
                        month,
                        error,
                    )
        if problem and not was_read:
            raise Away(f"the database can't be read: {problem}")

    def _rows_of(self, query: str, low: Any) -> Iterator[Read]:
        """Yield the rows of one query from `low` on, in several reads, each starting where the previous one ended."""
        taken: set[str] = set()
        while found := self._look(query, low, taken):
            for value, key, row in found:
                yield self._read(value, key, row)
                taken.add(key)
            low = found[-1][0]

    def waiting(self) -> int:
        """Return 0, because the number of unread rows is unknown."""
        return 0

    def place(self) -> dict[str, Any]:
        low = self._from()
        self._seen = {row: value for row, value in self._seen.items() if low is None or value >= low}
        return {
            "value": _dump(self._place),
            "floor": _dump(self._floor),
            "unread": {month: _dump(low) for month, low in self._unread.items()},
            "seen": {row: _dump(value) for row, value in self._seen.items()},
        }

    def _months(self) -> list[str]:
        """Return the months to read, such as 2026-11: those from the place until now, and earlier ones that failed."""
        moment = self._from()
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        now = datetime.now(self._zone)
        months = range(moment.year * 12 + moment.month - 1, now.year * 12 + now.month)
        return sorted({f"{month // 12:04}-{month % 12 + 1:02}" for month in months} | self._unread.keys())

    def _of_month(self, month: str) -> str:
        year, number = map(int, month.split("-"))
        try:
            return self._query.format(year=year, month=number)
        except (KeyError, IndexError, ValueError):
            raise Stop("--query: only {month}, {month:02} and {year} may be used in braces") from None

    def _from(self) -> Any:
        """Return the value from which to read: the overlap before the place, but not before the start."""
        if self._place is None:
            return self._floor
        back = _back(self._place, self._overlap)
        return back if self._floor is None else max(back, _like(self._floor, back))

    def _look(self, query: str, low: Any, taken: set[str]) -> list[tuple[Any, str, Mapping[str, Any]]]:
        """Read up to 500 new rows. Return the column's value, a digest of the row, and the row for each."""
        import sqlalchemy as sql

        escaped = query.replace(":", "\\:")  # a colon must not start a parameter
        column: Any = sql.column(self._since)
        every = sql.select(sql.text("*")).select_from(sql.text(f"({escaped}) AS rows_of_query"))
        wanted = every.where(column.is_not(None) if low is None else column >= low).order_by(column)
        found: list[tuple[Any, str, Mapping[str, Any]]] = []
        try:
            with self._engine.connect() as connection:
                if self._place is None and self._floor is not None:
                    one = connection.execute(every.limit(1)).mappings().first()
                    if one is not None and self._since in one:
                        _like(self._floor, _supported(one[self._since]))
                for row in connection.execute(wanted).mappings():
                    if self._since not in row:
                        raise Stop(
                            f"--since-column: the query returns no column {self._since!r}. It returns "
                            f"{', '.join(row)}"
                        )
                    key = _key(row)
                    if key not in self._seen and key not in taken:
                        found.append((_supported(row[self._since]), key, dict(row)))
                    if len(found) == _AT_ONCE:
                        break
        except ImportError as error:
            raise Stop(f"a driver is missing: {error}") from None
        except sql.exc.SQLAlchemyError as error:
            if self._monthly and not self._is_away(error):
                raise QueryFailed(_said(error)) from None
            raise Away(f"the database can't be read: {_said(error)}") from None
        return found

    def _is_away(self, error: Exception) -> bool:
        """Return whether the error means that the server can't be reached, so that any query would fail."""
        import sqlalchemy as sql

        if getattr(error, "connection_invalidated", False):
            return True
        try:
            with self._engine.connect():
                return False
        except sql.exc.SQLAlchemyError:
            return True

    def _read(self, value: Any, key: str, row: Mapping[str, Any]) -> Read:
        for field, column in self._mapping.items():
            if column in row:
                continue
            if field in NEEDED:
                raise Stop(f"--map: the query returns no column {column!r}. It returns {', '.join(row)}")
            if column not in self._told:
                self._told.add(column)
                log.warning(
                    "--map: the query returns no column %r, so %s is left out. It returns %s",
                    column,
                    field,
                    ", ".join(row),
                )

        def done() -> None:
            if self._place is None or value > self._place:
                self._place = value
            self._seen[key] = value

        fields = {field: row[column] for field, column in self._mapping.items() if column in row}
        return Read(fields, f"row with {self._since} {value}", str(row), done)


def _key(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr([str(value) for value in row.values()]).encode()).hexdigest()[:16]


def _said(error: Exception) -> str:
    """Return the database's own message on one line, without the parameters and the URL."""
    return " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())[:300]


# The column can contain numbers, times, and text with ISO 8601 times, as in SQLite.


def _supported(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, str):
        with suppress(ValueError):
            datetime.fromisoformat(value)
            return value
    if isinstance(value, int | float):
        return value
    raise Stop(
        "--since-column: the values of this column are neither numbers nor sortable times. Choose a column whose "
        "values always increase, such as an auto-increment number"
    )


def _back(value: Any, overlap: float | None) -> Any:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value) - timedelta(seconds=_seconds(overlap))
        # A text in the same format sorts correctly. A shortened text sorts before all texts that start with it.
        return moment.isoformat(value[10:11] or " ")[: len(value)]
    if isinstance(value, datetime):
        return value - timedelta(seconds=_seconds(overlap))
    return value - type(value)(DEFAULT_OVERLAP["number"] if overlap is None else overlap)


def _seconds(overlap: float | None) -> float:
    return DEFAULT_OVERLAP["time"] if overlap is None else overlap


def _like(floor: Any, value: Any) -> Any:
    """Convert the start to the type of the column's values. Raises Stop if that isn't possible."""
    if isinstance(value, str) and isinstance(floor, datetime):
        return floor.isoformat(value[10:11] or " ")
    if isinstance(value, datetime) and isinstance(floor, datetime):
        return floor.replace(tzinfo=value.tzinfo)
    if isinstance(value, str | datetime) != isinstance(floor, str | datetime):
        raise Stop(
            "--start doesn't match the type of --since-column. Use a number such as 1, or a date such as "
            "2026-11-24"
        )
    return floor


def _read_start(text: str | None) -> Any:
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Stop(
            f"--start: {text!r} is neither a number nor a time such as 2026-11-24 or 2026-11-24T08:00:00"
        ) from None


def _dump(value: Any) -> Any:
    return {"time": value.isoformat()} if isinstance(value, datetime) else value


def _load(value: Any) -> Any:
    return datetime.fromisoformat(value["time"]) if isinstance(value, dict) else value
