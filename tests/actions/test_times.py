"""Times are sent in the device's time zone, whatever their offset in the request."""

from __future__ import annotations

import pytest

from simulator.records import User
from tests.actions.tools import Maker, problem

PERIODS = [
    ("Asia/Kolkata", "2026-11-01T00:00:00", "2026-11-01 00:00:00 GMT +0530"),
    ("Asia/Kolkata", "2026-11-01T00:00:00Z", "2026-11-01 05:30:00 GMT +0530"),
    ("Asia/Kolkata", "2026-11-01T00:00:00.999Z", "2026-11-01 05:30:00 GMT +0530"),
    ("Asia/Kolkata", "2026-11-01 07:00:00-03:00", "2026-11-01 15:30:00 GMT +0530"),
    ("Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01 12:00:00 GMT +0200"),
    ("Europe/Berlin", "2026-01-01T12:00", "2026-01-01 12:00:00 GMT +0100"),
    ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25 02:30:00 GMT +0200"),
    ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25 02:30:00 GMT +0100"),
    ("America/St_Johns", "2026-07-01T12:00:00Z", "2026-07-01 09:30:00 GMT -0230"),
    ("Asia/Kathmandu", "2026-07-01T12:00:00", "2026-07-01 12:00:00 GMT +0545"),
    ("UTC", "2026-07-01T12:00:00+14:00", "2026-06-30 22:00:00 GMT +0000"),
]


@pytest.mark.parametrize(("zone", "given", "sent"), PERIODS)
def test_a_period_is_sent_in_the_devices_time_zone(zone: str, given: str, sent: str, make: Maker) -> None:
    one = make(timezone=zone)
    for action, verb in (("load-log", "Load"), ("resend-attendance", "Resend")):
        one.done(action, start_time=given, end_time=given)
        assert one.bodies[-1][verb]["PunchLog"]["Filter"] == {"StartTime": sent, "EndTime": sent}


@pytest.mark.parametrize(("zone", "given", "sent"), PERIODS)
def test_access_times_are_sent_in_the_devices_local_time_without_offset(
    zone: str, given: str, sent: str, make: Maker
) -> None:
    one = make(timezone=zone)
    one.device.users["5"] = User("5")
    one.done("update-access-time", user_id="5", start=given, end="2099-12-31T23:59:59")
    assert one.bodies[-1]["Update"]["AccessTime"] == {
        "UserID": "5",
        "Start": sent[:19],
        "End": "2099-12-31 23:59:59",
    }


def test_a_device_without_a_time_zone_uses_utc(make: Maker) -> None:
    one = make()
    one.done("load-log", start_time="2026-11-01T00:00:00", end_time="2026-11-01T01:00:00+01:00")
    assert one.bodies[0]["Load"]["PunchLog"]["Filter"]["StartTime"] == "2026-11-01 00:00:00 GMT +0000"
    assert one.bodies[0]["Load"]["PunchLog"]["Filter"]["EndTime"] == "2026-11-01 00:00:00 GMT +0000"


def test_start_and_end_are_compared_as_instants(make: Maker) -> None:
    one = make(timezone="Europe/Berlin")
    one.done("load-log", start_time="2026-11-01T10:00:00+05:30", end_time="2026-11-01T06:00:00")
    answer = one.act("load-log", start_time="2026-11-01T10:00:00", end_time="2026-11-01T10:30:00+05:30")
    problem(answer, 422, "end_time")
    assert len(one.bodies) == 1
