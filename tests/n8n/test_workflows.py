"""The workflow templates, imported into a real n8n and run, with local stand-ins for other services.

Only the values that a template's note asks the user for are filled in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import expect

from simulator.jpeg import make_jpeg
from simulator.records import LogRow
from tests import stage as stages
from tests.browser import chromium
from tests.harness import API_KEY, Device, wait_for
from tests.n8n.n8n import ACTION, PACKAGE, TRIGGER, Json, N8n, Workflow
from tests.services import erpnext, google_sheets, odoo, slack
from tests.services.erpnext import ErpNext
from tests.services.google_sheets import GoogleSheets
from tests.services.mailbox import Mailbox
from tests.services.odoo import Odoo
from tests.services.slack import Slack
from tests.services.web import Request, Site
from tests.stage import Stage

pytestmark = pytest.mark.timeout(900)  # the first one may have to install n8n
Import = Callable[..., Workflow]


@pytest.fixture
def template(n8n: N8n, device: Device) -> Iterator[Import]:
    """Imports a template, with parameters and credentials by node name. Limits its trigger to the device."""
    made: list[Workflow] = []

    def template(name: str, filled: Json, credentials: Json | None = None) -> Workflow:
        document = json.loads((PACKAGE / "workflows" / f"{name}.json").read_text())
        nodes = {node["name"]: node for node in document["nodes"]}
        for node_name, parameters in filled.items():
            nodes[node_name]["parameters"].update(parameters)
        for node in document["nodes"]:
            if node["type"] in (ACTION, TRIGGER):
                node["credentials"] = n8n.credentials
            if node["type"] == TRIGGER:
                node["parameters"]["deviceIds"] = [device.id]
        for node_name, wanted in (credentials or {}).items():
            nodes[node_name]["credentials"] = wanted
        workflow = n8n.imported(document)
        made.append(workflow)
        return workflow

    yield template
    for workflow in made:
        workflow.unpublish()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Stage]:
    """A separate stage for one test, for templates that use all devices."""
    with stages.stage(tmp_path) as made:
        yield made


@pytest.fixture
def to_apart(apart: Stage, n8n: N8n) -> Json:
    """The credential for the relay of `apart`."""
    access = {"relayUrl": apart.relay.url, "apiKey": API_KEY}
    return {"camsRelayApi": n8n.credential("camsRelayApi", access, "apart")}


def settings(name: str, **values: Any) -> Json:
    """Returns the parameters of a template's node "Settings" with these values, as the editor stores them."""
    document = json.loads((PACKAGE / "workflows" / f"{name}.json").read_text())
    (node,) = (node for node in document["nodes"] if node["name"] == "Settings")
    rows = node["parameters"]["assignments"]["assignments"]
    assert {row["name"] for row in rows} >= set(values)
    changed = [{**row, "value": values.get(row["name"], row["value"])} for row in rows]
    return {"Settings": {"assignments": {"assignments": changed}}}


def published(workflow: Workflow, stage: Stage) -> Workflow:
    """Publishes a workflow and waits until its trigger has subscribed."""
    workflow.publish()
    (trigger,) = (node for node in workflow.document()["nodes"] if node["type"] == TRIGGER)
    hook = f"{trigger['webhookId']}/webhook"

    def subscribed() -> bool:
        rows = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
        return any(row["target_url"].endswith(hook) for row in rows)

    wait_for(subscribed, 30)
    return workflow


def at(text: str) -> datetime:
    """Returns a time yesterday in the device's time zone (+05:30)."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return datetime.fromisoformat(f"{yesterday:%Y-%m-%d}T{text}+05:30")


def utc(text: str) -> str:
    return at(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def succeeded(workflow: Workflow, runs: int = 1) -> list[Any]:
    """Returns the workflow's executions, and checks that none failed."""
    found = workflow.executions(runs)
    assert [run.status for run in found] == ["success"] * len(found), [
        run.result.get("error") for run in found
    ]
    return found


