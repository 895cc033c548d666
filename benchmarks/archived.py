"""Benchmarks of the archive: old events and attendance of 1,000 people, read from 10 million events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import create_engine

from app.archive import Archive, Archived
from app.base.vault import Vault
from app.events.types import EVENT_TYPES
from app.settings.table import load
from app.store.server.connection import make_client
from app.store.server.keys import STORE
from benchmarks.processes import RelayUnderTest, parts
from tests.servers import postgres

_DEVICES, _PEOPLE = 50, 3_200
_CHOSEN_DEVICES = 16  # 1,024 of the people
_DAILY = _PEOPLE * 4  # punches
_BODY_BYTES = 260  # a punch, compressed and encrypted
_AT_ONCE = 500_000
_LEAST_BYTES = 5_000  # of an answer with rows
_STORE_ID = "0" * 32
_SECRET_KEY = "made-up-secret-key-for-benchmarks-only-0123456789"


@contextmanager
def databases(folder: Path, count: int) -> Iterator[dict[str, str]]:
    """Yield DATABASE_URL for a SQLite file and a Postgres server, both filled with `count` punches."""
    with postgres(folder) as url:
        urls = {"SQLite": f"sqlite:///{folder / 'archive.sqlite'}", "Postgres": url}
        for one in urls.values():
            _fill(_for_sqlalchemy(one), count)
        yield urls


def _for_sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _last_day() -> date:
    """Return the last day of the month before the previous one, which the store has removed."""
    previous = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    return previous.replace(day=1) - timedelta(days=1)


def _fill(url: str, count: int) -> None:
    """Write `count` punches up to `_last_day`, four a day of each of 3,200 people.

    The database makes the rows itself, in the order in which a worker archives them.
    """
    archive = Archive(url, Vault(_SECRET_KEY))
    archive.claim(_STORE_ID)
    event = Archived(1, 1, 0, "device.silent", "D1", None, b"{}")
    archive.write(
        _STORE_ID, 1, archive.position(_STORE_ID, 1), event.entry, [event], []
    )  # creates the data key
    first_day = _last_day() - timedelta(days=-(-count // _DAILY) - 1)
    midnight = int(datetime(*first_day.timetuple()[:3], tzinfo=UTC).timestamp())
    engine = create_engine(url)
    is_postgres = engine.dialect.name == "postgresql"
    for start in range(0, count, _AT_ONCE):
        with engine.begin() as connection:
            if not is_postgres:
                connection.exec_driver_sql("PRAGMA cache_size = -1000000")
            last = min(count, start + _AT_ONCE) - 1
            for statement in _rows(start, last, midnight, is_postgres=is_postgres):
                connection.exec_driver_sql(statement.replace("%", "%%") if is_postgres else statement)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _rows(first: int, last: int, midnight: int, *, is_postgres: bool) -> Iterator[str]:
    """Return statements that insert events and punches with these numbers."""
    if is_postgres:
        numbers = f"generate_series({first}::bigint, {last}) AS numbers(i)"
        body = f"decode(repeat('5a', {_BODY_BYTES}), 'hex')"
    else:
        following = f"SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}"
        numbers = f"(WITH RECURSIVE numbers(i) AS ({following}) SELECT i FROM numbers)"
        body = f"zeroblob({_BODY_BYTES})"
    person, visit = f"(i % {_PEOPLE})", f"(i % {_DAILY} / {_PEOPLE})"
    at = f"({midnight} + i / {_DAILY} * 86400 + 28800 + {visit} * 10000 + {person} / 6)"
    place, device = f"{at} * 1000 + i % 6, 0", f"'D' || (i % {_DEVICES})"
    kind = "CASE i % 10 WHEN 0 THEN 'user.updated' WHEN 1 THEN 'attendance.photo' ELSE 'attendance.punch' END"
    yield (
        "INSERT INTO relay_events (shard, ms, sequence, type, device_id, user_id, data_key, body) "
        f"SELECT 0, {place}, {kind}, {device}, CAST({person} AS text), 1, {body} FROM {numbers}"
    )
    yield (
        "INSERT INTO relay_punches (user_id, at, device_id, place, ms, sequence, utc_offset, direction) "
        f"SELECT CAST({person} AS text), {at}, {device}, 1, {place}, 0, "
        f"CASE {visit} % 2 WHEN 0 THEN 'in' ELSE 'out' END FROM {numbers}"
    )


def _store_id(running: RelayUnderTest) -> str:
    return str(make_client(load(running.environment)).get(STORE).decode())


@contextmanager
def relay(folder: Path, url: str) -> Iterator[RelayUnderTest]:
    """Run a relay with such an archive."""
    with parts(folder, "store", "web", DATABASE_URL=url, RELAY_SECRET_KEY=_SECRET_KEY) as running:
        Archive(_for_sqlalchemy(url), Vault(_SECRET_KEY)).claim(_store_id(running), accept=True)
        for number in range(_DEVICES):
            running.device(device_id=f"D{number}")
        yield running


def times(running: RelayUnderTest, url: str) -> dict[str, Callable[[], float]]:
    """Return functions that measure the milliseconds of reading, each with its description."""
    day = str(_last_day())
    devices = ",".join(f"D{number}" for number in range(_CHOSEN_DEVICES))
    archive = Archive(_for_sqlalchemy(url), Vault(_SECRET_KEY))

    def one_page() -> float:
        began = time.perf_counter()
        ranges = {"device_id": [f"D{number}" for number in range(_DEVICES)], "type": EVENT_TYPES}
        if len(list(islice(archive.scan(_store_id(running), 0, None, None, ranges, {}, 51), 51))) != 51:
            raise RuntimeError("not 51 events on a page")
        return (time.perf_counter() - began) * 1000

    return {
        "51 archived events of 50 devices": one_page,
        "a person's archived month": lambda: _get(running, "attendance/17", month=day[:7])[1],
        "50 of 1,024 people on an archived day": lambda: _get(
            running, "attendance", date=day, device_id=devices
        )[1],
        "file of 1,024 people's archived day": lambda: _get(
            running, "attendance.csv", date=day, device_id=devices
        )[1],
        "first row of 1,024 people's archived month": lambda: _get(
            running, "attendance.csv", month=day[:7], device_id=devices
        )[0],
        "file of 1,024 people's archived month": lambda: _get(
            running, "attendance.csv", month=day[:7], device_id=devices
        )[1],
    }


def _get(running: RelayUnderTest, path: str, **query: Any) -> tuple[float, float]:
    """Return the milliseconds until the first row or the answer, and until its end."""
    began = time.perf_counter()
    with requests.get(
        f"{running.url}/v1/{path}", params=query, headers=running.headers, timeout=300, stream=True
    ) as answer:
        answer.raise_for_status()
        parts_of_body = answer.iter_content(None)
        size = len(next(parts_of_body))
        arrived = time.perf_counter()
        size += sum(map(len, parts_of_body))
        if size < _LEAST_BYTES:
            raise RuntimeError(f"{path} has only {size} bytes")
    return (arrived - began) * 1000, (time.perf_counter() - began) * 1000
