"""Writes punches to the table `attendance_logs` from the gateway's documentation, in SQLite, MySQL or Postgres.

    WEBHOOK_SECRET=whsec_… DATABASE_URL=sqlite:///attendance.db python3 sql_sink.py [PORT]

Requires `pip install sqlalchemy standardwebhooks` and the database's driver, which is pymysql
(mysql+pymysql://user:password@host/database) or psycopg (postgresql+psycopg://…). A missing table is created.
"""

import json
import os
import re
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import mysql, postgresql, sqlite
from standardwebhooks import Webhook

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
ENGINE = sql.create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)

LOGS = sql.Table(
    "attendance_logs",
    sql.MetaData(),
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("user_id", sql.String(50), nullable=False),
    sql.Column("log_time", sql.DateTime, nullable=False),  # by the device's own clock
    sql.Column("punch_type", sql.String(20)),
    sql.Column("input_type", sql.String(20)),
    sql.Column("temperature", sql.Numeric(4, 1)),
    sql.Column("face_mask", sql.SmallInteger().with_variant(mysql.TINYINT(1), "mysql", "mariadb")),
    sql.Column("serial_number", sql.String(50)),
    sql.Column("label_name", sql.String(100)),
    sql.Column("raw_json", sql.Text),
    sql.Column("created_at", sql.TIMESTAMP, server_default=sql.func.current_timestamp()),
    sql.UniqueConstraint("user_id", "log_time"),
)


def row(punch: dict[str, Any]) -> dict[str, Any]:
    """Return a punch as a row of the table, with punch type and input type in the gateway's terms, such as CheckIn."""
    return {
        "user_id": punch["user_id"][:50],
        "log_time": datetime.fromisoformat(f"{punch['local_date']} {punch['local_time']}"),
        "punch_type": gateways_term(punch["punch_type"]),
        "input_type": gateways_term(punch["input_type"]),
        "temperature": punch["temperature_celsius"],
        "face_mask": None if punch["face_mask"] is None else int(punch["face_mask"]),
        "serial_number": (punch["device_serial"] or punch["device_id"])[:50],
        "label_name": (punch["device_label"] or "")[:100] or None,
        "raw_json": json.dumps(punch),
    }


def gateways_term(word: str | None) -> str | None:
    if word is None:
        return None
    return "".join(part.title() for part in word.replace("overtime", "over_time").split("_"))[:20]


def upsert(connection: sql.Connection, values: dict[str, Any]) -> None:
    """Insert or update the row for a user and second. A repeated punch updates values that may have been corrected."""
    changed = {
        name: values[name] for name in ("punch_type", "input_type", "temperature", "face_mask", "raw_json")
    }
    name = connection.dialect.name
    if name in ("mysql", "mariadb"):
        connection.execute(mysql.insert(LOGS).values(values).on_duplicate_key_update(changed))
        return
    insert = postgresql.insert if name == "postgresql" else sqlite.insert
    unique = ["user_id", "log_time"]
    connection.execute(insert(LOGS).values(values).on_conflict_do_update(index_elements=unique, set_=changed))


def handle(body: bytes, headers: dict[str, str]) -> int:
    """Return the response status: 2xx only after all punches are committed."""
    try:
        events = WEBHOOK.verify(body, headers)
    except Exception:  # forged, or malformed in a way that prevents verification
        return 401
    try:
        with ENGINE.begin() as connection:
            for event in events if isinstance(events, list) else [events]:
                if event["type"] == "attendance.punch" and not event["test"]:
                    upsert(connection, row(event))
    except sql.exc.DBAPIError as error:
        print(f"later: {type(error).__name__}", flush=True)
        return 503
    return 204


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = self.headers.get("content-length", "0")
        if re.fullmatch("[0-9]{1,8}", length):
            body = self.rfile.read(int(length))
            self.send_response(handle(body, {name.lower(): value for name, value in self.headers.items()}))
        else:
            self.close_connection = True
            self.send_response(400)
        self.end_headers()


LOGS.create(ENGINE, checkfirst=True)
HTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver).serve_forever()
