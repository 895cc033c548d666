"""Every documented callback, and every way it was seen to differ in the wild, gives the facts that are in it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from gateway_samples import TOKEN, sample

from app.gateway.callbacks import (
    AttendancePhoto,
    Callback,
    CredentialUpdated,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
    old_version,
    read,
)
from app.gateway.operations import CALLBACKS

INDIA = timezone(timedelta(hours=5, minutes=30))
TIME = "2020-09-17 07:48:22 GMT +0530"
AT = datetime(2020, 9, 17, 7, 48, 22, tzinfo=INDIA)


def india(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=INDIA)  # type: ignore[misc, arg-type]


def realtime(**sections: Any) -> dict[str, Any]:
    return {"RealTime": {"OperationID": "op1", "AuthToken": TOKEN, "Time": TIME, **sections}}


def row(**fields: Any) -> dict[str, Any]:
    return {"UserId": "2", "LogTime": TIME, **fields}


def punch(**fields: Any) -> tuple[Punch, Callback]:
    """The one punch of a row with these fields."""
    callback = read(realtime(PunchLog=row(**fields)))
    (fact,) = callback.facts
    assert isinstance(fact, Punch)
    return fact, callback


def template(**fields: Any) -> dict[str, Any]:
    return {"Type": "Card", "UserID": "8", "Data": "9804445", **fields}


def credentials(callback: Callback) -> list[CredentialUpdated]:
    return [fact for fact in callback.facts if isinstance(fact, CredentialUpdated)]


# The 11 documented callbacks


def test_every_documented_callback_is_understood_whole() -> None:
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


def test_01_user_deleted() -> None:
    assert read(sample("ManuallyUserDeleted")).facts == [
        UserDeleted("ManuallyUserDeleted", "1", india(2020, 9, 17, 13, 12, 2))
    ]


def test_02_time_changed() -> None:
    assert read(sample("ManuallyDateModified")).facts == [
        TimeChanged("ManuallyDateModified", india(2020, 9, 17, 10, 22, 24), india(2020, 9, 17, 13, 22, 31))
    ]


def test_03_user_without_template() -> None:
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
def test_04_and_05_user_with_card_or_password(name: str, kind: str, data: str, size: int) -> None:
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
def test_06_to_08_have_their_user_only_in_the_template(
    name: str, kind: str, index: int, size: int | None, at: datetime
) -> None:
    document = sample(name)
    data = document["RealTime"]["UserUpdated"]["Template"][0]["Data"]
    assert read(document).facts == [CredentialUpdated(name, "2", kind, index, data, size, at)]


def test_09_user_with_photo() -> None:
    name = "ManuallyUserUpdatedWithUserPhoto"
    at = india(2020, 9, 17, 20, 0, 0)
    assert read(sample(name)).facts == [
        UserUpdated(name, "5", "Alex", "Thomas", "user", at, ("user_photo",)),
        CredentialUpdated(name, "5", "user_photo", 0, "/9j/4AAQSkZJRgABAQAAAQABAAD...", None, at),
    ]


def test_10_photo() -> None:
    (fact,) = read(sample("RealTimeAttendancePhoto")).facts
    assert isinstance(fact, AttendancePhoto)
    assert (fact.user_id, fact.at, fact.mime) == ("3", india(2020, 9, 17, 7, 48, 30), "image/jpeg")
    assert fact.data.startswith(b"\xff\xd8\xff\xe0\x00\x10JFIF")


def test_11_punch() -> None:
    document = sample("RealTimePunchLog")
    assert read(document).facts == [
        Punch("RealTimePunchLog", "2", AT, "check_out", "out", "fingerprint", 36.8, False, document)
    ]


# Punches


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
def test_punch_type_and_direction(
    word: str | None, punch_type: str | None, direction: str | None, key: str
) -> None:
    fact, callback = punch(**{key: word})
    assert (fact.punch_type, fact.direction) == (punch_type, direction)
    assert callback.problems == []


def test_an_empty_type_leaves_it_to_attendance_type() -> None:
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
def test_input_type(word: str, input_type: str | None) -> None:
    fact, callback = punch(InputType=word)
    assert fact.input_type == input_type
    assert callback.problems == []


@pytest.mark.parametrize("field", ["Type", "InputType"])
@pytest.mark.parametrize("value", [7, True, ["CheckIn"], {}, "!!!", 1.5])
def test_a_word_that_is_none_is_a_problem_and_null(field: str, value: object) -> None:
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
def test_temperature(value: object, temperature: float | None) -> None:
    fact, callback = punch(Temperature=value)
    assert fact.temperature == temperature
    assert callback.problems == []


@pytest.mark.parametrize(
    "value",
    ["abc", "nan", "inf", "-Infinity", "1_0", "36.8 F", "36.8.1", "3 6", "0x10", "٣٦", float("nan"), float("inf"), True]
    + [[], {}, [36.8], 10**400, "9" * 10_000, "\x00", "1e999"],
)
def test_a_temperature_that_is_none_is_a_problem_and_null(value: object) -> None:
    fact, callback = punch(Temperature=value)
    assert fact.temperature is None
    assert callback.problems == ["PunchLog.Temperature is not a number."]


@pytest.mark.parametrize(
    ("value", "mask"),
    [(True, True), (False, False), ("true", True), ("False", False), ("YES", True), (" no ", False)]
    + [(1, True), (0, False), (1.0, True), ("1", True), ("0", False), ("", None), (None, None)],
)
def test_face_mask(value: object, mask: bool | None) -> None:
    fact, callback = punch(FaceMask=value)
    assert fact.face_mask is mask
    assert callback.problems == []


@pytest.mark.parametrize("value", ["maybe", 2, -1, 0.5, [], {}, "01", float("nan"), 10**400])
def test_a_face_mask_that_is_none_is_a_problem_and_null(value: object) -> None:
    fact, callback = punch(FaceMask=value)
    assert fact.face_mask is None
    assert callback.problems == ["PunchLog.FaceMask is neither true nor false."]


def test_temperature_and_mask_may_be_missing() -> None:
    fact, callback = punch()
    assert (fact.temperature, fact.face_mask, fact.punch_type, fact.input_type) == (None,) * 4
    assert callback.problems == []


@pytest.mark.parametrize("key", ["UserID", "UserId", "userid", "USERID", "userId"])
@pytest.mark.parametrize(
    ("value", "user_id"),
    [("2", "2"), (12, "12"), (12.0, "12"), (0, "0"), (" 2 ", "2"), ("User123", "User123"), ("007", "007")]
    + [("a\x00b\x1b", "ab"), ("\ud800x", "\ufffdx"), ("Zoë", "Zoë"), ("x" * 128, "x" * 128)],
)
def test_user_id(key: str, value: object, user_id: str) -> None:
    callback = read(realtime(PunchLog={key: value, "LogTime": TIME}))
    (fact,) = callback.facts
    assert fact.user_id == user_id
    assert callback.problems == []


def test_of_two_spellings_of_the_user_the_one_that_holds_something_counts() -> None:
    for first, second in (("", "2"), ("2", ""), (None, "2"), ("2", None)):
        (fact,) = read(realtime(PunchLog={"UserID": first, "UserId": second, "LogTime": TIME})).facts
        assert fact.user_id == "2"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "PunchLog.UserID is missing."),
        (None, "PunchLog.UserID is missing."),
        ("  ", "PunchLog.UserID is empty."),
        ("\x00", "PunchLog.UserID is empty."),
        (True, "PunchLog.UserID is not a text."),
        (False, "PunchLog.UserID is not a text."),
        (12.5, "PunchLog.UserID is not a text."),
        (float("nan"), "PunchLog.UserID is not a text."),
        pytest.param(10**5000, "PunchLog.UserID is not a text.", id="5000 digits"),
        ([], "PunchLog.UserID is not a text."),
        ({"id": 1}, "PunchLog.UserID is not a text."),
        ("x" * 129, "PunchLog.UserID is longer than 128 characters."),
    ],
)
def test_without_a_user_there_is_no_punch_but_a_problem(value: object, problem: str) -> None:
    callback = read(realtime(PunchLog=row(UserId=value)))
    assert callback.facts == []
    assert callback.problems == [problem]
    assert callback.operation == "RealTimePunchLog"


@pytest.mark.parametrize("value", ["soon", 1600307302, 1600307302.5, True, [], "2020-02-30 00:00:00 GMT +0000"])
def test_without_a_time_there_is_no_punch_but_a_problem(value: object) -> None:
    callback = read(realtime(PunchLog=row(LogTime=value)))
    assert callback.facts == []
    assert callback.problems == [f"PunchLog.LogTime can't be read as a time such as {TIME}."]


def test_a_missing_time_is_said_to_be_missing() -> None:
    assert read(realtime(PunchLog={"UserID": "2"})).problems == ["PunchLog.LogTime is missing."]


def test_a_time_without_offset_is_one_of_the_default_zone() -> None:
    document = realtime(PunchLog=row(LogTime="2020-09-17 07:48:22"))
    assert read(document).facts == []
    (fact,) = read(document, INDIA).facts
    assert fact.at == AT  # type: ignore[union-attr]


# Batches


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
def test_a_batch_is_as_many_punches_each_with_its_own_json(section: object, top: bool) -> None:
    envelope = {"OperationID": "op1", "AuthToken": TOKEN, "Time": TIME, "LabelName": "Door"}
    document: dict[str, Any] = {**envelope, "PunchLog": section} if top else realtime(PunchLog=section)
    callback = read(document)
    assert callback.problems == []
    assert callback.operation == "RealTimePunchLog"
    assert (callback.auth_token, callback.operation_id) == (TOKEN, "op1")
    assert [fact.user_id for fact in callback.facts] == ["1", "2", "3"]
    for fact, item in zip(callback.facts, BATCH, strict=True):
        assert isinstance(fact, Punch)
        expected = {**envelope, "PunchLog": item} if top else realtime(PunchLog=item)
        assert fact.raw == expected
        assert read(fact.raw).facts == [fact]


def test_a_batch_of_one_object_or_of_none() -> None:
    assert len(read(realtime(PunchLog={"ReturnRowCount": "1", "Log": row()})).facts) == 1
    for empty in ({"ReturnRowCount": "0", "Log": []}, {"ReturnRowCount": 0}, {"Log": None}, []):
        callback = read(realtime(PunchLog=empty))
        assert (callback.facts, callback.problems) == ([], [])
        assert callback.operation == "RealTimePunchLog"


def test_a_batch_that_lost_its_rows_is_a_problem() -> None:
    assert read(realtime(PunchLog={"ReturnRowCount": "18"})).problems == ["PunchLog.Log is missing."]


def test_a_bad_row_costs_no_good_one_and_is_named_by_its_number() -> None:
    rows = [row(UserId="1"), row(UserId=""), "junk", row(LogTime="?"), row(UserId="5", Temperature="hot")]
    callback = read(realtime(PunchLog=rows))
    assert [fact.user_id for fact in callback.facts] == ["1", "5"]
    assert callback.problems == [
        "PunchLog row 2: UserID is missing.",
        "PunchLog row 3 is not an object.",
        f"PunchLog row 4: LogTime can't be read as a time such as {TIME}.",
        "PunchLog row 5: Temperature is not a number.",
    ]


def test_thousands_of_bad_rows_make_no_thousands_of_problems() -> None:
    problems = read(realtime(PunchLog=["junk"] * 5000)).problems
    assert len(problems) == 51
    assert problems[-1] == "And 4950 more."


@pytest.mark.parametrize("section", ["x", 5, True])
@pytest.mark.parametrize("name", ["PunchLog", "Log", "UserUpdated", "UserDeleted", "DateModified"])
def test_a_section_that_is_no_object_is_a_problem(name: str, section: object) -> None:
    callback = read(realtime(**{name: section}))
    assert callback.facts == []
    assert callback.problems == [f"{name} is not an object."]
    assert callback.operation is not None


# Photos


def test_photo_kinds_by_their_first_bytes() -> None:
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


def test_a_photo_of_nobody_and_at_no_time_is_still_a_photo() -> None:
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


def test_no_photo_at_all_is_a_problem() -> None:
    assert read(realtime(Log={"UserID": "3", "LogTime": TIME})).problems == ["Log.LogPhoto is missing."]


# Users and credentials


def update(**fields: Any) -> Callback:
    return read(realtime(UserUpdated={"OperationTime": TIME, **fields}))


def test_a_user_with_templates_is_one_user_and_each_credential() -> None:
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


def test_one_template_needs_no_list() -> None:
    assert [item.data for item in credentials(update(Template=template()))] == ["9804445"]


@pytest.mark.parametrize("none", [None, [], "", {}])
def test_no_template_in_any_form(none: object) -> None:
    callback = update(UserID="8", Template=none)
    assert callback.facts == [
        UserUpdated("ManuallyUserUpdatedWithoutTemplate", "8", None, None, None, AT, ())
    ]
    assert callback.problems == []


def test_neither_user_nor_template_is_a_problem() -> None:
    callback = update(FirstName="Ann")
    assert callback.facts == []
    assert callback.problems == ["UserUpdated.UserID is missing."]


def test_a_template_of_nobody_is_a_problem() -> None:
    callback = update(Template=[{"Type": "Card", "Data": "1"}])
    assert callback.facts == []
    assert callback.problems == ["UserUpdated.Template row 1: UserID is missing."]


@pytest.mark.parametrize(
    ("value", "index"), [("6", 6), (6, 6), (6.0, 6), ("06", 6), (" 6 ", 6), ("", 0), (None, 0), (99, 99)]
)
def test_index(value: object, index: int) -> None:
    (item,) = credentials(update(Template=[template(Type="Fingerprint", Data="AAAA", Index=value)]))
    assert item.index == index


@pytest.mark.parametrize("value", ["six", -1, "-1", 100, "100", 1.5, True, [], 10**400, float("nan"), float("inf")])
def test_a_template_whose_index_is_not_known_takes_no_others_place(value: object) -> None:
    callback = update(Template=[template(Type="Fingerprint", Index=value)])
    assert credentials(callback) == []
    assert len(callback.problems) == 1
    assert callback.problems[0].startswith("UserUpdated.Template row 1: Index is not ")


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
def test_credential_type(kind: str, name: str, operation: str | None) -> None:
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
def test_size_is_worked_out_before_it_is_believed(fields: dict[str, Any], size: int | None) -> None:
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
def test_a_template_that_can_not_be_read_is_a_problem(fields: dict[str, Any], problem: str) -> None:
    callback = update(UserID="8", Template=[template(**fields), template(Data="1")])
    assert [item.data for item in credentials(callback)] == ["1"]
    assert callback.problems == [f"UserUpdated.Template row 1: {problem}"]


def test_names_are_cut_and_cleaned() -> None:
    callback = update(UserID="8", FirstName="  A\x00nn " + "n" * 300, LastName=" ", UserType="ADMIN")
    (user,) = callback.facts
    assert isinstance(user, UserUpdated)
    assert user.first_name is not None
    assert user.first_name.startswith("Ann n")
    assert len(user.first_name) == 256
    assert (user.last_name, user.user_type) == (None, "admin")


def test_a_name_or_time_that_is_none_is_a_problem_and_null() -> None:
    callback = read(realtime(UserUpdated={"UserID": "8", "FirstName": {"a": 1}, "OperationTime": "?"}))
    (user,) = callback.facts
    assert isinstance(user, UserUpdated)
    assert (user.first_name, user.at) == (None, None)
    assert len(callback.problems) == 2


def test_a_deletion_without_time_is_still_one() -> None:
    callback = read(realtime(UserDeleted={"UserId": 7}))
    assert callback.facts == [UserDeleted("ManuallyUserDeleted", "7", None)]
    assert callback.problems == []


def test_a_clock_set_to_nothing_readable_is_a_problem() -> None:
    callback = read(realtime(DateModified={"ModifiedTo": "?", "OperationTime": TIME}))
    assert callback.facts == []
    assert len(callback.problems) == 1


# Envelopes


def test_known_names_are_found_whatever_their_case() -> None:
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
    assert callback.facts[0].user_id == "2"


def test_known_and_unknown_together_are_the_facts_and_no_problem() -> None:
    callback = read(realtime(PunchLog=row(Extra={"a": 1}), Battery={"Level": 3}, Firmware="1.2"))
    assert len(callback.facts) == 1
    assert callback.problems == []


def test_several_sections_are_all_read_and_each_punch_stands_alone() -> None:
    callback = read(realtime(PunchLog=row(), UserDeleted={"UserID": "1"}))
    assert {type(fact) for fact in callback.facts} == {Punch, UserDeleted}
    assert callback.problems == []
    (fact,) = [fact for fact in callback.facts if isinstance(fact, Punch)]
    assert fact.raw == realtime(PunchLog=row())


def test_an_unknown_section_is_a_problem_that_names_it() -> None:
    callback = read(realtime(DoorOpened={"Door": 1}))
    assert (callback.operation, callback.facts) == (None, [])
    assert callback.problems == ["There is no section we know in it (found: dooropened)."]
    assert callback.auth_token == TOKEN


@pytest.mark.parametrize("document", [{}, {"RealTime": {}}, {"RealTime": None}, {"RealTime": []}, {"a": 1}])
def test_an_object_with_nothing_in_it_is_a_problem(document: dict[str, Any]) -> None:
    callback = read(document)
    assert callback.facts == []
    assert callback.problems == ["There is no section we know in it."]
    assert callback.operation is None
    assert callback.auth_token is None


def test_a_null_section_is_none() -> None:
    assert read(realtime(PunchLog=None)).problems == ["There is no section we know in it."]
    callback = read(realtime(PunchLog=None, UserDeleted={"UserID": "1"}))
    assert callback.operation == "ManuallyUserDeleted"


@pytest.mark.parametrize("token", [None, "", 5, True, [], {}, "\ud800"])
def test_what_is_no_token_is_none(token: object) -> None:
    assert read(realtime(AuthToken=token, PunchLog=row())).auth_token is None


def test_the_envelope_may_be_around_the_sections_level() -> None:
    callback = read({"AuthToken": TOKEN, "OperationID": "op1", "RealTime": {"AuthToken": "", "PunchLog": row()}})
    assert (callback.auth_token, callback.operation_id) == (TOKEN, "op1")


def test_the_envelopes_time_is_utc_whatever_the_devices_zone() -> None:
    document = realtime(PunchLog=row(), Time="2020-09-17 04:19:03")
    assert read(document, INDIA).time == datetime(2020, 9, 17, 4, 19, 3, tzinfo=UTC)


def test_an_envelope_that_can_not_be_read_keeps_the_facts() -> None:
    callback = read(realtime(PunchLog=row(), Time=1600307302, OperationID="x" * 129, LabelName=["a"]))
    assert len(callback.facts) == 1
    assert (callback.time, callback.operation_id, callback.label) == (None, None, None)
    assert len(callback.problems) == 3


@pytest.mark.parametrize("document", [None, [], "x", 5, True, [{"RealTime": {}}]])
def test_only_an_object_is_a_callback(document: object) -> None:
    with pytest.raises(TypeError):
        read(document)


def test_secrets_are_in_no_repr() -> None:
    callback = read(realtime(UserUpdated={"Template": [template(Type="Password", Data="124445")]}))
    assert TOKEN not in repr(callback)
    assert "124445" not in repr(callback)
    assert TOKEN not in repr(read(sample("RealTimePunchLog")))


# Older versions


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
def test_older_versions_are_told_apart(body: bytes, version: str) -> None:
    reason = old_version(body)
    assert reason is not None
    assert f"version {version}" in reason


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
def test_anything_else_is_no_older_version(body: bytes) -> None:
    assert old_version(body) is None
