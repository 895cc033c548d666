"""Times are parsed with the offset that the gateway wrote, and never guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway import clock

INDIA = timezone(timedelta(hours=5, minutes=30))
SAMPLE = datetime(2020, 9, 17, 7, 48, 22, tzinfo=INDIA)
OFFSETS = range(-14 * 60, 14 * 60 + 1)


@pytest.mark.parametrize(
    "text",
    [
        "2020-09-17 07:48:22 GMT +0530",
        "2020-09-17 07:48:22 GMT+0530",
        "2020-09-17 07:48:22 GMT +05:30",
        "2020-09-17 07:48:22 UTC+5:30",
        "2020-09-17 07:48:22 +0530",
        "2020-09-17 07:48:22+0530",
        "2020-09-17T07:48:22+05:30",
        "2020-09-17t07:48:22 gmt +0530",
        "  2020-09-17   07:48:22   GMT   +0530\n",
        "2020-9-17 7:48:22 GMT +0530",
        "2020-09-17 07:48:22.999 GMT +0530",
        "2020-09-17 07:48:22,123456789+05:30",
        "2020-09-17 02:18:22 GMT +0000",
        "2020-09-17 02:18:22 GMT -0000",
        "2020-09-17 02:18:22 GMT",
        "2020-09-17 02:18:22 UTC",
        "2020-09-17T02:18:22Z",
        "2020-09-17T02:18:22+00",
        "2020-09-16 21:18:22 GMT -0500",
        "2020-09-17 08:03:22 GMT +0545",
    ],
)
def test_all_formats_of_an_instant_are_read(text: str) -> None:
    parsed = clock.parse(text)
    assert parsed == SAMPLE
    assert parsed.microsecond == 0


def test_seconds_are_optional() -> None:
    assert clock.parse("2020-09-17 07:48 GMT +0530") == SAMPLE.replace(second=0)


def test_an_offset_is_neither_dropped_nor_inverted() -> None:
    """dateutil drops or inverts the offsets of `GMT +0530` and `GMT+0530`."""
    for text in ("2020-09-17 07:48:22 GMT +0530", "2020-09-17 07:48:22 GMT+0530"):
        assert clock.parse(text).utcoffset() == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize("form", ["GMT {}", "GMT{}", "{}", "UTC {}"])
def test_every_offset_to_14_hours_is_read_and_written_back(form: str) -> None:
    for minutes in OFFSETS:
        zone = timezone(timedelta(minutes=minutes))
        moment = datetime(2024, 2, 29, 23, 59, 59, tzinfo=zone)
        written = clock.format_gateway(moment)
        local, _, offset = written.rpartition(" GMT ")
        parsed = clock.parse(f"{local} {form.format(offset)}")
        assert parsed == moment
        assert parsed.utcoffset() == moment.utcoffset()
        assert clock.parse(clock.iso(moment)) == moment
        assert clock.parse(clock.iso_utc(moment)) == moment


WRONG = [
    "",
    " ",
    "yesterday",
    "2020-09-17",
    "07:48:22",
    "2020-09-17 07",
    "2020-02-30 07:48:22 GMT +0530",
    "2021-02-29 07:48:22 GMT +0530",
    "2020-13-01 07:48:22 GMT +0530",
    "2020-00-01 07:48:22 GMT +0530",
    "2020-09-17 24:00:00 GMT +0530",
    "2020-09-17 07:60:22 GMT +0530",
    "2020-09-17 07:48:60 GMT +0530",
    "1969-12-31 23:59:59 GMT +0000",
    "0000-01-01 00:00:00 GMT +0000",
    "10000-01-01 00:00:00 GMT +0000",
    "20-09-17 07:48:22 GMT +0530",
    "17-09-2020 07:48:22 GMT +0530",
    "2020/09/17 07:48:22 GMT +0530",
    "2020-09-17 07:48:22 GMT 0530",
    "2020-09-17 07:48:22 GMT +530",
    "2020-09-17 07:48:22 GMT +1401",
    "2020-09-17 07:48:22 GMT -1500",
    "2020-09-17 07:48:22 GMT +0560",
    "2020-09-17 07:48:22 GMT +0530 x",
    "2020-09-17 07:48:22 IST",
    "2020-09-17 07:48:22 PM GMT +0530",
    "2020-09-17 07:48:22Z+0530",
    "2020-09-17 07:48:222 GMT +0530",
    "2020-09-17 07:48:22. GMT +0530",
    "\uff12\uff10\uff12\uff10-09-17 07:48:22 GMT +0530",
    "2020-09-17 07:48:22 GMT +\u0660\u0665\u0663\u0660",
    "2020-09-17 07:48:22\x00GMT +0530",
    "2020-09-17 07:48:22 GMT +0530" + " " * 100,
    "\ud800",
    "9" * 100_000,
]


@pytest.mark.parametrize("text", WRONG)
def test_other_texts_are_refused_with_a_valid_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"2020-09-17 07:48:22 GMT \+0530") as caught:
        clock.parse(text, default_tz=UTC)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("value", [None, 0, 1600307302, 1.5, True, [], {}, b"2020-09-17 07:48:22 GMT +0530"])
def test_only_a_string_is_a_time(value: object) -> None:
    with pytest.raises(ValueError, match="string such as 2020-09-17"):
        clock.parse(value, default_tz=UTC)


def test_no_more_than_40_characters_of_the_input_are_repeated() -> None:
    with pytest.raises(ValueError) as caught:
        clock.parse("x" * 50)
    assert "x" * 39 in str(caught.value)
    assert "x" * 41 not in str(caught.value)


def test_a_time_without_offset_needs_a_default_zone() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        clock.parse("2020-09-17 07:48:22")
    parsed = clock.parse("2020-09-17 07:48:22", default_tz=ZoneInfo("Asia/Kolkata"))
    assert parsed == SAMPLE
    assert isinstance(parsed.tzinfo, timezone)


def test_the_default_zones_offset_is_that_of_the_date() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert clock.iso(clock.parse("2024-01-15 12:00:00", default_tz=berlin)) == "2024-01-15T12:00:00+01:00"
    assert clock.iso(clock.parse("2024-07-15 12:00:00", default_tz=berlin)) == "2024-07-15T12:00:00+02:00"


def test_the_default_zone_does_not_override_an_offset() -> None:
    assert clock.parse("2020-09-17 07:48:22 GMT +0530", default_tz=UTC) == SAMPLE


def test_times_are_written_in_the_gateways_format() -> None:
    assert clock.format_gateway(SAMPLE) == "2020-09-17 07:48:22 GMT +0530"
    assert clock.format_gateway(SAMPLE.astimezone(UTC)) == "2020-09-17 02:18:22 GMT +0000"
    assert clock.format_local(SAMPLE.replace(microsecond=5)) == "2020-09-17 07:48:22"
    assert clock.iso(SAMPLE.replace(microsecond=5)) == "2020-09-17T07:48:22+05:30"
    assert clock.iso_utc(SAMPLE.replace(microsecond=5)) == "2020-09-17T02:18:22Z"


@pytest.mark.parametrize("write", [clock.format_gateway, clock.iso, clock.iso_utc])
def test_a_naive_time_is_never_written_with_an_offset(write: object) -> None:
    assert callable(write)
    with pytest.raises(ValueError, match="no offset"):
        write(datetime(2020, 9, 17))


def test_conversion_to_utc_does_not_overflow_at_the_ends_of_the_calendar() -> None:
    last = clock.parse("9999-12-31 23:59:59 GMT -1400")
    assert clock.iso_utc(last) == "9999-12-31T23:59:59Z"
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    assert clock.iso_utc(first) == "0001-01-01T00:00:00Z"
    assert clock.iso_utc(clock.parse("1970-01-01 00:00:00 GMT +0530")) == "1969-12-31T18:30:00Z"
    assert clock.iso(clock.parse("9999-12-31 23:59:59", default_tz=ZoneInfo("America/New_York")))


@given(st.text(max_size=80), st.none() | st.just(UTC))
def test_any_text_is_a_time_or_raises_value_error(text: str, zone: timezone | None) -> None:
    try:
        parsed = clock.parse(text, default_tz=zone)
    except ValueError:
        return
    assert parsed.tzinfo is not None


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),
    st.sampled_from(OFFSETS),
)
def test_a_written_time_can_be_read(moment: datetime, minutes: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    for written in (clock.format_gateway(aware), clock.iso(aware), clock.iso_utc(aware)):
        assert clock.parse(written) == aware
