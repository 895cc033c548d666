"""The console in a real Chromium: every page in both themes and two widths, and the main tasks of its users."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from simulator.jpeg import make_jpeg
from tests.console.tools import sign_in
from tests.harness import ROOT, Receiver, wait_for
from tests.node import installed
from tests.stage import Stage

AXE = """async () => {
  const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await axe.run(document, {runOnly: rules});
  return found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).slice(0, 3).join(" | ")}`);
}"""


@pytest.fixture(scope="session")
def axe() -> str:
    folder = installed(ROOT / "tests" / "console" / "node")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def paths(stage: Stage) -> list[str]:
    """The paths of all pages, with data on each, including a failing target and long names."""
    relay, device = stage.relay, stage.device
    failing = Receiver()
    failing.answer = lambda _: (500, {}, b"no")
    made = relay.subscribe(failing, device, description="A target with " + "a very " * 12 + "long name")
    relay.call(
        "PATCH", f"/v1/devices/{device.id}", json={"label": "Gate " + "of the northern warehouse " * 4}
    )
    device.send_done(device.punch("7" * 60))
    device.send_done(device.sample(10))
    information = relay.call("POST", "/v1/actions/load-device-information", json={"device_id": device.id})
    assert information.status_code == 200
    wait_for(lambda: relay.get(f"/v1/subscriptions/{made['id']}")["dead"], 20)
    photo = relay.events(type="attendance.photo")[0]
    punch = relay.events(type="attendance.punch", device_id=device.id)[-1]
    correction = {
        "kind": "changed",
        "user_id": punch["user_id"],
        "punch_id": punch["punch_id"],
        "direction": None,
    }
    reason = "A reason with " + "a very " * 12 + "long text"
    relay.call("POST", "/v1/corrections", json={**correction, "reason": reason}).raise_for_status()
    return [
        "/",
        "/?user_id=nobody",
        f"/console/events/{photo['id']}",
        "/console/devices",
        "/console/devices/new",
        f"/console/devices/{device.id}",
        "/console/subscriptions",
        "/console/subscriptions/new",
        f"/console/subscriptions/{made['id']}",
        "/console/actions",
        "/console/actions/add-user",
        f"/console/actions/commands/{information.json()['command_id']}",
        f"/console/attendance?date={punch['local_date']}",
        "/console/attendance?date=2026-01-01",
        f"/console/attendance/people/{punch['user_id']}?month={punch['local_date'][:7]}",
        f"/console/attendance/punches?user_id={punch['user_id']}&date={punch['local_date']}",
        f"/console/attendance/punches?user_id={punch['user_id']}&date={punch['local_date']}"
        f"&punch_id={punch['punch_id']}",
        "/console/attendance/employees",
        "/console/health",
        "/console/devices/nobody",
        "/console/nothing",
    ]


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_have_no_accessibility_problems_and_nothing_overflows(
    browser: Browser, stage: Stage, paths: list[str], axe: str, theme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    found: dict[str, object] = {}
    try:
        page.goto(f"{stage.relay.url}/console/sign-in")
        page.evaluate(axe)
        found["sign-in"] = page.evaluate(AXE)
        sign_in(page, stage.relay)
        for path in paths:
            page.goto(stage.relay.url + path, wait_until="domcontentloaded")
            page.wait_for_timeout(150)  # plots are drawn
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            page.evaluate(axe)
            found[path] = page.evaluate(AXE)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found[f"{path} overflows"] = True
    finally:
        context.close()
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_the_theme_follows_the_system_and_the_switch(page: Page, stage: Stage) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(back)
    assert light != dark
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(back) == light
    page.reload()
    assert page.evaluate(back) == light


def test_the_console_can_be_used_with_the_keyboard(page: Page, stage: Stage) -> None:
    stage.device.send_done(stage.device.punch("3"))
    page.goto(f"{stage.relay.url}/?type=attendance.punch")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    link = page.locator("#events tbody a").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(link).to_be_focused()


def test_events_appear_live_filtered_and_with_details(page: Page, stage: Stage, receiver: Receiver) -> None:
    device = stage.new_device()
    stage.relay.subscribe(receiver, device, description="Target of the drawer")
    page.goto(f"{stage.relay.url}/?type=attendance.punch&device_id={device.id}")
    expect(page.locator("#stream-state")).to_have_text("live")
    before = page.locator("#events tbody tr").count()
    user = f"u{secrets.token_hex(4)}"
    stage.device.send_done(stage.device.punch(f"other-{user}"))
    device.send_done(device.punch(user))
    expect(page.locator("#events tbody tr").first).to_contain_text(user)
    assert page.locator("#events tbody tr").count() == before + 1  # not the other device's
    receiver.wait(1)
    page.locator("#events tbody a").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text(f'"user_id": "{user}"')
    expect(drawer).to_contain_text('"AuthToken": ""')
    assert device.token not in page.content()
    expect(drawer.locator("summary")).to_contain_text("Target of the drawer")
    expect(drawer.locator("summary .badge")).to_have_text("delivered")
    drawer.locator("summary").click()
    expect(drawer.locator("tbody tr")).to_contain_text("200")


def test_the_live_page_leads_to_signing_in_after_the_session_has_ended(page: Page, stage: Stage) -> None:
    page.goto(stage.relay.url)
    expect(page.locator("#stream-state")).to_have_text("live")
    other = page.context.new_page()
    other.goto(f"{stage.relay.url}/console/health")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/console/sign-in")
    page.wait_for_url("**/console/sign-in?next=**")


def test_a_photo_is_shown(page: Page, stage: Stage) -> None:
    device = stage.new_device()
    stage.machine(device).take_photo("8", make_jpeg("8"))
    (photo,) = wait_for(lambda: stage.relay.events(type="attendance.photo", device_id=device.id))
    page.goto(f"{stage.relay.url}/console/events/{photo['id']}")
    wait_for(lambda: page.evaluate("document.querySelector('img.photo').naturalWidth > 0"))
    assert "signature" not in page.locator("pre").first.inner_text()


def test_attendance_of_a_day_and_a_month_and_employees_are_shown(
    page: Page, stage: Stage, tmp_path: Path
) -> None:
    device, user = stage.new_device(), f"a{secrets.token_hex(3)}"
    day = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=1)
    device.send_done(device.punch(user, day))
    device.send_done(device.punch(user, day + timedelta(hours=7, minutes=45), Type="CheckOut"))
    page.goto(f"{stage.relay.url}/console/attendance?date={day:%Y-%m-%d}&device_id={device.id}")
    row = page.locator("tbody tr").filter(has_text=user)
    expect(row).to_contain_text("09:00")
    expect(row).to_contain_text("7:45")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert user in download.value.path().read_text()
    row.get_by_role("link").click()
    expect(page.locator("tbody tr")).to_contain_text("16:45")
    page.set_viewport_size({"width": 360, "height": 800})
    page.reload()
    expect(page.get_by_role("link", name="Attendance")).to_be_in_viewport(ratio=1)
    assert page.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(document.querySelector('.scroll'))"
    )
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{stage.relay.url}/console/attendance/employees")
    wrong, right = tmp_path / "wrong.csv", tmp_path / "right.csv"
    wrong.write_text("user,number\n1,2\n")
    right.write_text(
        f"user_id,employee_id,name,device_id\n{user},EMP-{user},Asha Rao,\n{user},EMP-OTHER,Mary,SITE-B\n"
    )
    chooser, preview = page.get_by_label("CSV or Excel file"), page.locator("[data-preview]")
    chooser.set_input_files(wrong)
    expect(preview).to_contain_text("no column is chosen for user_id and employee_id")
    expect(page.get_by_role("button", name="Import")).to_have_count(0)
    page.get_by_label("User ID (required)").select_option("user")
    page.get_by_label("Employee ID (required)").select_option("number")
    expect(page.get_by_role("button", name="Import employees: 1")).to_be_enabled()
    chooser.set_input_files(right)
    expect(preview).to_contain_text("adds 2, changes 0")
    expect(page.locator("#employees")).not_to_contain_text(f"EMP-{user}")
    page.get_by_role("button", name="Import employees: 2").click()
    expect(page.locator("#employees")).to_contain_text(f"EMP-{user}")
    expect(page.locator("#employees tr", has_text="EMP-OTHER")).to_contain_text("SITE-B")
    expect(page.get_by_role("alert")).to_contain_text("not registered: SITE-B")


def test_a_device_is_added_tested_changed_and_removed(page: Page, stage: Stage) -> None:
    url, stgid = stage.relay.url, f"NEW{secrets.token_hex(4)}"
    page.goto(f"{url}/console/devices/new")
    page.get_by_label("Service Tag ID").fill(stgid)
    page.get_by_label("AuthToken").fill("too short")
    page.get_by_role("button", name="Add device").click()
    expect(page.locator("#e-auth_token")).to_contain_text("Copy the 32 characters")
    expect(page.get_by_label("AuthToken")).to_be_focused()
    page.get_by_label("AuthToken").fill(secrets.token_hex(16))
    page.get_by_label("Name", exact=True).fill('Back "Door" <b>')
    page.get_by_label("Punch direction").select_option("in")
    page.get_by_role("button", name="Add device").click()
    page.wait_for_url(f"**/console/devices/{stgid}")
    expect(page.locator("h1")).to_have_text('Back "Door" <b>')
    expect(page.locator(".copyable code").first).to_have_text(f"{url}/callback/{stgid}")
    page.get_by_role("button", name="Copy").first.click()
    expect(page.locator("#status")).to_have_text("Copied")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_role("alert").first).to_contain_text("gateway_url")
    page.get_by_text("Change", exact=True).click()
    page.get_by_label("Time zone").fill("Asia/Kolkata")
    expect(page.get_by_label("Punch direction")).to_have_value("in")
    page.get_by_label("Punch direction").select_option("out")
    page.get_by_role("button", name="Save").click()
    wait_for(lambda: stage.relay.get(f"/v1/devices/{stgid}")["timezone"] == "Asia/Kolkata")
    assert stage.relay.get(f"/v1/devices/{stgid}")["direction"] == "out"
    page.wait_for_load_state()
    page.get_by_text("Change", exact=True).click()
    page.get_by_role("button", name="Remove device").click()
    expect(page.locator("#confirm-text")).to_contain_text("records of 0 users")
    expect(page.get_by_role("button", name=f"Remove {stgid}")).to_be_disabled()
    page.get_by_label("type the device's name").fill(stgid)
    page.get_by_role("button", name=f"Remove {stgid}").click()
    page.wait_for_url("**/console/devices")
    assert stage.relay.call("GET", f"/v1/devices/{stgid}").status_code == 404


def test_testing_a_connection_shows_capacity_and_licence(page: Page, stage: Stage) -> None:
    device = stage.new_device()
    page.goto(f"{stage.relay.url}/console/devices/{device.id}")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("Maximum faces supported")).to_be_visible()
    expect(page.get_by_text("End date")).to_be_visible()


def test_health_shows_the_store_and_what_doctor_says(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.relay.url}/console/health")
    expect(page.locator(".findings")).to_contain_text("RELAY_PUBLIC_URL is not set")
    expect(page.locator("main")).to_contain_text("MiB")
