"""RELAY_DURABILITY: what is asked for is confirmed before the answer, or there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import SettingsError, load
from tests.harness import Receiver, Relay, debian_redis, wait_for

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
def test_a_store_that_cannot_confirm_gets_no_acknowledgement_it_cannot_keep(
    tmp_path: Path, durability: str
) -> None:
    """Debian's Redis is older than WAITAOF, and has no replica here: 503, or the spool's own fsync."""
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


def test_replica_wait_spools_and_goes_on(tmp_path: Path) -> None:
    """What no replica confirms is on our own disk instead, and acknowledged."""
    with debian_redis(tmp_path) as url:
        relay = Relay(tmp_path, REDIS_URL=url, RELAY_SECRET_KEY=SECRET_KEY, RELAY_DURABILITY="replica")
        try:
            relay.start("web")
            device = relay.device()
            device.send_done(device.punch())
            wait_for(lambda: relay.get("/health")["spooled_bytes"] > 0)
        finally:
            relay.stop()


def test_replica_without_a_redis_url_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="RELAY_DURABILITY"):
        load({"RELAY_DURABILITY": "replica"})
