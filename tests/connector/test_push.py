"""The connector pushes documented callbacks until they are acknowledged, and reports and keeps rejected rows."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.gateway.callbacks import read
from app.gateway.cipher import SecurityKey
from tests.connector.conftest import (
    DONE,
    TOKEN,
    Connector,
    operations,
    punches,
    refuse,
    users,
    wait_users,
)
from tests.harness import SAMPLES, Received, Receiver, wait_for

KEY = "made-up-security-key-of-32-bytes"
ATTLOG = (
    "        7\t2026-11-24 08:36:08\t1\t0\t1\t0\r\n"
    "       42\t2026-11-24 17:02:55\t1\t1\t15\t0\r\n"
    "       42\tyesterday\t1\t1\t15\t0\r\n"
    "        9\t0000-00-00 00:00:00\t1\t0\t1\t0\r\n"
    "        9\t2026-11-24 17:04:00\t1\t1\t4\t0\r\n"
)


def _attlog(connector: Connector, text: str = ATTLOG) -> Path:
    path = connector.folder / "attlog.dat"
    path.write_text(text)
    return path


def test_the_body_is_the_documented_one(connector: Connector, gate: Receiver) -> None:
    rows = "user,at,way,temp,mask,kind\n2,2020-09-17 07:48:22,Fingerprint,36.8,no,CheckOut\n"
    (connector.folder / "export.csv").write_text(rows)
    mapping = "user=user,time=at,type=kind,input=way,temperature=temp,mask=mask"
    connector.run(
        "file", "export.csv", "--map", mapping, "--label", "Burj Khalifa", "--serial", "ZHM11xxxxxxxx"
    )
    sent = gate.received[0].json
    sample = json.loads((SAMPLES / "11-RealTimePunchLog.request.json").read_text())
    assert re.fullmatch(r"[0-9a-z]{12}", sent["RealTime"].pop("OperationID"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT \+0000", sent["RealTime"].pop("Time"))
    assert sent["RealTime"].pop("AuthToken") == TOKEN
    for name in ("OperationID", "Time", "AuthToken"):
        del sample["RealTime"][name]
    assert sent == sample


def test_unreadable_rows_are_rejected_and_do_not_stop_the_connector(
    connector: Connector, gate: Receiver
) -> None:
    _attlog(connector)
    output = connector.run("file", "attlog.dat", "--format", "attlog", status=3)
    assert [
        (punch["UserId"], punch["Type"], punch["InputType"], punch["LogTime"]) for punch in punches(gate)
    ] == [
        ("7", "CheckIn", "Fingerprint", "2026-11-24 08:36:08 GMT +0530"),
        ("42", "CheckOut", "Face", "2026-11-24 17:02:55 GMT +0530"),
        ("9", "CheckOut", "Card", "2026-11-24 17:04:00 GMT +0530"),
    ]
    first, second = connector.rejects()
    assert (
        first["where"].endswith("attlog.dat, line 3") and "'yesterday' doesn't look like" in first["problem"]
    )
    assert first["row"] == "       42\tyesterday\t1\t1\t15\t0"
    assert second["where"].endswith("line 4") and "0000-00-00" in second["problem"]
    assert "line 3: time 'yesterday'" in output
    assert output.splitlines()[-1] == (
        "5 rows read: 3 sent, 2 rejected (see connector-ESSL1.rejects.jsonl), 0 waiting"
    )
    connector.run("file", "attlog.dat", "--format", "attlog")
    assert len(gate.received) == 3 and len(connector.rejects()) == 2


def test_callbacks_are_encrypted_if_there_is_a_key(tmp_path: Path, gate: Receiver) -> None:
    connector = Connector(tmp_path, gate.url, CONNECTOR_SECURITY_KEY=KEY)
    _attlog(connector, ATTLOG[:40])
    connector.run("file", "attlog.dat", "--format", "attlog")
    assert not gate.received[0].body.startswith(b"{")
    (punch,) = punches(gate, SecurityKey(KEY))
    assert punch["UserId"] == "7"


def test_secrets_can_be_read_from_files_and_are_never_shown(connector: Connector, gate: Receiver) -> None:
    _attlog(connector)
    (connector.folder / "token").write_text("made-up-token-in-a-file\n")
    output = connector.run("file", "attlog.dat", "--format", "attlog", "--auth-token-file", "token", status=3)
    assert gate.received[0].json["RealTime"]["AuthToken"] == "made-up-token-in-a-file"
    files = connector.state.read_text() + (connector.folder / "connector-ESSL1.rejects.jsonl").read_text()
    assert "made-up-token" not in output + files


def test_it_waits_for_an_absent_receiver_and_keeps_order_and_operation_ids(
    following: Callable[..., Connector], connector: Connector, gate: Receiver
) -> None:
    """It answers 503, then 200 with a sign-in page, then 429. After that, it accepts the callbacks."""
    taken: list[str] = []
    answers: list[tuple[int, dict[str, str], bytes]] = [
        (503, {}, b""),
        (200, {}, b"<html>sign in</html>"),
        (429, {"retry-after": "1"}, b""),
    ]

    def answer(got: Received) -> tuple[int, dict[str, str], bytes]:
        if answers:
            return answers.pop(0)
        taken.append(got.json["RealTime"]["PunchLog"]["UserId"])
        return DONE

    gate.answer = answer
    _attlog(connector)
    following("file", "attlog.dat", "--format", "attlog")
    wait_for(lambda: len(taken) == 3, 30)
    assert taken == ["7", "42", "9"]
    assert len(set(operations(gate)[:4])) == 1 and len(set(operations(gate))) == 3
    log = connector.log()
    assert (
        "answered 503; the connector will retry until it succeeds" in log and "accepts callbacks again" in log
    )


@pytest.mark.parametrize("status", [400, 401, 302])
def test_a_permanent_refusal_stops_the_connector_and_keeps_the_place(
    connector: Connector, gate: Receiver, status: int
) -> None:
    gate.answer = lambda got: (
        refuse(status)(got) if got.json["RealTime"]["PunchLog"]["UserId"] == "42" else DONE
    )
    _attlog(connector)
    output = connector.run("file", "attlog.dat", "--format", "attlog", status=1)
    assert {400: "Security Key", 401: "AuthToken", 302: "redirect"}[status] in output.splitlines()[-1]
    assert connector.place()["line"] == 1
    assert "1 rows read: 1 sent, 0 rejected, 4 waiting" in output
    gate.answer = lambda _: DONE
    connector.run("file", "attlog.dat", "--format", "attlog", status=3)
    assert users(gate) == ["7", "42", "42", "9"]
    assert operations(gate)[1] == operations(gate)[2]


def test_it_follows_the_source_until_it_is_stopped(
    following: Callable[..., Connector], connector: Connector, gate: Receiver
) -> None:
    path = _attlog(connector, "")
    following("file", "attlog.dat", "--format", "attlog")
    with path.open("a") as file:
        for user in range(5):
            file.write(f"{user}\t2026-11-24 08:00:0{user}\t1\t0\t1\t0\n")
            file.flush()
            time.sleep(0.05)
    wait_users(gate, [str(user) for user in range(5)])
    assert connector.kill(signal.SIGTERM) == 0
    assert connector.place()["line"] == 5


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"content-encoding": "gzip"}, b"this is no gzip"), ({"transfer-encoding": "chunked"}, b"zz\r\n")],
    ids=["can't be unpacked", "breaks off"],
)
def test_an_unreadable_response_is_not_an_acknowledgement(
    connector: Connector, gate: Receiver, headers: dict[str, str], body: bytes
) -> None:
    answers = [(200, headers, body), DONE]
    gate.answer = lambda _: answers.pop(0) if len(answers) > 1 else answers[0]
    _attlog(connector, ATTLOG.splitlines(keepends=True)[0])
    assert "its response was incomplete" in connector.run("file", "attlog.dat", "--format", "attlog")
    assert len(gate.received) == 2 and len(set(operations(gate))) == 1


def test_existing_rows_can_be_skipped(connector: Connector, gate: Receiver) -> None:
    path = _attlog(connector)
    words = ("file", "attlog.dat", "--format", "attlog", "--from-end")
    connector.run(*words)
    with path.open("a") as file:
        file.write("77\t2026-11-24 18:00:00\t1\t0\t1\t0\n")
    connector.run(*words)
    assert users(gate) == ["77"]


def test_a_place_file_is_for_one_source_and_one_process(
    following: Callable[..., Connector], connector: Connector, gate: Receiver
) -> None:
    _attlog(connector)
    following("file", "attlog.dat", "--format", "attlog")
    wait_for(lambda: len(gate.received) == 3)
    assert "another connector" in connector.run("file", "attlog.dat", "--format", "attlog", status=1)
    connector.kill(signal.SIGTERM)
    _attlog(connector).rename(connector.folder / "other.dat")
    assert "Use another file" in connector.run("file", "other.dat", "--format", "attlog", status=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("file", "a.csv"), "--format csv requires --map"),
        (
            ("file", "a.csv", "--map", "user=1,time=2", "--timezone", "Asia/Kolkatta"),
            "--timezone: 'Asia/Kolkatta' is not a time zone",
        ),
        (
            ("file", "a.csv", "--map", "user=1,time=2", "--default-type", "In"),
            "--default-type: 'In' is not valid. Use one of:",
        ),
        (("file", "a.csv", "--map", "user=1,time=2", "--auth-token-env", "NONE"), "NONE is not set"),
        (
            ("db", "mysql://a:b@h/d", "--query", "x", "--since-column", "y", "--map", "user=1,time=2"),
            "--password-env",
        ),
        (
            ("db", "foo://h/d", "--query", "x", "--since-column", "y", "--map", "user=1,time=2"),
            "no driver is installed for foo",
        ),
        (
            ("db", "mssql://h/d", "--query", "x", "--since-column", "y", "--map", "user=1,time=2"),
            "pip install pyodbc",
        ),
        (
            ("db", "access:///d.mdb", "--query", "x", "--since-column", "y", "--map", "user=1,time=2"),
            "pip install sqlalchemy-access",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invalid_option_is_reported_in_a_sentence(
    connector: Connector, words: tuple[str, ...], message: str
) -> None:
    assert message in connector.run(*words, status=1)


def test_the_relay_can_read_the_body(connector: Connector, gate: Receiver) -> None:
    _attlog(connector)
    connector.run("file", "attlog.dat", "--format", "attlog", status=3)
    callback = read(gate.received[0].json)
    assert callback.problems == []
    assert callback.operation == "RealTimePunchLog"


def test_the_connectors_own_files_are_never_read_as_rotated_files(
    connector: Connector, receiver: Receiver
) -> None:
    """Next to an empty file, it read its own state and reject files as rows, and rejected each row again."""
    (connector.folder / "attlog.dat").touch()
    own = ("--state", "attlog.dat.place", "--rejects", "attlog.dat.bad")
    file = ("file", "attlog.dat", "--no-header", "--map", "user=1,time=2", *own)
    for _ in range(2):
        assert "0 rows read: 0 sent, 0 rejected, 0 waiting" in connector.run(*file)
    assert not (connector.folder / "attlog.dat.bad").exists()
    (connector.folder / "attlog.dat").write_text("1,2026-01-01 09:00:00\nspoilt\n")
    connector.run(*file, status=3)
    assert users(receiver) == ["1"]
    assert len((connector.folder / "attlog.dat.bad").read_text().splitlines()) == 1
