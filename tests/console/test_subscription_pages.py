"""The console's pages of subscriptions, as a person uses them."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.harness import Receiver, verify, wait_for
from tests.stage import Stage


def test_a_subscription_is_created_tested_rotated_replayed_and_deleted(
    page: Page, stage: Stage, receiver: Receiver
) -> None:
    device = stage.new_device()
    page.goto(f"{stage.relay.url}/console/subscriptions/new")
    page.get_by_label("Target URL").fill(receiver.url)
    page.get_by_label("attendance.punch").check()
    page.get_by_label("Only these devices").fill(device.id)
    page.get_by_role("button", name="Add subscription").click()
    secret = page.locator("#secret-value")
    expect(secret).to_contain_text("whsec_")
    first = secret.inner_text()
    page.get_by_role("button", name="Close").click()
    page.wait_for_url(re.compile(r"/console/subscriptions/sub_"))
    made = stage.relay.get(f"/v1/subscriptions/{page.url.rpartition('/')[2]}")
    assert (made["event_types"], made["filters"]["device_ids"]) == (["attendance.punch"], [device.id])
    page.goto(f"{stage.relay.url}/console/subscriptions")
    expect(page.get_by_role("row").filter(has_text=made["id"])).to_contain_text("attendance.punch")
    page.goto(f"{stage.relay.url}/console/subscriptions/{made['id']}")
    page.get_by_role("button", name="Send test event").click()
    (got,) = receiver.wait(1)
    assert verify(first, got)["test"] is True
    expect(page.locator("#deliveries tbody tr")).to_contain_text("200")  # without a reload
    device.send_done(device.punch("5"))
    receiver.wait(2)
    page.get_by_label("Events received since").fill("2026-01-01T00:00")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.locator("#confirm-text")).to_contain_text("Send 2 events to 127.0.0.1")
    page.get_by_role("button", name="Cancel").click()
    assert len(receiver.received) == 2
    page.get_by_label("until").fill("2026-01-02T00:00")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.locator("#status")).to_contain_text("No stored events in this time range")
    page.get_by_label("until").fill("")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.get_by_role("button", name="Send 2 events").click()
    wait_for(lambda: [event["user_id"] for event in receiver.events()].count("5") >= 2, 20)
    page.get_by_role("button", name="Rotate secret").click()
    page.get_by_role("button", name="Create a new secret").click()
    expect(secret).to_contain_text("whsec_")
    assert secret.inner_text() != first
    page.get_by_role("button", name="Close").click()
    expect(page.locator("body")).not_to_contain_text(first)
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete subscription").click()
    page.wait_for_url("**/console/subscriptions")


def test_a_subscription_is_changed_with_the_form_that_creates_one(
    page: Page, stage: Stage, receiver: Receiver
) -> None:
    page.goto(f"{stage.relay.url}/console/subscriptions/new")
    page.get_by_label("Target URL").fill(receiver.url)
    page.get_by_label("user.deleted").check()
    expect(page.get_by_label("all events")).not_to_be_checked()
    page.get_by_label("check_in").check()
    page.get_by_label("Headers").fill("Authorization: Bearer made-up\nX-Old: a:b")
    page.get_by_label("Delete after").fill("3600")
    page.get_by_label("ed25519", exact=True).check()
    page.get_by_role("button", name="Add subscription").click()
    page.get_by_role("button", name="Close").click()
    page.wait_for_url(re.compile(r"/console/subscriptions/sub_"))
    path = f"/v1/subscriptions/{page.url.rpartition('/')[2]}"
    made = stage.relay.get(path)
    assert (made["event_types"], made["filters"]["punch_types"]) == (["user.deleted"], ["check_in"])
    assert made["signatures"] == ["hmac", "ed25519"] and made["expires_at"]
    expect(page.locator("body")).to_contain_text("hmac, ed25519")
    family = ["user.*", "attendance.punch"]
    assert stage.relay.call("PATCH", path, json={"events": family}).status_code == 200
    page.reload()
    assert "made-up" not in page.content()
    page.locator("#change summary").focus()
    page.keyboard.press("Enter")
    save = page.get_by_role("button", name="Save")
    expect(page.get_by_label("user.*")).to_be_checked()
    for field, label, value in (
        ("target_url", "Target URL", "http://10.1.2.3/hook"),
        ("batch_max", "Events per delivery", "501"),
        ("batch_wait_ms", "Batch wait", "60001"),
        ("max_in_flight", "Concurrent deliveries", "0"),
        ("headers", "Headers", "Host: elsewhere"),
    ):
        before = page.get_by_label(label).input_value()
        page.get_by_label(label).fill(value)
        save.click()
        expect(page.locator(f"#e-{field}")).not_to_be_empty()
        expect(page.get_by_label(label)).to_be_focused()
        page.get_by_label(label).fill(before)
    page.get_by_label("Target URL").fill("http://127.0.0.1:9/hook")
    save.click()
    expect(page.locator("#e-headers")).to_contain_text("send `headers` with all values again")
    page.get_by_label("Target URL").fill(made["target_url"])
    page.get_by_label("user.*").uncheck()
    page.get_by_label("check_out").check()
    page.get_by_label("Only these users").fill("5, 6")
    page.get_by_label("Events per delivery").fill("25")
    page.get_by_label("Headers").fill("Authorization: …\nX-New: 2")
    page.get_by_label("Description").fill("Payroll")
    save.press("Enter")
    expect(page.locator("h1")).to_have_text("Payroll")
    changed = stage.relay.get(path)
    assert changed["event_types"] == ["attendance.punch"] and changed["batch_max"] == 25
    assert changed["filters"] == made["filters"] | {
        "user_ids": ["5", "6"],
        "punch_types": ["check_in", "check_out"],
    }
    assert changed["headers"] == {"Authorization": "…", "X-New": "…"}
    same = ("target_url", "format", "max_in_flight", "batch_wait_ms", "include_card_numbers")
    assert {name: changed[name] for name in same} == {name: made[name] for name in same}
    page.get_by_text("Change", exact=True).click()
    page.get_by_label("Only these users").fill("")
    page.get_by_label("Delete after").fill("")
    save.click()
    wait_for(lambda: stage.relay.get(path)["filters"]["user_ids"] == [])
    assert stage.relay.get(path)["expires_at"] is None
    assert stage.relay.call("DELETE", path).status_code == 204


def test_a_failing_targets_response_is_shown_and_its_dead_letters_are_replayed(
    page: Page, stage: Stage, receiver: Receiver
) -> None:
    device = stage.new_device()
    receiver.answer = lambda _: (418, {}, b"teapot")
    made = stage.relay.subscribe(receiver, device, events=["attendance.punch"])
    device.send_done(device.punch("6"))
    path = f"/v1/subscriptions/{made['id']}"
    wait_for(lambda: stage.relay.get(path)["dead"] == 1, 20)
    page.goto(f"{stage.relay.url}/console/subscriptions/{made['id']}")
    expect(page.locator("main")).to_contain_text("The target has been failing since")
    expect(page.locator("p.alert strong")).to_contain_text("418")
    assert page.locator(".plot canvas").count() == 2
    receiver.answer = lambda _: (200, {}, b"")
    page.get_by_role("button", name="Replay all").click()
    page.get_by_role("button", name="Send 1 event").click()
    wait_for(lambda: stage.relay.get(path)["delivered"] == 1, 20)


def test_a_message_is_previewed_before_the_subscription_is_created(
    page: Page, stage: Stage, receiver: Receiver
) -> None:
    page.goto(f"{stage.relay.url}/console/subscriptions/new")
    page.get_by_label("Target URL").fill(receiver.url)
    page.get_by_label("attendance.punch").check()
    page.get_by_label("Format").select_option("slack")
    page.get_by_label("Message").fill("{{user_nam}} came")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#e-template")).to_contain_text("Did you mean user_name?")
    page.get_by_label("Message").fill("*{{user_name}}* came")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("[data-preview-of]")).to_contain_text('"text": "Test: *Asha Rao* came"')
    expect(page.locator("#e-template")).to_be_empty()
    assert receiver.received == []
    page.get_by_role("button", name="Add subscription").click()
    page.get_by_role("button", name="Close").click()
    page.wait_for_url(re.compile(r"/console/subscriptions/sub_"))
    made = stage.relay.get(f"/v1/subscriptions/{page.url.rpartition('/')[2]}")
    assert (made["format"], made["template"]) == ("slack", "*{{user_name}}* came")
    page.locator("#change summary").click()
    page.get_by_label("Message").fill("")
    page.get_by_role("button", name="Save").click()
    wait_for(lambda: stage.relay.get(f"/v1/subscriptions/{made['id']}")["template"] is None)
