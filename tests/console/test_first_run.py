"""An empty console says how to start and, under `cams-relay up`, can start the simulated device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.console.tools import sign_in
from tests.harness import Relay


def test_an_empty_console_starts_the_simulated_device(browser: Browser, tmp_path: Path) -> None:
    relay = Relay(tmp_path, SIMULATOR_PORT="0")
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "app", "up", "--no-simulator"],
            cwd=tmp_path,
            env=relay.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    page = browser.new_page()
    try:
        relay.wait_healthy()
        sign_in(page, relay)
        expect(page.get_by_role("heading", name="Three steps to your first event")).to_be_visible()
        expect(page.locator("#first-run code")).to_have_text(f"{relay.url}/callback")
        page.get_by_role("button", name="Start a simulated device").click()
        expect(page.locator("#events tbody tr", has_text="(virtual)").first).to_be_visible(timeout=30_000)
        expect(page.locator("#first-run")).to_be_hidden()
    finally:
        page.close()
        os.kill(up.pid, signal.SIGTERM)
        up.wait(30)


def test_if_the_simulator_cannot_be_started_there_is_no_button(browser: Browser, tmp_path: Path) -> None:
    relay = Relay(tmp_path).start("store", "web")
    page = browser.new_page()
    try:
        sign_in(page, relay)
        expect(page.locator("#first-run")).to_contain_text("cams-relay up")
        assert page.get_by_role("button", name="Start a simulated device").count() == 0
        assert relay.call("POST", "/console/virtual-device").status_code == 409
        page.get_by_role("link", name="Actions").click()
        page.get_by_role("main").get_by_role("link", name="Add a device").click()
        expect(page.get_by_role("heading", name="Add a device")).to_be_visible()
    finally:
        page.close()
        relay.stop()
