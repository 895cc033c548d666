"""Data older than the retention period is removed automatically, for each line of docs/security.md.

The clock is set with Debian's faketime, which also applies to the store, so that keys expire as they would over time.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.settings.table import load
from app.store.server.connection import make_client
from tests.faults.test_clock import Clocks
from tests.harness import Receiver, Relay, wait_for
from tests.relay.tools import stored_values

DAYS = 60
PERSON, STRANGER, NAME = "71717171", "71717172", "Planted-in-retention"
PHOTO = base64.b64encode(b"\xff\xd8\xff" + secrets.token_bytes(40)).decode()
# Stored as long as the device has the user, regardless of the retention period.
STAYS = ("user", "users")


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[Clocks]:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        pytest.skip("faketime is not installed: run scripts/install-faketime")
    relay = Relay(
        tmp_path,
        WEB_CONCURRENCY="1",
        RELAY_RETRY_SCHEDULE="0.2",
        RELAY_RETENTION_DAYS="30",
        RELAY_DEDUPE_DAYS="30",
        RELAY_AUDIT_DAYS="40",
        RELAY_ARCHIVE_DAYS="40",
        RELAY_SECRET_KEY="made-up-secret-key-for-tests-only-0123456789",
    )
    made = Clocks(relay, found)
    made.set(f"-{DAYS}d", "store", "web", "worker")
    yield made
    relay.stop()


def traces(relay: Relay) -> list[str]:
    """Return the keys with traces of the person."""
    return [
        key
        for key, value in stored_values(relay).items()
        if any(text in key or text.encode() in value for text in (PERSON, STRANGER, NAME))
    ]


def kinds(keys: list[str]) -> set[str]:
    return {key.split(":")[1] for key in keys}


def test_old_data_is_removed_everywhere(clocks: Clocks) -> None:
    relay, good, bad = clocks.relay, Receiver(), Receiver()
    bad.answer = lambda _: (500, {}, b"")
    try:
        clocks.start("store", "web", "worker")
        then = datetime.now(UTC).replace(microsecond=0) - timedelta(days=DAYS, hours=1)
        device = relay.device(gateway_url="http://127.0.0.1:9/api")
        relay.subscribe(good)
        failing = relay.subscribe(bad, batch_max=5, batch_wait_ms=100)
        templates = [{"Type": "Card", "UserID": PERSON, "Data": "0004829371"}]
        update = {"UserID": PERSON, "FirstName": NAME, "Template": templates}
        device.send_done(device.envelope(UserUpdated=update))
        device.send_done(device.punch(PERSON, then))
        photo = {"UserID": PERSON, "LogPhoto": PHOTO, "LogTime": then.strftime("%Y-%m-%d %H:%M:%S GMT +0000")}
        device.send_done(device.envelope(Log=photo))
        device.send_done(device.envelope(NewThing={"UserID": PERSON, "Name": NAME}))
        device.send_done(device.punch(STRANGER, then))  # unknown to the device
        body = {"device_id": device.id, "user_id": PERSON, "first_name": NAME}
        relay.call("POST", "/v1/actions/add-user", json=body, headers={"Prefer": "wait=10"})
        (command,) = relay.get("/v1/commands")["data"]
        wait_for(lambda: relay.events(type="user.unknown"))
        wait_for(lambda: relay.get(f"/v1/subscriptions/{failing['id']}")["dead"] > 1)
        wait_for(lambda: any(":attendance:week:" in key for key in traces(relay)))
        links = [event.get("photo_url") or event.get("body_url") for event in relay.events()]
        links = [link for link in links if link]
        assert len(links) == 2 and all(relay.session.get(link).ok for link in links)
        before = traces(relay)
        assert kinds(before) >= {"events", "punches", "attendance", "command", "user", "users"}
        held = {name.split(":")[1] for name in stored_values(relay)}
        assert held >= {"blob", "seen", "strangers"}
        assert len(relay.get("/v1/audit")["data"]) >= 3

        # All of that is old now. The worker starts afterwards, so it finds the present time and a new event.
        relay.terminate("worker")
        clocks.set("+0", "store", "web", "worker")
        # A busy process may use its old clock for longer. With only old events, the upkeep would doubt the clock.
        client = make_client(load(relay.environment))
        wait_for(lambda: time.time() - client.time()[0] < 86_400, 60)

        def has_a_new_event() -> bool:
            device.send_done(device.punch("1"))
            newest = relay.events(user_id="1")[-1]["received_at"]
            return datetime.now(UTC) - datetime.fromisoformat(newest) < timedelta(days=1)

        wait_for(has_a_new_event, 60, every=0.5)
        clocks.start("worker")
        wait_for(lambda: kinds(traces(relay)) <= set(STAYS), 120)
        left = stored_values(relay)
        assert not [name for name in left if name.split(":")[1] in ("blob", "command", "seen")]
        wait_for(lambda: {event["user_id"] for event in relay.events() if "user_id" in event} == {"1"})
        assert all(relay.session.get(link).status_code in (403, 404) for link in links)
        assert relay.call("GET", f"/v1/commands/{command['command_id']}").status_code == 404
        assert relay.get("/v1/commands")["data"] == []
        assert relay.get(f"/v1/subscriptions/{failing['id']}")["dead"] <= len(relay.events(user_id="1"))
        wait_for(lambda: not relay.get("/v1/audit")["data"])
        # No file contains it either after the daily upkeep. Nothing is compressed, so that it would be found.
        client.config_set("rdbcompression", "no")
        assert client.get("{g}:rewritten") is not None
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        client.bgrewriteaof()
        wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        files = [path for path in Path(relay.environment["RELAY_DATA_DIR"]).rglob("*") if path.is_file()]
        assert any(path.suffix == ".rdb" for path in files)
        for path in files:
            assert NAME.encode() not in path.read_bytes(), path
        # Data about present users stays.
        assert relay.get(f"/v1/users/{PERSON}")["devices"][0]["first_name"] == NAME
    finally:
        good.close()
        bad.close()
