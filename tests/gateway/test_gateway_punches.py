"""A punch is read in every observed form, alone or in a batch."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_samples import AT, INDIA, TIME, TOKEN, realtime, row

from app.gateway.callbacks import (
    Callback,
    Punch,
    read,
)


def users(callback: Callback) -> list[str]:
    return [fact.user_id for fact in callback.facts if isinstance(fact, Punch)]


def punch(**fields: Any) -> tuple[Punch, Callback]:
    """Return the only punch of a row with these fields."""
    callback = read(realtime(PunchLog=row(**fields)))
    (fact,) = callback.facts
    assert isinstance(fact, Punch)
    return fact, callback


@pytest.mark.parametrize(
    ("word", "punch_type", "direction"),
    [
        ("CheckIn", "check_in", "in"),
        ("CheckOut", "check_out", "out"),
        ("BreakOut", "break_out", "out"),
        ("BreakIn", "break_in", "in"),
        ("OverTimeIn", "overtime_in", "in"),
        ("OverTimeOut", "overtime_out", "out"),
        ("MealIn", "meal_in", "in"),
        ("MealOut", "meal_out", "out"),
        ("checkin", "check_in", "in"),
        ("CHECK IN", "check_in", "in"),
        ("Over Time-Out", "overtime_out", "out"),
        ("OvertimeIn", "overtime_in", "in"),
        ("DutyOff", "duty_off", None),
        ("VisitIn", "visit_in", None),
        ("Lunch break", "lunch_break", None),
        ("入", "入", None),
        ("", None, None),
        ("  ", None, None),
        (None, None, None),
    ],
)
@pytest.mark.parametrize("key", ["Type", "AttendanceType", "type", "attendancetype"])
def test_punch_type_and_direction_are_read(
    word: str | None, punch_type: str | None, direction: str | None, key: str
) -> None:
    fact, callback = punch(**{key: word})
    assert (fact.punch_type, fact.direction) == (punch_type, direction)
    assert callback.problems == []


def test_attendance_type_is_used_if_type_is_empty() -> None:
    fact, _ = punch(Type="", AttendanceType="MealOut")
    assert fact.punch_type == "meal_out"


@pytest.mark.parametrize(
    ("word", "input_type"),
    [
        ("Fingerprint", "fingerprint"),
        ("FingerPrint", "fingerprint"),
        ("Face", "face"),
        ("Palm", "palm"),
        ("Card", "card"),
        ("Password", "password"),
        ("FingerVein", "finger_vein"),
        ("Iris", "iris"),
        ("Retina", "retina"),
        ("QRCode", "qr_code"),
        ("", None),
    ],
)
def test_input_types_are_read(word: str, input_type: str | None) -> None:
    fact, callback = punch(InputType=word)
    assert fact.input_type == input_type
    assert callback.problems == []


@pytest.mark.parametrize("field", ["Type", "InputType"])
@pytest.mark.parametrize("value", [7, True, ["CheckIn"], {}, "!!!", 1.5])
def test_an_invalid_type_is_null_and_a_problem(field: str, value: object) -> None:
    fact, callback = punch(**{field: value})
    assert (fact.punch_type, fact.direction, fact.input_type) == (None, None, None)
    assert len(callback.problems) == 1
    assert callback.problems[0].startswith(f"PunchLog.{field} is not a ")


@pytest.mark.parametrize(
    ("value", "temperature"),
    [
        ("36.8", 36.8),
        (36.8, 36.8),
        (37, 37.0),
        ("37", 37.0),
        ("36,8", 36.8),
        ("36.8 C", 36.8),
        ("36.8C", 36.8),
        ("36.8°C", 36.8),
        ("36.8 °C ", 36.8),
        ("36,8 ℃", 36.8),
        ("3.68e1", 36.8),
        ("-0.5", -0.5),
        (0, 0.0),
        ("", None),
        (None, None),
    ],
)
def test_temperatures_are_read(value: object, temperature: float | None) -> None:
    fact, callback = punch(Temperature=value)
    assert fact.temperature == temperature
    assert callback.problems == []


@pytest.mark.parametrize(
    "value",
    [
        "abc",
        "nan",
        "inf",
        "-Infinity",
        "1_0",
        "36.8 F",
        "36.8.1",
        "3 6",
        "0x10",
        "٣٦",
        float("nan"),
        float("inf"),
        True,
        [],
        {},
        [36.8],
        10**400,
        "9" * 10_000,
        "\x00",
        "1e999",
    ],
)
def test_an_invalid_temperature_is_null_and_a_problem(value: object) -> None:
    fact, callback = punch(Temperature=value)
    assert fact.temperature is None
    assert callback.problems == ["PunchLog.Temperature is not a number."]


@pytest.mark.parametrize(
    ("value", "mask"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("YES", True),
        (" no ", False),
        (1, True),
        (0, False),
        (1.0, True),
        ("1", True),
        ("0", False),
        ("", None),
        (None, None),
    ],
)
def test_face_masks_are_read(value: object, mask: bool | None) -> None:
    fact, callback = punch(FaceMask=value)
    assert fact.face_mask is mask
    assert callback.problems == []


@pytest.mark.parametrize("value", ["maybe", 2, -1, 0.5, [], {}, "01", float("nan"), 10**400])
def test_an_invalid_face_mask_is_null_and_a_problem(value: object) -> None:
    fact, callback = punch(FaceMask=value)
    assert fact.face_mask is None
    assert callback.problems == ["PunchLog.FaceMask must be true or false."]


def test_temperature_and_mask_are_optional() -> None:
    fact, callback = punch()
    assert (fact.temperature, fact.face_mask, fact.punch_type, fact.input_type) == (None,) * 4
    assert callback.problems == []


@pytest.mark.parametrize("key", ["UserID", "UserId", "userid", "USERID", "userId"])
@pytest.mark.parametrize(
    ("value", "user_id"),
    [
        ("2", "2"),
        (12, "12"),
        (12.0, "12"),
        (0, "0"),
        (" 2 ", " 2 "),
        ("User123", "User123"),
        ("007", "007"),
        ("a\x00b\x1b", "a\x00b\x1b"),
        ("Zoë", "Zoë"),
        ("x" * 128, "x" * 128),
    ],
)
def test_user_ids_are_read(key: str, value: object, user_id: str) -> None:
    callback = read(realtime(PunchLog={key: value, "LogTime": TIME}))
    assert users(callback) == [user_id]
    assert callback.problems == []


def test_of_two_spellings_of_the_user_field_the_non_empty_one_is_used() -> None:
    for first, second in (("", "2"), ("2", ""), (None, "2"), ("2", None)):
        assert users(read(realtime(PunchLog={"UserID": first, "UserId": second, "LogTime": TIME}))) == ["2"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "PunchLog.UserID is missing."),
        (None, "PunchLog.UserID is missing."),
        ("  ", "PunchLog.UserID is empty."),
        ("\x00", "PunchLog.UserID is empty."),
        ("\ud800x", "PunchLog.UserID contains half of a surrogate pair."),
        (True, "PunchLog.UserID is not a text."),
        (False, "PunchLog.UserID is not a text."),
        (12.5, "PunchLog.UserID is not a text."),
        (2.0**64, "PunchLog.UserID is too large for a JSON number. Send it as a string."),
        (float("nan"), "PunchLog.UserID is not a text."),
        pytest.param(10**5000, "PunchLog.UserID is not a text.", id="5000 digits"),
        ([], "PunchLog.UserID is not a text."),
        ({"id": 1}, "PunchLog.UserID is not a text."),
        ("x" * 129, "PunchLog.UserID is longer than 128 characters."),
    ],
)
def test_a_punch_without_a_user_is_a_problem(value: object, problem: str) -> None:
    callback = read(realtime(PunchLog=row(UserId=value)))
    assert callback.facts == []
    assert callback.problems == [problem]
    assert callback.operation == "RealTimePunchLog"


@pytest.mark.parametrize(
    "value", ["soon", 1600307302, 1600307302.5, True, [], "2020-02-30 00:00:00 GMT +0000"]
)
def test_a_punch_without_a_time_is_a_problem(value: object) -> None:
    callback = read(realtime(PunchLog=row(LogTime=value)))
    assert callback.facts == []
    assert callback.problems == [f"PunchLog.LogTime is not a time such as {TIME}."]


def test_a_missing_time_is_reported_as_missing() -> None:
    assert read(realtime(PunchLog={"UserID": "2"})).problems == ["PunchLog.LogTime is missing."]


def test_a_time_without_offset_is_in_the_default_time_zone() -> None:
    document = realtime(PunchLog=row(LogTime="2020-09-17 07:48:22"))
    assert read(document).facts == []
    assert [fact.at for fact in read(document, INDIA).facts if isinstance(fact, Punch)] == [AT]


BATCH = [row(UserId=str(number)) for number in range(1, 4)]


@pytest.mark.parametrize(
    "section",
    [
        BATCH,
        {"ReturnRowCount": "3", "Log": BATCH},
        {"ReturnRowCount": 3, "Log": BATCH},
        {"Log": BATCH},
        {"log": BATCH, "OffSet": "x"},
    ],
)
@pytest.mark.parametrize("top", [False, True])
def test_a_batch_becomes_several_punches_each_with_its_own_json(section: object, top: bool) -> None:
    envelope = {"OperationID": "op1", "AuthToken": TOKEN, "Time": TIME, "LabelName": "Door"}
    document: dict[str, Any] = {**envelope, "PunchLog": section} if top else realtime(PunchLog=section)
    callback = read(document)
    assert callback.problems == []
    assert callback.operation == "RealTimePunchLog"
    assert (callback.auth_token, callback.operation_id) == (TOKEN, "op1")
    assert users(callback) == ["1", "2", "3"]
    for fact, item in zip(callback.facts, BATCH, strict=True):
        assert isinstance(fact, Punch)
        expected = {**envelope, "PunchLog": item} if top else realtime(PunchLog=item)
        assert fact.raw == expected
        assert read(fact.raw).facts == [fact]


def test_a_batch_can_be_one_object_or_empty() -> None:
    assert len(read(realtime(PunchLog={"ReturnRowCount": "1", "Log": row()})).facts) == 1
    empties: list[Any] = [{"ReturnRowCount": "0", "Log": []}, {"ReturnRowCount": 0}, {"Log": None}, []]
    for empty in empties:
        callback = read(realtime(PunchLog=empty))
        assert (callback.facts, callback.problems) == ([], [])
        assert callback.operation == "RealTimePunchLog"


def test_a_batch_without_rows_is_a_problem() -> None:
    assert read(realtime(PunchLog={"ReturnRowCount": "18"})).problems == ["PunchLog.Log is missing."]


def test_an_invalid_row_does_not_affect_others_and_is_named_by_number() -> None:
    rows = [row(UserId="1"), row(UserId=""), "junk", row(LogTime="?"), row(UserId="5", Temperature="hot")]
    callback = read(realtime(PunchLog=rows))
    assert users(callback) == ["1", "5"]
    assert callback.problems == [
        "PunchLog row 2: UserID is missing.",
        "PunchLog row 3 is not an object.",
        f"PunchLog row 4: LogTime is not a time such as {TIME}.",
        "PunchLog row 5: Temperature is not a number.",
    ]


def test_the_number_of_problems_is_limited() -> None:
    problems = read(realtime(PunchLog=["junk"] * 5000)).problems
    assert len(problems) == 51
    assert problems[-1] == "And 4950 more."


@pytest.mark.parametrize("section", ["x", 5, True])
@pytest.mark.parametrize("name", ["PunchLog", "Log", "UserUpdated", "UserDeleted", "DateModified"])
def test_a_section_that_is_not_an_object_is_a_problem(name: str, section: object) -> None:
    callback = read(realtime(**{name: section}))
    assert callback.facts == []
    assert callback.problems == [f"{name} is not an object."]
    assert callback.operation is not None
