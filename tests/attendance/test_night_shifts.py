"""Shifts past midnight on machines that send no directions, or the same one for each punch (docs/attendance.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.attendance.rules import READ_AFTER, READ_BEFORE, Mark, Rules, by_day, site, summary, window

LATER = 2_000_000_000.0


def _marks(punches: str, direction: str | None = None, zone: str = "Asia/Kolkata") -> list[Any]:
    """Punches such as `2 22:00, 3 06:00 out`, in November 2026."""
    found = []
    for punch in punches.split(", "):
        day, clock, *own = punch.split()
        at = datetime.fromisoformat(f"2026-11-{int(day):02}T{clock}").replace(tzinfo=ZoneInfo(zone))
        offset = at.utcoffset()
        assert offset is not None
        seconds = int(offset.total_seconds())
        found.append(
            (Mark(int(at.timestamp()), seconds, "A", own[0] if own else direction), site(zone, seconds))
        )
    return found


def _rows(marks: list[Any], rules: Rules | None = None) -> dict[int, dict[str, Any]]:
    rules = rules or Rules()
    return {day.day: summary(day, found, rules, LATER) for day, found in by_day(marks, rules).items()}


def _hours(marks: list[Any]) -> dict[int, float | None]:
    return {day: row["worked_hours"] for day, row in _rows(marks).items()}


FOUR_NIGHTS = ", ".join(f"{day} 22:02, {day + 1} 06:02" for day in range(2, 6))


@pytest.mark.parametrize("direction", [None, "in"])
@pytest.mark.parametrize(
    ("punches", "hours"),
    [
        ("2 09:00, 2 18:00, 3 09:00, 3 18:00", {2: 9.0, 3: 9.0}),
        (FOUR_NIGHTS, {2: 8.0, 3: 8.0, 4: 8.0, 5: 8.0}),
        ("2 21:00, 3 07:00, 3 21:00, 4 07:00", {2: 10.0, 3: 10.0}),
        ("2 08:00, 2 20:00, 3 08:00, 3 20:00", {2: 12.0, 3: 12.0}),
        ("2 22:00, 3 06:00, 3 14:00, 3 22:00", {2: 8.0, 3: 8.0}),
        ("2 14:00, 2 22:00, 3 06:00, 3 14:00", {2: 8.0, 3: 8.0}),
        ("2 22:00, 3 02:00, 3 02:30, 3 06:00, 3 22:00, 4 06:00", {2: 8.0, 3: 8.0}),
        ("2 20:00, 2 23:00, 2 23:30, 3 04:00", {2: 8.0}),
        ("2 20:00, 2 23:00, 3 06:00, 3 10:00", {2: 3.0, 3: 4.0}),
        ("2 06:00, 2 10:00, 2 16:00, 2 20:00, 3 06:00, 3 10:00", {2: 14.0, 3: 4.0}),
        ("2 22:00, 2 22:01, 3 06:00, 3 06:01", {2: 8.02}),
        ("2 09:00, 3 09:00, 3 18:00", {2: None, 3: 9.0}),
        ("2 18:00, 3 09:00, 3 18:00", {2: None, 3: 9.0}),
        ("2 22:00, 3 22:00, 4 06:00", {2: None, 3: 8.0}),
        ("2 23:59, 3 00:00", {2: None, 3: None}),
        ("2 20:00, 3 08:00, 3 20:00, 4 08:00", {2: 12.0, 3: None, 4: None}),
    ],
)
def test_times_show_who_works_at_night(
    punches: str, hours: dict[int, float | None], direction: str | None
) -> None:
    assert _hours(_marks(punches, direction)) == hours


def test_a_night_worker_and_a_day_worker_get_their_hours_on_one_machine() -> None:
    day = ", ".join(f"{day} 09:00, {day} 17:00" for day in range(2, 7))
    for punches, total in ((FOUR_NIGHTS, 32.0), (day, 40.0)):
        assert sum(hours or 0 for hours in _hours(_marks(punches, "in")).values()) == total


def test_times_are_not_used_if_a_machine_nearby_sends_outs() -> None:
    assert _hours(_marks("2 20:00 in, 3 08:00 in, 3 17:00 out")) == {2: None, 3: 9.0}


def test_a_shift_longer_than_possible_has_no_hours_and_is_reported() -> None:
    row = _rows(_marks("2 06:00, 2 22:01"))[2]
    assert (row["worked_hours"], row["present_hours"], row["missing_punch"]) == (None, None, True)
    assert row["first_in"] and row["last_out"]
    away = _rows(_marks("2 05:00, 2 06:00, 2 22:30, 2 23:30"))[2]
    assert (away["worked_hours"], away["present_hours"], away["missing_punch"]) == (18.5, 2.0, False)


@pytest.mark.parametrize(
    ("punches", "day"),
    [
        ("2 06:00, 2 22:00, 3 06:00", 2),  # a night worker who forgot to punch on the evening of the 1st
        ("2 06:00 out, 2 22:00 in, 3 06:00 out", 2),
        ("2 09:00, 3 00:30, 3 09:00, 3 18:00", 3),  # a day worker who stayed until 00:30
    ],
)
def test_a_day_of_work_and_rest_has_no_hours_if_ins_and_outs_do_not_alternate(punches: str, day: int) -> None:
    row = _rows(_marks(punches))[day]
    assert (row["worked_hours"], row["present_hours"], row["missing_punch"]) == (None, None, True)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 7.0), ("2026-10-24", 9.0)])
def test_the_night_of_a_clock_change_has_the_hours_that_passed(day: str, hours: float) -> None:
    zone = ZoneInfo("Europe/Berlin")
    check_in = datetime.fromisoformat(f"{day}T22:00").replace(tzinfo=zone)
    check_out = (check_in + timedelta(days=1)).replace(hour=6)
    marks = [
        (Mark(int(at.timestamp()), 0, "A", None), site("Europe/Berlin", 0)) for at in (check_in, check_out)
    ]
    assert list(_hours(marks).values()) == [hours]


def test_a_missing_out_without_a_direction_is_reported_only_after_the_night() -> None:
    ((check_in, place),) = _marks("2 22:00")
    day = datetime.fromtimestamp(check_in.at, place.zone).date()
    row = summary(day, [(check_in, place)], Rules(), check_in.at + 12 * 3_600)
    assert (row["day_over"], row["missing_punch"]) == (True, False)
    assert summary(day, [(check_in, place)], Rules(), check_in.at + 13 * 3_600)["missing_punch"] is True


PUNCHES = st.lists(
    st.tuples(st.integers(0, 6 * 1_440), st.sampled_from([None, "in", "out"])), max_size=20
).map(
    lambda found: [
        (Mark(1_793_600_000 + minute * 60, 0, "A", direction), site("UTC", 0)) for minute, direction in found
    ]
)


@given(PUNCHES, st.randoms())
def test_no_punch_counts_twice_whatever_the_order_of_arrival(marks: list[Any], random: Any) -> None:
    days = by_day(marks, Rules())
    assert sorted(at for found in days.values() for (at, *_), _ in found) == sorted(
        mark.at for mark, _ in marks
    )
    shuffled = random.sample(marks, len(marks))
    assert _rows(shuffled) == _rows(marks)


@given(PUNCHES)
def test_hours_are_never_negative_and_no_stretch_is_longer_than_a_shift(marks: list[Any]) -> None:
    for day, found in by_day(marks, Rules()).items():
        row = summary(day, found, Rules(), LATER)
        present = row["present_seconds"]
        if row["worked_seconds"] is None:
            assert present is None
            continue
        assert row["worked_seconds"] > 0 and (present is None or 0 <= present <= row["worked_seconds"])
        if len(found) == 2:
            assert row["worked_seconds"] <= Rules().longest_shift


@given(st.lists(st.integers(0, 6 * 1_440), max_size=20, unique=True))
def test_a_punch_sent_twice_changes_no_hours(minutes: list[int]) -> None:
    minutes.sort()
    minutes = minutes[:1] + [later for earlier, later in pairwise(minutes) if later - earlier > 3]
    once = [(Mark(1_793_600_000 + at * 60, 0, "A", None), site("UTC", 0)) for at in minutes]
    again = [(mark._replace(device_id="B"), place) for mark, place in once]
    assert _hours(once + again) == _hours(once)


@given(PUNCHES)
@example(_marks("2 06:00 in, 6 08:00 in, 6 08:00 out", zone="UTC"))
def test_a_day_needs_no_punches_further_away_than_those_that_are_read(marks: list[Any]) -> None:
    whole = by_day(marks, Rules())
    for day, found in whole.items():
        begin, end = window(day, day, UTC, Rules())
        read = [pair for pair in marks if begin - READ_BEFORE <= pair[0].at < end + READ_AFTER]
        assert by_day(read, Rules())[day] == found


@pytest.mark.parametrize("direction", [None, "in"])
def test_a_stray_out_in_a_week_of_nights_pays_nobody_for_the_rest_between_two_shifts(
    direction: str | None,
) -> None:
    nights = [f"{day} 22:00, {day + 1} 06:05" for day in range(1, 7)]
    nights[3] = "4 22:00, 5 06:05 out"
    rows = _rows(_marks(", ".join(nights), direction))
    assert all(hours is None or hours < 13 for hours in (row["worked_hours"] for row in rows.values()))
    assert all(row["missing_punch"] for row in rows.values() if row["worked_hours"] is None)
    assert rows[4]["worked_hours"] is None or rows[4]["worked_hours"] == 8.08


@pytest.mark.parametrize(
    ("punches", "hours"),
    [
        ("2 06:00 in, 2 21:30 out", 15.5),  # both say so
        ("2 06:00, 2 21:30", None),
        ("2 06:00 in, 2 21:30 in", None),
        ("2 06:00 in, 2 18:30 in", 12.5),
        ("2 06:00 in, 2 12:00 in, 2 21:30 in", 15.5),  # no part of it is as long as a rest
    ],
)
def test_more_than_13_hours_are_only_work_from_an_in_to_an_out(punches: str, hours: float | None) -> None:
    row = _rows(_marks(punches))[2]
    assert row["worked_hours"] == hours and row["missing_punch"] is (hours is None)
