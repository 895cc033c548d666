"""examples/sql_sink.py keeps the documented table, one row per user and second, on three databases."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sql

from tests.harness import ROOT, wait_for
from tests.integrations import signing
from tests.integrations.programs import running
from tests.servers import mariadb, postgres
from tests.stage import Stage

COLUMNS = "id user_id log_time punch_type input_type temperature face_mask serial_number label_name raw_json created_at"


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    match request.param:
        case "sqlite":
            yield f"sqlite:///{tmp_path}/attendance.db"
        case "postgres":
            with postgres(tmp_path) as url:
                yield url.replace("postgresql:", "postgresql+psycopg:")
        case _:
            with mariadb(tmp_path) as url:
                yield url.replace("mysql:", "mysql+pymysql:")


def test_there_is_a_row_per_user_and_second(database: str, stage: Stage, tmp_path: Path) -> None:
    secret, engine = signing.new_secret(), sql.create_engine(database, poolclass=sql.pool.NullPool)
    environment = {"WEBHOOK_SECRET": secret, "DATABASE_URL": database}

    def rows() -> list[sql.Row[tuple[object, ...]]]:
        with engine.connect() as connection:
            return list(connection.execute(sql.text("SELECT * FROM attendance_logs ORDER BY user_id")))

    with running(
        tmp_path, sys.executable, ROOT / "examples" / "sql_sink.py", "{port}", **environment
    ) as program:
        device = stage.relay.device(label="Front Door", serial_number="ZHM1")
        stage.relay.subscribe(program, device, events=["attendance.punch"], secret=secret)
        document = device.punch("a", Type="OverTimeIn", Temperature="36.8", FaceMask=True)
        device.send_done(document)
        device.send_done(device.punch("b"))
        wait_for(lambda: len(rows()) == 2)
        document["RealTime"]["PunchLog"]["Type"] = "CheckOut"
        document["RealTime"]["OperationID"] = "another"
        device.send_done(document)
        wait_for(lambda: rows()[0].punch_type == "CheckOut")
        assert len(rows()) == 2
        row, event = rows()[0], stage.relay.events(user_id="a", device_id=device.id)[-1]
        assert list(row._mapping) == COLUMNS.split()
        assert (row.user_id, row.input_type, float(row.temperature), row.face_mask) == (
            "a",
            "Fingerprint",
            36.8,
            1,
        )
        assert (row.serial_number, row.label_name) == ("ZHM1", "Front Door")
        assert datetime.fromisoformat(str(row.log_time)) == datetime.fromisoformat(
            f"{event['local_date']} {event['local_time']}"
        )
        assert json.loads(row.raw_json) == event
        assert signing.post(program.url, "{}", signing.headers("{}", signing.new_secret())) == 401