def test_punches_are_written_to_a_google_sheet(
    template: Import, n8n: N8n, stage: Stage, device: Device, sheets: GoogleSheets
) -> None:
    token = {"access_token": google_sheets.TOKEN, "refresh_token": "made-up", "token_type": "Bearer"}
    account = {"clientId": "made-up", "clientSecret": "made-up", "oauthTokenData": token}
    workflow = template(
        "punches-to-google-sheet",
        {"Append Rows": {"documentId": {"__rl": True, "mode": "id", "value": sheets.spreadsheet}}},
        {"Append Rows": {"googleSheetsOAuth2Api": n8n.credential("googleSheetsOAuth2Api", account)}},
    )
    published(workflow, stage)
    for user, time in (("0042", "09:01:44"), ("7", "09:02:10"), ("=1+1", "09:03:00")):
        device.send_done(device.punch(user, at(time)))
    wait_for(lambda: len(sheets.records) == 3, 30)
    succeeded(workflow)
    assert [(row["User ID"], row["Time"], row["Punch"]) for row in sheets.records] == [
        ("0042", "09:01:44", "check_in"),
        ("7", "09:02:10", "check_in"),
        ("=1+1", "09:03:00", "check_in"),
    ]
    assert len({row["Punch ID"] for row in sheets.records}) == 3
    assert all(row["Date"] == f"{at('09:00'):%Y-%m-%d}" for row in sheets.records)


def calls(service: ErpNext) -> list[Request]:
    """The calls of ERPNext's method. An earlier test's subscription may still send other requests to this port."""
    return [request for request in service.requests if request.path == erpnext.METHOD]


def to_erpnext(template: Import, n8n: N8n, site: Site, secret: str) -> Workflow:
    """Imports the template with its settings, and without its wait of a minute."""
    access = {"apiKey": erpnext.KEY, "apiSecret": secret, "environment": "selfHosted", "domain": site.url}
    return template(
        "punches-to-erpnext",
        {**settings("punches-to-erpnext", erpnext_url=site.url), "In a Minute": {"amount": 0}},
        {"Add Checkin": {"erpNextApi": n8n.credential("erpNextApi", access)}},
    )


def test_punches_are_written_to_erpnext(template: Import, n8n: N8n, stage: Stage, device: Device) -> None:
    with Site(service := ErpNext({"100": "HR-EMP-00001"})) as site:
        workflow = to_erpnext(template, n8n, site, erpnext.SECRET)
        service.failures = 2
        published(workflow, stage)
        first = device.punch("100", at("09:01:44"))
        device.send_done(first)
        wait_for(lambda: service.checkins, 30)
        device.send_done(device.punch("unknown", at("09:05:00")))
        device.send_done(device.punch("100", at("18:00:10"), Type="CheckOut"))
        wait_for(lambda: len(service.checkins) == 2, 30)
        runs = succeeded(workflow, 2)
        assert service.checkins == [
            {
                "employee": "HR-EMP-00001",
                "time": at("09:01:44").replace(tzinfo=None),
                "log_type": "IN",
                "device_id": device.id,
            },
            {
                "employee": "HR-EMP-00001",
                "time": at("18:00:10").replace(tzinfo=None),
                "log_type": "OUT",
                "device_id": device.id,
            },
        ]
        asked = len(calls(service))
        assert asked == 2 + 3  # two failed as it was updating, and the unknown employee isn't retried
        unknown = [
            row for run in runs if "Unknown Employees" in run.nodes for row in run.json("Unknown Employees")
        ]
        assert [row["user_id"] for row in unknown] == ["unknown"]
        # An existing checkin is not a failure, and isn't retried.
        stage.relay.call("POST", f"/v1/subscriptions/{subscription(workflow, stage)}/replay", json=since())
        wait_for(lambda: len(calls(service)) >= asked + 3, 30)
        succeeded(workflow, 3)
        assert len(service.checkins) == 2


def subscription(workflow: Workflow, stage: Stage) -> str:
    (trigger,) = (node for node in workflow.document()["nodes"] if node["type"] == TRIGGER)
    rows = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    (found,) = (row for row in rows if row["target_url"].endswith(f"{trigger['webhookId']}/webhook"))
    return str(found["id"])


