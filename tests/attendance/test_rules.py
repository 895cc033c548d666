"""What a day is made of, rule by rule (docs/attendance.md)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.attendance import Mark, Rules, day_of, site, summary, window

KOLKATA = "Asia/Kolkata"
DAY = date(2026, 11, 24)
LATER = 2_000_000_000.0


def mark(clock: str, direction: str | None = None, device: str = "A", zone: str = KOLKATA) -> Any:
    """A punch at a time of the day, or `25 02:00` of another one."""
    day, _, hour = clock.rpartition(" ")
    at = datetime.fromisoformat(f"2026-11-{day or '24'}T{hour}").replace(tzinfo=ZoneInfo(zone))
    offset = at.utcoffset()
    assert offset is not None
    seconds = int(offset.total_seconds())
    return Mark(int(at.timestamp()), seconds, device, direction), site(zone, seconds)


def row(*marks: Any, rules: Rules | None = None, now: float = LATER) -> dict[str, Any]:
    return summary(DAY, marks, rules or Rules(), now)


def test_first_and_last_go_by_time_whatever_the_machine_called_them() -> None:
    found = row(mark("18:00", "in"), mark("13:00"), mark("09:00", "out", "B"))
    assert (found["first_in"], found["first_in_device_id"]) == ("2026-11-24T09:00:00+05:30", "B")
    assert (found["last_out"], found["last_out_device_id"]) == ("2026-11-24T18:00:00+05:30", "A")
    assert (found["worked_seconds"], found["worked_hours"], found["punch_count"]) == (32_400, 9.0, 3)
    assert found["missing_punch"] is False


def test_direction_decides_between_punches_of_one_second() -> None:
    found = row(
        mark("09:00", "out", "B"),
        mark("09:00", "in", "A"),
        mark("18:00", "in", "A"),
        mark("18:00", "out", "B"),
    )
    assert (found["first_in_device_id"], found["last_out_device_id"]) == ("A", "B")


@pytest.mark.parametrize("direction", ["in", None])
def test_a_lone_punch_is_a_coming(direction: str | None) -> None:
    found = row(mark("09:00", direction))
    assert found["first_in"] and not found["last_out"] and found["worked_seconds"] is None


def test_a_lone_out_is_a_going() -> None:
    found = row(mark("18:00", "out"))
    assert found["last_out"] and not found["first_in"] and found["is_late"] is None


def test_a_finger_put_down_twice_is_one_punch() -> None:
    assert row(mark("09:00:00"), mark("09:00:59"))["last_out"] is None
    assert row(mark("09:00:00"), mark("09:01:00"))["last_out"] is not None


def test_a_punch_is_missing_only_once_the_day_is_over() -> None:
    _, end = window(DAY, DAY, ZoneInfo(KOLKATA), Rules())
    assert row(mark("09:00"), now=end - 1)["missing_punch"] is False
    found = row(mark("09:00"), now=end)
    assert (found["missing_punch"], found["day_over"]) == (True, True)


@pytest.mark.parametrize(
    ("clock", "late"), [("09:15:00", 0), ("09:15:01", 1), ("10:00:00", 2_700), ("05:00:00", 0)]
)
def test_late_is_after_the_time_that_is_set(clock: str, late: int) -> None:
    found = row(mark(clock), rules=Rules(240, 9 * 60 + 15))
    assert (found["is_late"], found["late_seconds"]) == (late > 0, late)


def test_nobody_is_late_where_no_time_is_set() -> None:
    assert row(mark("23:00"))["is_late"] is None


def test_a_night_shift_may_be_late_past_midnight() -> None:
    rules = Rules(12 * 60, 30)  # days from noon to noon, late after half past midnight
    assert row(mark("25 00:20"), rules=rules)["late_seconds"] == 0
    assert row(mark("25 00:40"), rules=rules)["late_seconds"] == 600
    assert row(mark("23:00"), rules=rules)["late_seconds"] == 0


def test_a_day_starts_at_its_hour_by_the_sites_clock() -> None:
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


def test_a_device_without_a_zone_is_taken_at_its_punches_offset() -> None:
    assert site("UTC", 19_800).name == site(None, 19_800).name == "+05:30"
    assert site("UTC", 0).name == "UTC"
    assert site(KOLKATA, 0).name == KOLKATA
