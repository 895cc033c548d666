"""The console's pages of actions, as a person uses them."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.console.tools import Client
from tests.harness import API_KEY
from tests.stage import Stage


def test_the_form_and_json_of_an_action_stay_in_sync_and_are_sent(page: Page, stage: Stage) -> None:
    device = stage.new_device()
    page.goto(f"{stage.relay.url}/console/actions?device_id={device.id}")
    page.get_by_label("Operation").select_option("add-user")
    page.wait_for_url("**/console/actions/add-user?*")
    page.locator("#f-user_id").fill("100")
    editor = page.get_by_label("JSON")
    assert json.loads(editor.input_value()) == {"device_id": device.id, "user_id": "100"}
    editor.fill(
        json.dumps({"device_id": device.id, "user_id": "101", "first_name": "Asha", "card_number": "77"})
    )
    expect(page.locator("#f-first_name")).to_have_value("Asha")
    editor.fill("{")
    expect(page.locator("#e-json")).to_contain_text("Invalid JSON")
    editor.fill(json.dumps({"device_id": device.id, "nonsense": 1}))
    expect(page.locator("#e-json")).to_contain_text("nonsense")
    editor.fill(json.dumps({"device_id": device.id, "user_id": "101", "password": "abc"}))
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#e-password")).to_contain_text("digits")
    page.locator("#f-password").fill("")
    page.locator("#f-card_number").fill("77")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#result .badge")).to_have_text("completed")
    assert stage.machine(device).find_user("101")
    expect(page.locator("#history tbody tr").first).to_contain_text("add-user")
    expect(page.locator("#history tbody tr").first).to_contain_text("completed")


def test_progress_is_shown_while_a_device_is_slow(page: Page, stage: Stage) -> None:
    device = stage.new_device()
    stage.machine(device).spec.delay_seconds = 3
    page.goto(f"{stage.relay.url}/console/actions/load-device-information?device_id={device.id}")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Sent. Waiting for the device")).to_be_visible()
    expect(page.locator("#result .badge")).to_have_text("completed")
    expect(page.locator("#progress")).to_be_hidden()


def test_a_destructive_action_shows_the_number_of_users_and_requires_the_devices_name(
    page: Page, stage: Stage
) -> None:
    device = stage.new_device()
    stage.relay.call("PATCH", f"/v1/devices/{device.id}", json={"label": "Front Döor"})
    stage.add_user(device)
    for user in ("100", "101"):
        device.send_done(device.envelope(UserUpdated={"UserID": user, "FirstName": f"Asha {user}"}))
    page.goto(f"{stage.relay.url}/console/actions/delete-all-user?device_id={device.id}")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#confirm-text")).to_contain_text(f"on Front Döor ({device.id})")
    expect(page.locator("#confirm-text")).to_contain_text("records of 3 users")
    yes = page.get_by_role("button", name="Delete all 3 users")
    expect(yes).to_be_disabled()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Send").click()
    page.locator("#confirm-name").fill("Back Door")
    page.locator("#confirm-name").press("Enter")
    expect(yes).to_be_disabled()
    assert stage.machine(device).find_user("100")
    page.locator("#confirm-name").fill("Front Döor")
    yes.click()
    expect(page.locator("#result .badge")).to_have_text("completed")
    assert "100" not in stage.machine(device).users


def test_deleting_a_user_names_the_user(page: Page, stage: Stage) -> None:
    device = stage.new_device()
    stage.add_user(device)
    device.send_done(device.envelope(UserUpdated={"UserID": "100", "FirstName": "Asha"}))
    page.goto(f"{stage.relay.url}/console/actions/delete-user?device_id={device.id}")
    page.locator("#f-user_id").fill("100")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#confirm-text")).to_contain_text("Delete Asha (100) from")
    page.locator("#confirm-name").fill(device.id)
    page.locator("#confirm-name").press("Enter")
    expect(page.locator("#result .badge")).to_have_text("completed")


def test_the_server_also_requires_the_devices_name(stage: Stage) -> None:
    """The server checks this whatever a page's script does. A program with a key still sends `confirm`."""
    device = stage.new_device()
    client = Client(stage.relay)
    client.sign_in(API_KEY)
    content = client.get("/console/actions").text
    token = re.search(r'name="csrf-token" content="([0-9a-f]+)"', content)
    assert token
    for name, body in (
        ("delete-all-user", {"confirm": True}),
        ("delete-log-all", {"confirm": True}),
        ("delete-attendance-photo", {"confirm": True}),
        ("delete-user", {"user_id": "100"}),
    ):
        body = {"device_id": device.id, **body}
        for typed in (None, "another", device.id):
            headers = {"X-CSRF-Token": token[1], "Prefer": "respond-async"}
            if typed:
                headers["X-Confirm-Device"] = typed
            url = f"{stage.relay.url}/v1/actions/{name}"
            answer = client.session.post(url, json=body, headers=headers, timeout=20)
            # A command that was taken: on a busy machine it may have ended before it is answered, and be no 202.
            assert ("command_id" in answer.json()) == (typed == device.id), (name, typed, answer.text)
            assert typed == device.id or answer.status_code == 422, answer.text
        answer = stage.relay.call(
            "POST", f"/v1/actions/{name}", json=body, headers={"Prefer": "respond-async"}
        )
        assert "command_id" in answer.json(), answer.text
