"""RELAY_DURABILITY: a callback is acknowledged once the store has confirmed it at the configured level."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings.table import SettingsError, load
from tests.harness import Receiver, Relay, debian_redis, wait_for
from tests.stores import PASSWORD, Server

SECRET_KEY = "made-up-secret-key-for-tests-only-0123456789"


def test_fsync_on_the_embedded_store_acknowledges_and_delivers(tmp_path: Path, receiver: Receiver) -> None:
    relay = Relay(tmp_path, RELAY_DURABILITY="fsync").start()
    try:
        device = relay.device()
        relay.subscribe(receiver, device)
        device.send_done(device.punch())
        receiver.wait(1)
        assert "appendfsync always" in (tmp_path / "data" / "store" / "valkey.conf").read_text()
    finally:
        relay.stop()


@pytest.mark.parametrize("durability", ["fsync", "replica"])
def test_nothing_is_acknowledged_if_the_store_cannot_confirm_it(tmp_path: Path, durability: str) -> None:
    """Debian's Redis doesn't support WAITAOF and has no replica here, so the answer is 503, or the spool is used."""
    with debian_redis(tmp_path) as url:
        relay = Relay(tmp_path, REDIS_URL=url, RELAY_SECRET_KEY=SECRET_KEY, RELAY_DURABILITY=durability)
        relay.environment["RELAY_SPOOL"] = "off"
        try:
            relay.start("web")
            device = relay.device()
            answer = device.send(device.punch())
            assert answer.status_code == 503
            assert any(durability in warning for warning in relay.get("/health")["warnings"])
        finally:
            relay.stop()


def test_the_embedded_store_syncs_each_write_by_default(tmp_path: Path) -> None:
    assert load({"RELAY_DATA_DIR": str(tmp_path)}).durability == "fsync"
    assert load({"RELAY_DATA_DIR": str(tmp_path), "RELAY_DURABILITY": "os"}).durability == "os"


def test_by_default_a_store_that_cannot_confirm_is_trusted_with_a_warning(tmp_path: Path) -> None:
    """No durability was chosen, and Debian's Redis has no WAITAOF, so callbacks are acknowledged with a warning."""
    with debian_redis(tmp_path) as url:
        relay = Relay(tmp_path, REDIS_URL=url, RELAY_SECRET_KEY=SECRET_KEY, RELAY_DURABILITY="")
        relay.environment["RELAY_SPOOL"] = "off"
        try:
            relay.start("web")
            device = relay.device()
            device.send_done(device.punch())
            device.send_done(device.punch())  # it isn't asked again each time
            expected_warning = "The store can't confirm at once that data is on disk"
            assert any(expected_warning in warning for warning in relay.get("/health")["warnings"])
            assert expected_warning in relay.logs()
        finally:
            relay.stop()


@pytest.mark.parametrize(
    ("appendonly", "appendfsync"), [("yes", "always"), ("yes", "everysec"), ("yes", "no"), ("no", "everysec")]
)
def test_by_default_a_store_that_can_confirm_is_asked_to(
    tmp_path: Path, appendonly: str, appendfsync: str
) -> None:
    options = (f"appendonly {appendonly}", f"appendfsync {appendfsync}", 'save ""')
    server = Server(tmp_path, "store", *options, password=PASSWORD)
    can_confirm = (appendonly, appendfsync) == ("yes", "always")
    relay = Relay(tmp_path, REDIS_URL=server.url, RELAY_SECRET_KEY=SECRET_KEY, RELAY_DURABILITY="")
    try:
        relay.start("web")
        server.client().config_resetstat()  # the start asked too
        device = relay.device()
        for _ in range(8):
            device.send_done(device.punch())
        asked = server.client().info("commandstats").get("cmdstat_waitaof", {"calls": 0})
        assert (asked["calls"] >= 8) is can_confirm
        health = relay.get("/health")
        assert any("on disk" in warning for warning in health["warnings"]) is not can_confirm
        assert health["spooled_bytes"] == 0
    finally:
        relay.stop()
        server.kill()


def test_callbacks_are_spooled_while_no_replica_confirms(tmp_path: Path) -> None:
    """Callbacks that no replica confirms are saved to disk instead, and acknowledged."""
    with debian_redis(tmp_path) as url:
        relay = Relay(tmp_path, REDIS_URL=url, RELAY_SECRET_KEY=SECRET_KEY, RELAY_DURABILITY="replica")
        try:
            relay.start("web")
            device = relay.device()
            device.send_done(device.punch())
            wait_for(lambda: relay.get("/health")["spooled_bytes"] > 0)
        finally:
            relay.stop()


def test_durability_replica_without_redis_url_prevents_the_start() -> None:
    with pytest.raises(SettingsError, match="RELAY_DURABILITY"):
        load({"RELAY_DURABILITY": "replica"})
