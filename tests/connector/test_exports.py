"""Files as software exports them: preambles, unusual headers, encodings, several devices, and repeated exports."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.connector.callbacks import contents
from app.connector.memory import Memory, receiver_of
from app.connector.rows import Punch
from tests.connector.conftest import Connector, operations, punches, refuse, users
from tests.harness import Receiver

MAP = "user=ID,time=At,type=Way"
ROWS = "7,2026-11-24 08:00:00,in\n8,2026-11-24 08:05:00,out\n"
HEADING = "ID,At,Way\n"


def _write(connector: Connector, content: str | bytes, name: str = "export.csv") -> Path:
    path = connector.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _run(connector: Connector, *more: str, status: int = 0, mapping: str = MAP) -> str:
    return connector.run("file", "export.csv", "--map", mapping, *more, status=status)


@pytest.mark.parametrize(
    "before",
    [
        "# Model = S362E\n# Export\n",
        "\n\n",
        'Company "Sharma, 12"\n',
        "At,2026-11-24\n",
        "\ufeffReport\r\n\r\n",
    ],
)
def test_lines_before_the_header_are_skipped(connector: Connector, gate: Receiver, before: str) -> None:
    _write(connector, before + HEADING + ROWS)
    _run(connector)
    assert users(gate) == ["7", "8"]
    with (connector.folder / "export.csv").open("a") as file:
        file.write("9,2026-11-24 09:00:00,in\n")
    _run(connector)
    assert users(gate) == ["7", "8", "9"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
@pytest.mark.parametrize("before", ["", "sep=X\r\n", '"sep=X"\r\n', "Report, November; 2026\r\n"])
def test_the_delimiter_is_detected_and_remembered(
    connector: Connector, gate: Receiver, delimiter: str, before: str
) -> None:
    content = (HEADING + ROWS).replace(",", delimiter).replace("\n", "\r\n")
    path = _write(connector, before.replace("X", delimiter) + content)
    _run(connector)
    assert users(gate) == ["7", "8"]
    with path.open("a") as file:
        file.write(f"9{delimiter}2026-11-24 09:00:00{delimiter}in\r\n")
    _run(connector)
    assert users(gate) == ["7", "8", "9"]


def test_an_unusual_delimiter_is_read_from_the_line_that_names_it(
    connector: Connector, gate: Receiver
) -> None:
    _write(connector, "sep=^\n" + (HEADING + ROWS).replace(",", "^"))
    _run(connector)
    assert users(gate) == ["7", "8"]


@pytest.mark.parametrize("rows", ["7;2026-11-24 08:00:00;36,5\n8;2026-11-24 08:05:00;\n", ROWS])
def test_the_delimiter_is_detected_without_a_header(connector: Connector, gate: Receiver, rows: str) -> None:
    path = _write(connector, rows)
    _run(connector, mapping="user=1,time=2")
    with path.open("a") as file:
        file.write(rows.splitlines()[0].replace("7", "9", 1) + "\n")
    _run(connector, mapping="user=1,time=2")
    assert users(gate) == ["7", "8", "9"]


def test_a_delimiter_that_was_given_is_not_changed(connector: Connector, gate: Receiver) -> None:
    _write(connector, "sep=;\n" + HEADING + "7,2026-11-24 08:00:00,in;out;in\n")
    _run(connector, "--delimiter", ",")
    assert users(gate) == ["7"]


def test_mixed_line_breaks_in_a_row_are_reported_as_such(connector: Connector, gate: Receiver) -> None:
    _write(connector, HEADING + "6,2026-11-24 07:00:00,in\r\n" + ROWS.replace("\n", "\r", 1))
    output = _run(connector, status=3)
    assert users(gate) == ["6"]
    assert "line 3: the line contains another kind of line break" in output


def test_mixed_line_breaks_in_the_header_are_reported_as_such(connector: Connector) -> None:
    _write(connector, HEADING.replace("\n", "\r") + ROWS)
    assert "line 1: the line contains another kind of line break" in _run(connector, status=1)


def test_carriage_returns_beside_complete_line_breaks_are_line_breaks(
    connector: Connector, gate: Receiver
) -> None:
    _write(connector, HEADING.replace("\n", "\r") + ROWS.replace("\n", "\r\n"))
    _run(connector)
    assert users(gate) == ["7", "8"]


def test_a_state_file_without_a_delimiter_is_continued_with_commas(
    connector: Connector, gate: Receiver
) -> None:
    path = _write(connector, HEADING + ROWS)
    _run(connector)
    state = json.loads(connector.state.read_text())
    del state["place"]["delimiter"]
    connector.state.write_text(json.dumps(state))
    with path.open("a") as file:
        file.write("9,2026-11-24 09:00:00,a;b;c;d\n")
    _run(connector)
    assert users(gate) == ["7", "8", "9"]


def test_without_a_header_the_place_does_not_move(connector: Connector, gate: Receiver) -> None:
    _write(connector, "# a report\n" + HEADING + ROWS)
    wrong = _run(connector, mapping="user=Code,time=When", status=1)
    assert "no column 'Code' for user, 'When' for time" in wrong
    _run(connector)
    assert users(gate) == ["7", "8"]


def test_the_search_for_the_header_ends_after_some_lines(connector: Connector) -> None:
    _write(connector, "nothing of use\n" * 200)
    assert "no column 'ID' for user" in _run(connector, status=1)


def test_a_repeated_header_is_not_a_row(connector: Connector, gate: Receiver) -> None:
    _write(connector, HEADING + ROWS + HEADING + "9,2026-11-24 09:00:00,in\n")
    assert "3 rows read: 3 sent, 0 rejected" in _run(connector)


def test_column_names_ignore_case_and_missing_optional_columns_are_reported(
    connector: Connector, gate: Receiver
) -> None:
    _write(connector, "id , AT\n7,2026-11-24 08:00:00\n")
    assert "the header row has no column 'Way' for type" in _run(connector)
    assert "Type" not in punches(gate)[0]


def test_a_short_row_is_sent_without_its_optional_columns(connector: Connector, gate: Receiver) -> None:
    _write(connector, HEADING + "7,2026-11-24 08:00:00\n8\n")
    _run(connector, status=3)
    assert users(gate) == ["7"]
    assert "time should be column" in connector.rejects()[0]["problem"]


def test_a_header_can_have_more_tabs_than_the_rows(connector: Connector, gate: Receiver) -> None:
    _write(connector, "No\tID\t\tName\t\tAt\t\n1\t007\tuser seven  \t2026/11/24  08:11:05\n")
    _run(connector, "--format", "tsv", mapping="user=ID,time=At")
    assert [(punch["UserId"], punch["LogTime"]) for punch in punches(gate)] == [
        ("007", "2026-11-24 08:11:05 GMT +0530")
    ]


@pytest.mark.parametrize("line_break", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_the_last_line_of_a_finished_file_needs_no_line_break(
    connector: Connector, gate: Receiver, line_break: str, encoding: str
) -> None:
    text = (HEADING + ROWS).strip().replace("\n", line_break)
    path = _write(connector, text.encode(encoding))
    assert "2 rows read: 2 sent, 0 rejected, 0 waiting" in _run(connector)
    assert users(gate) == ["7", "8"]
    with path.open("ab") as file:
        file.write(f"{line_break}9,2026-11-24 09:00:00,in{line_break}".encode(encoding))
    assert "2 rows read: 1 sent, 1 sent before" in _run(connector)
    assert users(gate) == ["7", "8", "9"]


def test_an_unreadable_last_line_is_rejected_once_per_run(connector: Connector) -> None:
    _write(connector, HEADING + "7,yester")
    assert "1 rows read: 0 sent, 1 rejected" in _run(connector, status=3)


def test_invalid_bytes_in_an_unused_column_lose_no_punch(connector: Connector, gate: Receiver) -> None:
    rows = "ID,Name,At\n7,Luis Peña,2026-11-24 08:00:00\nñ,Zoë,2026-11-24 08:00:00\n"
    _write(connector, rows.encode("cp1252"))
    output = _run(connector, mapping="user=ID,time=At", status=3)
    assert users(gate) == ["7"]
    assert "--encoding cp1252" in connector.rejects()[0]["problem"] and "1 rejected" in output


def test_zero_bytes_in_a_preallocated_file_are_not_rows(connector: Connector, gate: Receiver) -> None:
    _write(connector, (HEADING + ROWS).encode() + b"\0" * 1_000)
    assert "2 rows read: 2 sent, 0 rejected, 0 waiting" in _run(connector)


MANY = (
    "ID,At,Way,SN\n"
    "7,2026-11-24 08:00:00,in,SN-A\n"
    "7,2026-11-24 17:00:00,out,sn-b\n"
    "8,2026-11-24 08:05:00,in,SN-B\n"
    "9,2026-11-24 08:06:00,in,SN-C\n"
)


def _sent(gate: Receiver) -> list[tuple[str, str, str]]:
    documents = [got.json["RealTime"] for got in gate.received]
    return [
        (document["PunchLog"]["UserId"], document["SerialNumber"], document["AuthToken"])
        for document in documents
    ]


def test_the_device_column_determines_the_device(connector: Connector, gate: Receiver) -> None:
    _write(connector, MANY)
    (connector.folder / "token-b").write_text("token-of-b\n")
    devices = '["SN-A"]\nauth_token = "token-of-a"\n["SN-B"]\nstgid = "EXIT"\nauth_token_file = "token-b"\n'
    (connector.folder / "devices.toml").write_text(devices + 'timezone = "Asia/Dubai"\n')
    many = Connector(connector.folder, gate.url, stgid=None)
    output = _run(many, "--devices", "devices.toml", mapping=MAP + ",device=SN", status=3)
    assert _sent(gate) == [
        ("7", "SN-A", "token-of-a"),
        ("7", "EXIT", "token-of-b"),
        ("8", "EXIT", "token-of-b"),
    ]
    assert [punch["LogTime"][-5:] for punch in punches(gate)] == ["+0530", "+0400", "+0400"]
    assert "device 'SN-C' isn't in the file given with --devices" in output
    assert "token-of" not in output


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--serial", "SN-B"), ["7", "8"]),
        (("--device-names", "SN-A, SN-C"), ["7", "9"]),
        (("--device-names", "none"), []),
    ],
)
def test_rows_from_other_devices_are_skipped_and_counted(
    connector: Connector, gate: Receiver, more: tuple[str, ...], expected: list[str]
) -> None:
    _write(connector, MANY)
    output = _run(connector, *more, mapping=MAP + ",device=SN")
    assert users(gate) == expected
    assert f"{len(expected)} sent, {4 - len(expected)} from other devices" in output


def test_a_column_that_contains_the_device_is_detected_and_remembered(
    connector: Connector, gate: Receiver
) -> None:
    _write(connector, MANY)
    _run(connector, "--serial", "SN-B")
    assert users(gate) == ["7", "8"]
    with (connector.folder / "export.csv").open("a") as file:
        file.write("10,2026-11-24 09:00:00,in,SN-A\n")
    _run(connector, "--serial", "SN-B")
    assert users(gate) == ["7", "8"]


def test_a_column_without_the_device_skips_no_rows(connector: Connector, gate: Receiver) -> None:
    _write(connector, MANY)
    _run(connector)
    assert users(gate) == ["7", "7", "8", "9"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no devices"),
        ("[A]\nnonsense = 1", "unknown key 'nonsense'"),
        ("[A]\nauth_token = 1", "must be strings in quotes"),
        ("[A]\n", "A has no auth_token"),
        ("A = 1", "is not in a table"),
        ("[A", "can't be read"),
        ('[A]\nauth_token="x"\n[a]\nauth_token="y"', "appears twice"),
    ],
)
def test_an_invalid_devices_file_is_reported(connector: Connector, text: str, message: str) -> None:
    (connector.folder / "devices.toml").write_text(text)
    many = Connector(connector.folder, "http://127.0.0.1:9", stgid=None)
    assert message in _run(many, "--devices", "devices.toml", mapping=MAP + ",device=SN", status=1)


def test_rows_that_are_exported_again_are_not_sent_again(connector: Connector, gate: Receiver) -> None:
    """This holds even with a new state file, as after years. A row that has changed is sent."""
    _write(connector, HEADING + ROWS)
    _run(connector)
    again = ("--state", "another.connector.json")
    _write(connector, HEADING + ROWS.replace("in", "out") + "9,2026-11-24 09:00:00,in\n")
    output = _run(connector, *again)
    assert users(gate) == ["7", "8", "7", "9"]
    assert "3 rows read: 2 sent, 1 sent before, 0 rejected" in output
    assert (connector.folder / "connector-ESSL1.sent.db").stat().st_mode & 0o077 == 0


def test_the_memory_is_separate_for_receivers_and_devices_and_optional(
    connector: Connector, gate: Receiver
) -> None:
    _write(connector, HEADING + ROWS)
    _run(connector)
    _run(connector, "--state", "b", "--no-memory")
    assert users(gate) == ["7", "8"] * 2 and len(set(operations(gate))) == 2
    elsewhere = Connector(connector.folder, gate.url.replace("127.0.0.1", "localhost"))
    _run(elsewhere, "--state", "c")
    _run(elsewhere, "--state", "d")
    assert len(gate.received) == 6
    other = Connector(connector.folder, gate.url, stgid="OTHER")
    _run(other, "--memory", "connector-ESSL1.sent.db")
    assert len(gate.received) == 8


def test_another_port_path_or_scheme_is_another_receiver(connector: Connector, gate: Receiver) -> None:
    """A test with the staging URL doesn't affect the production URL, although both are on the same host."""
    _write(connector, HEADING + ROWS)
    second = Receiver()
    second.answer = gate.answer
    folder, path = connector.folder, gate.url.rpartition("/")[0]
    try:
        for url, state in ((gate.url, "a"), (f"{path}/staging/callback", "b"), (second.url, "c")):
            assert "2 rows read: 2 sent, 0 rejected" in _run(Connector(folder, url), "--state", state)
    finally:
        second.close()
    assert (len(gate.received), len(second.received)) == (4, 2)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("https://a.example.com/callback", "https://a.example.com:443/callback"),
        ("https://A.example.com:443/callback", "https://a.example.com:443/callback"),
        ("http://a.example.com/callback", "http://a.example.com:80/callback"),
        ("https://a.example.com", "https://a.example.com:443/"),
        ("https://user:made-up@a.example.com/x?token=made-up", "https://a.example.com:443/x"),
    ],
)
def test_a_receiver_is_scheme_host_port_and_path(url: str, receiver: str) -> None:
    assert receiver_of(url) == receiver


