"""A relay that starts with a different store says that it accepts nothing, and suggests nothing harmful."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from tests.command_line import run_for
from tests.harness import Relay, wait_for


def test_health_is_503_while_no_callback_can_be_taken(tmp_path: Path) -> None:
    relay = Relay(tmp_path, WEB_CONCURRENCY="1").start("store", "web")
    try:
        device = relay.device()
        device.send_done(device.punch())
        relay.kill("web")
        relay.kill("store")
        shutil.rmtree(tmp_path / "data" / "store" / "appendonlydir")
        relay.start("store")
        relay._start("web")

        def shown() -> Any:
            with suppress(requests.RequestException):
                answer = relay.call("GET", "/health")
                return (answer,) if answer.json()["store"] == "foreign" else None

        (answer,) = wait_for(shown, 40, every=0.2)
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert "accept-store" in answer.json()["warnings"][0]
        assert device.send(device.punch()).status_code == 503
        doctor = run_for(relay, "doctor").stdout
        assert "isn't the store that" in doctor and "No device is registered" not in doctor
    finally:
        relay.stop()


def test_a_replaced_store_is_distinguished_from_an_absent_store(tmp_path: Path) -> None:
    """It has a new password, and running processes used to mistake the failed login for an absent store."""
    relay = Relay(tmp_path).start("store", "web")
    try:
        device = relay.device()
        device.send_done(device.punch())
        relay.kill("store")
        (tmp_path / "data" / "store").rename(tmp_path / "former")
        relay.start("store")

        def stores() -> set[str]:
            return {relay.call("GET", "/health").json()["store"] for _ in range(6)}

        wait_for(lambda: stores() == {"foreign"}, 60, every=0.5)
        assert device.send(device.punch()).status_code == 200  # the callback waits on disk
        relay.kill("store")
        shutil.rmtree(tmp_path / "data" / "store")
        (tmp_path / "former").rename(tmp_path / "data" / "store")
        relay.start("store")
        wait_for(lambda: stores() == {"ok"}, 60, every=0.5)
        wait_for(lambda: relay.get(f"/v1/devices/{device.id}")["callbacks"] == 2, 60)
    finally:
        relay.stop()
