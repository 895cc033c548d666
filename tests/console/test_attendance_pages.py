"""The attendance pages, without a browser: the day that they open with, and their links."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.attendance.tools import a_user, punch
from tests.console.tools import Client
from tests.harness import API_KEY, Device
from tests.stage import Stage

# At any time, one of them has a different date than UTC.
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


@pytest.fixture(scope="module")
def client(stage: Stage) -> Client:
    made = Client(stage.relay)
    made.sign_in(API_KEY)
    return made


def _device_in(stage: Stage, zone: timezone) -> Device:
    """Return a device without a time zone, with a punch made now."""
    device = stage.relay.device()
    punch(device, a_user(), datetime.now(zone).replace(microsecond=0))
    return device


def test_it_opens_with_today_at_the_site_of_the_punches(stage: Stage, client: Client) -> None:
    east, west = _device_in(stage, EAST), _device_in(stage, WEST)
    for query, zone in ((f"device_id={east.id}", EAST), (f"device_id={west.id}", WEST), ("", EAST)):
        days = [f"{datetime.now(zone):%Y-%m-%d}"]
        path = client.get(f"/console/attendance?{query}").headers["location"]
        days.append(f"{datetime.now(zone):%Y-%m-%d}")  # midnight may have passed
        assert path.rpartition("date=")[2] in days, query
        assert query in path
        assert "No punches" not in client.get(path).text
    assert (
        client.get("/console/attendance/people/x%3Fy")
        .headers["location"]
        .startswith(f"/console/attendance/people/x%3Fy?month={days[0][:7]}")
    )


def test_a_site_without_punches_uses_today_in_its_time_zone(stage: Stage, client: Client) -> None:
    device = stage.relay.device(timezone="Etc/GMT+12")
    before = f"{datetime.now(WEST):%Y-%m-%d}"
    path = client.get(f"/console/attendance?device_id={device.id}").headers["location"]
    assert path.rpartition("date=")[2] in (before, f"{datetime.now(WEST):%Y-%m-%d}")


def test_a_user_id_of_several_people_links_to_the_month_of_each(stage: Stage, client: Client) -> None:
    user, now = a_user(), datetime.now(UTC).replace(microsecond=0)
    devices = [stage.relay.device(timezone="UTC") for _ in range(3)]
    for device in devices:
        punch(device, user, now)
    people = [
        {"user_id": user, "employee_id": f"E&{number}", "name": f"Name {number}", "device_id": device.id}
        for number, device in enumerate(devices[:2])
    ]
    stage.relay.call("POST", "/v1/employees", json={"employees": people}).raise_for_status()
    page = client.get(f"/console/attendance/people/{user}?month={now:%Y-%m}").text
    links = re.findall(r'href="\?([^"]*)">([^<]*)', page.partition("several people")[2])
    assert len(links) == 3
    for number in range(2):
        query = html.unescape({html.unescape(who): link for link, who in links}[f"E&{number}"])
        month = client.get(f"/console/attendance/people/{user}?{query}").text
        assert f"Name {number}" in month and f"Name {1 - number}" not in month
        assert f"csv?month={now:%Y-%m}&amp;employee_id=E%26{number}" in month
    query = html.unescape({who: link for link, who in links}[devices[2].id])
    assert "Name" not in client.get(f"/console/attendance/people/{user}?{query}").text.partition("<main")[2]
    day = client.get(f"/console/attendance?date={now:%Y-%m-%d}&device_id={devices[0].id}").text
    assert f"month={now:%Y-%m}&amp;employee_id=E%260" in day


def test_an_empty_day_links_to_the_latest_day_with_punches(stage: Stage, client: Client) -> None:
    device = stage.relay.device()
    nothing = client.get(f"/console/attendance?date=2026-01-01&device_id={device.id}").text
    assert "No punches" in nothing and "latest day with punches" not in nothing
    day = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    punch(device, a_user(), day)
    punch(device, a_user(), day - timedelta(days=2))  # came late
    page = client.get(f"/console/attendance?date=2026-01-01&device_id={device.id}").text
    assert f'href="?date={day:%Y-%m-%d}&amp;device_id={device.id}">Go to the latest day with punches' in page
    assert 'rel="prev">Previous day' in page and "date=2025-12-31" in page and "date=2026-01-02" in page
    assert stage.relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
    page = client.get(f"/console/attendance?date=2026-01-01&device_id={device.id}").text
    assert "No punches" in page and "Latest day" not in page


def test_a_page_with_simulated_punches_says_that_files_leave_them_out(stage: Stage, client: Client) -> None:
    simulated = stage.relay.device(simulated=True, timezone="UTC")
    user, now = a_user(), datetime.now(UTC).replace(microsecond=0)
    punch(simulated, user, now)
    note = "CSV and Excel files don&#39;t contain simulated devices."
    for path in (
        f"/console/attendance?date={now:%Y-%m-%d}&user_id={user}",
        f"/console/attendance/people/{user}?month={now:%Y-%m}",
    ):
        page = client.get(path).text
        assert note in page
        links = [html.unescape(link) for link in re.findall(r'href="([^"]*simulated=true)"', page)]
        assert links
        for link in links:
            assert client.session.get(client.url + link, timeout=20).status_code == 200
        assert user in client.session.get(client.url + links[0], timeout=20).content.decode()
        assert note not in client.get(f"{path}&device_id={simulated.id}").text
    real = a_user()
    punch(stage.relay.device(timezone="UTC"), real, now)
    assert note not in client.get(f"/console/attendance/people/{real}?month={now:%Y-%m}").text
