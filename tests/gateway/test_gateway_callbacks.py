"""Every documented callback is read completely, and so are envelopes and photos as observed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway_samples import AT, INDIA, TIME, TOKEN, realtime, row, sample, template

from app.gateway.callbacks import (
    AttendancePhoto,
    CredentialUpdated,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
    old_version,
    read,
)
from app.gateway.operations import CALLBACKS


def india(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=INDIA)  # type: ignore[misc, arg-type]


def test_every_documented_callback_is_read_completely() -> None:
    for operation in CALLBACKS:
        document = sample(operation.name)
        callback = read(document)
        assert callback.problems == []
        assert callback.operation == operation.name
        assert {fact.operation for fact in callback.facts} == {operation.name}
        assert callback.auth_token == TOKEN
        assert callback.operation_id == document["RealTime"]["OperationID"]
        assert callback.time is not None
        assert callback.time.utcoffset() == timedelta()
        assert callback.label == document["RealTime"].get("LabelName")
        assert callback.serial == document["RealTime"].get("SerialNumber")


def test_01_user_deleted_is_read() -> None:
    assert read(sample("ManuallyUserDeleted")).facts == [
        UserDeleted("ManuallyUserDeleted", "1", india(2020, 9, 17, 13, 12, 2))
    ]


def test_02_time_changed_is_read() -> None:
    assert read(sample("ManuallyDateModified")).facts == [
        TimeChanged("ManuallyDateModified", india(2020, 9, 17, 10, 22, 24), india(2020, 9, 17, 13, 22, 31))
    ]


def test_03_user_without_template_is_read() -> None:
    name = "ManuallyUserUpdatedWithoutTemplate"
    assert read(sample(name)).facts == [
        UserUpdated(name, "1", "jency", "mary", "user", india(2020, 9, 16, 18, 45, 34), ())
    ]


@pytest.mark.parametrize(
    ("name", "kind", "data", "size"),
    [
        ("ManuallyUserUpdatedWithCard", "card", "9804445", 7),
        ("ManuallyUserUpdatedWithPassword", "password", "124445", 6),
    ],
)
def test_04_and_05_user_with_card_or_password_are_read(name: str, kind: str, data: str, size: int) -> None:
    at = india(2020, 9, 17, 15, 33, 38)
    assert read(sample(name)).facts == [
        UserUpdated(name, "8", None, None, "user", at, (kind,)),
        CredentialUpdated(name, "8", kind, 0, data, size, at),
    ]


@pytest.mark.parametrize(
    ("name", "kind", "index", "size", "at"),
    [
        ("ManuallyUserUpdatedWithFingerPrint", "fingerprint", 6, 1176, india(2020, 9, 17, 12, 48, 28)),
        ("ManuallyUserUpdatedWithFace", "face", 0, 28112, india(2020, 9, 17, 19, 4, 55)),
        ("ManuallyUserUpdatedWithPalm", "palm", 0, None, india(2020, 9, 17, 19, 10, 12)),
    ],
)
def test_06_to_08_take_their_user_from_the_template(
    name: str, kind: str, index: int, size: int | None, at: datetime
) -> None:
    document = sample(name)
    data = document["RealTime"]["UserUpdated"]["Template"][0]["Data"]
    assert read(document).facts == [CredentialUpdated(name, "2", kind, index, data, size, at)]


def test_09_user_with_photo_is_read() -> None:
    name = "ManuallyUserUpdatedWithUserPhoto"
    at = india(2020, 9, 17, 20, 0, 0)
    assert read(sample(name)).facts == [
        UserUpdated(name, "5", "Alex", "Thomas", "user", at, ("user_photo",)),
        CredentialUpdated(name, "5", "user_photo", 0, "/9j/4AAQSkZJRgABAQAAAQABAAD...", None, at),
    ]


def test_10_photo_is_read() -> None:
    (fact,) = read(sample("RealTimeAttendancePhoto")).facts
    assert isinstance(fact, AttendancePhoto)
    assert (fact.user_id, fact.at, fact.mime) == ("3", india(2020, 9, 17, 7, 48, 30), "image/jpeg")
    assert fact.data.startswith(b"\xff\xd8\xff\xe0\x00\x10JFIF")


def test_11_punch_is_read() -> None:
    document = sample("RealTimePunchLog")
    (fact,) = read(document).facts
    assert [fact] == [
        Punch("RealTimePunchLog", "2", AT, "check_out", "out", "fingerprint", 36.8, False, document)
    ]
    assert isinstance(fact, Punch)
    assert fact.raw is document  # not a copy: this is the hot path


def test_photo_types_are_detected_by_their_first_bytes() -> None:
    for data, mime in (
        (b"\xff\xd8\xff\xe1rest", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"GIF89a", "application/octet-stream"),
    ):
        text = base64.b64encode(data).decode()
        for written in (text, text.rstrip("="), "\r\n".join(text)):
            callback = read(realtime(Log={"UserID": 3, "LogTime": TIME, "LogPhoto": written}))
            assert callback.facts == [AttendancePhoto("RealTimeAttendancePhoto", "3", AT, data, mime)]
            assert callback.problems == []


def test_a_photo_without_user_and_time_is_read() -> None:
    callback = read(realtime(Log={"LogPhoto": "/9j/", "LogTime": "?"}))
    assert callback.facts == [
        AttendancePhoto("RealTimeAttendancePhoto", None, None, b"\xff\xd8\xff", "image/jpeg")
    ]
    assert len(callback.problems) == 1


@pytest.mark.parametrize("photo", ["***", 5, [], True, "...", "a"])
def test_a_photo_that_is_not_base64_is_a_problem(photo: object) -> None:
    callback = read(realtime(Log={"UserID": "3", "LogTime": TIME, "LogPhoto": photo}))
    assert callback.facts == []
    assert callback.problems == ["Log.LogPhoto is not Base64."]


def test_a_missing_photo_is_a_problem() -> None:
    assert read(realtime(Log={"UserID": "3", "LogTime": TIME})).problems == ["Log.LogPhoto is missing."]


def test_known_names_are_case_insensitive() -> None:
    document = {
        "realtime": {
            "operationid": "op1",
            "AUTHTOKEN": TOKEN,
            "time": TIME,
            "labelName": "Door",
            "serialnumber": 123,
            "punchlog": {"userid": "2", "LOGTIME": TIME, "TYPE": "CheckIn"},
        }
    }
    callback = read(document)
    assert callback.problems == []
    assert (callback.operation_id, callback.auth_token) == ("op1", TOKEN)
    assert (callback.label, callback.serial, callback.time) == ("Door", "123", AT)
    assert [fact.user_id for fact in callback.facts if isinstance(fact, Punch)] == ["2"]


def test_unknown_fields_beside_known_ones_are_not_a_problem() -> None:
    callback = read(realtime(PunchLog=row(Extra={"a": 1}), Battery={"Level": 3}, Firmware="1.2"))
    assert len(callback.facts) == 1
    assert callback.problems == []


def test_several_sections_are_read_and_each_punch_has_its_own_json() -> None:
    callback = read(realtime(PunchLog=row(), UserDeleted={"UserID": "1"}))
    assert {type(fact) for fact in callback.facts} == {Punch, UserDeleted}
    assert callback.problems == []
    (fact,) = [fact for fact in callback.facts if isinstance(fact, Punch)]
    assert fact.raw == realtime(PunchLog=row())


def test_an_unknown_section_is_a_problem_that_names_it() -> None:
    callback = read(realtime(DoorOpened={"Door": 1}))
    assert (callback.operation, callback.facts) == (None, [])
    assert callback.problems == ["It contains no known section (found: dooropened)."]
    assert callback.auth_token == TOKEN


@pytest.mark.parametrize("document", [{}, {"RealTime": {}}, {"RealTime": None}, {"RealTime": []}, {"a": 1}])
def test_an_empty_object_is_a_problem(document: dict[str, Any]) -> None:
    callback = read(document)
    assert callback.facts == []
    assert callback.problems == ["It contains no known section."]
    assert callback.operation is None
    assert callback.auth_token is None


def test_a_null_section_is_ignored() -> None:
    assert read(realtime(PunchLog=None)).problems == ["It contains no known section."]
    callback = read(realtime(PunchLog=None, UserDeleted={"UserID": "1"}))
    assert callback.operation == "ManuallyUserDeleted"


@pytest.mark.parametrize("token", [None, "", 5, True, [], {}, "\ud800"])
def test_an_invalid_token_is_none(token: object) -> None:
    assert read(realtime(AuthToken=token, PunchLog=row())).auth_token is None


def test_the_envelope_fields_can_be_at_the_outer_level() -> None:
    callback = read(
        {"AuthToken": TOKEN, "OperationID": "op1", "RealTime": {"AuthToken": "", "PunchLog": row()}}
    )
    assert (callback.auth_token, callback.operation_id) == (TOKEN, "op1")


def test_the_envelopes_time_is_utc_in_every_time_zone() -> None:
    document = realtime(PunchLog=row(), Time="2020-09-17 04:19:03")
    assert read(document, INDIA).time == datetime(2020, 9, 17, 4, 19, 3, tzinfo=UTC)


def test_an_unreadable_envelope_does_not_affect_the_sections() -> None:
    callback = read(realtime(PunchLog=row(), Time=1600307302, OperationID="x" * 129, LabelName=["a"]))
    assert len(callback.facts) == 1
    assert (callback.time, callback.operation_id, callback.label) == (None, None, None)
    assert len(callback.problems) == 3


@pytest.mark.parametrize("document", [None, [], "x", 5, True, [{"RealTime": {}}]])
def test_only_an_object_is_a_callback(document: object) -> None:
    with pytest.raises(TypeError):
        read(document)


def test_no_repr_contains_secrets() -> None:
    callback = read(realtime(UserUpdated={"Template": [template(Type="Password", Data="124445")]}))
    assert TOKEN not in repr(callback)
    assert "124445" not in repr(callback)
    assert TOKEN not in repr(read(sample("RealTimePunchLog")))


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b"request_data=%7B%22a%22%3A1%7D", "2.0"),
        (b"stgid=ZHM1&request_data=%7B%7D", "2.0"),
        (b'--b\r\nContent-Disposition: form-data; name="request_data"\r\n\r\n{}\r\n--b--', "2.0"),
        (b"stgid=ZHM1&userid=2&att_time=1600307302&att_type=in", "1.0"),
        (b"att_time=2020-09-17&stgid=ZHM1", "1.0"),
        (b"\r\nstgid=ZHM1&userid=2&att_time=1600307302", "1.0"),
    ],
)
def test_older_versions_are_recognised(body: bytes, version: str) -> None:
    assert old_version(body) == version


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"a": "&request_data=1"}',
        b'"request_data=1"',
        b"not_request_data=1",
        b"att_time=1",
        b"stgid=1&userid=2",
        b"\xff\xfe",
    ],
)
def test_other_bodies_are_not_recognised_as_older_versions(body: bytes) -> None:
    assert old_version(body) is None
