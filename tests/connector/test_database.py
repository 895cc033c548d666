"""A query is followed, with equal values, late rows and tables per month, on SQLite, Postgres and MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sql

from app.connector.database import QuerySource, open_engine
from app.connector.errors import Away, Stop
from tests.connector.conftest import Connector, punches, users
from tests.harness import Receiver
from tests.servers import mariadb, postgres

MAPPING = {"user": "UserId", "time": "LogDate", "type": "Direction"}
QUERY = 'SELECT "DeviceLogId", "UserId", "LogDate", "Direction" FROM "DeviceLogs"'
NOON = datetime(2026, 11, 24, 12)


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mariadb"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    match request.param:
        case "sqlite":
            (folder / "db").touch()
            yield f"sqlite:///{folder}/db"
        case "postgres":
            with postgres(folder) as url:
                yield url
        case _:
            with mariadb(folder) as url:
                yield url + "?sql_mode=ANSI_QUOTES"


class Logs:
    """The table of the device's software."""

    def __init__(self, url: str, name: str = "DeviceLogs") -> None:
        self.engine = open_engine(url, None)
        self.table = sql.Table(
            name,
            sql.MetaData(),
            sql.Column("DeviceLogId", sql.Integer, primary_key=True),
            sql.Column("UserId", sql.String(50), nullable=False),
            sql.Column("LogDate", sql.DateTime),
            sql.Column("Direction", sql.String(10)),
        )
        self.table.drop(self.engine, checkfirst=True)
        self.table.create(self.engine)

    def add(self, user: str, number: int | None = None, at: datetime = NOON, way: str = "in") -> None:
        values = {
            "UserId": user,
            "LogDate": at,
            "Direction": way,
            **({"DeviceLogId": number} if number else {}),
        }
        with self.engine.begin() as connection:
            connection.execute(self.table.insert().values(values))


class Follower:
    """A source that is created again from its saved position for every read."""

    def __init__(self, logs: Logs, since: str, query: str = QUERY, **options: Any) -> None:
        self._make: Callable[[Any], QuerySource] = lambda place: QuerySource(
            logs.engine, query, since, MAPPING, place, **options
        )
        self.position: Any = None

    def look(self, most: int = 10**6) -> list[str]:
        source, found = self._make(self.position), []
        for read in source.rows():
            if len(found) == most:
                break
            assert isinstance(read.fields, dict)
            found.append(read.fields["user"])
            read.done()
            self.position = source.place()
        self.position = source.place()
        return found


@pytest.fixture
def logs(server: str) -> Logs:
    return Logs(server)


def test_rows_are_followed_by_number_including_rows_committed_late(logs: Logs) -> None:
    follower = Follower(logs, "DeviceLogId", overlap=10)
    for number in (1, 2, 5):
        logs.add(f"u{number}", number)
    assert follower.look(2) + follower.look() == ["u1", "u2", "u5"]
    logs.add("u4", 4)
    logs.add("u6", 6)
    assert follower.look() == ["u4", "u6"]
    assert follower.look() == []


def test_rows_with_equal_or_late_times_are_found(logs: Logs) -> None:
    follower = Follower(logs, "LogDate", overlap=3600)
    for user in "abcd":
        logs.add(user)
    found = [follower.look(1)[0] for _ in range(4)]
    assert sorted(found) == list("abcd")
    logs.add("same")
    logs.add("late", at=NOON - timedelta(minutes=59))
    logs.add("next", at=NOON + timedelta(minutes=1))
    assert follower.look() == ["late", "same", "next"]
    assert follower.look() == []


def test_a_changed_row_is_sent_again(logs: Logs) -> None:
    follower = Follower(logs, "LogDate")
    logs.add("a", 1)
    assert follower.look() == ["a"]
    with logs.engine.begin() as connection:
        connection.execute(logs.table.update().values(Direction="out"))
    assert follower.look() == ["a"]
    assert follower.look() == []


def test_more_rows_than_one_read_returns_are_all_sent(logs: Logs) -> None:
    rows = [{"UserId": str(number), "LogDate": NOON, "Direction": ""} for number in range(1_200)]
    with logs.engine.begin() as connection:
        connection.execute(logs.table.insert(), rows)
    follower = Follower(logs, "LogDate", start="2026-11-24")
    assert sorted(map(int, follower.look())) == list(range(1_200))
    assert follower.look() == []


def test_reading_starts_at_the_given_start(logs: Logs) -> None:
    for day in range(3):
        logs.add(f"d{day}", at=NOON + timedelta(days=day))
    assert Follower(logs, "LogDate", start="2026-11-25T12:00:00").look() == ["d1", "d2"]
    assert Follower(logs, "DeviceLogId", start="3").look() == ["d2"]


def test_colons_and_percent_signs_in_a_query_are_not_parameters(logs: Logs) -> None:
    logs.add("a:b%c")
    query = QUERY + """ WHERE "UserId" LIKE 'a:b%%' AND "UserId" <> ':x'"""
    assert Follower(logs, "DeviceLogId", query).look() == ["a:b%c"]


