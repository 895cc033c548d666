"""Stored personal data is listed, shown and erased. Data older than the retention period is removed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings.table import load
from app.store import Store
from app.store.commands import records as commands
from app.store.events.query import Query
from app.store.privacy.stored_data import RETENTION, STORED_DATA, pattern
from app.store.server import keys
from tests.command_line import cli
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import events, stored_values
from workers.rq import removal
from workers.rq.removal import remove_older

PERSON, OTHER = "70001", "70002"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, Device, Device, Receiver]]:
    """A relay with traces of two people everywhere, on two devices."""
    relay = Relay(tmp_path_factory.mktemp("people"), RELAY_RETRY_SCHEDULE="0.3").start()
    good, bad, worse = Receiver(), Receiver(), Receiver()
    bad.answer = lambda got: (500 if PERSON.encode() in got.body else 200, {}, b"")
    worse.answer = lambda _: (500, {}, b"")
    try:
        first, second = relay.device(), relay.device(gateway_url="http://127.0.0.1:9/api")
        relay.subscribe(good)
        relay.subscribe(bad)
        relay.subscribe(worse, batch_max=50, batch_wait_ms=300)
        for device in (first, second):
            for user in (PERSON, OTHER):
                _leave_traces(device, user)
        body = {"device_id": second.id, "user_id": PERSON, "first_name": "Asha"}
        relay.call("POST", "/v1/actions/add-user", json=body, headers={"Prefer": "wait=10"})
        wait_for(
            lambda: all(
                one["retrying"] + one["pending"] == 0 for one in relay.get("/v1/subscriptions")["data"]
            )
        )
        yield relay, first, second, good
    finally:
        relay.stop()
        good.close()
        bad.close()
        worse.close()


def _leave_traces(device: Device, user: str) -> None:
    templates = [{"Type": "Face", "UserID": user, "Index": "0", "Size": "4", "Data": "ZmFjZQ=="}]
    updated = {"UserID": user, "FirstName": f"Name{user}", "Template": templates}
    device.send_done(device.envelope(UserUpdated=updated))
    device.send_done(device.punch(user))
    photo = {"UserID": user, "LogPhoto": "/9j/AAAA", "LogTime": "2026-11-24 09:00:00 GMT +0530"}
    device.send_done(device.envelope(Log=photo))
    device.send_done(device.envelope(NewThing={"UserID": f" {user} "}))


def _traces(relay: Relay, of: str) -> list[str]:
    """Return the keys whose names or values contain a user ID or name."""
    found = [name for name, value in stored_values(relay).items() if of in name or of.encode() in value]
    return [name for name in found if name != keys.AUDIT]


def test_every_kind_of_key_is_classified_as_personal_or_not() -> None:
    drawn = f"{keys.__doc__}{commands.__doc__}"
    layout = set(re.findall(r"^(\{[sg]0?\}:\S+)", drawn, re.MULTILINE))
    assert layout == {data.key for data in STORED_DATA}


def test_every_key_in_the_store_is_of_a_listed_kind(
    lived: tuple[Relay, Device, Device, Receiver],
) -> None:
    patterns = [pattern(data) for data in STORED_DATA]
    names = [name for name in stored_values(lived[0]) if name.startswith("{")]
    assert len(names) > 30
    assert [name for name in names if not any(one.fullmatch(name) for one in patterns)] == []


def test_only_keys_classified_as_personal_contain_personal_data(
    lived: tuple[Relay, Device, Device, Receiver],
) -> None:
    patterns = [pattern(data) for data in STORED_DATA if data.of == "person"]
    for trace in _traces(lived[0], PERSON):
        assert any(one.fullmatch(trace) for one in patterns), trace


def test_stored_data_about_a_person_is_shown(lived: tuple[Relay, Device, Device, Receiver]) -> None:
    relay, first, _, _ = lived
    found = json.loads(cli(relay, "export", "--user", PERSON))
    assert len(found["users"]) == 2 and len(found["commands"]) == 1
    kinds = [event["type"] for event in found["events"]]
    assert kinds.count("attendance.punch") == 2 and kinds.count("callback.unrecognised") == 2
    assert kinds.count("attendance.photo") == 2 and len(found["remembered_punches"]) == 2
    assert "ZmFjZQ==" not in json.dumps(found) and OTHER not in json.dumps(found)
    with_data = json.loads(cli(relay, "export", "--user", PERSON, "--device", first.id, "--templates"))
    assert with_data["users"][0]["credentials"][0]["data"] == "ZmFjZQ=="
    assert [event["photo_data"] for event in with_data["events"] if "photo_data" in event] == ["/9j/AAAA"]


def test_a_person_is_erased_on_one_device_then_everywhere(
    lived: tuple[Relay, Device, Device, Receiver],
) -> None:
    relay, first, second, good = lived
    of_other = len(events(first, user_id=OTHER)) + len(events(second, user_id=OTHER))
    output = cli(relay, "forget", "--user", PERSON, "--device", first.id, "--yes")
    assert "1 profiles" in output and "1 credentials" in output and "1 photos" in output, output
    assert "1 unrecognised bodies" in output and "1 remembered punches" in output, output
    assert "5 events" in output and "4 dead letters" in output and "5 places in batches" in output, output
    assert events(first, user_id=PERSON) == [] and len(events(second, user_id=PERSON)) == 5
    output = cli(relay, "forget", "--user", PERSON, "--yes")
    assert "1 commands" in output and "6 events" in output, output
    assert _traces(relay, PERSON) == [] and _traces(relay, f"Name{PERSON}") == []
    assert len(events(first, user_id=OTHER)) + len(events(second, user_id=OTHER)) == of_other
    assert _traces(relay, OTHER)
    assert "There is no data about this user" in cli(relay, "forget", "--user", PERSON, "--yes")
    done = [row["action"] for row in relay.get("/v1/audit")["data"]]
    assert done.count("user.forgotten") == 3 and done.count("user.exported") == 2
    assert '"user.forgotten"' in cli(relay, "audit")
    # The commands in the append-only file don't contain them either.
    folder = Path(relay.environment["RELAY_DATA_DIR"]) / "store" / "appendonlydir"

    def gone() -> bool:
        files = list(folder.glob("*.aof"))
        return bool(files) and not any(f"Name{PERSON}".encode() in path.read_bytes() for path in files)

    wait_for(gone)
    # The relay still works.
    first.send_done(first.punch(PERSON))
    wait_for(
        lambda: (
            [event for event in good.events() if event.get("user_id") == PERSON][-1].get("user_name", "")
            is None
        )
    )
    cli(relay, "forget", "--user", PERSON, "--yes")


def test_data_older_than_the_retention_period_is_removed(
    lived: tuple[Relay, Device, Device, Receiver],
) -> None:
    relay, first, _, _ = lived
    store = Store(load({**relay.environment, "RELAY_ARCHIVE_DAYS": "0"}))
    expiring = [
        one for one in STORED_DATA if one.key in ("{s0}:blob:ID", "{s0}:command:C", "{s0}:seen:D:DIGEST")
    ]
    assert expiring[1].how_long == RETENTION
    held = [name for name in stored_values(relay) if any(pattern(one).fullmatch(name) for one in expiring)]
    assert len(held) > 5
    assert all(0 < store.connection.redis.ttl(name) <= 45 * 86_400 for name in held)
    before = int(time.time() * 1000) + 1
    time.sleep(0.01)
    first.send_done(first.punch("1"))  # otherwise, the clock seems to have jumped
    wait_for(lambda: len(events(first)) and events(first)[-1]["user_id"] == "1")
    remove_older(store, before)
    # The events that the relay created from that punch may have arrived: its user is unknown, the day has changed.
    assert {event["user_id"] for event in store.events.all(Query())} == {"1"}
    allowed = {"punches", "user", "users", "blob", "command"}
    traces = [name for name in _traces(relay, OTHER) if name != "{s0}:attendance:changed"]
    # The attendance index expires by itself, like photos.
    index = [name for name in traces if ":attendance:" in name]
    for name in index:
        (retention,) = [one.how_long for one in STORED_DATA if pattern(one).fullmatch(name)]
        longest = 30 + 7 * ("plus a week" in retention)
        assert 0 < store.connection.redis.ttl(name) <= longest * 86_400, f"{name}: {retention}"
    left = {name.split(":")[1] for name in traces if name not in index}
    assert left <= allowed, left
    assert all(one["dead"] <= 1 for one in relay.get("/v1/subscriptions")["data"])


def test_after_a_clock_jump_nothing_is_removed_for_a_day_but_idle_shards_are_maintained(
    tmp_path: Path,
) -> None:
    with Relay(tmp_path, RELAY_SHARDS="2", RELAY_ARCHIVE_DAYS="0") as relay:
        store = Store(load(relay.environment))
        devices = [relay.device() for _ in range(8)]
        by_shard = {store.connection.shard_of(device.id).number: device for device in devices}
        assert len(by_shard) == 2
        quiet, busy = by_shard.values()
        quiet.send_done(quiet.punch("1"))
        busy.send_done(busy.punch("2"))
        time.sleep(0.01)
        edge = int(time.time() * 1000)
        for _ in range(24):
            remove_older(store, edge)
            assert len(relay.events()) == 2
        time.sleep(0.01)
        busy.send_done(busy.punch("3"))
        remove_older(store, edge)
        assert [event["user_id"] for event in relay.events()] == ["3"]
        later = int(time.time() * 1000) + 1
        for _ in range(24):
            remove_older(store, later)
            assert len(relay.events()) == 1
        remove_older(store, later)
        assert relay.events() == []


def test_maintenance_does_not_remove_a_new_subscription(
    lived: tuple[Relay, Device, Device, Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, first, _, _ = lived
    store, failing = Store(load(relay.environment)), Receiver()
    failing.answer = lambda _: (500, {}, b"")
    made: list[str] = []

    def trim(*_: object) -> None:
        if not made:
            made.append(relay.subscribe(failing, first)["id"])
            first.send_done(first.punch("5"))
            wait_for(lambda: failing.received)
            wait_for(lambda: _held(relay, made[0]))

    monkeypatch.setattr(removal, "_trim", trim)
    remove_older(store, 0)
    assert _held(relay, made[0])
    failing.close()


def _held(relay: Relay, subscription_id: str) -> bool:
    shown = relay.get(f"/v1/subscriptions/{subscription_id}")
    return bool(shown["retrying"] or shown["dead"])
