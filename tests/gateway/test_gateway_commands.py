"""Each documented body is built from flat fields, and an invalid field is named before anything is sent."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from gateway_samples import TOKEN, sample
from hypothesis import given
from hypothesis import strategies as st

from app.gateway import clock
from app.gateway.commands import FieldError, build, windows
from app.gateway.operations import BY_ACTION, COMMANDS, Operation, adding
from tests.documented import flat_credentials

INDIA = timezone(timedelta(hours=5, minutes=30))
BINARY = bytes(range(100))
DATA = base64.b64encode(BINARY).decode()


def send(operation: Operation, values: dict[str, Any], **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "auth_token": TOKEN,
        "operation_id": "op1",
        "now": datetime(2020, 9, 17, 12, 1, 33, tzinfo=INDIA),
        "timezone": INDIA,
    }
    return build(operation, values, **(settings | options))


def flat_fields(document: dict[str, Any]) -> dict[str, Any]:
    """The flat fields a user would send for a documented body; truncated templates become `DATA` in both."""
    (verb,) = document.keys() - {"OperationID", "AuthToken", "Time"}
    ((section, content),) = [pair for pair in document[verb].items() if pair[0] != "Template"]
    if not isinstance(content, dict):
        return {}
    if "Filter" in content:
        times = content["Filter"]
        return {
            "start_time": clock.iso(clock.parse(times["StartTime"])),
            "end_time": clock.iso(clock.parse(times["EndTime"])),
        }
    names = {"UserID": "user_id", "FirstName": "first_name", "LastName": "last_name"}
    values = {flat: content[name] for name, flat in names.items() if name in content}
    if section == "AccessTime":
        return values | {"start": content["Start"], "end": content["End"]}
    if "UserType" in content:
        values["user_type"] = content["UserType"].lower()
    return values | flat_credentials(document[verb], BINARY)


@pytest.mark.parametrize("operation", COMMANDS, ids=lambda operation: operation.name)
def test_flat_fields_become_exactly_the_documented_body(operation: Operation) -> None:
    document = sample(operation.name)
    values = flat_fields(document)
    assert set(values) <= set(operation.fields)
    assert set(values) >= set(operation.required)
    now = clock.parse(document["Time"])
    built = send(operation, values, operation_id=document["OperationID"], now=now)
    assert built == document


def test_missing_optional_fields_are_sent_as_documented() -> None:
    for empty in ({}, {"first_name": "", "last_name": None, "user_type": ""}):
        body = send(BY_ACTION["add-user-with-face"], {"user_id": 7, "face_data": DATA, **empty})
        assert body["Add"] == {
            "User": {"UserID": "7", "FirstName": "", "LastName": "", "UserType": "USER"},
            "Template": [{"Type": "Face", "UserID": "7", "Size": "100", "Index": "0", "Data": DATA}],
        }
        body = send(BY_ACTION["add-user-without-template"], {"user_id": "7", **empty})
        assert body["Add"] == {"User": {"UserID": "7", "FirstName": "", "LastName": "", "UserType": "User"}}
    body = send(BY_ACTION["enroll-fingerprint"], {"user_id": "3"})
    assert body["Enroll"]["User"] == {"UserID": "3", "Type": "Fingerprint", "FirstName": "", "LastName": ""}


def test_an_admin_is_sent_in_the_form_of_each_operation() -> None:
    body = send(BY_ACTION["add-user-with-card"], {"user_id": "1", "card_number": 5, "user_type": "Admin"})
    assert body["Add"]["User"]["UserType"] == "ADMIN"
    assert body["Add"]["Template"][0]["Data"] == "5"
    body = send(BY_ACTION["add-user-without-template"], {"user_id": "1", "user_type": "admin"})
    assert body["Add"]["User"]["UserType"] == "Admin"


def test_the_relays_own_fields_are_not_sent() -> None:
    plain = send(BY_ACTION["delete-user"], {"user_id": "1"})
    assert (
        send(BY_ACTION["delete-user"], {"user_id": "1", "device_id": "D", "confirm": True, "publish": 1})
        == plain
    )


def test_a_page_of_load_log_is_requested_by_offset() -> None:
    times = {"start_time": "2020-09-17 00:00:00", "end_time": "2020-09-18 00:00:00"}
    load_log = BY_ACTION["load-log"]
    assert send(load_log, {**times, "offset": "a b="})["Load"]["PunchLog"]["Filter"]["OffSet"] == "a b="
    assert "OffSet" not in send(load_log, times)["Load"]["PunchLog"]["Filter"]
    assert "offset" not in load_log.fields
    with pytest.raises(FieldError):
        send(BY_ACTION["delete-user"], {"user_id": "1", "offset": "a"})


@pytest.mark.parametrize(
    ("given_time", "sent"),
    [
        ("2020-09-17T00:01:33+05:30", "2020-09-17 00:01:33 GMT +0530"),
        ("2020-09-16T18:31:33Z", "2020-09-17 00:01:33 GMT +0530"),
        ("2020-09-17T00:01:33", "2020-09-17 00:01:33 GMT +0530"),
        ("2020-09-17 00:01", "2020-09-17 00:01:00 GMT +0530"),
        (datetime(2020, 9, 16, 18, 31, 33, tzinfo=UTC), "2020-09-17 00:01:33 GMT +0530"),
        (datetime(2020, 9, 17, 0, 1, 33), "2020-09-17 00:01:33 GMT +0530"),
    ],
)
def test_times_are_sent_in_the_devices_zone(given_time: object, sent: str) -> None:
    zone = ZoneInfo("Asia/Kolkata")
    values = {"start_time": given_time, "end_time": "2020-09-18T00:00:00Z"}
    body = send(BY_ACTION["resend-attendance"], values, timezone=zone)
    assert body["Resend"]["PunchLog"]["Filter"]["StartTime"] == sent
    values = {"user_id": "1", "start": given_time, "end": "2020-09-18T00:00:00Z"}
    body = send(BY_ACTION["update-access-time"], values, timezone=zone)
    assert body["Update"]["AccessTime"]["Start"] == sent[:19]


def test_in_the_hour_when_clocks_go_back_the_end_is_the_later_instant() -> None:
    """By the wall clock, 02:10 is before 02:50, but it is twenty minutes after it."""
    values = {"start_time": "2024-10-27T02:50:00+02:00", "end_time": "2024-10-27T02:10:00+01:00"}
    filtered = send(BY_ACTION["load-log"], values, timezone=ZoneInfo("Europe/Berlin"))["Load"]["PunchLog"][
        "Filter"
    ]
    assert filtered["StartTime"] == "2024-10-27 02:50:00 GMT +0200"
    assert filtered["EndTime"] == "2024-10-27 02:10:00 GMT +0100"
    with pytest.raises(FieldError):
        send(
            BY_ACTION["load-log"],
            {"start_time": values["end_time"], "end_time": values["start_time"]},
            timezone=ZoneInfo("Europe/Berlin"),
        )


def test_the_time_of_sending_is_in_the_devices_zone() -> None:
    now = datetime(2024, 7, 1, 12, 0, 0, 999999, tzinfo=UTC)
    body = send(BY_ACTION["delete-log-all"], {}, now=now, timezone=ZoneInfo("Europe/Berlin"))
    assert body["Time"] == "2024-07-01 14:00:00 GMT +0200"


def test_base64_is_sent_on_one_line_and_without_a_data_url_prefix() -> None:
    for written in (f"data:image/jpeg;base64,{DATA}", f"{DATA[:70]}\r\n{DATA[70:]}\n", f" {DATA} "):
        values = {"user_id": "1", "fingerprint_data": written, "fingerprint_index": "9"}
        body = send(BY_ACTION["add-user-with-fingerprint"], values)
        assert body["Add"]["Template"] == [
            {"Type": "Fingerprint", "UserID": "1", "Size": "100", "Index": "9", "Data": DATA}
        ]


@pytest.mark.parametrize(
    ("action", "values", "field", "message"),
    [
        ("add-user-with-card", {"user_id": "1"}, "card_number", "is required"),
        ("add-user-with-card", {"card_number": "1"}, "user_id", "is required"),
        ("add-user-with-card", {"user_id": "", "card_number": "1"}, "user_id", "is required"),
        (
            "add-user-with-card",
            {"user_id": "1", "card_number": "1", "face_data": DATA},
            "face_data",
            "is not a field of add-user-with-card",
        ),
        ("delete-user", {"user_id": "1", "usr": 1}, "usr", "is not a field of delete-user"),
        ("delete-user", {"user_id": True}, "user_id", "is not a text"),
        ("delete-user", {"user_id": ["1"]}, "user_id", "is not a text"),
        ("delete-user", {"user_id": "x" * 129}, "user_id", "is longer than 128 characters"),
        ("add-user-with-card", {"user_id": "1", "card_number": "1" * 65}, "card_number", "is longer than 64"),
        (
            "add-user-with-password",
            {"user_id": "1", "password": "12a4"},
            "password",
            "must be 1 to 32 digits",
        ),
        ("add-user-with-password", {"user_id": "1", "password": "١٢"}, "password", "must be 1 to 32 digits"),
        ("add-user-with-password", {"user_id": "1", "password": -12}, "password", "must be 1 to 32 digits"),
        ("add-user-with-palm", {"user_id": "1", "palm_data": "a..."}, "palm_data", "is not Base64"),
        ("add-user-with-palm", {"user_id": "1", "palm_data": 5}, "palm_data", "is not Base64"),
        (
            "add-user-with-fingerprint",
            {"user_id": "1", "fingerprint_data": DATA, "fingerprint_index": 10},
            "fingerprint_index",
            "must be between 0 and 9",
        ),
        (
            "add-user-without-template",
            {"user_id": "1", "user_type": "boss"},
            "user_type",
            "must be user or admin",
        ),
        (
            "add-user-without-template",
            {"user_id": "1", "first_name": "x" * 257},
            "first_name",
            "is longer than 256",
        ),
        ("load-log", {"start_time": "2020-09-17T00:00:00Z"}, "end_time", "is required"),
        (
            "load-log",
            {"start_time": "yesterday", "end_time": "2020-09-17T00:00:00Z"},
            "start_time",
            "'yesterday' is not a time, e.g. 2020-09-17 07:48:22 GMT +0530",
        ),
        (
            "load-log",
            {"start_time": "2020-09-17T00:00:01Z", "end_time": "2020-09-17T05:30:00+05:30"},
            "end_time",
            "must not be before start_time",
        ),
        (
            "update-access-time",
            {"user_id": "1", "start": "9999-12-31T23:59:59-14:00", "end": "2020-01-01 00:00:00"},
            "start",
            "date value out of range",
        ),
    ],
)
def test_an_invalid_field_is_named(action: str, values: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(FieldError) as caught:
        send(BY_ACTION[action], values)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field} {message}")
    assert str(caught.value).endswith(".")


def test_add_user_with_an_undocumented_combination_sends_exactly_its_fields() -> None:
    operation = adding({"password", "face"})
    body = send(operation, {"user_id": "1", "password": "12", "face_data": DATA})
    assert [item["Type"] for item in body["Add"]["Template"]] == ["Password", "Face"]
    assert operation.name == "AddUserWithCard_Password_FingerPrintAndFace"


# Windows


def at(text: str) -> datetime:
    return clock.parse(text, default_tz=INDIA)


def test_a_short_period_is_one_window() -> None:
    start, end = at("2020-09-17 00:00:00"), at("2020-10-16 23:59:59")
    assert windows(start, end) == [(start, end)]
    assert windows(start, start) == [(start, start)]


def test_one_second_more_needs_another_window() -> None:
    start, end = at("2020-09-17 00:00:00"), at("2020-10-17 00:00:00")
    assert windows(start, end) == [(start, end - timedelta(seconds=1)), (end, end)]


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
    st.integers(1, 40),
    st.sampled_from([INDIA, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns")]),
)
def test_windows_have_no_gap_and_no_overlap(
    moment: datetime, length: timedelta, days: int, zone: Any
) -> None:
    start = moment.replace(tzinfo=zone)
    end = (start.astimezone(UTC) + length).astimezone(zone)
    found = windows(start, end, days)
    assert found[0][0] == start.astimezone(UTC).replace(microsecond=0)
    assert found[-1][1] == end.astimezone(UTC).replace(microsecond=0)
    for first, last in found:
        assert timedelta(0) <= last.astimezone(UTC) - first.astimezone(UTC) < timedelta(days=days)
        assert first.utcoffset() == first.astimezone(UTC).astimezone(zone).utcoffset()
    for (_, last), (first, _) in itertools.pairwise(found):
        assert first.astimezone(UTC) - last.astimezone(UTC) == timedelta(seconds=1)


def test_windows_reach_the_end_of_the_calendar() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert windows(end - timedelta(days=31), end)[-1][1] == end


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (at("2020-09-17 00:00:01"), at("2020-09-17 00:00:00"), 30),
        (datetime(2020, 9, 17), at("2020-09-17 00:00:00"), 30),
        (at("2020-09-17 00:00:00"), datetime(2020, 9, 18), 30),
        (at("2020-09-17 00:00:00"), at("2020-09-18 00:00:00"), 0),
    ],
)
def test_an_invalid_period_is_refused(start: datetime, end: datetime, days: int) -> None:
    with pytest.raises(ValueError, match="window"):
        windows(start, end, days)
