"""What a row says, read: times, words, columns; and what is wrong with one that can't be read."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from app.connector import formats
from app.connector.errors import RowError, Stop
from app.connector.rows import Reader, read_map, read_words
from app.gateway import clock

KOLKATA = ZoneInfo("Asia/Kolkata")


def _at(**row: object) -> str:
    return clock.format_gateway(Reader(KOLKATA).punch({"user": "1", **row}).at)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"time": "2026-11-24 08:36:08"}, "2026-11-24 08:36:08 GMT +0530"),
        ({"time": "2026-11-24T08:36:08.120+04:00"}, "2026-11-24 08:36:08 GMT +0400"),
        ({"time": datetime(2026, 11, 24, 8, 36, 8, 999)}, "2026-11-24 08:36:08 GMT +0530"),
        ({"date": "2026-11-24", "time": "08:36:08"}, "2026-11-24 08:36:08 GMT +0530"),
        ({"date": date(2026, 11, 24), "time": time(8, 36, 8)}, "2026-11-24 08:36:08 GMT +0530"),
        ({"date": datetime(2026, 11, 24), "time": "08:36"}, "2026-11-24 08:36:00 GMT +0530"),
    ],
)
def test_times_are_read(row: dict[str, object], expected: str) -> None:
    assert _at(**row) == expected


def test_times_are_read_as_said() -> None:
    reader = Reader(KOLKATA, ["%d/%m/%Y %I:%M:%S %p", "%d-%m-%Y %H:%M"])
    assert (
        reader.punch({"user": "1", "time": "03/11/2026 07:05:00 PM"}).at.isoformat()
        == "2026-11-03T19:05:00+05:30"
    )
    assert (
        reader.punch({"user": "1", "time": "03-11-2026 07:05"}).at.isoformat() == "2026-11-03T07:05:00+05:30"
    )


def test_the_offset_is_that_of_the_day() -> None:
    reader = Reader(ZoneInfo("Europe/Berlin"))
    offsets = [
        reader.punch({"user": "1", "time": f"2026-{month}-01 12:00:00"}).at.strftime("%z")
        for month in ("01", "07")
    ]
    assert offsets == ["+0100", "+0200"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"user": "", "time": "2026-11-24 08:36:08"}, "user is empty"),
        ({"user": "1", "time": ""}, "time is empty"),
        ({"user": "1", "time": "24/11/2026 08:36"}, "--time-format"),
        ({"user": "1", "time": "2026-13-24 08:36:08"}, "not written like"),
        ({"user": "1", "time": "1899-12-30 00:00:00"}, "not written like"),
        ({"user": "1", "time": datetime(1899, 12, 30)}, "before 1970"),
        ({"user": "1", "time": "2026-11-24 08:36:08", "type": "7"}, "--type-words 7=CheckIn"),
        ({"user": "1", "time": "2026-11-24 08:36:08", "input": "99"}, "--input-words 99=Fingerprint"),
        ({"user": "1", "time": "2026-11-24 08:36:08", "temperature": "hot"}, "temperature is not a number"),
    ],
)
def test_what_is_wrong_is_said(row: dict[str, object], says: str) -> None:
    with pytest.raises(RowError, match=says.replace("%", "%")):
        Reader(KOLKATA).punch(row)


def test_a_time_without_an_offset_needs_a_time_zone() -> None:
    with pytest.raises(RowError, match="--timezone"):
        Reader(None).punch({"user": "1", "time": "2026-11-24 08:36:08"})


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("0", "CheckIn"),
        ("1", "CheckOut"),
        ("5", "OverTimeOut"),
        ("C/In", "CheckIn"),
        ("out", "CheckOut"),
        (" ", None),
    ],
)
def test_types_are_known(written: str, word: str | None) -> None:
    assert Reader(KOLKATA).punch({"user": "1", "time": "2026-11-24 08:36", "type": written}).type == word


def test_words_of_ones_own_go_first() -> None:
    reader = Reader(
        KOLKATA, type_words=read_words("1=CheckIn,X=MealOut", ("CheckIn", "MealOut"), "--type-words")
    )
    found = [
        reader.punch({"user": "1", "time": "2026-11-24 08:36", "type": word}).type
        for word in ("1", "x", "out")
    ]
    assert found == ["CheckIn", "MealOut", "CheckOut"]


@pytest.mark.parametrize("text", ["user", "user=", "who=1,time=2", "user=1", "user=1,user=2,time=3", ""])
def test_a_wrong_map_is_refused(text: str) -> None:
    with pytest.raises(Stop, match="--map"):
        read_map(text)


def test_fixed_width() -> None:
    layout = formats.make("fixed", "user=1-5,time=6-24,type=26", None, None)
    line = "  00722026-11-24 08:36:08 O"
    assert layout.fields(line[1:], None) == {"user": "0072", "time": "2026-11-24 08:36:08", "type": "O"}
    with pytest.raises(RowError, match="shorter"):
        layout.fields("0072", None)


def test_attlog_needs_no_map() -> None:
    layout = formats.make("attlog", None, None, None)
    fields = layout.fields("       42\t2026-11-24 08:36:08\t1\t1\t15\t0", None)
    punch = Reader(KOLKATA).punch(fields)
    assert (punch.user, punch.type, punch.input) == ("42", "CheckOut", "Face")


def test_quotes_that_do_not_match_are_a_rows_own_fault() -> None:
    layout = formats.make("csv", "user=1,time=2", ";", None)
    assert layout.fields('"a;b";2', None) == {"user": "a;b", "time": "2"}
    with pytest.raises(RowError, match="quotes"):
        layout.fields('"a;2', None)


@pytest.mark.parametrize(
    "arguments",
    [("csv", None, None, None), ("tsv", "user=1,time=2", ";", None), ("csv", "user=A,time=B", None, False)],
)
def test_options_that_do_not_fit_are_refused(
    arguments: tuple[str, str | None, str | None, bool | None],
) -> None:
    with pytest.raises(Stop):
        formats.make(*arguments)
