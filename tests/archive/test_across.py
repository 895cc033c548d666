"""Events and attendance are read across the store and the archive, without a seam.

The clock is set with Debian's faketime, so the store removes what is older than the retention period by itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.settings.archive import FILE
from app.settings.table import load
from app.store import Store
from app.store.server.connection import make_client
from tests.faults.test_clock import Clocks
from tests.harness import Device, Relay, wait_for

DAYS = 400
NAME = "Planted-in-archive"


@pytest.fixture(params=["sqlite", "postgresql"])
def clocks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Clocks]:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        pytest.skip("faketime is not installed: run scripts/install-faketime")
    relay = Relay(
        tmp_path, WEB_CONCURRENCY="1", RELAY_SECRET_KEY="made-up-secret-key-for-tests-only-0123456789"
    )
    if request.param == "postgresql":
        relay.environment["DATABASE_URL"] = request.getfixturevalue("postgres_database")
    made = Clocks(relay, found)
    made.set(f"-{DAYS}d", "store", "web", "worker")
    yield made
    relay.stop()


def all_events(relay: Relay, **query: str) -> list[dict[str, str]]:
    """Return all events of all pages, newest first, or as `order` says."""
    found: list[dict[str, str]] = []
    cursor = None
    while True:
        page = relay.get("/v1/events", params={**query, "cursor": cursor, "limit": 3})
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def work_day(device: Device, user: str, day: datetime, hours: int) -> None:
    for hour, kind in ((9, "CheckIn"), (9 + hours, "CheckOut")):
        device.send_done(device.punch(user, day.replace(hour=hour), Type=kind))


def begin_again_today(clocks: Clocks, device: Device) -> None:
    """Set the clock to the present, and wait until the store has removed everything old."""
    relay = clocks.relay
    relay.terminate("worker")
    clocks.set("+0", "store", "web", "worker")
    client = make_client(load(relay.environment))
    wait_for(lambda: abs(datetime.now(UTC).timestamp() - client.time()[0]) < 86_400, 60)
    wait_for(lambda: sent_now(relay, device), 60, every=0.5)
    clocks.start("worker")
    oldest = (datetime.now(UTC) - timedelta(days=30)).timestamp() * 1000

    def is_trimmed() -> bool:
        firsts = [client.xrange(name, count=1) for name in client.keys("{s*}:events")]
        return all(int(rows[0][0].partition(b"-")[0]) > oldest for rows in firsts if rows)

    wait_for(is_trimmed, 120)


def sent_now(relay: Relay, device: Device) -> bool:
    device.send_done(device.punch("99"))
    newest = relay.events(user_id="99")[-1]["received_at"]
    return datetime.now(UTC) - datetime.fromisoformat(newest) < timedelta(days=1)


def test_a_month_of_last_year_is_shown_exported_and_erased(clocks: Clocks) -> None:
    relay = clocks.relay
    clocks.start("store", "web", "worker")
    device = relay.device(timezone="UTC")
    then = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    day = then - timedelta(days=1)
    device.send_done(device.envelope(UserUpdated={"UserID": "7", "FirstName": NAME}))
    work_day(device, "7", day, 8)
    work_day(device, "8", day, 6)
    before = all_events(relay)
    assert len({event["id"] for event in before}) == len(before) >= 5
    kept = Store(load(relay.environment))
    opened = kept.past.opened()
    assert opened is not None
    wait_for(lambda: opened[0].positions(opened[1]))
    begin_again_today(clocks, device)

    # Everything is still there, once, in the same order, whichever way it is read.
    ids = [event["id"] for event in before]
    assert [event["id"] for event in all_events(relay) if event["id"] in ids] == ids
    for query in (
        {"device_id": device.id, "type": "attendance.*"},
        {"user_id": "7"},
        {"user_id": "7,8", "type": "attendance.punch", "device_id": device.id},
        {"until": f"{then + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"},
    ):
        expected = [
            event["id"]
            for event in before
            if event["type"].startswith(query.get("type", "").rstrip("*"))
            and (event.get("user_id") or "") in query.get("user_id", event.get("user_id") or "").split(",")
        ]
        assert [event["id"] for event in all_events(relay, **query) if event["id"] in ids] == expected, query
    for query in ({}, {"user_id": "7,8"}, {"device_id": device.id, "type": "attendance.*,user.*"}):
        upwards = [event["id"] for event in all_events(relay, order="asc", **query)]
        assert upwards == [event["id"] for event in all_events(relay, **query)][::-1], query
        for number, event_id in enumerate(upwards, 1):
            after = all_events(relay, order="asc", after=event_id, **query)
            assert [event["id"] for event in after] == upwards[number:], query
    old = next(event for event in before if event["type"] == "user.updated")
    assert relay.get(f"/v1/events/{old['id']}")["first_name"] == NAME
    rows = list(csv.DictReader(io.StringIO(relay.call("GET", "/v1/events.csv").text.lstrip("\ufeff"))))
    assert {event["id"] for event in before} <= {row["id"] for row in rows}

    # So is attendance.
    month = f"{day:%Y-%m}"
    (shown,) = relay.get("/v1/attendance/7", params={"month": month})["data"]
    assert (shown["date"], shown["present_hours"], shown["user_name"]) == (f"{day:%Y-%m-%d}", 8.0, NAME)
    listed = relay.get("/v1/attendance", params={"date": f"{day:%Y-%m-%d}"})["data"]
    assert [(row["user_id"], row["present_hours"]) for row in listed] == [("7", 8.0), ("8", 6.0)]
    wanted = {"month": month}
    assert (
        len(list(csv.DictReader(io.StringIO(relay.call("GET", "/v1/attendance.csv", params=wanted).text))))
        == 2
    )

    # An export contains it, and an erasure removes it.
    exported = kept.person_export.export("7")
    assert old["id"] in {event["id"] for event in exported["archived_events"]}
    erased = kept.person_erasure.forget("7")
    assert erased["archived events"] >= 3
    assert all_events(relay, user_id="7") == []
    assert relay.call("GET", f"/v1/events/{old['id']}").status_code == 404
    assert relay.get("/v1/attendance/7", params={"month": month})["data"] == []
    assert len(relay.get("/v1/attendance/8", params={"month": month})["data"]) == 1
    file = Path(relay.environment["RELAY_DATA_DIR"]) / FILE
    assert file.exists() == ("DATABASE_URL" not in relay.environment)
    for path in file.parent.glob(f"{FILE}*"):
        assert NAME.encode() not in path.read_bytes()
