"""The rules that turn punches into a day of attendance, one by one (docs/attendance.md)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.attendance.rules import Mark, Rules, by_day, day_of, site, summary, window

KOLKATA = "Asia/Kolkata"
DAY = date(2026, 11, 24)
LATER = 2_000_000_000.0


def mark(
    clock: str, direction: str | None = None, device: str = "A", zone: str = KOLKATA, visit: int | None = None
) -> Any:
    """Return a punch at a time such as `02:00`, or at `25 02:00` for another day."""
    day, _, hour = clock.rpartition(" ")
    at = datetime.fromisoformat(f"2026-11-{day or '24'}T{hour}").replace(tzinfo=ZoneInfo(zone))
    offset = at.utcoffset()
    assert offset is not None
    seconds = int(offset.total_seconds())
    return Mark(int(at.timestamp()), seconds, device, direction), site(zone, seconds, visit)


def row(*marks: Any, rules: Rules | None = None, now: float = LATER) -> dict[str, Any]:
    return summary(DAY, marks, rules or Rules(), now)


def test_first_in_and_last_out_are_determined_by_time_and_not_by_punch_type() -> None:
    found = row(mark("18:00", "in"), mark("13:00"), mark("09:00", "out", "B"))
    assert (found["first_in"], found["first_in_device_id"]) == ("2026-11-24T09:00:00+05:30", "B")
    assert (found["last_out"], found["last_out_device_id"]) == ("2026-11-24T18:00:00+05:30", "A")
    assert (found["worked_seconds"], found["worked_hours"], found["punch_count"]) == (32_400, 9.0, 3)
    assert found["missing_punch"] is False


def test_direction_orders_punches_in_the_same_second() -> None:
    found = row(
        mark("09:00", "out", "B"),
        mark("09:00", "in", "A"),
        mark("18:00", "in", "A"),
        mark("18:00", "out", "B"),
    )
    assert (found["first_in_device_id"], found["last_out_device_id"]) == ("A", "B")


@pytest.mark.parametrize("direction", ["in", None])
def test_a_single_punch_is_first_in(direction: str | None) -> None:
    found = row(mark("09:00", direction))
    assert found["first_in"] and not found["last_out"] and found["worked_seconds"] is None


def test_a_single_out_is_last_out() -> None:
    found = row(mark("18:00", "out"))
    assert found["last_out"] and not found["first_in"] and found["is_late"] is None


def test_two_punches_within_two_minutes_count_as_one_visit() -> None:
    assert row(mark("09:00:00"), mark("09:01:59"))["last_out"] is None
    assert row(mark("09:00:00"), mark("09:02:00"))["last_out"] is not None
    longer, none = Rules(same_visit=300), Rules(same_visit=0)
    assert row(mark("09:00:00"), mark("09:04:59"), rules=longer)["last_out"] is None
    assert row(mark("09:00:00"), mark("09:00:01"), rules=none)["last_out"] is not None


def test_a_device_can_have_its_own_time_within_which_punches_count_as_one() -> None:
    assert row(mark("09:00:00", visit=300), mark("09:04:59", visit=300))["last_out"] is None
    assert row(mark("09:00:00", visit=300), mark("09:05:00", visit=300))["last_out"] is not None
    assert row(mark("09:00:00", visit=0), mark("09:00:01", visit=0))["last_out"] is not None
    assert row(mark("09:00:00"), mark("09:01:59"), rules=Rules(same_visit=60))["last_out"] is not None


def test_the_device_of_the_later_punch_decides_whether_it_is_repeated() -> None:
    strict, patient = {"device": "A", "visit": 0}, {"device": "B", "visit": 600}
    assert row(mark("09:00:00", **strict), mark("09:05:00", **patient))["last_out"] is None
    assert row(mark("09:00:00", **patient), mark("09:05:00", **strict))["last_out"] is not None


def test_hours_present_leave_out_punches_that_their_device_repeats() -> None:
    turnstile = {"device": "T", "visit": 600}
    found = row(
        mark("09:00", "in", **turnstile),
        mark("09:05", "in", **turnstile),
        mark("13:00", "out", **turnstile),
        mark("13:04", "out", **turnstile),
        mark("14:00", "in"),
        mark("18:00", "out"),
    )
    assert found["present_hours"] == 8.0
    assert row(mark("09:00", "in"), mark("09:05", "in"), mark("18:00", "out"))["present_hours"] is None


def test_a_night_shift_ends_with_a_punch_that_its_device_does_not_repeat() -> None:
    night = [mark("24 23:58", "in", visit=0), mark("25 00:00:30", "out", visit=0)]
    assert list(by_day(night, Rules())) == [DAY]
    night = [mark("24 23:58", "in", visit=600), mark("25 00:00:30", "out", visit=600)]
    assert len(by_day(night, Rules())) == 2


def test_a_punch_is_missing_only_once_the_day_is_over() -> None:
    _, end = window(DAY, DAY, ZoneInfo(KOLKATA), Rules())
    assert row(mark("09:00"), now=end - 1)["missing_punch"] is False
    found = row(mark("09:00"), now=end)
    assert (found["missing_punch"], found["day_over"]) == (True, True)


@pytest.mark.parametrize(
    ("clock", "late"), [("09:15:00", 0), ("09:15:01", 1), ("10:00:00", 2_700), ("05:00:00", 0)]
)
def test_a_person_is_late_after_the_configured_time(clock: str, late: int) -> None:
    found = row(mark(clock), rules=Rules(240, 9 * 60 + 15))
    assert (found["is_late"], found["late_seconds"]) == (late > 0, late)


def test_nobody_is_late_without_a_configured_time() -> None:
    assert row(mark("23:00"))["is_late"] is None


def test_a_night_shift_may_be_late_past_midnight() -> None:
    rules = Rules(12 * 60, 30)  # days from noon to noon, late after half past midnight
    assert row(mark("25 00:20"), rules=rules)["late_seconds"] == 0
    assert row(mark("25 00:40"), rules=rules)["late_seconds"] == 600
    assert row(mark("23:00"), rules=rules)["late_seconds"] == 0


def test_a_day_starts_at_the_configured_hour_in_the_sites_time_zone() -> None:
    rules = Rules(240)
    for clock, expected in (("25 03:59:59", DAY), ("25 04:00:00", date(2026, 11, 25)), ("04:00", DAY)):
        found, place = mark(clock)
        assert day_of(found.at, place.zone, rules) == expected


def test_a_day_of_a_clock_change_is_23_or_25_hours_long() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25)):
        begin, end = window(day, day, berlin, Rules())
        assert end - begin == hours * 3_600
        assert day_of(begin, berlin, Rules()) == day_of(end - 1, berlin, Rules()) == day


def test_every_punch_of_a_day_lies_in_its_window_whatever_the_zone() -> None:
    for name in ("Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata", "America/St_Johns"):
        for starts in (0, 240, 1_439):
            begin, end = window(DAY, DAY, ZoneInfo(name), Rules(starts))
            least, most = window(DAY, DAY, None, Rules(starts))
            assert least <= begin < end <= most


def test_a_device_without_a_time_zone_uses_the_offset_of_its_punches() -> None:
    assert site("UTC", 19_800).name == site(None, 19_800).name == "+05:30"
    assert site("UTC", 0).name == "UTC"
    assert site(KOLKATA, 0).name == KOLKATA


@pytest.mark.parametrize(
    ("punches", "hours"),
    [
        ("09:00 in, 14:00 out, 19:00 in, 23:00 out", 9.0),
        ("09:00 in, 12:00 out, 13:00 in, 18:00 out", 8.0),
        ("09:00, 12:00, 13:00, 18:00", 8.0),
        ("09:00 in, 12:00, 13:00, 18:00 out", 8.0),
        ("09:00 in, 09:01 in, 18:00 out, 18:01 out", 9.0),
        ("09:00, 09:01, 18:00", 9.0),
        ("09:00 in, 12:00 out, 12:00:30 in, 18:00 out", 8.99),
        ("09:00 in, 13:00 in, 18:00 out", None),
        ("09:00 in, 18:00 in", None),
        ("09:00 out, 18:00 out", None),
        ("09:00 in, 12:00 out, 13:00 in", None),
        ("09:00", None),
        ("08:00 in, 12:00 in, 12:00 out, 17:30 out", 9.5),
        ("09:00 in, 09:00 out, 18:00 in, 18:00 out", 9.0),
        ("09:00 in, 09:00 out, 12:00 in, 12:00 out, 18:00 in, 18:00 out", None),
        ("09:00 in, 09:00 out", None),
    ],
)
def test_present_hours_exclude_the_time_between_an_out_and_the_next_in(
    punches: str, hours: float | None
) -> None:
    found = row(*(mark(*punch.split()) for punch in punches.split(", ")))
    assert found["present_hours"] == hours


def _days(*punches: str, rules: Rules | None = None) -> dict[int, list[str]]:
    """Return the days of November with the times of their punches. A punch is given as `23 18:30 in`."""
    marks = [mark(" ".join(punch.split()[:2]), *punch.split()[2:]) for punch in punches]
    found = by_day(marks, rules or Rules())
    return {
        day.day: [datetime.fromtimestamp(one.at, place.zone).strftime("%d %H:%M") for one, place in pairs]
        for day, pairs in found.items()
    }


def test_a_night_shift_belongs_to_the_day_on_which_it_began() -> None:
    night = ("22 18:30 in", "23 07:10 out", "23 18:30 in", "24 07:10 out", "24 07:11 out")
    assert _days(*night) == {22: ["22 18:30", "23 07:10"], 23: ["23 18:30", "24 07:10", "24 07:11"]}


def test_a_device_that_sends_each_punch_as_in_and_out_gives_one_punch() -> None:
    pairs = [mark(clock, direction) for clock in ("09:00", "18:00") for direction in ("in", "out")]
    found = row(*pairs)
    assert (found["worked_hours"], found["present_hours"], found["missing_punch"]) == (9.0, 9.0, False)


@pytest.mark.parametrize("check_in", ["06:00", "06:01"])
def test_a_night_shift_followed_by_another_shift_is_split_between_days(check_in: str) -> None:
    punches = ("22 22:00 in", "23 06:00 out", f"23 {check_in} in", "23 14:00 out")
    assert _days(*punches) == {22: ["22 22:00", "23 06:00"], 23: [f"23 {check_in}", "23 14:00"]}


@pytest.mark.parametrize(
    "punches",
    [
        ("22 22:00 in", "23 06:00 out", "23 06:01", "23 14:00 out"),
        ("22 09:00 in", "23 09:00 in", "23 18:00 out"),
        ("22 09:00 in", "22 18:00 out", "23 00:30 out"),
        ("22 09:00 in", "23 08:00 out"),
        ("22 18:30", "23 07:31"),
        ("21 18:30 in", "23 07:10 out"),
    ],
    ids=[
        "a punch of any direction",
        "forgotten out",
        "it had ended",
        "too long",
        "too long without directions",
        "a day between",
    ],
)
def test_only_the_end_of_a_night_shift_belongs_to_the_day_before(punches: tuple[str, ...]) -> None:
    assert _days(*punches) == {
        day: [punch[:8] for punch in punches if punch.startswith(str(day))]
        for day in {int(punch[:2]) for punch in punches}
    }


def test_no_day_ends_on_the_next_day_if_night_shifts_are_turned_off() -> None:
    assert set(_days("22 18:30 in", "23 07:10 out", rules=Rules(longest_shift=0))) == {22, 23}


def test_no_punch_is_missing_while_the_shift_can_continue() -> None:
    check_in, place = mark("18:30", "in")
    ends = check_in.at + Rules().longest_shift
    assert row((check_in, place), now=ends - 1)["missing_punch"] is False
    found = row((check_in, place), now=ends)
    assert (found["missing_punch"], found["day_ends"]) == (True, ends)
