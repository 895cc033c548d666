"""Documents of versions 1.0 and 2.0 are converted to version 3.0."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateway.callbacks import (
    AttendancePhoto,
    CredentialUpdated,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
    read,
)
from app.gateway.clock import iso
from app.gateway.legacy_callbacks import version_1, version_2

KOLKATA = ZoneInfo("Asia/Kolkata")
SECONDS = 1_600_309_102  # 2020-09-17 07:48:22 GMT +0530
SAME = "2020-09-17T07:48:22+05:30"
PICTURE = "/9j/4AAQSkZJRgABAQAAAQABAAD="


def document(**info: Any) -> dict[str, Any]:
    """Return a document of version 2.0 as documented."""
    fields = {
        "AuthToken": "k3wgUszWcH4EjXM7sUWI38yJPkXhmvao",
        "Operation": "RealTimePunchLog",
        "UserId": "852",
        "OperationTime": SECONDS,
        "OperationReferenceId": None,
        "OperationData": {"AttendanceType": "CheckIn", "InputType": "Card"},
        **info,
    }
    return {"ServiceTagId": "ST-KY19123123", "ApiRequestInfo": fields}


def facts(found: dict[str, Any]) -> list[Any]:
    callback = read(version_2(found, KOLKATA), KOLKATA)
    assert (callback.problems, callback.unused) == ([], [])
    assert callback.auth_token == "k3wgUszWcH4EjXM7sUWI38yJPkXhmvao"
    return callback.facts


def at(fact: Any) -> str:
    moment: datetime = fact.at
    return iso(moment)


@pytest.mark.parametrize(
    "time",
    [
        {"OperationTime": SECONDS},
        {"OperationTime": str(SECONDS)},
        {"OperationTime": SECONDS * 1000},
        {"OperationTime": f"{SECONDS}999"},
        {"OperationTime": float(SECONDS)},
        {"OperationTime": f" {SECONDS}.25"},
        {"OperationTime": "2020-09-17 07:48:22"},
        {"OperationTime": "2020-09-17 07:48:22 GMT +0530"},
        {"OperationTime": 0, "OperationTimeEx": "2020-09-17 07:48:22 GMT +0530"},
        {"OperationTimeEx": "soon"},
        {"OperationTime": None, "OperationData": {"AttendanceTime": SECONDS, "AttendanceType": "CheckIn"}},
    ],
)
def test_a_time_is_the_same_in_every_format(time: dict[str, Any]) -> None:
    (punch,) = facts(document(**time))
    assert isinstance(punch, Punch)
    assert at(punch) == SAME
    assert (punch.user_id, punch.punch_type, punch.direction) == ("852", "check_in", "in")


@pytest.mark.parametrize(
    "time", [0, -1, 86_400, 2**63, 10**400, "yesterday", True, {}, [1], 5e12, "16003091020000", None, ""]
)
def test_a_number_that_is_not_a_time_since_2000_is_a_problem(time: Any) -> None:
    callback = read(version_2(document(OperationTime=time), KOLKATA), KOLKATA)
    assert callback.facts == []
    assert "LogTime" in callback.problems[0]


@pytest.mark.parametrize(
    ("legacy_type", "punch_type", "direction"),
    [
        ("CheckOut", "check_out", "out"),
        ("OverTimeIn", "overtime_in", "in"),
        ("MealStart", "meal_out", "out"),
        ("MealEnd", "meal_in", "in"),
        ("None", None, None),
        ("", None, None),
        ("Something", "something", None),
    ],
)
def test_punch_types_are_converted(legacy_type: str, punch_type: str | None, direction: str | None) -> None:
    data = {"AttendanceType": legacy_type, "InputType": "Face", "Temperature": "36.5", "FaceMask": True}
    (punch,) = facts(document(OperationData=data))
    assert (punch.punch_type, punch.direction) == (punch_type, direction)
    assert (punch.input_type, punch.temperature, punch.face_mask) == ("face", 36.5, True)


@pytest.mark.parametrize("data", [None, {}, "", []])
def test_a_punch_without_details_has_a_user_and_a_time(data: Any) -> None:
    found = read(version_2(document(OperationData=data), KOLKATA), KOLKATA).facts
    assert [fact.user_id for fact in found if isinstance(fact, Punch)] == ([] if data == [] else ["852"])


def test_a_photo_is_converted_with_its_punch_or_alone() -> None:
    data = {"AttendancePhoto": PICTURE}
    (photo,) = facts(document(OperationData=data))
    assert isinstance(photo, AttendancePhoto)
    assert (photo.user_id, at(photo), photo.mime) == ("852", SAME, "image/jpeg")
    both = facts(document(OperationData={**data, "AttendanceType": "CheckIn"}))
    assert {type(fact) for fact in both} == {AttendancePhoto, Punch}


@pytest.mark.parametrize("operation", ["ManuallyUserUpdated", "UserUpdated", "manuallyuserupdated"])
def test_a_user_with_templates_is_converted(operation: str) -> None:
    data = {
        "Name": "Asha Rao",
        "FirstName": "Asha",
        "LastName": "Rao",
        "Priority": 16,
        "Signature": [
            {
                "Template": "SjNTUzIxAAAD",
                "Type": "Fingerprint",
                "AdditionalData1": "6",
                "AdditionalData2": "x",
            },
            {"Template": "9804445", "Type": "Card", "AdditionalData1": "any"},
            {"Template": PICTURE, "Type": "UserPhoto"},
        ],
    }
    user, *credentials = facts(document(Operation=operation, OperationData=data))
    assert isinstance(user, UserUpdated)
    assert (user.user_id, user.first_name, user.last_name, user.user_type) == ("852", "Asha", "Rao", "admin")
    assert at(user) == SAME
    assert [(item.type, item.index, item.user_id) for item in credentials] == [
        ("fingerprint", 6, "852"),
        ("card", 0, "852"),
        ("user_photo", 0, "852"),
    ]
    assert all(isinstance(item, CredentialUpdated) for item in credentials)


def test_a_user_with_one_name_is_converted() -> None:
    (user,) = facts(document(Operation="UserUpdated", OperationData={"Name": "Asha Rao", "Priority": 0}))
    assert (user.first_name, user.last_name, user.user_type) == ("Asha Rao", None, "user")


@pytest.mark.parametrize("number", ["finger-1", "100", -1])
def test_a_template_with_an_unreadable_number_replaces_no_other(number: Any) -> None:
    data = {"Signature": [{"Template": "SjNT", "Type": "Fingerprint", "AdditionalData1": number}]}
    callback = read(version_2(document(Operation="UserUpdated", OperationData=data), KOLKATA), KOLKATA)
    assert [type(fact) for fact in callback.facts] == [UserUpdated]
    assert "Index" in callback.problems[0]


@pytest.mark.parametrize("operation", ["ManuallyUserDeleted", "UserDeleted"])
@pytest.mark.parametrize("data", [None, {"Name": "Asha"}])
def test_a_deletion_is_converted(operation: str, data: Any) -> None:
    (deleted,) = facts(document(Operation=operation, OperationData=data))
    assert isinstance(deleted, UserDeleted)
    assert (deleted.user_id, at(deleted)) == ("852", SAME)


def test_a_changed_clock_is_converted() -> None:
    data = {"ModifiedTo": SECONDS + 60}
    (changed,) = facts(document(Operation="ManuallyDateModified", UserId=None, OperationData=data))
    assert isinstance(changed, TimeChanged)
    assert iso(changed.changed_to) == "2020-09-17T07:49:22+05:30"


def test_several_rows_and_sections_are_converted() -> None:
    rows = [{"UserID": "1", "AttendanceTime": SECONDS}, {"UserID": "2"}]
    assert [fact.user_id for fact in facts(document(OperationData=rows))] == ["1", "2"]
    info = {"Operation": None, "UserId": None, "OperationData": None}
    found = document(**info, UserDeleted={"UserId": "3"}, RealTimePunchLog={"UserId": "4"})
    assert {fact.user_id for fact in facts(found)} == {"3", "4"}


def test_unknown_parts_are_named_and_an_unknown_operation_is_a_problem() -> None:
    data = {"AttendanceType": "CheckIn", "Shift": "S1"}
    found = {**document(OperationData=data, Zone="Z"), "Site": "S"}
    callback = read(version_2(found, KOLKATA), KOLKATA)
    assert callback.unused == ["PunchLog.shift", "RealTime.zone", "site"]
    callback = read(version_2(document(Operation="LoadPunchLog"), KOLKATA), KOLKATA)
    assert (callback.facts, len(callback.problems)) == ([], 1)


@pytest.mark.parametrize(
    ("legacy_type", "punch_type", "direction"),
    [
        ("i", "check_in", "in"),
        ("IN", "check_in", "in"),
        ("o", "check_out", "out"),
        ("out", "check_out", "out"),
        ("BreakOut", "break_out", "out"),
        ("", None, None),
        ("x", "x", None),
    ],
)
def test_version_1_is_converted(legacy_type: str, punch_type: str | None, direction: str | None) -> None:
    form = {"stgid": "ST1", "userid": "7", "att_time": str(SECONDS), "att_type": legacy_type, "k": "secret"}
    callback = read(version_1(form, KOLKATA), KOLKATA)
    assert (callback.problems, callback.unused) == ([], [])
    (punch,) = callback.facts
    assert isinstance(punch, Punch)
    assert (punch.user_id, at(punch), punch.punch_type, punch.direction) == ("7", SAME, punch_type, direction)
    assert "secret" not in str(punch.raw)


@pytest.mark.parametrize("time", ["2020-09-17 07:48:22", f"{SECONDS}000", "2020-09-17T02:18:22Z"])
def test_version_1_times_without_an_offset_are_in_the_devices_time_zone(time: str) -> None:
    (punch,) = read(version_1({"userid": "7", "att_time": time}, KOLKATA), KOLKATA).facts
    assert punch.at is not None
    assert punch.at.timestamp() == SECONDS


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)
NAMES = (
    "AuthToken",
    "Operation",
    "UserId",
    "OperationTime",
    "OperationTimeEx",
    "OperationData",
    "UserUpdated",
)
OPERATIONS = st.sampled_from(["RealTimePunchLog", "UserUpdated", "UserDeleted", "ManuallyDateModified", ""])
DATA_NAMES = (
    "Signature",
    "Template",
    "Type",
    "Priority",
    "AttendanceType",
    "AttendancePhoto",
    "Name",
    "userid",
)


@settings(max_examples=300, deadline=None)
@given(
    info=st.dictionaries(st.sampled_from(NAMES), ANYTHING),
    operation=OPERATIONS,
    data=st.dictionaries(st.sampled_from(DATA_NAMES), ANYTHING) | ANYTHING,
    form=st.dictionaries(st.sampled_from(("userid", "att_time", "att_type", "x")), st.text(max_size=20)),
)
def test_no_document_raises_an_error(info: Any, operation: str, data: Any, form: dict[str, str]) -> None:
    found = {"ApiRequestInfo": {**info, "Operation": operation, "OperationData": data}}
    read(version_2(found, KOLKATA), KOLKATA)
    read(version_1(form, KOLKATA), KOLKATA)
