"""Punches are corrected in the console, in a browser: one is added, changed, excluded and restored."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect

from tests.console.tools import Client
from tests.relay.tools import key_with
from tests.stage import Stage


def test_a_punch_is_added_changed_excluded_and_restored(page: Page, stage: Stage) -> None:
    device, user = stage.relay.device(timezone="Asia/Kolkata"), f"c{secrets.token_hex(3)}"
    day = (datetime.now(UTC) - timedelta(days=3)).replace(hour=4, minute=0, second=0, microsecond=0)
    device.send_done(device.punch(user, day))  # 09:30 at the site
    page.goto(f"{stage.relay.url}/console/attendance/people/{user}?month={day:%Y-%m}")
    page.get_by_role("link", name=f"Punches on {day:%Y-%m-%d}").click()
    expect(page.get_by_role("table")).to_contain_text("09:30")

    page.get_by_label("Counts at").fill(f"{day:%Y-%m-%d}T18:00:00")
    page.get_by_label("Direction").select_option("out")
    page.get_by_label("Reason").fill("Forgot to punch out")
    page.get_by_role("button", name="Save correction").click()
    added = page.locator("tbody tr", has_text="Forgot to punch out")
    expect(added).to_contain_text("18:00")
    expect(added).to_contain_text(device.id)

    page.get_by_role("link", name="Correct 09:30").click()
    page.get_by_label("Correction").select_option("changed")
    page.get_by_label("Reason").fill("Queue at the gate")
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#e-punched_at")).to_contain_text("is required")
    page.get_by_label("Counts at").fill(f"{day:%Y-%m-%d}T09:00:00")
    page.get_by_label("Author").fill("Meera Iyer")
    page.get_by_role("button", name="Save correction").click()
    changed = page.locator("tbody tr", has_text="Queue at the gate")
    expect(changed).to_contain_text("Meera Iyer")
    expect(changed).to_contain_text("09:00")
    expect(changed).to_contain_text("09:30")

    page.get_by_role("link", name="Correct 09:00").click()
    page.get_by_label("Correction").select_option("restored")
    page.get_by_label("Reason").fill("There was no queue")
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("tbody tr", has_text="There was no queue")).to_contain_text("reported")

    page.get_by_role("link", name="Person's month").click()
    expect(page.locator("tbody tr").first).to_contain_text("8:30")
    expect(page.locator("#corrections tbody tr")).to_have_count(3)
    expect(page.locator("#corrections tbody tr").first).to_contain_text("There was no queue")


def test_a_reader_sees_corrections_but_no_form(stage: Stage) -> None:
    device, user = stage.relay.device(), f"c{secrets.token_hex(3)}"
    at = datetime.now(UTC) - timedelta(days=2)
    body = {"kind": "added", "user_id": user, "device_id": device.id, "punched_at": at.isoformat()}
    stage.relay.call("POST", "/v1/corrections", json={**body, "reason": "Forgot"}).raise_for_status()
    client = Client(stage.relay)
    client.sign_in(key_with(stage.relay, "people:read"))
    page = client.get(f"/console/attendance/punches?user_id={user}&date={at:%Y-%m-%d}").text
    assert "Forgot" in page and "data-api" not in page.partition("<main")[2]
    assert (
        client.get(f"/console/attendance/punches?user_id={user}")
        .headers["location"]
        .startswith(f"/console/attendance/punches?user_id={user}&date=")
    )
    assert "Forgot" in client.get(f"/console/attendance/people/{user}?month={at:%Y-%m}").text
