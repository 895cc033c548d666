"""A changed user is one result, and each template another. None overwrites another."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from gateway_samples import AT, TIME, realtime, template

from app.gateway.callbacks import (
    Callback,
    CredentialUpdated,
    UserDeleted,
    UserUpdated,
    read,
)


def credentials(callback: Callback) -> list[CredentialUpdated]:
    return [fact for fact in callback.facts if isinstance(fact, CredentialUpdated)]


def update(**fields: Any) -> Callback:
    return read(realtime(UserUpdated={"OperationTime": TIME, **fields}))


def test_a_user_with_templates_becomes_a_user_and_its_credentials() -> None:
    callback = update(
        UserID="8",
        FirstName="Ann",
        Template=[
            template(),
            {"Type": "Fingerprint", "Index": "0", "Data": "AAAA"},
            {"Type": "Fingerprint", "Index": 1, "UserID": 8, "Data": "AAAA"},
            {"Type": "Face", "UserID": "9", "Data": "AAAA"},
        ],
    )
    assert callback.problems == []
    user, *rest = callback.facts
    assert user == UserUpdated(
        "ManuallyUserUpdatedWithCard", "8", "Ann", None, None, AT, ("card", "fingerprint")
    )
    assert [(item.operation, item.user_id, item.type, item.index) for item in credentials(callback)] == [
        ("ManuallyUserUpdatedWithCard", "8", "card", 0),
        ("ManuallyUserUpdatedWithFingerPrint", "8", "fingerprint", 0),
        ("ManuallyUserUpdatedWithFingerPrint", "8", "fingerprint", 1),
        ("ManuallyUserUpdatedWithFace", "9", "face", 0),
    ]
    assert len(rest) == 4
    assert callback.operation == "ManuallyUserUpdatedWithCard"


def test_a_single_template_needs_no_list() -> None:
    assert [item.data for item in credentials(update(Template=template()))] == ["9804445"]


@pytest.mark.parametrize("none", [None, [], "", {}])
def test_missing_templates_are_read_in_every_form(none: object) -> None:
    callback = update(UserID="8", Template=none)
    assert callback.facts == [
        UserUpdated("ManuallyUserUpdatedWithoutTemplate", "8", None, None, None, AT, ())
    ]
    assert callback.problems == []


def test_a_section_without_user_and_template_is_a_problem() -> None:
    callback = update(FirstName="Ann")
    assert callback.facts == []
    assert callback.problems == ["UserUpdated.UserID is missing."]


def test_a_template_without_a_user_is_a_problem() -> None:
    callback = update(Template=[{"Type": "Card", "Data": "1"}])
    assert callback.facts == []
    assert callback.problems == ["UserUpdated.Template row 1: UserID is missing."]


@pytest.mark.parametrize(
    ("value", "index"), [("6", 6), (6, 6), (6.0, 6), ("06", 6), (" 6 ", 6), ("", 0), (None, 0), (99, 99)]
)
def test_indexes_are_read(value: object, index: int) -> None:
    (item,) = credentials(update(Template=[template(Type="Fingerprint", Data="AAAA", Index=value)]))
    assert item.index == index


@pytest.mark.parametrize(
    "value", ["six", -1, "-1", 100, "100", 1.5, True, [], 10**400, float("nan"), float("inf")]
)
def test_a_template_with_an_unknown_index_replaces_no_other(value: object) -> None:
    callback = update(Template=[template(Type="Fingerprint", Index=value)])
    assert credentials(callback) == []
    assert len(callback.problems) == 1
    assert callback.problems[0].startswith("UserUpdated.Template row 1: Index ")


@pytest.mark.parametrize(
    ("kind", "name", "operation"),
    [
        ("Card", "card", "ManuallyUserUpdatedWithCard"),
        ("Password", "password", "ManuallyUserUpdatedWithPassword"),
        ("Fingerprint", "fingerprint", "ManuallyUserUpdatedWithFingerPrint"),
        ("FingerPrint", "fingerprint", "ManuallyUserUpdatedWithFingerPrint"),
        ("Face", "face", "ManuallyUserUpdatedWithFace"),
        ("Palm", "palm", "ManuallyUserUpdatedWithPalm"),
        ("UserPhoto", "user_photo", "ManuallyUserUpdatedWithUserPhoto"),
        ("USERPHOTO", "user_photo", "ManuallyUserUpdatedWithUserPhoto"),
        ("Iris", "iris", None),
        ("FingerVein", "finger_vein", None),
    ],
)
def test_credential_types_are_read(kind: str, name: str, operation: str | None) -> None:
    callback = update(UserID="8", Template=[template(Type=kind)])
    (item,) = credentials(callback)
    assert (item.type, item.operation) == (name, operation)
    assert callback.facts[0].operation == operation
    assert callback.problems == []


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"Type": "Face", "Data": base64.b64encode(b"x" * 100).decode(), "Size": "7"}, 100),
        ({"Type": "Palm", "Data": base64.b64encode(b"x" * 100).decode().rstrip("=")}, 100),
        ({"Type": "Face", "Data": "AAAA\r\nAAAA"}, 6),
        ({"Type": "Face", "Data": "not/base64...", "Size": "25072"}, 25072),
        ({"Type": "Face", "Data": "not/base64...", "Size": 25072}, 25072),
        ({"Type": "Face", "Data": "not/base64..."}, None),
        ({"Type": "Card", "Data": "12344445"}, 8),
        ({"Type": "Card", "Data": 12344445}, 8),
        ({"Type": "Password", "Data": "1234", "Size": "99"}, 4),
    ],
)
def test_the_size_of_a_template_is_calculated_and_not_trusted(
    fields: dict[str, Any], size: int | None
) -> None:
    callback = update(Template=[template(**fields)])
    (item,) = credentials(callback)
    assert item.size_bytes == size
    assert callback.problems == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"Data": ""}, "Data is missing."),
        ({"Data": None}, "Data is missing."),
        ({"Data": []}, "Data is not a text."),
        ({"Data": True}, "Data is not a text."),
        ({"Data": " "}, "Data is empty."),
        ({"Type": ""}, "Type is missing."),
        ({"Type": 5}, "Type is not a text."),
        ({"UserID": True}, "UserID is not a text."),
    ],
)
def test_an_unreadable_template_is_a_problem(fields: dict[str, Any], problem: str) -> None:
    callback = update(UserID="8", Template=[template(**fields), template(Data="1")])
    assert [item.data for item in credentials(callback)] == ["1"]
    assert callback.problems == [f"UserUpdated.Template row 1: {problem}"]


def test_names_are_shortened_and_cleaned() -> None:
    callback = update(UserID="8", FirstName="  A\x00nn " + "n" * 300, LastName=" ", UserType="ADMIN")
    (user,) = callback.facts
    assert isinstance(user, UserUpdated)
    assert user.first_name is not None
    assert user.first_name.startswith("Ann n")
    assert len(user.first_name) == 256
    assert (user.last_name, user.user_type) == (None, "admin")


def test_an_invalid_name_or_time_is_null_and_a_problem() -> None:
    callback = read(realtime(UserUpdated={"UserID": "8", "FirstName": {"a": 1}, "OperationTime": "?"}))
    (user,) = callback.facts
    assert isinstance(user, UserUpdated)
    assert (user.first_name, user.at) == (None, None)
    assert len(callback.problems) == 2


def test_a_deletion_without_time_is_read() -> None:
    callback = read(realtime(UserDeleted={"UserId": 7}))
    assert callback.facts == [UserDeleted("ManuallyUserDeleted", "7", None)]
    assert callback.problems == []


def test_an_unreadable_new_time_of_a_clock_is_a_problem() -> None:
    callback = read(realtime(DateModified={"ModifiedTo": "?", "OperationTime": TIME}))
    assert callback.facts == []
    assert len(callback.problems) == 1
