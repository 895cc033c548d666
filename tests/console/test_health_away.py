"""The console's health page while the store is away, or while it is a different store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.tools import Client
from tests.harness import API_KEY, Relay, wait_for


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path, WEB_CONCURRENCY="1").start("store", "web")
    yield made
    made.stop()


def test_it_shows_what_this_process_knows_without_the_store(relay: Relay) -> None:
    client, signed_out, device = Client(relay), Client(relay), relay.device()
    device.send_done(device.punch())
    client.sign_in(API_KEY)
    assert relay.get("/health")["store_away_since"] is None
    relay.kill("store")
    device.send_done(device.punch())
    since = wait_for(lambda: relay.get("/health")["store_away_since"])
    for anyone in (client, signed_out):
        page = anyone.get("/console/health")
        assert page.status_code == 200
        assert "kept on this machine" in page.text and since in page.text and "away" in page.text
        assert device.id not in page.text and 'href="/console/devices"' not in page.text
    answer = relay.session.get(f"{relay.url}/console/health", headers={"X-API-Key": API_KEY}, timeout=20)
    assert answer.status_code == 503, "a program gets the API's problem"
    assert client.get("/console/devices").status_code == 503
    relay.start("store")
    relay.wait_healthy()
    assert signed_out.get("/console/health").status_code == 303
    wait_for(lambda: "Delivery latency" in client.get("/console/health").text)
    assert relay.get("/health")["store_away_since"] is None


def test_a_banner_says_that_the_store_is_a_different_one(relay: Relay, tmp_path: Path) -> None:
    client, device = Client(relay), relay.device()
    device.send_done(device.punch())
    wait_for(lambda: (tmp_path / "data" / "spool" / "store_id").exists())
    relay.kill("store")
    shutil.rmtree(tmp_path / "data" / "store" / "appendonlydir")
    relay.start("store")
    wait_for(lambda: relay.call("GET", "/health").json()["store"] == "foreign", 30)
    client.sign_in(API_KEY)
    page = client.get("/console/health")
    assert page.status_code == 200
    assert 'role="alert">This isn' in page.text and "accept-store" in page.text
    assert '<span class="badge failed">problem</span> This isn' in page.text, (
        "problems and warnings are distinguished"
    )
    assert "<li>RELAY_PUBLIC_URL is not set" in page.text
