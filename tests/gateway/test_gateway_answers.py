"""The gateway's responses are read as documented and as observed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from gateway_samples import sample

from app.gateway.commands import parse_answer
from app.gateway.operations import COMMANDS

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize("name", [operation.name for operation in COMMANDS])
def test_every_documented_response_is_a_success(name: str) -> None:
    document = sample(name, "response")
    answer = parse_answer(document)
    assert (answer.status_code, answer.status_text) == (0, "done")
    assert answer.operation_id == document["OperationID"]
    assert answer.problems == []
    assert bool(answer.result) is (name in ("LoadLog", "LoadDeviceInformation"))


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"Status": "done"}, 0),
        ({"status": "Done", "OperationID": "x"}, 0),
        ({"Status": "done", "StatusCode": None}, 0),
        ({"Status": "done", "StatusCode": 5}, 5),
        ({"Status": "API_RESPONSE_UNKNOWN_ERROR", "OperationID": "x", "StatusCode": 999}, 999),
        ({"StatusCode": "0"}, 0),
        ({"statuscode": " 37 "}, 37),
        ({"StatusCode": 9.0}, 9),
        ({"Status": "failed"}, None),
        ({"Status": "done", "StatusCode": "abc"}, None),
        ({"Status": "done", "StatusCode": True}, None),
        ({"Status": "done", "StatusCode": -1}, None),
        ({"Status": "done", "StatusCode": 1.5}, None),
        ({"Status": "done", "StatusCode": [0]}, None),
        ({"Status": {"done": 1}}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("done", None),
        (0, None),
    ],
)
def test_status_codes_are_read(document: Any, code: int | None) -> None:
    assert parse_answer(document).status_code == code


def test_the_gateways_message_is_kept() -> None:
    answer = parse_answer({"Status": "API_RESPONSE_UNKNOWN_ERROR", "OperationID": "op1", "StatusCode": 999})
    assert (answer.status_text, answer.operation_id) == ("API_RESPONSE_UNKNOWN_ERROR", "op1")


def test_load_log_is_read() -> None:
    document = sample("LoadLog", "response")
    answer = parse_answer(document)
    assert answer.result == {
        "row_count": 3,
        "reported_row_count": 18,
        "offset": None,
        "actual_row_count": None,
    }
    assert [
        (punch.user_id, punch.punch_type, punch.input_type, punch.temperature) for punch in answer.logs
    ] == [
        ("2", "check_out", "face", 36.8),
        ("1", "check_out", "palm", 36.6),
        ("3", "check_in", "fingerprint", 36.5),
    ]
    assert answer.logs[0].at == datetime(2020, 9, 17, 16, 53, 43, tzinfo=INDIA)
    assert {punch.operation for punch in answer.logs} == {"LoadLog"}
    row = document["PunchLog"]["Log"][0]
    assert answer.logs[0].raw == {"Status": "done", "OperationID": "j95xfejt3vr1", "PunchLog": row}


def test_a_page_of_load_log_is_read() -> None:
    log = {"LogTime": "2020-09-17 16:53:43", "UserId": 2, "AttendanceType": "CheckIn"}
    page = {"ReturnRowCount": 50, "ActualRowCount": "120", "OffSet": "b64==", "Log": [log]}
    answer = parse_answer({"Status": "done", "PunchLog": page}, INDIA)
    assert answer.result == {
        "row_count": 1,
        "reported_row_count": 50,
        "offset": "b64==",
        "actual_row_count": 120,
    }
    assert answer.logs[0].at == datetime(2020, 9, 17, 16, 53, 43, tzinfo=INDIA)


@pytest.mark.parametrize(
    "page", [{"ReturnRowCount": "0", "Log": []}, {"ReturnRowCount": "0"}, {"Log": None}, []]
)
def test_an_empty_load_log_is_read(page: Any) -> None:
    answer = parse_answer({"Status": "done", "PunchLog": page})
    assert (answer.logs, answer.problems, answer.result["row_count"]) == ([], [], 0)


def test_an_unreadable_row_does_not_affect_others() -> None:
    rows = [{"UserID": "1"}, {"UserID": "2", "LogTime": "2020-09-17 16:53:43 GMT +0530"}]
    answer = parse_answer({"Status": "done", "PunchLog": {"Log": rows}})
    assert [punch.user_id for punch in answer.logs] == ["2"]
    assert answer.problems == ["PunchLog row 1: LogTime is missing."]


def test_load_device_information_is_read() -> None:
    assert parse_answer(sample("LoadDeviceInformation", "response")).result == {
        "device_model": "Hawking Plus (f38+)",
        "manufacturer": "Dheeram Innovations",
        "mac_address": "00-01-A9-16-27-AB",
        "start_date": "03/04/2024",
        "end_date": "03/04/2025",
        "last_connected_time": "2025-11-13T18:03:48+05:30",
        "registered_users": 0,
        "registered_faces": 0,
        "registered_fingerprints": 0,
        "maximum_faces_supported": 5000,
        "maximum_fingerprints_supported": 10000,
        "maximum_attendance_logs_supported": 500000,
    }


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("13/04/2024", "2024-04-13"),
        ("04/13/2024", "2024-04-13"),
        ("13-04-2024", "2024-04-13"),
        ("04/04/2024", "2024-04-04"),
        ("2024-04-03", "2024-04-03"),
        ("2024/04/03", "2024-04-03"),
        ("03/04/2024", "03/04/2024"),
        ("3-4-2024 10:00:00 GMT +0530", "3-4-2024 10:00:00 GMT +0530"),
        ("13-11-2025 18:03:48 GMT +0530", "2025-11-13T18:03:48+05:30"),
        ("2025-11-13 18:03:48 GMT +0530", "2025-11-13T18:03:48+05:30"),
        ("13-11-2025 18:03:48", "13-11-2025 18:03:48"),
        ("31/02/2024", "31/02/2024"),
        ("13/13/2024", "13/13/2024"),
        ("0/0/2024", "0/0/2024"),
        ("13/04-2024", "13/04-2024"),
        ("never", "never"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("key", ["StartDate", "LastConnectedTime", "LicenceEndDate"])
def test_an_unambiguous_date_becomes_iso_8601(text: str, read: str, key: str) -> None:
    result = parse_answer({"Status": "done", "DeviceInformation": {key: text}}).result
    assert list(result.values()) == [read]


def test_unknown_fields_are_kept_flat_without_secrets() -> None:
    information = {
        "IPAddress": "10.0.0.7",
        "FirmwareVersion": "8.0.13",
        "SerialNo": "0012",
        "RegisteredPalms": " 7 ",
        "MaximumPalms": "many",
        "Online": True,
        "Uptime": 12.5,
        "Nothing": None,
        "Network": {"DNS": {"First": "1.1.1.1"}, "Ports": [80, 443, "x", None]},
        "AuthToken": "secret",
        "Network2": {"Password": "secret"},
        "!!": 1,
    }
    assert parse_answer({"Status": "done", "DeviceInformation": information}).result == {
        "ip_address": "10.0.0.7",
        "firmware_version": "8.0.13",
        "serial_no": "0012",
        "registered_palms": 7,
        "maximum_palms": "many",
        "online": True,
        "uptime": 12.5,
        "nothing": None,
        "network_dns_first": "1.1.1.1",
        "network_ports": "80, 443, x, null",
    }
