"""Rows are read to times, terms and columns, and unreadable rows say what is wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from app.connector import formats
from app.connector.errors import RowError, Stop
from app.connector.rows import Reader, read_map
from app.connector.times import Times
from app.connector.words import PUNCH_TYPES, TYPE_WORDS, Words, read_words
from app.gateway import clock

KOLKATA = ZoneInfo("Asia/Kolkata")


def _at(**row: object) -> str:
    return clock.format_gateway(Reader(Times(KOLKATA)).punch({"user": "1", **row}).at)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"time": "2026-11-24 08:36:08"}, "2026-11-24 08:36:08 GMT +0530"),
        ({"time": "2026-11-24T08:36:08.120+04:00"}, "2026-11-24 10:06:08 GMT +0530"),
        ({"time": datetime(2026, 11, 24, 8, 36, 8, 999)}, "2026-11-24 08:36:08 GMT +0530"),
        ({"date": "2026-11-24", "time": "08:36:08"}, "2026-11-24 08:36:08 GMT +0530"),
        ({"date": date(2026, 11, 24), "time": time(8, 36, 8)}, "2026-11-24 08:36:08 GMT +0530"),
        ({"date": datetime(2026, 11, 24), "time": "08:36"}, "2026-11-24 08:36:00 GMT +0530"),
    ],
)
def test_time_formats_are_detected(row: dict[str, object], expected: str) -> None:
    assert _at(**row) == expected


def test_times_are_read_in_the_given_format() -> None:
    reader = Reader(Times(KOLKATA, ["%d/%m/%Y %I:%M:%S %p", "%d-%m-%Y %H:%M"]))
    assert (
        reader.punch({"user": "1", "time": "03/11/2026 07:05:00 PM"}).at.isoformat()
        == "2026-11-03T19:05:00+05:30"
    )
    assert (
        reader.punch({"user": "1", "time": "03-11-2026 07:05"}).at.isoformat() == "2026-11-03T07:05:00+05:30"
    )


def test_the_offset_is_that_of_the_date() -> None:
    reader = Reader(Times(ZoneInfo("Europe/Berlin")))
    offsets = [
        reader.punch({"user": "1", "time": f"2026-{month}-01 12:00:00"}).at.strftime("%z")
        for month in ("01", "07")
    ]
    assert offsets == ["+0100", "+0200"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"user": "", "time": "2026-11-24 08:36:08"}, "user is empty"),
        ({"user": "1", "time": ""}, "time is empty"),
        ({"user": "1", "time": "24/11/2026 08:36"}, "--time-format"),
        ({"user": "1", "time": "2026-13-24 08:36:08"}, "doesn't look like"),
        ({"user": "1", "time": "1899-12-30 00:00:00"}, "doesn't look like"),
        ({"user": "1", "time": datetime(1899, 12, 30)}, "before 1970"),
        ({"user": "1.23457E+11", "time": "2026-11-24 08:36:08"}, "rounded by a spreadsheet"),
        ({"user": "1", "time": "99"}, "doesn't look like"),
    ],
)
def test_unreadable_times_are_reported(row: dict[str, object], message: str) -> None:
    with pytest.raises(RowError, match=message.replace("%", "%")):
        Reader(Times(KOLKATA)).punch(row)


def test_a_time_without_an_offset_needs_a_time_zone() -> None:
    with pytest.raises(RowError, match="--timezone"):
        Reader(Times(None)).punch({"user": "1", "time": "2026-11-24 08:36:08"})


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
def test_common_values_for_types_are_known(written: str, word: str | None) -> None:
    assert (
        Reader(Times(KOLKATA)).punch({"user": "1", "time": "2026-11-24 08:36", "type": written}).type == word
    )


def _types(text: str) -> Reader:
    own = read_words(text, PUNCH_TYPES, "--type-words")
    return Reader(Times(KOLKATA), Words("type", TYPE_WORDS, own))


def _read_types(reader: Reader, *written: str) -> list[str | None]:
    return [reader.punch({"user": "1", "time": "2026-11-24 08:36", "type": word}).type for word in written]


def test_the_users_own_words_take_precedence() -> None:
    assert _read_types(_types("1=CheckIn,X=MealOut"), "1", "x", "out") == ["CheckIn", "MealOut", "CheckOut"]


def test_words_that_only_differ_in_case_are_distinguished() -> None:
    reader = _types("I=CheckIn,O=CheckOut,i=OverTimeIn,o=OverTimeOut,IN=MealIn,In=MealOut")
    assert _read_types(reader, "I", "i", "O", "o") == ["CheckIn", "OverTimeIn", "CheckOut", "OverTimeOut"]
    assert _read_types(reader, "in") == [None], "neither IN nor In"
    assert "type 'in' (1)" in str(reader.unknown)


@pytest.mark.parametrize("text", ["I=CheckIn,I=CheckOut", "I=CheckIn, I =None"])
def test_a_word_with_two_meanings_is_refused(text: str) -> None:
    with pytest.raises(Stop, match="'I' has two meanings"):
        read_words(text, PUNCH_TYPES, "--type-words")


def test_a_word_can_be_ignored() -> None:
    reader = _types("255=None,9=,0=CheckOut")
    assert _read_types(reader, "255", "9", "0") == [None, None, "CheckOut"]
    assert not reader.unknown.counts, "what is said to mean nothing isn't unknown"


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("type", "255"),
        ("type", "Zutritt"),
        ("input", "101"),
        ("temperature", "hot"),
        ("temperature", "36.8.1"),
        ("mask", "2"),
    ],
)
def test_an_optional_column_never_prevents_a_punch(column: str, written: str) -> None:
    reader = Reader(Times(KOLKATA))
    for _ in range(2):
        punch = reader.punch({"user": "1", "time": "2026-11-24 08:36", column: written})
        assert getattr(punch, column) is None
    assert str(reader.unknown) == f"{column} '{written}' (2)"


@pytest.mark.parametrize("written", ["-", "--", "None", "NULL", "n/a", "", None, " "])
def test_values_that_mean_nothing_are_empty_and_not_unknown(written: str | None) -> None:
    reader = Reader(Times(KOLKATA), default_type="CheckIn")
    row = dict.fromkeys(("type", "input", "temperature", "mask"), written)
    punch = reader.punch({"user": "1", "time": "2026-11-24 08:36", **row})
    assert (punch.type, punch.input, punch.temperature, punch.mask) == ("CheckIn", None, None, None)
    assert not reader.unknown.counts


def test_the_default_type_applies_to_empty_and_not_to_unknown_types() -> None:
    reader = Reader(Times(KOLKATA), default_type="CheckIn")
    assert _read_types(reader, "", "zutritt") == ["CheckIn", None]


def test_unknown_values_are_counted_up_to_a_limit() -> None:
    reader = Reader(Times(KOLKATA))
    _read_types(reader, *(f"code {number}" for number in range(1_000)))
    assert len(reader.unknown.counts) == 21
    assert sum(reader.unknown.counts.values()) == 1_000


@pytest.mark.parametrize(
    ("written", "user"),
    [
        ("'00000042", "00000042"),
        ("\u201900042", "00042"),
        ("00042.0", "00042"),
        ("42,0", "42"),
        ('="00042"', "00042"),
        ('= "00042"', "00042"),
        ("=\u201c42\u201d", "42"),
        ("\u201e42\u201c", "42"),
        ("'42'", "42"),
        ("\ufeff\u00a042\u200b", "42"),
        (42.0, "42"),
        (Decimal("42.00"), "42"),
        (b"00042", "00042"),
        ("1E5", "1E5"),
        ("42.5", "42.5"),
        ("O'Brien", "O'Brien"),
        ("A=1", "A=1"),
    ],
)
def test_ids_from_spreadsheets_and_databases_are_read(written: object, user: str) -> None:
    assert Reader(Times(KOLKATA)).punch({"user": written, "time": "2026-11-24 08:36"}).user == user


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-24T03:06:08Z",
        "2026-11-24T03:06:08.9+00:00",
        "2026-11-23 21:06:08 -0600",
        datetime(2026, 11, 24, 3, 6, 8, tzinfo=UTC),
        "1795489568",
        1795489568,
        Decimal("1795489568.25"),
        "1795489568123",
        1795489568.9,
    ],
)
def test_instants_are_sent_in_the_devices_time_zone(written: object) -> None:
    for source_zone in (None, ZoneInfo("America/Bogota")):
        reader = Reader(Times(KOLKATA, (), source_zone))
        assert reader.punch({"user": "1", "time": written}).at.isoformat() == "2026-11-24T08:36:08+05:30"


def test_an_instant_keeps_its_offset_without_a_time_zone() -> None:
    at = Reader(Times(None)).punch({"user": "1", "time": "2026-11-24T03:06:08+01:00"}).at
    assert at.isoformat() == "2026-11-24T03:06:08+01:00"


@pytest.mark.parametrize(
    ("row", "formats"),
    [
        ({"time": "2026-11-24 03:06:08"}, ()),
        ({"time": "2026/11/24 03:06:08"}, ()),
        ({"time": "20261124030608"}, ()),
        ({"time": 20261124030608}, ("%Y%m%d%H%M%S",)),
        ({"time": datetime(2026, 11, 24, 3, 6, 8)}, ()),
        ({"time": "46350.12925925926"}, ()),
        ({"time": 46350.12925925926}, ("%d/%m/%Y", "excel")),
        ({"date": "46350", "time": "0.12925925926"}, ()),
        ({"date": 46350, "time": time(3, 6, 8)}, ()),
        ({"date": date(2026, 11, 24), "time": timedelta(hours=3, minutes=6, seconds=8)}, ()),
        ({"date": "2026-11-24", "time": datetime(1899, 12, 30, 3, 6, 8)}, ()),
    ],
)
def test_times_from_a_source_in_another_time_zone_are_converted(
    row: dict[str, object], formats: tuple[str, ...]
) -> None:
    reader = Reader(Times(ZoneInfo("America/Costa_Rica"), formats, ZoneInfo("UTC")))
    assert reader.punch({"user": "1", **row}).at.isoformat() == "2026-11-23T21:06:08-06:00"


@pytest.mark.parametrize("text", ["user", "user=", "who=1,time=2", "user=1", "user=1,user=2,time=3", ""])
def test_an_invalid_map_is_refused(text: str) -> None:
    with pytest.raises(Stop, match="--map"):
        read_map(text)


def test_fixed_width_fields_are_read() -> None:
    layout = formats.make("fixed", "user=1-5,time=6-24,type=26", None, None)
    line = "  00722026-11-24 08:36:08 O"
    assert layout.fields(line[1:], None) == {"user": "0072", "time": "2026-11-24 08:36:08", "type": "O"}
    with pytest.raises(RowError, match="fewer"):
        layout.fields("0072", None)


def test_attlog_needs_no_map() -> None:
    layout = formats.make("attlog", None, None, None)
    fields = layout.fields("       42\t2026-11-24 08:36:08\t1\t1\t15\t0", None)
    punch = Reader(Times(KOLKATA)).punch(fields)
    assert (punch.user, punch.type, punch.input) == ("42", "CheckOut", "Face")


def test_unmatched_quotes_reject_only_their_row() -> None:
    layout = formats.make("csv", "user=1,time=2", ";", None)
    assert layout.fields('"a;b";2', None) == {"user": "a;b", "time": "2"}
    with pytest.raises(RowError, match="quotes"):
        layout.fields('"a;2', None)


def test_a_quote_in_an_unused_column_loses_no_punch() -> None:
    layout = formats.make("csv", "user=ID,time=At", None, None)
    header = layout.header("ID,Name,At")
    assert layout.fields('2,"Bob,2026', header) == {"user": "2", "time": "2026"}


@pytest.mark.parametrize(
    "arguments",
    [("csv", None, None, None), ("tsv", "user=1,time=2", ";", None), ("csv", "user=A,time=B", None, False)],
)
def test_options_that_do_not_fit_the_format_are_refused(
    arguments: tuple[str, str | None, str | None, bool | None],
) -> None:
    with pytest.raises(Stop):
        formats.make(*arguments)