def test_tables_of_several_months_are_read(server: str) -> None:
    now = datetime.now(ZoneInfo("Asia/Kolkata")).replace(tzinfo=None, microsecond=0)
    last = now.replace(day=1) - timedelta(days=1)
    logs = Logs(server, f"DeviceLogs_{last.month}_{last.year}")
    logs.add("last", at=last)
    query = QUERY.replace("DeviceLogs", "DeviceLogs_{month}_{year}")
    options = {"start": f"{last:%Y-%m-01}", "zone": ZoneInfo("Asia/Kolkata"), "overlap": 3600}
    follower = Follower(logs, "LogDate", query, **options)
    assert follower.look() == ["last"], "this month's table isn't made yet"
    assert follower.look() == []
    this = Logs(server, f"DeviceLogs_{now.month}_{now.year}")
    this.add("this", at=max(now.replace(day=1, hour=0, minute=0, second=0), last + timedelta(seconds=1)))
    assert follower.look() == ["this"]
    assert follower.look() == []
    this.table.drop(this.engine)


def _months_back(count: int) -> datetime:
    now = datetime.now(ZoneInfo("Asia/Kolkata"))
    month = now.year * 12 + now.month - 1 - count
    return datetime(month // 12, month % 12 + 1, 1)


def test_a_month_whose_table_is_missing_or_different_does_not_stop_other_months(server: str) -> None:
    """The table of two months ago has no column Direction, and that of three months ago doesn't exist."""
    tables = {back: Logs(server, f"DeviceLogs_{_months_back(back):%Y%m}") for back in (4, 3, 2, 1, 0)}
    for back, logs in tables.items():
        logs.add(f"{back} months ago", at=_months_back(back))
    with tables[3].engine.begin() as connection:
        connection.execute(sql.text(f'ALTER TABLE "{tables[3].table.name}" RENAME TO kept'))
    with tables[2].engine.begin() as connection:
        connection.execute(
            sql.text(f'ALTER TABLE "{tables[2].table.name}" RENAME COLUMN "Direction" TO other')
        )
    # SQLite reads an unknown quoted column as text, unless it is qualified with a table's name.
    query = QUERY.replace("DeviceLogs", "DeviceLogs_{year}{month:02}").replace('"Dir', 'logs."Dir') + " logs"
    start = f"{_months_back(4):%Y-%m-%d}"
    follower = Follower(tables[0], "LogDate", query, start=start, zone=ZoneInfo("Asia/Kolkata"))
    assert follower.look() == ["4 months ago", "1 months ago", "0 months ago"]
    assert follower.look() == []
    with tables[3].engine.begin() as connection:
        connection.execute(sql.text(f'ALTER TABLE kept RENAME TO "{tables[3].table.name}"'))
    with tables[2].engine.begin() as connection:
        connection.execute(
            sql.text(f'ALTER TABLE "{tables[2].table.name}" RENAME COLUMN other TO "Direction"')
        )
    assert follower.look() == ["3 months ago", "2 months ago"], "repaired later, read later"
    assert follower.look() == []
    for logs in tables.values():
        logs.table.drop(logs.engine)


def test_a_query_for_tables_that_never_existed_is_reported(server: str) -> None:
    logs = Logs(server)
    query = QUERY.replace("DeviceLogs", "NoSuchLogs_{month}_{year}")
    with pytest.raises(Away, match="can't be read"):
        Follower(logs, "LogDate", query, start=f"{_months_back(2):%Y-%m-%d}").look()


@pytest.mark.parametrize(
    ("since", "start"), [("Nothing", None), ("UserId", None), ("DeviceLogId", "2026-11-24")]
)
def test_an_unsuitable_column_is_reported(server: str, since: str, start: str | None) -> None:
    logs = Logs(server)
    logs.add("a")
    with pytest.raises((Stop, Away)):
        Follower(logs, since, start=start).look()
        Follower(logs, since, start=start).look()


def test_the_command_follows_a_database(tmp_path: Path, gate: Receiver) -> None:
    (tmp_path / "etime.db").touch()
    logs = Logs(f"sqlite:///{tmp_path}/etime.db")
    logs.add("7", way="in")
    logs.add("8", way="elsewhere")
    logs.add("9", way="out")
    connector = Connector(tmp_path, gate.url, DATABASE=f"sqlite:///{tmp_path}/etime.db")
    mapping = "user=UserId,time=LogDate,type=Direction"
    words = ("db", "env:DATABASE", "--query", QUERY, "--since-column", "DeviceLogId", "--map", mapping)
    output = connector.run(*words)
    connector.run(*words)
    assert [(punch["UserId"], punch.get("Type")) for punch in punches(gate)] == [
        ("7", "CheckIn"),
        ("8", None),
        ("9", "CheckOut"),
    ]
    assert punches(gate)[0]["LogTime"] == "2026-11-24 12:00:00 GMT +0530"
    assert "type 'elsewhere' (1)" in output
    logs.add("", way="in")
    logs.add("10")
    connector.run(*words, status=3)
    (reject,) = connector.rejects()
    assert reject["where"] == "row with DeviceLogId 4" and reject["problem"] == "user is empty"
    assert users(gate) == ["7", "8", "9", "10"]


def test_a_missing_sqlite_file_is_reported(connector: Connector) -> None:
    words = ("--query", QUERY, "--since-column", "DeviceLogId", "--map", "user=UserId,time=LogDate")
    assert "there is no SQLite file nowhere.db" in connector.run(
        "db", "sqlite:///nowhere.db", *words, status=1
    )
