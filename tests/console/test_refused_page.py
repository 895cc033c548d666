"""The console shows refused callbacks, and links to them from a device's page and the first steps."""

from __future__ import annotations

import html
import json
import re
import secrets
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.console.tools import Client, sign_in
from tests.harness import API_KEY, Device, Relay, wait_for
from tests.relay.tools import key_with


def test_refused_callbacks_are_linked_from_the_first_steps_and_the_device(
    browser: Browser, tmp_path: Path
) -> None:
    relay = Relay(tmp_path).start("store", "web")
    page = browser.new_page()
    try:
        unknown = Device(relay, "ZHM1100042", secrets.token_hex(16))
        body = json.dumps(unknown.punch()).encode()
        answer = relay.session.post(f"{relay.url}/callback/{unknown.id}", data=body, timeout=15)
        assert answer.status_code == 401
        wait_for(lambda: relay.get("/v1/refused")["data"], 20)
        sign_in(page, relay)
        wait_for(lambda: relay.events(type="callback.refused"), 30)  # an event, and yet no step is done
        page.reload()
        page.get_by_role("link", name="Callbacks have arrived but were refused. See why.").click()
        row = page.locator("#refused tbody tr")
        expect(row).to_have_count(1)
        expect(row).to_contain_text(unknown.id)
        expect(row).to_contain_text(f"AuthToken ends in …{unknown.token[-4:]}")
        expect(row).to_contain_text("401 No device has this AuthToken")
        assert unknown.token not in page.content()
        made = {"device_id": unknown.id, "auth_token": unknown.token}
        assert relay.call("POST", "/v1/devices", json=made).status_code == 201
        page.goto(f"{relay.url}/console/refused")
        page.get_by_role("link", name=unknown.id).click()
        expect(page.get_by_role("alert").first).to_contain_text(
            "1 callback with this device's AuthToken has been refused since"
        )
        page.get_by_role("link", name="Health").click()
        page.get_by_role("main").get_by_role("link", name="Refused callbacks").click()
        expect(page.get_by_role("heading", name="Refused callbacks")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    finally:
        page.close()
        relay.stop()


def test_the_page_needs_a_scope(relay: Relay) -> None:
    client = Client(relay)
    client.sign_in(key_with(relay, "metrics:read"))
    assert client.get("/console/refused").status_code == 403
    assert "/console/refused" not in client.get("/console/health").text
    client = Client(relay)
    client.sign_in(key_with(relay, "devices:write"))
    assert client.get("/console/refused").status_code == 200


def test_the_page_shows_the_claimed_and_the_recognised_device(tmp_path: Path) -> None:
    relay = Relay(tmp_path).start("store", "web")
    try:
        token, other = secrets.token_hex(16), secrets.token_hex(16)
        made = relay.call("POST", "/v1/devices", json={"device_id": "ZHM1100001", "auth_token": token})
        assert made.status_code == 201
        for claimed, used in (("ZHM1100001", other), ("ZHM1100002", token)):
            body = json.dumps(Device(relay, claimed, used).punch())
            answer = relay.session.post(f"{relay.url}/callback/{claimed}", data=body, timeout=15)
            assert answer.status_code == 401
        wait_for(lambda: len(relay.get("/v1/refused")["data"]) == 2, 20)
        client = Client(relay)
        client.sign_in(API_KEY)
        rows = re.findall(r"<tr>.*?</tr>", client.get("/console/refused").text, re.DOTALL)[1:]
        shown = [html.unescape(" ".join(re.sub(r"<[^>]+>", " ", row).split())) for row in rows]
        (wrong_token,) = [row for row in shown if f"…{other[-4:]}" in row.replace("… ", "…")]
        (wrong_url,) = [row for row in shown if row != wrong_token]
        assert "Callback URL for ZHM1100001 (registered)" in wrong_token
        assert "Correct its AuthToken" in wrong_token and "AuthToken of" not in wrong_token
        assert "Callback URL for ZHM1100002 (not registered)" in wrong_url
        assert "AuthToken of ZHM1100001" in wrong_url
        assert "Correct the Callback URL of ZHM1100001 in the API Monitor" in wrong_url
        page = client.get("/console/devices").text
        mark = re.search(r'<a class="badge failed" href="([^"]*)"[^>]*>([^<]*)</a>', page)
        assert mark is not None
        assert mark[1] == "/console/devices/ZHM1100001" and mark[2] == "Refused callbacks: 2"
    finally:
        relay.stop()