def since() -> Json:
    now = datetime.now(UTC)
    return {"since": (now - timedelta(hours=1)).isoformat(), "until": (now + timedelta(hours=1)).isoformat()}


def test_an_absent_erpnext_fails_the_execution(
    template: Import, n8n: N8n, stage: Stage, device: Device
) -> None:
    with Site(service := ErpNext({"100": "HR-EMP-00001"})) as site:
        workflow = to_erpnext(template, n8n, site, "made up, and another one")
        published(workflow, stage)
        device.send_done(device.punch("100", at("09:01:44")))
        (run,) = workflow.executions(1, seconds=120)
        assert run.status == "error"
        assert run.error["message"].startswith("ERPNext answered 401 to the punch of user 100 at ")
        assert len(calls(service)) == 10


def test_punches_are_written_to_odoo(template: Import, n8n: N8n, stage: Stage, device: Device) -> None:
    with Site(service := Odoo({"100": "Asha Rao", "7": "Ben Okafor"})) as site:
        access = {"url": site.url, "apiKey": odoo.API_KEY, "db": "made-up"}
        key = {"odooApiKeyApi": n8n.credential("odooApiKeyApi", access)}
        nodes = ("Find Employee", "Find Open Attendance", "Check In", "Check Out")
        workflow = published(template("punches-to-odoo", {}, dict.fromkeys(nodes, key)), stage)
        day = [
            ("100", "09:00:00", "CheckIn"),
            ("7", "09:10:00", "CheckIn"),
            ("100", "09:00:30", "CheckIn"),  # a second check-in
            ("100", "18:00:00", "CheckOut"),
            ("100", "18:00:20", "CheckOut"),
            ("99", "18:01:00", "CheckOut"),
            ("100", "19:00:00", "CheckIn"),
        ]
        for user, time, kind in day:
            device.send_done(device.punch(user, at(time), Type=kind))
        wait_for(lambda: len(service.attendances) == 3, 60)
        runs = succeeded(workflow)
        assert service.attendances == [
            ("Asha Rao", utc("09:00:00"), utc("18:00:00")),
            ("Ben Okafor", utc("09:10:00"), None),
            ("Asha Rao", utc("19:00:00"), None),
        ]
        left = [row for run in runs if "Not Booked" in run.nodes for row in run.json("Not Booked")]
        assert [(row["user_id"], row["reason"].split(",")[0]) for row in left] == [
            ("100", "There is an open attendance already"),
            ("100", "There is no open attendance to close."),
            ("99", "No employee has this Badge ID."),
        ]


def test_a_late_arrival_is_posted_to_slack_once_a_day(
    template: Import, n8n: N8n, stage: Stage, device: Device, workspace: Slack
) -> None:
    token = {"slackApi": n8n.credential("slackApi", {"accessToken": slack.TOKEN})}
    workflow = template("late-arrival-to-slack", {}, {"Tell Slack": token})
    published(workflow, stage)
    device.send_done(device.sample(3))  # with names
    punches = [
        ("in time", "09:10:00", "CheckIn"),
        ("late", "09:10:01", "CheckIn"),
        ("late", "12:00:00", "CheckOut"),
        ("late", "13:00:00", "CheckIn"),
        ("in time", "13:30:00", "CheckIn"),
    ]
    for number, (user, time, kind) in enumerate(punches, start=1):
        device.send_done(device.punch(user, at(time), Type=kind))
        workflow.executions(number - (number >= 3))  # the check-out starts no workflow
    succeeded(workflow, 4)
    (message,) = workspace.messages
    assert message == ("#attendance", f"User late came at 09:10 ({device.id}).")