@pytest.mark.parametrize("by_host", [True, False])
def test_the_memory_of_an_earlier_version_by_host_skips_no_rows(
    connector: Connector, gate: Receiver, by_host: bool
) -> None:
    known = "127.0.0.1" if by_host else receiver_of(gate.url)
    memory = Memory(connector.folder / "connector-ESSL1.sent.db", known)
    for user, time, way in (("7", "08:00", "CheckIn"), ("8", "08:05", "CheckOut")):
        at = datetime.fromisoformat(f"2026-11-24T{time}:00").replace(tzinfo=ZoneInfo("Asia/Kolkata"))
        memory.add("ESSL1", contents(Punch(user, at, way, None)))
    memory.save()
    memory.close()
    _write(connector, HEADING + ROWS)
    _run(connector)
    assert users(gate) == (["7", "8"] if by_host else [])


def test_a_new_state_whose_rows_were_all_sent_before_does_not_mention_the_memory(
    connector: Connector,
) -> None:
    _write(connector, HEADING + ROWS)
    assert "--no-memory" not in _run(connector)
    output = _run(connector, "--state", "b")
    assert (
        "2 rows read: 0 sent, 2 sent before, 0 rejected, 0 waiting. All rows had already been sent" in output
    )
    assert "--no-memory" in output.splitlines()[-1]
    assert "--no-memory" not in _run(connector, "--state", "b")
    _write(connector, HEADING + ROWS + "9,2026-11-24 09:00:00,in\n")
    assert "--no-memory" not in _run(connector, "--state", "c")


def test_unacknowledged_rows_are_not_remembered(connector: Connector, gate: Receiver) -> None:
    answer, gate.answer = gate.answer, refuse(401)
    _write(connector, HEADING + ROWS)
    _run(connector, status=1)
    gate.answer = answer
    _run(connector)
    assert users(gate) == ["7", "7", "8"]


def test_an_invalid_memory_file_is_reported(connector: Connector) -> None:
    _write(connector, HEADING + ROWS)
    (connector.folder / "m").write_text("this is a text and no database, whoever named it")
    assert "--memory: m can't be used" in _run(connector, "--memory", "m", status=1)


def test_a_state_file_of_an_earlier_version_is_continued(connector: Connector, gate: Receiver) -> None:
    _write(connector, HEADING + ROWS)
    _run(connector)
    saved_state = json.loads(connector.state.read_text())
    del saved_state["place"]["device_column"]
    connector.state.write_text(json.dumps(saved_state))
    assert "0 rows read" in _run(connector)
