"""The attendance pages without a browser: which day they open on, and where they lead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.attendance.tools import a_user, punch
from tests.console.tools import Client
from tests.harness import API_KEY, Device
from tests.stage import Stage

# At any time one of them is on another day than UTC is.
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


@pytest.fixture(scope="module")
def client(stage: Stage) -> Client:
    made = Client(stage.relay)
    made.sign_in(API_KEY)
    return made


def _device_in(stage: Stage, zone: timezone) -> Device:
    """One that nobody told its zone, with a punch of now."""
    device = stage.relay.device()
    punch(device, a_user(), datetime.now(zone).replace(microsecond=0))
    return device


def test_it_opens_on_the_day_that_the_punches_own_clock_shows(stage: Stage, client: Client) -> None:
    east, west = _device_in(stage, EAST), _device_in(stage, WEST)
    for query, zone in ((f"device_id={east.id}", EAST), (f"device_id={west.id}", WEST), ("", EAST)):
        days = [f"{datetime.now(zone):%Y-%m-%d}"]
        path = client.get(f"/console/attendance?{query}").headers["location"]
        days.append(f"{datetime.now(zone):%Y-%m-%d}")  # midnight may have passed
        assert path.rpartition("date=")[2] in days, query
        assert query in path
        assert "Nobody punched" not in client.get(path).text
    assert (
        client.get("/console/attendance/people/x%3Fy")
        .headers["location"]
        .startswith(f"/console/attendance/people/x%3Fy?month={days[0][:7]}")
    )


def test_a_site_that_sent_nothing_is_on_the_day_of_its_zone(stage: Stage, client: Client) -> None:
    device = stage.relay.device(timezone="Etc/GMT+12")
    before = f"{datetime.now(WEST):%Y-%m-%d}"
    path = client.get(f"/console/attendance?device_id={device.id}").headers["location"]
    assert path.rpartition("date=")[2] in (before, f"{datetime.now(WEST):%Y-%m-%d}")


def test_an_empty_day_leads_to_the_latest_with_punches(stage: Stage, client: Client) -> None:
    device = stage.relay.device()
    nothing = client.get(f"/console/attendance?date=2026-01-01&device_id={device.id}").text
    assert "Nobody punched" in nothing and "The latest day" not in nothing
    day = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    punch(device, a_user(), day)
    punch(device, a_user(), day - timedelta(days=2))  # came late
    page = client.get(f"/console/attendance?date=2026-01-01&device_id={device.id}").text
    assert f'href="?date={day:%Y-%m-%d}&amp;device_id={device.id}">The latest day' in page
    assert 'rel="prev">Previous day' in page and "date=2025-12-31" in page and "date=2026-01-02" in page
    assert stage.relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    page = client.get(f"/console/attendance?date=2026-01-01&device_id={device.id}").text
    assert "Nobody punched" in page and "The latest day" not in page