def test_a_high_temperature_is_mailed(template: Import, n8n: N8n, stage: Stage, device: Device) -> None:
    with Mailbox() as mailbox:
        server = {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "secure": False,
            "disableStartTls": True,
            "user": "",
            "password": "",
        }
        workflow = template("fever-alert", {}, {"Send Email": {"smtp": n8n.credential("smtp", server)}})
        published(workflow, stage)
        for user, temperature in (("1", "36.6"), ("2", "37.5"), ("3", None)):
            measured = {"Temperature": temperature} if temperature else {}
            device.send_done(device.punch(user, at("09:00:00"), **measured))
        (mail,) = wait_for(lambda: mailbox.mails, 30)
        succeeded(workflow)
        assert (mail["to"], mail["from"]) == ("nurse@example.com", "attendance@example.com")
        assert mail["subject"] == f"37.5 °C measured at {device.id}"
        assert mail.get_content().startswith("A user without a name (ID 2) had 37.5 °C on ")


@pytest.mark.parametrize("photo", [make_jpeg("made up", 9_000), None], ids=["photo", "no photo"])
def test_a_new_employee_is_added_to_all_devices(
    template: Import, n8n: N8n, apart: Stage, to_apart: Json, photo: bytes | None
) -> None:
    device, other = apart.device, apart.new_device()
    login = ("made-up", "made-up-password")
    basic = n8n.credential("httpBasicAuth", {"user": login[0], "password": login[1]})
    credentials = dict.fromkeys(("All Devices", "Add", "Add with Photo"), to_apart)
    credentials["New Employee"] = {"httpBasicAuth": basic}
    workflow = template("new-employee-to-all-devices", {}, credentials)
    workflow.publish()
    (form,) = (node for node in workflow.document()["nodes"] if node["name"] == "New Employee")
    url = f"{n8n.url}/form/{form['webhookId']}"
    wait_for(lambda: requests.get(url, auth=login, timeout=10).ok, 30)
    assert requests.get(url, timeout=10).status_code == 401
    with chromium() as browser:
        page = browser.new_page(http_credentials={"username": login[0], "password": login[1]})
        page.goto(url)
        for label, value in (("User ID", "100"), ("First name", "Asha"), ("Last name", "Rao")):
            page.get_by_label(label).fill(value)
        page.get_by_label("Card number").fill("0004829371")
        if photo:
            image = {"name": "asha.jpg", "mimeType": "image/jpeg", "buffer": photo}
            page.locator("input[type=file]").set_input_files(image)
        page.get_by_role("button", name="Add").click()
        body = page.locator("body")
        expect(body).to_contain_text(f"{device.id}: added", timeout=60_000)
        expect(body).to_contain_text(f"{other.id}: added")
    for one in (device, other):
        user = apart.simulator.gateway.device(one.id).find_user("100")
        kinds = {template.type for template in user.templates.values()}
        assert (user.first_name, user.last_name) == ("Asha", "Rao")
        assert kinds == ({"Card", "Face"} if photo else {"Card"})


@pytest.fixture
def nightly(template: Import, to_apart: Json) -> Workflow:
    filled = {"Load Log": {"options": {"maxWait": 3}}}
    return template("nightly-log-recovery", filled, {"All Devices": to_apart, "Load Log": to_apart})


def test_the_nightly_workflow_recovers_missed_punches(nightly: Workflow, apart: Stage) -> None:
    logs = apart.simulator.gateway.device(apart.device.id).logs
    logs.append(
        LogRow("100", datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3), "CheckIn", "Face")
    )
    query = {"type": "attendance.punch", "device_id": apart.device.id}
    known = len(apart.relay.events(**query))
    for _ in range(2):
        run = nightly.run("Every Night")
        assert run.status == "success", run.error
        assert "Tell It" not in run.nodes
        events = apart.relay.events(**query)
        assert len(events) == known + 1
        assert events[-1]["user_id"] == "100"


def test_the_nightly_workflow_reports_unreachable_devices(nightly: Workflow, apart: Stage) -> None:
    # Reachable devices come before, between and after the unreachable ones.
    every = sorted([apart.device.id, *(apart.new_device().id for _ in range(4))])
    away = every[1::2]
    for one in away:
        apart.simulator.gateway.device(one).switch(online=False)
    run = nightly.run("Every Night")
    assert run.status == "error"
    assert run.error["message"].startswith("The log of 2 of 5 devices could not be loaded. ")
    assert [one for one in every if f"{one}: " in run.error["message"]] == away
